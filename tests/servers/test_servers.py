"""The same tests over real servers: real sockets, real flow control, real ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest
from real_peer import TIMEOUT, RealPeer, RealStream, hard_cut, http_client, rest_of, websocket
from real_server import SERVERS, Running, free_port, running, server_command, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

pytestmark = pytest.mark.servers

PLAIN = "/engine.io/?EIO=4&transport="


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    port = free_port()
    with running(server_command(request.param, "server_app:app", port), port) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


def open_plain(server: Running) -> str:
    with http_client(server.url) as client:
        return json.loads(client.get(f"{PLAIN}polling").text[1:])["sid"]


def frames_until(socket: ClientConnection, last: str) -> list[str]:
    """The packets of a WebSocket up to this one."""
    packets: list[str] = []
    while last not in packets:
        packets += str(socket.recv(TIMEOUT)).split("\x1e")
    return packets


def events_until(stream: RealStream, last: str) -> list[str]:
    packets: list[str] = []
    while last not in packets:
        packets += stream.payload()
        assert not stream.ended
    return packets


# -- plain peers


def test_polling(server: Running) -> None:
    sid = open_plain(server)
    with http_client(server.url) as client:
        for payload in ("4hello", "4one\x1e4two\x1ebAQIDBA==", "4" + "x" * 900_000):
            assert client.post(f"{PLAIN}polling&sid={sid}", content=payload).text == "ok"
            heard: list[str] = []
            while len(heard) < len(payload.split("\x1e")):
                heard += client.get(f"{PLAIN}polling&sid={sid}").text.split("\x1e")
            assert "\x1e".join(heard) == payload


def test_polls_on_two_connections_by_turns(server: Running) -> None:
    """As a browser does it: the next poll is there as soon as the last one's bytes are."""
    url = f"{PLAIN}polling&sid={open_plain(server)}"
    with (
        closing(HTTPConnection(server.address, timeout=TIMEOUT)) as one,
        closing(HTTPConnection(server.address, timeout=TIMEOUT)) as other,
    ):
        one.request("GET", url)
        for number in range(50):
            other.request("POST", url, f"4{number}")
            assert other.getresponse().read() == b"ok"
            answer = one.getresponse()
            other.request("GET", url)
            assert (answer.status, answer.read()) == (200, f"4{number}".encode())
            one, other = other, one


def test_websocket(server: Running) -> None:
    with websocket(f"{server.url}{PLAIN}websocket") as socket:
        assert str(socket.recv(TIMEOUT)).startswith('0{"sid"')
        for message in ("4hello", b"\1\2\3", "4" + "ü" * 400_000, b"\0" * 900_000):
            socket.send(message)
            assert socket.recv(TIMEOUT) == message


def test_upgrade(server: Running) -> None:
    sid = open_plain(server)
    with http_client(server.url) as client, websocket(f"{server.url}{PLAIN}websocket&sid={sid}") as socket:
        socket.send("2probe")
        assert socket.recv(TIMEOUT) == "3probe"
        assert client.get(f"{PLAIN}polling&sid={sid}").text == "6"
        socket.send("5")
        socket.send("4hello")
        assert socket.recv(TIMEOUT) == "4hello"
        assert client.get(f"{PLAIN}polling&sid={sid}").status_code == 400
        socket.send("4unharmed")
        assert socket.recv(TIMEOUT) == "4unharmed"


def test_aborted_poll_of_a_plain_peer_ends_its_session(server: Running) -> None:
    sid = open_plain(server)
    poll = RealStream(f"{server.url}{PLAIN}polling&sid={sid}", {})
    with http_client(server.url) as client:
        until_held(server, sid)
        poll.cut()

        def is_gone() -> bool:
            response = client.post(f"{PLAIN}polling&sid={sid}", content="3")
            return response.status_code == 400 and response.json()["code"] == 1

        until(is_gone, "the session's end")


def until_held(server: Running, sid: str) -> None:
    """The server has begun with a poll; it has no sign of it but time."""
    with http_client(server.url) as client:
        for _ in range(5):
            assert client.get("/reasons").status_code == 200
        time.sleep(0.1)


def test_large_body_is_refused_while_it_arrives(server: Running) -> None:
    sid = open_plain(server)
    with http_client(server.url) as client:
        response = client.post(f"{PLAIN}polling&sid={sid}", content=b"4" * 1_000_001)
        assert response.status_code == 413
        assert response.json()["code"] == 3


# -- counting peers


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
def test_counting_session_by_each_transport(server: Running, transport: str) -> None:
    peer = RealPeer(server.url)
    text = "any text \x1e\r\n\0 " + "Grüße" * 1000
    if transport == "websocket":
        with peer.websocket() as socket:
            socket.send("j" + json.dumps(text))
            assert str(socket.recv(TIMEOUT)).split("\x1e")[-1] == "j" + json.dumps(text, ensure_ascii=False)
        return
    if transport == "stream":
        stream = peer.stream()
        peer.opened(stream.payload()[0])
        assert peer.post(text, b"\0\1")["received"] == 2
        packets = events_until(stream, "bAAE=")
        stream.close()
    else:
        assert len(peer.poll()) == 1
        peer.post(text, b"\0\1")
        packets = []
        while "bAAE=" not in packets:
            packets += peer.poll()
    assert "j" + json.dumps(text, ensure_ascii=False) in packets


def test_stream_events_are_not_held_back(server: Running) -> None:
    peer = RealPeer(server.url)
    stream = peer.stream()
    peer.opened(stream.payload()[0])
    for number in range(20):
        peer.post(str(number))
        assert f"4{number}" in events_until(stream, f"4{number}")
    stream.close()


def test_poll_is_held_and_answered_at_once(server: Running) -> None:
    peer = RealPeer(server.url)
    peer.poll()
    poll = peer.poll_request()
    start = time.monotonic()
    time.sleep(0.3)
    peer.post("hello")
    assert " 200 " in poll.read_head()
    assert 0.3 <= time.monotonic() - start < 4
    poll.close()


def test_stream_is_probed_and_attached(server: Running) -> None:
    peer = RealPeer(server.url)
    with peer.websocket() as socket:
        candidate = peer.stream(probe=True)
        number = peer.number
        peer.post_packets(["7" + json.dumps(peer.attach_value()), f"2{number}"])
        assert candidate.payload() == [f"3{number}"]
        answer = peer.post(carrier=number)
        assert answer["received"] == 0
        peer.post("hello")
        packets = events_until(candidate, "4hello")
        assert packets[:2] == [f'7{{"carrier":{number},"received":0}}', "91"]
        assert rest_of(socket) == ([], 4006)
        candidate.close()


@pytest.mark.parametrize("cut", ["websocket", "stream", "polling"])
@pytest.mark.parametrize("next_one", ["websocket", "stream", "polling"])
def test_resume_after_a_hard_cut(server: Running, cut: str, next_one: str) -> None:
    peer = RealPeer(server.url)
    peer.poll()
    peer.post("one", "two")
    while peer.received < 2:
        peer.poll()
    if cut == "websocket":
        with peer.websocket() as socket:
            frames_until(socket, "93")
            hard_cut(socket.socket)
    elif cut == "stream":
        stream = peer.stream()
        events_until(stream, "93")
        stream.cut()
    else:
        peer.poll_request().cut()
    assert peer.post("three", "four")["received"] == 4
    if next_one == "websocket":
        with peer.websocket() as socket:
            packets = frames_until(socket, "4four")
            socket.send("95\x1e4five")
            frames_until(socket, "4five")
    elif next_one == "stream":
        stream = peer.stream()
        packets = events_until(stream, "4four")
        stream.close()
    else:
        packets = []
        while "4four" not in packets:
            packets += peer.poll()
    # The new carrier goes on behind "two", whatever the cut one had written.
    assert [packet for packet in packets if packet[0] in "49"][:3] == ["93", "4three", "4four"]


def test_aborted_poll_of_a_counting_peer_loses_nothing(server: Running) -> None:
    peer = RealPeer(server.url)
    peer.poll()
    for number in range(10):
        poll = peer.poll_request()
        if number % 2:
            peer.post(str(number))
        poll.cut()
        if not number % 2:
            peer.post(str(number))
    packets: list[str] = []
    while peer.received < 10:
        packets += [packet for packet in peer.poll() if packet[0] == "4"]
    assert packets == [f"4{number}" for number in range(10)]


def test_close_is_told_on_every_transport(server: Running) -> None:
    for transport in ("websocket", "stream", "polling"):
        peer = RealPeer(server.url)
        peer.poll()
        if transport == "websocket":
            with peer.websocket() as socket:
                socket.send("91\x1e4close")
                messages, code = rest_of(socket)
                assert code == 1000
                packets = str(messages[-1]).split("\x1e")
        elif transport == "stream":
            stream = peer.stream()
            peer.post("close")
            packets = []
            while not stream.ended:
                packets += stream.payload()
            stream.close()
        else:
            peer.post("close")
            packets = peer.poll()
        assert json.loads(packets[-1][1:])["received"] == 1


# -- refusals


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("EIO=3&transport=websocket", 400, 5),
        ("EIO=4&transport=abc", 400, 0),
        ("EIO=4&transport=websocket&sid=x", 400, 1),
    ],
)
def test_websocket_is_refused_with_status_and_reason(
    server: Running, query: str, status: int, code: int
) -> None:
    with pytest.raises(InvalidStatus) as refused, websocket(f"{server.url}/engine.io/?{query}"):
        pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"")["code"] == code


def test_other_origin_is_refused_by_http_and_websocket(server: Running) -> None:
    with http_client(server.url) as client:
        response = client.get(f"{PLAIN}polling", headers={"origin": "https://other.example"})
        assert (response.status_code, response.json()["code"]) == (403, 4)
        same = client.get(f"{PLAIN}polling", headers={"origin": server.url})
        assert same.status_code == 200
    url = f"{server.url}{PLAIN}websocket"
    with pytest.raises(InvalidStatus) as refused, websocket(url, origin="https://other.example"):
        pass
    assert refused.value.response.status_code == 403
    assert "proxy_set_header Host $http_host" in json.loads(refused.value.response.body or b"")["message"]
    with websocket(url, origin=server.url) as socket:
        assert str(socket.recv(TIMEOUT)).startswith("0")


def test_unknown_paths(server: Running) -> None:
    with http_client(server.url) as client:
        assert client.get("/nowhere").status_code == 404
        assert client.get("/engine.io/nowhere").status_code == 404
    with pytest.raises(InvalidStatus) as refused, websocket(f"{server.url}/engine.io/nowhere"):
        pass
    assert refused.value.response.status_code == 403


# -- ends


@pytest.mark.parametrize("name", SERVERS)
def test_shutdown_with_open_sessions_takes_no_longer_than_its_deadline(name: str) -> None:
    port, more = free_port(), list[str]()
    if name == "hypercorn-asyncio" and sys.version_info >= (3, 12):
        # On asyncio's own event loop it waits there for open connections without end (docs/operation.md).
        more = ["--worker-class=uvloop"]
    command = server_command(name, "server_app:app", port, *more)
    with running(command, port) as server, ExitStack() as stack:
        by_websocket, by_stream, by_polling = (RealPeer(server.url) for _ in range(3))
        socket = stack.enter_context(by_websocket.websocket())
        socket.send("91\x1e4hello")
        frames_until(socket, "4hello")
        stream = by_stream.stream()
        by_stream.opened(stream.payload()[0])
        by_polling.poll()
        poll = by_polling.poll_request()
        plain = open_plain(server)
        plain_poll = RealStream(f"{server.url}{PLAIN}polling&sid={plain}", {})
        until_held(server, plain)
        start = time.monotonic()
        server.end()
        assert time.monotonic() - start < 5
        rest_of(socket)
        for request in (stream, poll, plain_poll):
            request.close()
        assert "was destroyed" not in server.log()
