"""The bytes of the benchmark's clients: masked WebSocket frames, HTTP requests, and what comes back, piece by piece.

All that a run sends is encoded before it begins, and what a server should answer is known as bytes, so that a client
mostly compares.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = [
    "SEPARATOR",
    "Frames",
    "Responses",
    "Stream",
    "WrongAnswer",
    "client_frame",
    "get",
    "handshake",
    "masked_frame",
    "post",
    "server_frame",
]

SEPARATOR = "\x1e"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

_masks = random.Random(6)


class WrongAnswer(Exception):
    """A server said something else than it had to, or left."""


def client_frame(text: str) -> bytes:
    """One masked frame."""
    return masked_frame(TEXT, text.encode())


def masked_frame(opcode: int, data: bytes) -> bytes:
    """One of any kind. A mask of zeros would spare some servers their work, so there is none."""
    mask = _masks.randbytes(3) + b"\x5a"
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(data) ^ int.from_bytes(key)).to_bytes(size)
    return bytes([0x80 | opcode]) + _length(size, 0x80) + mask + masked


def server_frame(text: str) -> bytes:
    """The one way to write this text as a single frame of a server."""
    data = text.encode()
    return bytes([0x80 | TEXT]) + _length(len(data), 0) + data


def _length(size: int, bit: int) -> bytes:
    if size < 126:
        return bytes([bit | size])
    if size < 65_536:
        return bytes([bit | 126]) + size.to_bytes(2)
    return bytes([bit | 127]) + size.to_bytes(8)


class Frames:
    """Frames out of pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a frame has come that is not whole yet."""
        return not self._rest

    def take(self, data: bytes) -> list[tuple[int, bytes]]:
        """Opcode and data of each frame that is whole now."""
        data = self._rest + data if self._rest else data
        found: list[tuple[int, bytes]] = []
        start, end = 0, len(data)
        while end - start >= 2:
            size, body = data[start + 1], start + 2
            if size > 125:
                width = 2 if size == 126 else 8
                size = int.from_bytes(data[body : body + width])
                body += width
            if body + size > end:
                break
            if not data[start] & 0x80 or data[start] & 0x70:
                raise WrongAnswer(f"a frame in parts, or compressed: {data[start : start + 60]!r}")
            found.append((data[start] & 0x0F, data[body : body + size]))
            start = body + size
        self._rest = data[start:]
        return found


def get(host: str, target: str, *, headers: Sequence[str] = ()) -> bytes:
    """A request without a body."""
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def post(host: str, target: str, body: str) -> bytes:
    """A request that brings a payload, as browsers send it."""
    data = body.encode()
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", "Content-Type: text/plain;charset=UTF-8"]
    return "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data


def handshake(host: str, target: str) -> bytes:
    """The request that opens a WebSocket; no extension is offered, so nothing is compressed."""
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    return get(host, target, headers=[*upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])


class Responses:
    """The bodies of HTTP responses on one connection, out of pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[str]:
        """Each body that is whole now; a status other than 200 raises `WrongAnswer`."""
        self._rest += data
        found: list[str] = []
        while (body := self._next()) is not None:
            found.append(body.decode())
        return found

    def _next(self) -> bytes | None:
        end = self._rest.find(b"\r\n\r\n") + 4
        if end < 4:
            return None
        head = self._rest[:end].lower()
        if not head.startswith(b"http/1.1 200"):
            raise WrongAnswer(f"an HTTP response: {self._rest[:500]!r}")
        at = head.find(b"content-length:")
        if at < 0:
            return self._chunked(end)
        size = int(head[at + 15 : head.index(b"\r", at)])
        if len(self._rest) < end + size:
            return None
        body, self._rest = self._rest[end : end + size], self._rest[end + size :]
        return body

    def _chunked(self, start: int) -> bytes | None:
        body = b""
        while (line := self._rest.find(b"\r\n", start)) >= 0:
            size, start = int(self._rest[start:line], 16), line + 2
            if len(self._rest) < start + size + 2:
                return None
            body += self._rest[start : start + size]
            start += size + 2
            if not size:
                self._rest = self._rest[start:]
                return body
        return None


class Stream:
    """The payloads of an event stream, out of pieces of a chunked response."""

    def __init__(self) -> None:
        self._raw = b""
        self._text = b""
        self._has_begun = False

    def take(self, data: bytes) -> list[str]:
        """The data of each event that is whole now."""
        self._raw += data
        if not self._has_begun:
            head, separator, rest = self._raw.partition(b"\r\n\r\n")
            if not separator:
                return []
            if b"chunked" not in head.lower() or not head.startswith(b"HTTP/1.1 200"):
                raise WrongAnswer(f"not a stream: {self._raw[:500]!r}")
            self._raw, self._has_begun = rest, True
        self._unchunk()
        *events, self._text = self._text.split(b"\n\n")
        return [
            line[6:].decode() for event in events for line in event.split(b"\n") if line.startswith(b"data: ")
        ]

    def _unchunk(self) -> None:
        while (line := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:line], 16)
            if not size:
                raise WrongAnswer("the stream has ended")
            if len(self._raw) < line + size + 4:
                return
            self._text += self._raw[line + 2 : line + 2 + size]
            self._raw = self._raw[line + size + 4 :]
