"""A counting client over real connections, without concurrency: each call blocks until it is done."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from counting_peer import SEPARATOR, encode
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

__all__ = ["RealPeer", "RealStream", "hard_cut", "http_client", "rest_of", "websocket"]

TIMEOUT = 30.0


@contextmanager
def http_client(url: str) -> Iterator[httpx.Client]:
    # No proxy of the environment may stand between the tests and a server on the same machine.
    with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False) as client:
        yield client


@contextmanager
def websocket(url: str, **options: Any) -> Iterator[ClientConnection]:
    url = url.replace("http", "ws", 1)
    with connect(
        url, open_timeout=TIMEOUT, close_timeout=1, max_size=None, proxy=None, **options
    ) as connection:
        yield connection


def rest_of(socket: ClientConnection) -> tuple[list[str | bytes], int | None]:
    """What still comes until the other side closes, and its close code; None for an end without one."""
    messages: list[str | bytes] = []
    try:
        while True:
            messages.append(socket.recv(TIMEOUT))
    except ConnectionClosed as closed:
        return messages, None if closed.rcvd is None else closed.rcvd.code


def hard_cut(connection: socket.socket) -> None:
    """End a TCP connection without a word: the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class RealStream:
    """A GET on a raw socket, so that it can be cut; takes event streams apart."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=TIMEOUT)
        lines = [f"GET {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode())
        self._data = b""
        self._events: list[bytes] = []
        self.ended = False

    def read_head(self) -> str:
        """The status line and headers."""
        while b"\r\n\r\n" not in self._data:
            self._receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        return head.decode()

    def _receive(self) -> None:
        data = self.connection.recv(65536)
        assert data, "the connection has ended"
        self._data += data

    def _chunk(self) -> bytes:
        while b"\r\n" not in self._data:
            self._receive()
        size_text, _, self._data = self._data.partition(b"\r\n")
        size = int(size_text, 16)
        while len(self._data) < size + 2:
            self._receive()
        chunk, self._data = self._data[:size], self._data[size + 2 :]
        return chunk

    def payload(self) -> list[str]:
        """The packets of the next event; empty at the stream's end."""
        body = b""
        while not self._events:
            chunk = self._chunk()
            if not chunk:
                self.ended = True
                return []
            body += chunk
            if body.endswith(b"\n\n"):
                self._events += [
                    block for block in body.split(b"\n\n") if block and not block.startswith(b":")
                ]
                body = b""
        data = self._events.pop(0).decode().split("\n")[1]
        assert data.startswith("data: ")
        return data.removeprefix("data: ").split(SEPARATOR)

    def cut(self) -> None:
        hard_cut(self.connection)

    def close(self) -> None:
        self.connection.close()


class RealPeer:
    """The client's end of a counting session."""

    def __init__(self, url: str, path: str = "/engine.io/") -> None:
        self.url = url
        self.path = path
        self.sid = ""
        self.key = ""
        self.received = 0
        self.sent = 0
        self.number = 1

    def request_url(self, transport: str) -> str:
        sid = f"&sid={self.sid}" if self.sid else ""
        return f"{self.url}{self.path}?EIO=4&transport={transport}&holdfast=1{sid}"

    def opened(self, packet: str) -> None:
        value = json.loads(packet[1:])
        self.sid, self.key = value["sid"], value["holdfast"]["key"]

    def attach_value(self, **value: Any) -> dict[str, Any]:
        return {"key": self.key, "received": self.received} | value

    def attach_headers(self, **value: Any) -> dict[str, str]:
        self.number += 1
        return {"Holdfast-Attach": json.dumps(self.attach_value(carrier=self.number, **value))}

    def stream(self, **value: Any) -> RealStream:
        """A stream; the opening one if there is no session yet."""
        stream = RealStream(self.request_url("stream"), self.attach_headers(**value) if self.sid else {})
        head = stream.read_head()
        assert " 200 " in head.split("\r\n")[0], head
        return stream

    def poll_request(self) -> RealStream:
        """A poll whose answer nobody waits for yet."""
        return RealStream(self.request_url("polling"), self.attach_headers())

    def poll(self) -> list[str]:
        """The packets of one poll; at the first, the session is opened."""
        headers = self.attach_headers() if self.sid else {}
        with http_client(self.url) as client:
            response = client.get(self.request_url("polling"), headers=headers)
        assert response.status_code == 200, response.text
        packets = response.text.split(SEPARATOR)
        if not self.sid:
            self.opened(packets[0])
        self.received += len([packet for packet in packets if packet[0] in "4jb"])
        return packets

    @contextmanager
    def websocket(self) -> Iterator[ClientConnection]:
        """An attached WebSocket; the opening one if there is no session yet."""
        with websocket(self.request_url("websocket")) as socket:
            if self.sid:
                self.number += 1
                socket.send("7" + json.dumps(self.attach_value(carrier=self.number)))
            else:
                self.opened(str(socket.recv(TIMEOUT)))
            yield socket

    def post(self, *messages: str | bytes, **value: Any) -> dict[str, Any]:
        """New messages; returns the server's answer."""
        packets = ["7" + json.dumps(self.attach_value(**value))]
        if messages:
            packets += [f"9{self.sent + 1}", *map(encode, messages)]
        return self.post_packets(packets, len(messages))

    def post_packets(self, packets: list[str], count: int = 0) -> dict[str, Any]:
        with http_client(self.url) as client:
            headers = {"content-type": "text/plain;charset=UTF-8"}
            body = SEPARATOR.join(packets).encode()
            response = client.post(self.request_url("polling"), content=body, headers=headers)
        assert response.status_code == 200, response.text
        self.sent += count
        return json.loads(response.text[1:])
