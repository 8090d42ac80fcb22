"""What a Node server with connection state recovery gets wrong, and ours does not.

Seen with socket.io 4.8.4, socket.io-adapter 2.5.8 and socket.io-client 4.8.4; the marks say what Node does instead. To
see it again::

    AGAINST=node .venv/bin/python -m pytest -q tests/clients/recovery/test_faults.py
"""

from __future__ import annotations

import pytest
from official_client import ControlledServer, Network
from recovery_steps import WAYS, client_of, come_back, connect, cut, state, stay_quiet

pytestmark = pytest.mark.servers


@pytest.fixture(params=["polling", "websocket"])
def way(request: pytest.FixtureRequest) -> str:
    assert request.param in WAYS
    return request.param


@pytest.mark.node_fails("not recovered: what it kept for the offset is older than two minutes, and dropped")
def test_a_client_that_was_quiet_for_minutes_is_recovered(
    server: ControlledServer, network: Network, way: str
) -> None:
    with client_of(network.url, way) as client:
        id = connect(client, way)
        server.tell("keep", id=id, rooms=["here"], data={"name": "Ada"})
        server.emit(1)
        client.round_trip()
        stay_quiet(server, client, 600)
        cut(server, network, client, id)
        server.emit(2)
        server.emit(3, rooms=["here"])
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert client.heard() == ["hello", 1, 2, 3, "hello"]
        assert state(server, id) == (["here"], {"name": "Ada"}, True)


@pytest.mark.node_fails("not recovered, although nothing was missed: the same")
def test_a_client_that_was_quiet_and_missed_nothing_is_recovered(
    server: ControlledServer, network: Network
) -> None:
    with client_of(network.url) as client:
        id = connect(client)
        stay_quiet(server, client, 600)
        cut(server, network, client, id)
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert client.heard() == ["hello", "hello"]


@pytest.mark.node_fails("not recovered: it has no offset to show")
def test_a_client_that_never_heard_an_event_is_recovered(server: ControlledServer, network: Network) -> None:
    with client_of(network.url) as client:
        id = connect(client, quiet=True)
        server.tell("keep", id=id, rooms=["here"], data={"name": "Ada"})
        cut(server, network, client, id)
        server.emit(1)
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert client.heard() == [1]
        assert state(server, id) == (["here"], {"name": "Ada"}, True)


@pytest.mark.node_fails(
    "not recovered, a second socket beside the old one, and what was written to that is lost"
)
def test_a_client_that_returns_before_its_death_was_noticed_is_recovered(
    server: ControlledServer, network: Network, way: str
) -> None:
    with client_of(network.url, way) as client:
        id = connect(client, way)
        server.tell("keep", id=id, rooms=["here"], data={"name": "Ada"})
        server.emit(1)
        client.round_trip()
        network.black_hole()
        # These are written to a connection that nobody reads.
        server.emit(2)
        server.emit(3, rooms=["here"])
        server.emit(4, "a string", rooms=[id])
        client.tell("giveUp")
        client.wait_for("disconnect")
        assert len(server.live(id)) == 1
        server.emit(5)
        client.tell("moveTo", url=server.url)
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        server.emit(6)
        client.round_trip()
        assert client.heard() == ["hello", 1, 2, 3, 4, 5, "hello", 6]
        assert state(server, id) == (["here"], {"name": "Ada"}, True)
        lives = ["connect", "disconnect", "connect"]
        assert [entry[0] for entry in server.log("connect", "disconnect", id=id)] == lives
        # What is left of the old connection dies as well: that changes nothing.
        network.cut()
        client.round_trip()
        server.emit(7, rooms=["here"])
        client.round_trip()
        assert client.heard()[-1] == 7
        assert len(client.all("disconnect")) == 1
        assert [entry[0] for entry in server.log("connect", "disconnect", id=id)] == lives
        assert state(server, id) == (["here"], {"name": "Ada"}, True)


@pytest.mark.node_fails("not recovered: neither namespace")
def test_both_namespaces_return_before_their_death_was_noticed(
    server: ControlledServer, network: Network
) -> None:
    with client_of(network.url) as client:
        first = connect(client)
        second = connect(client, namespace="/other")
        network.black_hole()
        server.emit(1)
        server.emit(2, namespace="/other")
        client.tell("giveUp")
        client.tell("moveTo", url=server.url)
        assert come_back(client) == {"namespace": "/", "id": first, "recovered": True}
        assert come_back(client, "/other") == {"namespace": "/other", "id": second, "recovered": True}
        assert client.heard() == ["hello", 1, "hello"]
        assert client.heard("/other") == ["hello", 2, "hello"]
        for id in (first, second):
            assert len(server.live(id)) == 1
            lives = [entry[0] for entry in server.log("connect", "disconnect", id=id)]
            assert lives == ["connect", "disconnect", "connect"]


@pytest.mark.node_fails("not recovered: the client takes the string for the offset")
def test_a_volatile_event_that_ends_in_a_string_does_no_harm(
    server: ControlledServer, network: Network, way: str
) -> None:
    with client_of(network.url, way) as client:
        id = connect(client, way)
        server.emit(1)
        client.round_trip()
        server.until_attached(id)
        server.emit(2, "a string", volatile=True)
        client.round_trip()
        assert client.heard() == ["hello", 1, 2]
        cut(server, network, client, id)
        server.emit(3)
        # Who is away does not get it late.
        server.emit(0, "another string", volatile=True)
        server.emit(4, rooms=[id])
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert client.heard() == ["hello", 1, 2, 3, 4, "hello"]


@pytest.mark.node_fails("both believe that they are it; the older goes deaf and is not told")
def test_a_pid_that_is_used_twice_at_once_belongs_to_the_newest(
    server: ControlledServer, network: Network
) -> None:
    with (
        client_of(network.url) as first,
        client_of(server.url) as older,
        client_of(server.url) as newer,
    ):
        id = connect(first)
        server.tell("keep", id=id, rooms=["here"], data={"name": "Ada"})
        stolen = first.tell("state")
        cut(server, network, first, id)
        server.emit(1)
        for copy in (older, newer):
            copy.tell("connect", state=stolen)
            assert copy.wait_for("connect") == {"namespace": "/", "id": id, "recovered": True}
            copy.round_trip()
        assert len(server.live(id)) == 1
        older.wait_for("disconnect")
        server.emit(2)
        server.emit(3, rooms=["here"])
        newer.round_trip()
        # What the older was told is said again: the newer has not heard it.
        assert newer.heard() == [1, "hello", "hello", 2, 3]
        assert older.heard() == [1, "hello"]
        lives = [entry[0] for entry in server.log("connect", "disconnect", id=id)]
        assert lives == ["connect", "disconnect", "connect", "disconnect", "connect"]
        assert state(server, id) == (["here"], {"name": "Ada"}, True)


@pytest.mark.node_fails("not recovered: a session of a living connection is not kept")
def test_the_pid_of_a_living_connection_belongs_to_the_newest(server: ControlledServer, way: str) -> None:
    with client_of(server.url, way) as older, client_of(server.url, way) as newer:
        id = connect(older, way)
        server.tell("keep", id=id, rooms=["here"], data={"name": "Ada"})
        newer.tell("connect", state=older.tell("state"))
        assert newer.wait_for("connect") == {"namespace": "/", "id": id, "recovered": True}
        older.wait_for("disconnect")
        assert len(server.live(id)) == 1
        server.emit(1)
        server.emit(2, rooms=[id])
        newer.round_trip()
        assert newer.heard() == ["hello", 1, 2]
        assert older.heard() == ["hello"]
        newer.tell("emit", args=["mine"])
        newer.round_trip()
        assert server.log("say", id=id) == [["say", ["mine"]]]


@pytest.mark.node_fails("not recovered: a session of a living connection is not kept")
def test_two_with_one_pid_do_not_take_it_from_each_other_for_ever(server: ControlledServer) -> None:
    # Both come back by themselves when they lose a connection; the older must know that it is not to.
    with (
        client_of(server.url, reconnection=True) as older,
        client_of(server.url, reconnection=True) as newer,
    ):
        id = connect(older)
        newer.tell("connect", state=older.tell("state"))
        assert newer.wait_for("connect") == {"namespace": "/", "id": id, "recovered": True}
        told = older.wait_for("disconnect")
        assert (told["reason"], told["active"]) == ("io server disconnect", False)
        newer.round_trip()
        assert newer.all("disconnect") == []
        assert len(server.live(id)) == 1
