"""SockJS over real servers, by the published client in Node and by bytes: what is sent when, and how it ends."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest
from node_program import run_program
from real_peer import TIMEOUT, http_client, websocket
from real_server import SERVERS, Running, free_port, running, server_command, until
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.servers

GO_AWAY = 'c[3000,"Go away!"]'
INTERRUPTED = 'c[1002,"Connection interrupted"]\n'

PROGRAM = """
import { createRequire } from "node:module";
const SockJS = createRequire("ROOT/tests/clients/")("sockjs-client");
const long = Array.from({ length: 12 }, (_, n) => n + "x".repeat(1000));
const texts = ["hello", "é漢😀", "\\u0000\\u200c\\u2028\\ufeff\\uffff", "", ...long];
const one = (transport) => new Promise((done) => {
  const heard = [];
  let used;
  const sock = new SockJS(URL + "/echo", null, { transports: [transport] });
  sock.onopen = () => { used = sock.transport; texts.forEach((text) => sock.send(text)); };
  sock.onmessage = ({ data }) => { if (heard.push(data) === texts.length) sock.send("close"); };
  sock.onclose = ({ code, reason }) =>
    done([transport, used, JSON.stringify(heard) === JSON.stringify(texts), code, reason]);
});
const all = await Promise.all(["websocket", "xhr-streaming", "eventsource", "xhr-polling"].map(one));
console.log(JSON.stringify(all));
process.exit();
"""


# The fast lane is for Socket.IO alone.
ASGI = [name for name in SERVERS if name != "uvicorn-fast"]


@pytest.fixture(scope="module", params=ASGI)
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    port = free_port()
    with running(server_command(request.param, "sockjs_app:app", port), port) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


def new() -> str:
    return f"/echo/000/{uuid.uuid4()}"


def test_published_client_in_node_by_each_of_its_transports(server: Running) -> None:
    transports = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"]
    assert run_program(PROGRAM, URL=server.url) == [
        [transport, transport, True, 3456, "as you wish"] for transport in transports
    ]


def test_polls_and_what_beside_them_has_no_body(server: Running) -> None:
    url = new()
    with http_client(server.url) as client:
        assert client.post(f"{url}/xhr").text == "o\n"
        sent = client.post(f"{url}/xhr_send", content='["a"]')
        assert (sent.status_code, sent.content, sent.headers.get("content-length")) == (204, b"", None)
        assert client.post(f"{url}/xhr").text == 'a["a"]\n'
        asked = client.options(f"{url}/xhr")
        assert (asked.status_code, asked.content) == (204, b"")
        assert client.post(f"{url}/websocket").status_code == 405
        assert client.get(f"{url}/websocket").status_code == 400
        assert client.get("/echo/").text == "Welcome to SockJS!\n"


def chunk(response: socket.SocketIO) -> bytes:
    """One chunk of a body, as it was written."""
    size = int(response.readline(), 16)
    data = response.read(size + 2)
    assert data is not None
    return data[:-2]


def test_each_frame_is_written_at_once_and_by_itself(server: Running) -> None:
    url = new().replace("/echo", "/close")
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)) as connection:
        head = f"POST {url}/xhr_streaming HTTP/1.1\r\nHost: {server.address}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())
        response = connection.makefile("rb")
        lines = list(iter(response.readline, b"\r\n"))
        assert lines[0].split()[1] == b"200"
        pieces = [chunk(response) for _ in range(4)]  # type: ignore[arg-type]
        assert pieces == [b"h" * 2048 + b"\n", b"o\n", f"{GO_AWAY}\n".encode(), b""]


def test_stream_whose_client_leaves_ends_the_session(server: Running) -> None:
    url = new()
    with closing(HTTPConnection(server.address, timeout=TIMEOUT)) as stream:
        stream.request("POST", f"{url}/xhr_streaming")
        response = stream.getresponse()
        assert (response.readline(), response.readline()) == (b"h" * 2048 + b"\n", b"o\n")
        # Not by `close` alone: what was answered keeps the connection.
        response.close()
    with http_client(server.url) as client:
        answers: list[str] = []

        def ended() -> bool:
            answers.append(client.post(f"{url}/xhr").text)
            return answers[-1] == INTERRUPTED

        until(ended)
        assert set(answers[:-1]) <= {'c[2010,"Another connection still open"]\n'}


def test_websockets_with_frames_and_without(server: Running) -> None:
    with websocket(f"{server.url}{new()}/websocket") as framed:
        assert framed.recv(TIMEOUT) == "o"
        framed.send('["a"]')
        assert framed.recv(TIMEOUT) == 'a["a"]'
        framed.send('["a')
        with pytest.raises(ConnectionClosed) as caught:
            framed.recv(TIMEOUT)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1002
    with websocket(f"{server.url}/echo/websocket") as raw:
        for message in ("a\uffff", b"\x00\xff"):
            raw.send(message)
            assert raw.recv(TIMEOUT) == message
    with websocket(f"{server.url}/close/websocket") as raw, pytest.raises(ConnectionClosed) as caught:
        raw.recv(TIMEOUT)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (3000, "Go away!")


def test_info_says_what_there_is(server: Running) -> None:
    with http_client(server.url) as client:
        assert json.loads(client.get("/echo/info").text)["websocket"] is True
