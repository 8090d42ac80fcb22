"""A client without manners: any bytes on a TCP connection, any frames on a WebSocket; it gives what comes back."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from real_peer import websocket
from real_server import Running

__all__ = ["RawAnswer", "RawWebSocket", "ask", "frame", "head", "peak_kilobytes", "raw_websocket", "unharmed"]

PATIENCE = 10.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class RawAnswer(NamedTuple):
    """All that came until the server closed the connection, which the requests here ask for."""

    statuses: list[int]
    text: str
    seconds: float

    @property
    def status(self) -> int:
        """Of the only answer; 0 where the server has closed without a word."""
        assert len(self.statuses) <= 1, self.text
        return self.statuses[0] if self.statuses else 0


def head(method: str, target: str, *more: tuple[str, str]) -> bytes:
    """A request's head, with a host unless one is given."""
    host = () if any(name.lower() == "host" for name, _ in more) else (("Host", "testserver"),)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in (*host, *more))]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def ask(server: Running, data: bytes) -> RawAnswer:
    """Send these bytes, and nothing after them."""
    begun = time.monotonic()
    with _connected(server) as connection:
        received = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass  # What it had to say is there, or it said nothing.
    text = received.decode("latin-1")
    statuses = [int(line[9:12]) for line in text.split("\n") if line.startswith("HTTP/1.")]
    return RawAnswer(statuses, text, time.monotonic() - begun)


@contextmanager
def _connected(server: Running) -> Iterator[socket.socket]:
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        yield connection


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame (RFC 6455, section 5.2), masked with zeros."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if len(data) < 126:
        length = bytes([0x80 | len(data)])
    elif len(data) < 1 << 16:
        length = b"\xfe" + struct.pack("!H", len(data))
    else:
        length = b"\xff" + struct.pack("!Q", len(data))
    return bytes([first]) + length + bytes(4) + data


class RawWebSocket:
    """A WebSocket, frame by frame.

    Attributes:
        head: The server's answer to the upgrade.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = b""
        while b"\r\n\r\n" not in self._data:
            self._more()
        answer, _, self._data = self._data.partition(b"\r\n\r\n")
        self.head = answer.decode("latin-1")

    def _more(self) -> None:
        chunk = self._connection.recv(65536)
        if not chunk:
            raise EOFError
        self._data += chunk

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def send(self, *frames: bytes) -> None:
        self._connection.sendall(b"".join(frames))

    def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and data."""
        first, length = self._take(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return first & 0x0F, self._take(length)

    def closed(self) -> int:
        """The close code, whatever comes before it; 0 for an end without one."""
        try:
            while True:
                opcode, data = self.frame()
                if opcode == CLOSE:
                    return int.from_bytes(data[:2])
        except (EOFError, ConnectionResetError):
            return 0


@contextmanager
def raw_websocket(server: Running, target: str, *more: tuple[str, str]) -> Iterator[RawWebSocket]:
    """A WebSocket that the server has accepted or denied; see its `head`."""
    upgrade = (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    )
    with _connected(server) as connection:
        connection.sendall(head("GET", target, *upgrade, *more))
        yield RawWebSocket(connection)


def peak_kilobytes(server: Running, *, again: bool = False) -> int:
    """The most memory that the server has had; ``again`` begins anew."""
    folder = Path(f"/proc/{server.process.pid}")
    if again:
        (folder / "clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", (folder / "status").read_text())
    assert found is not None
    return int(found[1])


@contextmanager
def unharmed(server: Running) -> Iterator[None]:
    """What happens within leaves the server alive and serving, and in its log no traceback and no control byte."""
    before = len(server.log())
    yield
    assert server.process.poll() is None
    with websocket(f"{server.url}/engine.io/?EIO=4&transport=websocket") as socket:
        socket.recv(5)
        socket.send("4still here")
        assert socket.recv(5) == "4still here"
    log = server.log()[before:]
    assert "Traceback" not in log
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", log)
