"""A cut connection: each client, each way, finds back by itself and goes on.

Not our own client at our server: it lives through a cut, and other tests see that.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from client_driver import ELSEWHERE, JAVASCRIPT, PYTHON, Peer, joined
from network import Network
from real_peer import http_client
from real_server import Running, until

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("pair", [*JAVASCRIPT, *PYTHON, *ELSEWHERE])]


def cut_off_and_back(peer: Peer, network: Network, *namespaces: str) -> None:
    """Cut off, connected again by itself, and on the WebSocket if that is its way."""
    network.cut()
    for namespace in namespaces or ("/",):
        peer.next("disconnect", namespace)
    network.heal_soon()
    for namespace in namespaces or ("/",):
        peer.next("connect", namespace)
        assert peer.next("welcome", namespace)[0] == namespace
    if peer.way == "upgrade":
        peer.upgraded()


def test_comes_back_after_a_cut_and_goes_on(peer: Peer, server: Running, network: Network) -> None:
    name = secrets.token_hex(8)
    namespaces = ("/", "/custom", "/other")
    joined(peer, network.url, *namespaces, auth={"name": name})
    for cuts in (1, 2):
        # With the answer it is certain that the server, too, is through with the upgrade.
        assert peer.ask("echo", cuts, b"\0" * cuts) == [cuts, b"\0" * cuts]
        cut_off_and_back(peer, network, *namespaces)
    for namespace in namespaces:
        assert peer.ask("ask me", namespace, b"\1", namespace=namespace) == [["asked", [b"\1", namespace]]]

    def reasons() -> list[str]:
        with http_client(server.url) as client:
            return client.get(f"/reasons?name={name}").json()

    if peer.way != "polling":  # Cut between two polls, the server can notice it by the heartbeat alone.
        until(lambda: len(reasons()) == 2 * len(namespaces), "every disconnect")
        assert set(reasons()) <= {"transport close", "transport error"}


def test_rooms_are_gone_and_the_others_unharmed(
    new_peer: Callable[[], Peer], server: Running, network: Network
) -> None:
    cut, other = joined(new_peer(), network.url), joined(new_peer(), server.url)
    room = secrets.token_hex(8)
    cut.ask("join", room)
    other.ask("join", room)
    cut_off_and_back(cut, network)
    other.ask("tell", [room], [], "one")
    cut.ask("join", room)
    other.ask("tell", [room], [], "two")
    cut.ask("echo")
    assert cut.heard("told") == [["two"]]
    assert other.heard("told") == [["one"], ["two"]]
