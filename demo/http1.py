"""Where HTTP/1.1 messages begin and end, and nothing more.

The proxy passes on the very bytes it received. It only has to know which of them are a head, which are the data of a
body and which are framing, so that a fault can strike in the middle of a body and at the next request.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

__all__ = ["CHUNKED", "UNTIL_CLOSE", "End", "Head", "MessageParser", "NotHttpError", "Piece", "body_length"]

CHUNKED = -1
UNTIL_CLOSE = -2
HEAD_LIMIT_BYTES = 65536


class NotHttpError(ValueError):
    """The bytes are not HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request line or status line with its fields; ``raw`` ends with the empty line."""

    raw: bytes
    start: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, raw: bytes) -> Head:
        """Read a head.

        Raises:
            NotHttpError: The first line has fewer than two words.
        """
        start, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        if start.count(" ") < 1:
            raise NotHttpError("neither a request line nor a status line")
        pairs = (line.partition(":") for line in lines)
        return cls(raw, start, tuple((name.strip().lower(), value.strip()) for name, _, value in pairs))

    def get(self, name: str) -> str:
        """The values of a field joined by commas; "" if there is none."""
        return ", ".join(value for key, value in self.fields if key == name)

    @property
    def method(self) -> str:
        return self.start.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        try:
            return int(self.start.split(" ")[1])
        except ValueError as error:
            raise NotHttpError("a status that is not a number") from error

    @property
    def upgrades(self) -> bool:
        """Whether this request asks for a WebSocket."""
        return self.get("upgrade").lower() == "websocket"

    def without_upgrade(self) -> bytes:
        """The head as a proxy sends it on that knows nothing of upgrades: hop-by-hop fields are gone."""
        kept = [f"{name}: {value}" for name, value in self.fields if name not in ("upgrade", "connection")]
        return "\r\n".join([self.start, *kept, "connection: keep-alive", "", ""]).encode("latin-1")

    def without(self, names: Collection[str]) -> bytes:
        """The head less some fields; ``names`` in lower case. Everything else is left as it was written."""
        lines = self.raw.split(b"\r\n")
        kept = [
            line for line in lines if line.partition(b":")[0].strip().lower().decode("latin-1") not in names
        ]
        return b"\r\n".join(kept)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a body: data of the message (``is_data``), or the framing of chunks round it."""

    raw: bytes
    is_data: bool


@dataclass(frozen=True, slots=True)
class End:
    """The message is complete."""


def body_length(head: Head, *, answers: str | None = None) -> int:
    """The length of the body in bytes, or ``CHUNKED``, or ``UNTIL_CLOSE`` (RFC 9112, section 6.3).

    Args:
        answers: For a response, the method of its request.

    Raises:
        NotHttpError: Content-Length is not a number.
    """
    if answers is not None and (answers == "HEAD" or head.status in (204, 304)):
        return 0
    if "chunked" in head.get("transfer-encoding").lower():
        return CHUNKED
    length = head.get("content-length")
    if not length:
        return 0 if answers is None else UNTIL_CLOSE
    if not length.isdigit():
        raise NotHttpError("a Content-Length that is not a number")
    return int(length)


class _State(Enum):
    HEAD = "head"
    LENGTH = "length"
    UNTIL_CLOSE = "until close"
    CHUNK_SIZE = "chunk size"
    CHUNK_DATA = "chunk data"
    CHUNK_END = "chunk end"
    TRAILER = "trailer"
    END = "end"


class MessageParser:
    """Cuts the bytes of one direction into heads, pieces and ends; joined, they are the bytes fed.

    After each `Head` the caller says with `expect_body` what follows. Without that call another head is expected.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._line = b""
        self._state = _State.HEAD
        self._remaining = 0
        self._eof = False

    def feed(self, data: bytes) -> None:
        """Take in received bytes; b"" is the end of the connection."""
        self._eof = self._eof or not data
        self._buffer += data

    def expect_body(self, length: int) -> None:
        """Say what follows the head: a result of `body_length`."""
        self._remaining = max(length, 0)
        states = {CHUNKED: _State.CHUNK_SIZE, UNTIL_CLOSE: _State.UNTIL_CLOSE}
        self._state = states.get(length, _State.LENGTH)

    def rest(self) -> bytes:
        """Take the bytes that were not looked at."""
        return self._take(len(self._buffer))

    def next_event(self) -> Head | Piece | End | None:
        """The next part, or None if more bytes are needed.

        Raises:
            NotHttpError: The bytes are not HTTP/1.1.
        """
        match self._state:
            case _State.HEAD:
                return self._head()
            case _State.LENGTH | _State.CHUNK_DATA:
                return self._data()
            case _State.UNTIL_CLOSE:
                return Piece(self.rest(), True) if self._buffer else self._end() if self._eof else None
            case _State.CHUNK_SIZE | _State.CHUNK_END | _State.TRAILER:
                return self._framing()
            case _State.END:
                return self._end()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _head(self) -> Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise NotHttpError("a head too long")
            return None
        return Head.parse(self._take(end + 4))

    def _data(self) -> Piece | End | None:
        if self._remaining and not self._buffer:
            return None
        data = self._take(self._remaining)
        self._remaining -= len(data)
        if not self._remaining:
            chunked = self._state is _State.CHUNK_DATA
            self._state = _State.CHUNK_END if chunked else _State.END
        return Piece(data, True) if data else self._end()

    def _framing(self) -> Piece | None:
        # Half a line is passed on at once, like everything else, and kept until the rest of it can be understood.
        part = self._take(self._buffer.find(b"\n") + 1 or len(self._buffer))
        self._line += part
        if len(self._line) > HEAD_LIMIT_BYTES:
            raise NotHttpError("a line too long")
        if part.endswith(b"\n"):
            line, self._line = self._line, b""
            self._end_line(line)
        return Piece(part, False) if part else None

    def _end_line(self, line: bytes) -> None:
        if self._state is _State.CHUNK_END:
            self._state = _State.CHUNK_SIZE
        elif self._state is _State.TRAILER:
            self._state = _State.TRAILER if line.strip() else _State.END
        else:
            self._begin_chunk(line)

    def _begin_chunk(self, line: bytes) -> None:
        try:
            self._remaining = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise NotHttpError("a chunk without a size") from error
        self._state = _State.CHUNK_DATA if self._remaining else _State.TRAILER

    def _end(self) -> End:
        self._state = _State.HEAD
        return End()
