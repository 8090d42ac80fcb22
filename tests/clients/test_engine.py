"""engine.io-client at the echoing application: messages without events."""

from __future__ import annotations

import pytest
from client_driver import ENGINES, Peer
from network import Network
from real_server import Running

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("pair", ENGINES)]

# What fits into a body of 1,000,000 bytes: by polling in base64, otherwise as it is.
LARGEST = {"polling": 740_000, "websocket": 900_000, "upgrade": 900_000}


@pytest.fixture
def opened(peer: Peer, network: Network) -> Peer:
    assert peer.connect(network.url) == {"/": "connected"}
    if peer.way == "upgrade":
        peer.upgraded()
    assert peer.transport() == ("polling" if peer.way == "polling" else "websocket")
    return peer


def test_text_and_bytes_both_ways(opened: Peer) -> None:
    largest = LARGEST[opened.way]
    for message in ("hello", "\x1b\u2028 \U0001f388", "ü" * 400_000, b"", bytes(range(256)), bytes(largest)):
        opened.emit("message", message)
        assert opened.next("message") == [message]


def test_many_messages_keep_their_order(peer: Peer, server: Running) -> None:
    peer.connect(server.url)
    # Without waiting for the upgrade: it happens in the midst of them.
    peer.emit("message", times=300)
    assert [peer.next("message") for _ in range(300)] == [[str(number)] for number in range(300)]


def test_close_by_the_server(opened: Peer) -> None:
    opened.emit("message", "close")
    assert opened.next("disconnect") == ["transport close"]


def test_cut_is_its_end_and_the_next_one_is_a_new_session(opened: Peer, network: Network) -> None:
    opened.emit("message", "before")
    assert opened.next("message") == ["before"]
    network.cut()
    [reason] = opened.next("disconnect")
    assert reason in ("transport close", "transport error")
    network.heal()
    assert opened.connect(network.url) == {"/": "connected"}
    opened.emit("message", "after")
    assert opened.next("message") == ["after"]
