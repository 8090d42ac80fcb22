"""What differs from one WebSocket implementation under uvicorn to the next: refusals, sizes, closes and cuts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from real_peer import TIMEOUT, RealPeer, hard_cut, http_client, rest_of, websocket
from real_server import UVICORN_WEBSOCKETS, Running, free_port, running, server_command, until
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.servers

PLAIN = "/engine.io/?EIO=4&transport="


@pytest.fixture(scope="module", params=UVICORN_WEBSOCKETS)
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    port = free_port()
    with running(server_command("uvicorn", "server_app:app", port, f"--ws={request.param}"), port) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


def test_messages_of_any_size_come_back(server: Running) -> None:
    with websocket(f"{server.url}{PLAIN}websocket") as socket:
        assert str(socket.recv(TIMEOUT)).startswith('0{"sid"')
        for message in ("4", b"", "4" + "ü" * 400_000, b"\0" * 900_000, "4last"):
            socket.send(message)
            assert socket.recv(TIMEOUT) == message


def test_message_over_the_limit_ends_the_session(server: Running) -> None:
    with websocket(f"{server.url}{PLAIN}websocket") as socket:
        socket.recv(TIMEOUT)
        socket.send("4" + "x" * 1_000_001)
        assert rest_of(socket) == (["1"], 1009)


def test_upgrade(server: Running) -> None:
    with http_client(server.url) as client:
        sid = json.loads(client.get(f"{PLAIN}polling").text[1:])["sid"]
        with websocket(f"{server.url}{PLAIN}websocket&sid={sid}") as socket:
            socket.send("2probe")
            assert socket.recv(TIMEOUT) == "3probe"
            socket.send("5")
            socket.send("4hello")
            assert socket.recv(TIMEOUT) == "4hello"


def test_refusal_has_status_and_reason(server: Running) -> None:
    url = f"{server.url}/engine.io/?EIO=3&transport=websocket"
    with pytest.raises(InvalidStatus) as refused, websocket(url):
        pass
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body or b"")["code"] == 5


def test_close_by_either_side(server: Running) -> None:
    with websocket(f"{server.url}{PLAIN}websocket") as socket:
        socket.recv(TIMEOUT)
        socket.send("4close")
        assert rest_of(socket)[1] == 1000
    with websocket(f"{server.url}{PLAIN}websocket") as socket:
        sid = json.loads(str(socket.recv(TIMEOUT))[1:])["sid"]
    until_unknown(server, sid)


def test_cut_is_noticed(server: Running) -> None:
    with websocket(f"{server.url}{PLAIN}websocket") as socket:
        sid = json.loads(str(socket.recv(TIMEOUT))[1:])["sid"]
        hard_cut(socket.socket)
    until_unknown(server, sid)


def until_unknown(server: Running, sid: str) -> None:
    with http_client(server.url) as client:

        def is_unknown() -> bool:
            return client.post(f"{PLAIN}polling&sid={sid}", content="3").json().get("code") == 1

        until(is_unknown, "the session's end")


def test_counting_session_lives_through_a_cut(server: Running) -> None:
    peer = RealPeer(server.url)
    with peer.websocket() as socket:
        socket.send("91\x1e4one")
        while "4one" not in str(socket.recv(TIMEOUT)):
            pass
        peer.sent, peer.received = 1, 1
        hard_cut(socket.socket)
    with peer.websocket() as socket:
        socket.send("92\x1e4two")
        heard = ""
        while "4two" not in heard:
            heard += str(socket.recv(TIMEOUT))
        assert "4one" not in heard
