"""Connection state recovery as users of Socket.IO know it, seen from the published socket.io-client.

Run against ours and against Node, where these hold as well but for those marked ``node_fails`` (see conftest.py).
"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from official_client import ControlledServer, Network, bad_network
from real_server import free_port, until
from recovery_steps import WAYS, client_of, come_back, connect, cut, state

pytestmark = pytest.mark.servers


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


def test_what_was_missed_arrives_once_and_in_order(
    server: ControlledServer, network: Network, way: str
) -> None:
    with client_of(network.url, way, reconnection=True) as client:
        id = connect(client, way)
        assert state(server, id) == ([], {}, False)
        server.tell("keep", id=id, rooms=["here", "there"], data={"name": "Ada", "deep": [1]})
        server.emit(1)
        client.wait_for("event", 2)
        cut(server, network, client, id)
        server.emit(2, rooms=[id])
        server.emit(3, "a string", rooms=["there"])
        server.emit(0, "to others", rooms=["elsewhere"])
        server.emit(4, {"to": "all"})
        server.emit(0, "not to here", except_=["here"])
        server.emit(5, rooms=["here", "there"])
        network.mend()
        assert client.wait_for("connect", 2) == {"namespace": "/", "id": id, "recovered": True}
        server.emit(6)
        client.round_trip()
        assert client.heard() == ["hello", 1, 2, 3, 4, 5, "hello", 6]
        assert state(server, id) == (["here", "there"], {"name": "Ada", "deep": [1]}, True)
        assert [entry[0] for entry in server.log("connect", "disconnect", id=id)] == [
            "connect",
            "disconnect",
            "connect",
        ]


def test_missed_events_have_all_their_arguments(server: ControlledServer, network: Network, way: str) -> None:
    values: list[Any] = [1, "zwei", None, True, {"three": [3.5, {}]}, [], "\u2028 \U0001f388"]
    binary = {"$bytes": base64.b64encode(bytes(range(256)) * 40).decode()}
    with client_of(network.url, way) as client:
        id = connect(client, way)
        cut(server, network, client, id)
        server.emit(*values)
        server.emit(2, binary, {"$bytes": ""}, "text")
        server.emit(3)
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        missed = [event["args"] for event in client.all("event")[1:4]]
        # The last one is the offset.
        assert [args[:-1] for args in missed] == [values, [2, binary, {"$bytes": ""}, "text"], [3]]
        assert len({args[-1] for args in missed}) == 3


def test_it_recovers_again_and_again(server: ControlledServer, network: Network) -> None:
    with client_of(network.url) as client:
        id = connect(client, quiet=True)
        server.emit(0, rooms=[id])
        client.round_trip()
        for number in range(1, 9, 2):
            cut(server, network, client, id)
            server.emit(number)
            server.emit(number + 1, rooms=[id])
            network.mend()
            assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert client.heard() == list(range(9))


def test_who_stays_hears_everything_once_while_others_come_and_go(
    server: ControlledServer, network: Network
) -> None:
    with client_of(network.url) as away, client_of(server.url) as here, client_of(server.url) as late:
        id = connect(away)
        connect(here, quiet=True)
        server.tell("count", namespace="/", first=1, last=100)
        for client in (away, here):
            client.round_trip()
        cut(server, network, away, id)
        server.tell("count", namespace="/", first=101, last=500)
        connect(late, quiet=True)
        network.mend()
        assert come_back(away)["recovered"]
        server.tell("count", namespace="/", first=501, last=600)
        for client in (away, here, late):
            client.round_trip()
        assert here.heard() == list(range(1, 601))
        assert late.heard() == list(range(501, 601))
        assert away.heard() == ["hello", *range(1, 501), "hello", *range(501, 601)]


def test_what_the_client_says_while_away_arrives_once(
    server: ControlledServer, network: Network, way: str
) -> None:
    with client_of(network.url, way) as client:
        id = connect(client, way)
        client.tell("emit", args=[1])
        client.round_trip()
        cut(server, network, client, id)
        for number in (2, 3, 4):
            client.tell("emit", args=[number])
        network.mend()
        assert come_back(client)["recovered"]
        assert server.log("say", id=id) == [["say", [number]] for number in (1, 2, 3, 4)]


def test_two_namespaces_of_one_session_are_both_recovered(
    server: ControlledServer, network: Network, way: str
) -> None:
    with client_of(network.url, way) as client:
        first = connect(client, way)
        second = connect(client, way, "/other")
        server.tell("keep", id=second, rooms=["there"], data={"of": "the other"})
        cut(server, network, client, first, second)
        for number in range(1, 7):
            server.emit(number, namespace=("/", "/other")[number % 2])
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": first, "recovered": True}
        assert come_back(client, "/other") == {"namespace": "/other", "id": second, "recovered": True}
        assert client.heard() == ["hello", 2, 4, 6, "hello"]
        assert client.heard("/other") == ["hello", 1, 3, 5, "hello"]
        assert state(server, first) == ([], {}, True)
        assert state(server, second) == (["there"], {"of": "the other"}, True)


def test_one_namespace_is_recovered_without_the_other(server: ControlledServer, network: Network) -> None:
    with client_of(network.url) as client:
        first = connect(client)
        second = connect(client, namespace="/other")
        client.tell("disconnect", namespace="/other")
        server.until_gone(second)
        cut(server, network, client, first)
        server.emit(1)
        server.emit(2, namespace="/other")
        network.mend()
        assert come_back(client)["recovered"]
        again = come_back(client, "/other")
        assert not again["recovered"]
        assert again["id"] != second
        assert client.heard() == ["hello", 1, "hello"]
        assert client.heard("/other") == ["hello", "hello"]


def test_a_question_is_not_asked_twice(server: ControlledServer, network: Network) -> None:
    with client_of(network.url) as client:
        id = connect(client)
        server.tell("question", id=id)
        until(lambda: server.log("answer", id=id) == [["answer", "answer"]], "the answer")
        cut(server, network, client, id)
        server.emit(1)
        network.mend()
        assert come_back(client)["recovered"]
        assert client.heard() == ["hello", 1, "hello"]
        assert [event["name"] for event in client.all("event")] == ["event", "question", "event", "event"]


def test_recovered_until_the_time_is_up(server: ControlledServer, network: Network) -> None:
    with client_of(network.url) as client:
        id = connect(client)
        server.emit(1)
        client.round_trip()
        cut(server, network, client, id)
        server.tell("advance", seconds=115)
        server.emit(2)
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert client.heard() == ["hello", 1, 2, "hello"]


def test_a_new_connection_when_the_time_is_up(server: ControlledServer, network: Network) -> None:
    with client_of(network.url) as client:
        id = connect(client)
        server.tell("keep", id=id, rooms=["here"], data={"name": "Ada"})
        cut(server, network, client, id)
        server.emit(1)
        server.tell("advance", seconds=121)
        server.emit(2)
        network.mend()
        again = come_back(client)
        assert not again["recovered"]
        assert again["id"] != id
        assert state(server, again["id"]) == ([], {}, False)
        assert not server.live(id)
        assert client.heard() == ["hello", "hello"]
        # And that one is recovered as any other.
        cut(server, network, client, again["id"])
        server.emit(3)
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": again["id"], "recovered": True}
        assert client.heard() == ["hello", "hello", 3, "hello"]


@pytest.mark.parametrize("by", ["the client", "the server", "the server with the session"])
def test_who_left_on_purpose_is_not_recovered(server: ControlledServer, way: str, by: str) -> None:
    with client_of(server.url, way) as client:
        id = connect(client, way)
        server.tell("keep", id=id, rooms=["here"], data={"name": "Ada"})
        if by == "the client":
            client.tell("disconnect")
        else:
            server.tell("disconnect", id=id, close=by == "the server with the session")
        client.wait_for("disconnect")
        server.until_gone(id)
        server.emit(1)
        again = come_back(client)
        assert not again["recovered"]
        assert again["id"] != id
        assert state(server, again["id"]) == ([], {}, False)
        assert client.heard() == ["hello", "hello"]


@pytest.mark.node_fails("what was said between its two lives comes after the second")
def test_an_offset_of_an_earlier_life_repeats_and_skips_nothing(
    server: ControlledServer, network: Network
) -> None:
    with client_of(network.url) as client:
        id = connect(client, quiet=True)
        server.emit(1)
        client.round_trip()
        client.tell("disconnect")
        server.until_gone(id)
        server.emit(2)
        # The client still has the offset of 1, and gets none in this life.
        second = come_back(client)
        assert not second["recovered"]
        cut(server, network, client, second["id"])
        server.emit(3)
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": second["id"], "recovered": True}
        assert client.heard() == [1, 3]


@pytest.mark.node_fails("not recovered: it does not know the offset")
def test_an_offset_of_an_earlier_server_repeats_and_skips_nothing(start: Any) -> None:
    port = free_port()
    with bad_network(port) as network, client_of(network.url) as client:
        with start(port) as server:
            id = connect(client, quiet=True)
            for number in (1, 2, 3):
                server.emit(number)
            client.round_trip()
            # Away before the server ends, so that it does not say goodbye.
            cut(server, network, client, id)
        with start(port) as server:
            for _ in range(5):
                server.emit("before")
            network.mend()
            second = come_back(client)
            assert not second["recovered"]
            assert second["id"] != id
            cut(server, network, client, second["id"])
            server.emit(4)
            server.emit(5)
            network.mend()
            assert come_back(client) == {"namespace": "/", "id": second["id"], "recovered": True}
            assert client.heard() == [1, 2, 3, 4, 5]


NO_TEXT: dict[str, object] = {"number": 7, "true": True, "object": {"pid": "x"}, "list": ["x"]}
TEXT: dict[str, object] = {
    "empty": "",
    "letters": "garbage",
    "lone surrogate": "\ud800",
    "huge": "x" * 100_000,
    "huge number": "9" * 5000,
}


@pytest.mark.parametrize("garbage", (NO_TEXT | TEXT).values(), ids=NO_TEXT | TEXT)
def test_a_wrong_pid_makes_a_clean_new_connection(
    server: ControlledServer, network: Network, garbage: object
) -> None:
    with client_of(network.url) as gone, client_of(server.url) as client:
        id = connect(gone)
        offset = gone.tell("state")["offset"]
        cut(server, network, gone, id)
        server.emit(1)
        new = connect(client, pid=garbage, offset=offset)
        assert new != id
        assert not client.wait_for("connect")["recovered"]
        assert state(server, new) == ([], {}, False)
        server.emit(2)
        client.round_trip()
        assert client.heard() == ["hello", 2]


@pytest.mark.parametrize("garbage", NO_TEXT.values(), ids=NO_TEXT)
def test_an_offset_that_is_no_text_makes_a_clean_new_connection(
    server: ControlledServer, network: Network, garbage: object
) -> None:
    with client_of(network.url) as first, client_of(server.url) as second, client_of(server.url) as third:
        id = connect(first)
        pid = first.tell("state")["pid"]
        # The pid is of one who is connected: it does no harm to that.
        assert connect(second, pid=pid, offset=garbage) != id
        server.emit(1)
        for client in (first, second):
            client.round_trip()
            assert client.heard() == ["hello", 1]
        assert first.all("disconnect") == []
        cut(server, network, first, id)
        server.emit(2)
        new = connect(third, pid=pid, offset=garbage)
        assert new != id
        assert state(server, new) == ([], {}, False)
        assert third.heard() == ["hello"]


@pytest.mark.parametrize("garbage", TEXT.values(), ids=TEXT)
def test_an_offset_of_nowhere_brings_all_or_nothing(
    server: ControlledServer, network: Network, garbage: object
) -> None:
    # For Node it is unknown: nothing is recovered. For ours it shows that nothing was received under this pid.
    with client_of(network.url) as gone, client_of(server.url) as client:
        id = connect(gone)
        server.emit(1)
        gone.round_trip()
        pid = gone.tell("state")["pid"]
        cut(server, network, gone, id)
        server.emit(2)
        new = connect(client, pid=pid, offset=garbage)
        server.emit(3)
        client.round_trip()
        [lives] = server.live(new)
        assert lives["recovered"] == (new == id)
        assert client.heard() == (["hello", 1, 2, "hello", 3] if new == id else ["hello", 3])


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "connected"])
def test_a_pid_is_worth_nothing_in_another_namespace(
    server: ControlledServer, network: Network, gone: bool
) -> None:
    with client_of(network.url) as first, client_of(server.url) as second:
        id = connect(first)
        server.tell("keep", id=id, rooms=["here"], data={"name": "Ada"})
        shown = first.tell("state")
        if gone:
            cut(server, network, first, id)
        server.emit(1)
        server.emit(1, namespace="/other")
        new = connect(second, namespace="/other", **shown)
        assert new != id
        assert state(server, new) == ([], {}, False)
        assert second.heard("/other") == ["hello"]
        if gone:
            network.mend()
            assert come_back(first) == {"namespace": "/", "id": id, "recovered": True}
        first.round_trip()
        assert first.heard() == (["hello", 1, "hello"] if gone else ["hello", 1])


@pytest.mark.parametrize("skip", [True, False], ids=["skipped", "run again"])
def test_middleware_of_a_recovered_connection(start: Any, skip: bool) -> None:
    with (
        start(SKIP_MIDDLEWARES="1" if skip else "0") as server,
        bad_network(server.port) as network,
        client_of(network.url) as client,
    ):
        id = connect(client, name="Ada")
        cut(server, network, client, id)
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert server.log("middleware", id="Ada") == [["middleware"]] * (1 if skip else 2)
