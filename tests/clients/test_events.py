"""What a Socket.IO user relies on: each client, each way, the same events."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from client_driver import ELSEWHERE, JAVASCRIPT, OURS, PYTHON, UNDEFINED, Peer, joined
from real_peer import http_client
from real_server import Running, until

pytestmark = pytest.mark.servers

VALUES = [1, "zwei", None, True, {"three": [3.5, {}]}, [], "\x1b\u2028 \U0001f388", -(2**40), ""]


@pytest.fixture
def guest(peer: Peer, server: Running) -> Peer:
    return joined(peer, server.url)


def test_connects_by_the_way_asked_for_with_auth(peer: Peer, server: Running) -> None:
    assert peer.connect(server.url, auth={"token": ["123", None]}) == {"/": "connected"}
    assert peer.next("welcome") == ["/", {"token": ["123", None]}]
    if peer.way == "upgrade":
        peer.upgraded()
    assert peer.transport() == ("websocket" if peer.way == "upgrade" else peer.way)


def test_refusal_arrives_with_its_data(peer: Peer, server: Running) -> None:
    answer = peer.connect(server.url, "/closed", auth={"name": "Eve"})
    assert answer == {"/closed": {"message": "not you", "data": {"you": "Eve"}}}


def test_unknown_namespace_is_refused(peer: Peer, server: Running) -> None:
    answer = peer.connect(server.url, "/unknown")["/unknown"]
    assert answer in ({"message": "Invalid namespace"}, {"message": "Invalid namespace", "data": None})


def test_events_both_ways(guest: Peer) -> None:
    guest.emit("echo", *VALUES)
    assert guest.next("echo") == VALUES
    guest.emit("echo")
    assert guest.next("echo") == []


def test_acknowledgements_both_ways(guest: Peer) -> None:
    assert guest.ask("echo", *VALUES) == VALUES
    assert guest.ask("ask me", "a", {"b": 1}) == [["asked", [{"b": 1}, "a"]]]
    assert guest.ask("later") == ["and", "then"]
    assert guest.next("first") == []
    assert guest.ask("nothing") == []
    assert guest.ask("null") == [None]


def test_binary_nested_deep(guest: Peer) -> None:
    leaf = bytes(range(256))
    args = [leaf, {"a": [{"b": {"c": [b"", [leaf, {"d": leaf[::-1]}]]}}, "text"], "e": None}, b"\0"]
    assert guest.ask("echo", *args) == args
    assert guest.next("echo") == args
    assert guest.ask("ask me", *args) == [["asked", args[::-1]]]


@pytest.mark.parametrize("size", ["empty", "largest"])
def test_binary_of_any_size(guest: Peer, pair: str, size: str) -> None:
    # By polling it goes in base64, in a body of at most 1,000,000 bytes; what our client numbers stays fit for that.
    in_base64 = guest.way == "polling" or pair in OURS
    up = bytes((740_000 if in_base64 else 900_000) if size == "largest" else 0)
    assert guest.ask("echo", up) == [up]
    assert guest.next("echo") == [up]
    down = 900_000 if size == "largest" else 0
    assert guest.ask("make", down) == [b"\10" * down]
    assert guest.next("made") == [b"\7" * down]


def test_many_events_keep_their_order(peer: Peer, server: Running) -> None:
    peer.connect(server.url)
    # Without waiting for the upgrade: it happens in the midst of them.
    peer.emit("echo", times=300)
    assert [peer.next("echo") for _ in range(300)] == [[number] for number in range(300)]


def test_namespaces_share_a_session_and_stay_apart(peer: Peer, server: Running) -> None:
    names = ("/", "/custom", "/other")
    joined(peer, server.url, *names)
    for name in names:
        peer.emit("echo", f"to {name}", b"\1", namespace=name)
    for name in names:
        assert peer.ask("echo", "last", namespace=name) == ["last"]
        assert peer.next("echo", name) == [f"to {name}", b"\1"]
        assert peer.heard("echo", name) == [["last"]]


def test_rooms(new_peer: Callable[[], Peer], server: Running) -> None:
    one, two = joined(new_peer(), server.url), joined(new_peer(), server.url)
    room, other = secrets.token_hex(8), secrets.token_hex(8)
    assert one.ask("join", room, other) == two.ask("join", room) == []
    both, only_two = "for both", "for two"

    two.ask("tell", [room, other], [], both)  # Once, though one of them is in both rooms.
    two.ask("tell", [room], [other], only_two)
    one.ask("tell others", [room], only_two)
    one.ask("leave", room)
    one.ask("tell", [room], [], only_two)
    # An answer comes behind what was sent before it.
    for peer, told in ((one, [both]), (two, [both, only_two, only_two, only_two])):
        peer.ask("echo")
        assert peer.heard("told") == [[text] for text in told]


@pytest.mark.parametrize("by", ["client", "server", "server with the session"])
def test_reasons_of_a_disconnect(peer: Peer, pair: str, server: Running, by: str) -> None:
    name = secrets.token_hex(8)
    joined(peer, server.url, auth={"name": name})
    if by == "client":
        peer.disconnect()
    else:
        peer.emit("put me out" if by == "server" else "close me")
    [reason] = peer.next("disconnect")
    with http_client(server.url) as client:

        def reasons() -> list[str]:
            return client.get(f"/reasons?name={name}").json()

        until(lambda: reasons() != [], "the handler of the disconnect")
        [there] = reasons()
    who = by.partition(" ")[0]
    assert reason == (f"{who} disconnect" if pair.startswith("python") else f"io {who} disconnect")
    expected = {f"{who} namespace disconnect"}
    if by == "client" and (
        pair.startswith("python") or (pair, peer.way) == ("holdfast-client@socket.io", "polling")
    ):
        # Python's clients close their WebSocket without waiting until what they said before has gone out; ours says
        # both in one POST, of which Node's server hears the end of the session first, or else the end of the poll.
        expected |= {"transport close", "transport error"}
    assert there in expected


# -- what not everybody can do


@pytest.mark.parametrize("pair", [*JAVASCRIPT, *OURS])
def test_fresh_auth_is_asked_for_and_given_within_the_session(peer: Peer, server: Running) -> None:
    name = secrets.token_hex(8)
    joined(peer, server.url, "/", "/custom", auth={"name": name, "token": "good"})
    assert peer.ask("prove", ["good"]) == ["good"]
    assert peer.ask("prove", ["good"], namespace="/custom") == ["good"]
    peer.emit("prove", ["better"])
    assert peer.next("disconnect") == ["io server disconnect"]
    with http_client(server.url) as client:

        def reasons() -> list[str]:
            return client.get(f"/reasons?name={name}").json()

        until(lambda: reasons() != [], "the handler of the disconnect")
        assert reasons() == ["authentication expired"]
    assert peer.ask("echo", 1, namespace="/custom") == [1]


@pytest.mark.parametrize("pair", [*JAVASCRIPT, *PYTHON, *OURS])
def test_error_of_a_handler_arrives_in_the_documented_shape(guest: Peer) -> None:
    error = {"message": "not today", "code": "E_TODAY", "data": {"until": "tomorrow"}}
    assert guest.ask("fail") == [{"error": error}]
    [wrong_arguments] = guest.ask("nothing", "one too many")
    assert isinstance(wrong_arguments["error"]["message"], str)


@pytest.mark.parametrize("pair", [*JAVASCRIPT, *OURS, *ELSEWHERE])
def test_undefined_arrives_as_null(guest: Peer) -> None:
    guest.emit("echo", UNDEFINED, [UNDEFINED], 1)
    assert guest.next("echo") == [None, [None], 1]
    assert guest.ask("ask me", UNDEFINED, 1) == [["asked", [1, None]]]


@pytest.mark.parametrize("pair", [*JAVASCRIPT, *OURS, *ELSEWHERE])
def test_namespaces_come_and_go_within_a_session(guest: Peer, server: Running) -> None:
    joined(guest, server.url, "/custom")
    refused = guest.connect(server.url, "/closed", auth={"name": "Eve"})
    assert refused["/closed"]["message"] == "not you"
    guest.leave("/")
    assert guest.next("disconnect") == ["io client disconnect"]
    assert guest.ask("echo", 1, namespace="/custom") == [1]
    joined(guest, server.url, "/other")
    assert guest.ask("echo", 2, namespace="/other") == [2]


@pytest.mark.parametrize("pair", ["socket.io-client-4.8", "python-AsyncClient", "python-Client"])
def test_a_server_on_trio(peer: Peer, trio_server: Running) -> None:
    joined(peer, trio_server.url)
    for number in range(30):
        assert peer.ask("echo", number) == [number]
        assert peer.next("echo") == [number]
