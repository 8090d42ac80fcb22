"""Recovery at the bounds: much that was missed, more than can be sent, and sockets that outlive their connection."""

from __future__ import annotations

import pytest
from official_client import ControlledServer, Network
from recovery_steps import client_of, come_back, connect, cut

pytestmark = pytest.mark.servers


def test_much_that_was_missed_arrives_whole_or_not_at_all(server: ControlledServer, network: Network) -> None:
    # Ours keeps a megabyte for a socket, and may have a megabyte in its buffer: these are close to both.
    with client_of(network.url) as client:
        id = connect(client)
        for total in (500_000, 900_000, *range(999_300, 1_000_300, 50), 1_100_000):
            cut(server, network, client, id)
            heard = client.heard()
            for number in range(10):
                server.emit(number, "x" * (total // 10))
            network.mend()
            again = come_back(client)
            assert again["recovered"] == (again["id"] == id)
            missed = list(range(10)) if again["recovered"] else []
            assert client.heard() == [*heard, *missed, "hello"]
            id = again["id"]


def test_what_could_not_be_sent_does_not_cost_the_recovery(
    server: ControlledServer, network: Network
) -> None:
    with client_of(network.url) as client:
        id = connect(client)
        # Node sends it; ours refuses it, and says so to the one who emits it.
        server.try_to_tell("emitBySocket", id=id, args=["x" * 1_100_000])
        client.round_trip()
        heard = client.heard()
        cut(server, network, client, id)
        server.emit(1)
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert client.heard() == [*heard, 1, "hello"]


def test_what_a_socket_is_told_by_itself_while_its_client_is_away_arrives(
    server: ControlledServer, network: Network
) -> None:
    with client_of(network.url) as client:
        id = connect(client)
        cut(server, network, client, id)
        # A task that a handler has started goes on, and still has the socket.
        server.tell("emitBySocket", id=id, args=[1])
        server.emit(2)
        server.tell("emitBySocket", id=id, args=[3])
        network.mend()
        assert come_back(client) == {"namespace": "/", "id": id, "recovered": True}
        assert client.heard() == ["hello", 1, 2, 3, "hello"]
