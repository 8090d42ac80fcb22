"""WebSocket frames of a client, read as they come in (RFC 6455, section 5). No I/O."""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - websockets without its C part
    from websockets.utils import apply_mask  # type: ignore[assignment, no-redef]

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "Event",
    "FrameError",
    "FrameReader",
    "decode_close",
    "encode_close",
    "encode_control",
]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTROL = frozenset((CLOSE, PING, PONG))
# A first byte: a whole message, or a control frame.
_WHOLE = frozenset(0x80 | opcode for opcode in (TEXT, BINARY))

Event = tuple[int, str | bytes]


class FrameError(Exception):
    """The client breaks the protocol: the WebSocket is closed with this code.

    Attributes:
        before: What was whole before that.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.before: list[Event] = []


class FrameReader:
    """Makes messages of bytes.

    Args:
        limit_bytes: Of one message, whatever the frames that it comes in.
    """

    __slots__ = ("_buffer", "_have", "_is_text", "_message", "_need", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._buffer: list[bytes] = []
        # So many bytes there are of a frame; with so many it is whole.
        self._have = self._need = 0
        # The frames so far of a message that comes in several.
        self._message: bytearray | None = None
        self._is_text = False

    def feed(self, data: bytes) -> list[Event]:
        """The messages and control frames that are whole with these bytes, in order.

        Raises:
            FrameError: nothing can be read any more.
        """
        if self._buffer:
            self._buffer.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._buffer)
            self._buffer = []
        self._need = 0
        events: list[Event] = []
        try:
            at = self._read(data, events)
        except FrameError as error:
            error.before = events
            raise
        if at < len(data):
            self._buffer = [data[at:]]
            self._have = len(data) - at
        return events

    def _read(self, data: bytes, events: list[Event]) -> int:
        """How far it has come."""
        at, end = 0, len(data)
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            if not second & 0x80:
                raise FrameError(1002, "a frame of a client is not masked")
            size, body = second & 0x7F, at + 6
            if size > 125:
                body = at + (8 if size == 126 else 14)
                if end < body - 4:
                    break
                size = int.from_bytes(data[at + 2 : body - 4], "big")
            if size > self.limit_bytes:
                raise FrameError(1009, f"a message has more than {self.limit_bytes} bytes")
            stop = body + size
            if stop > end:
                self._check(first, size)
                self._need = stop - at
                break
            payload = apply_mask(data[body:stop], data[body - 4 : body]) if size else b""
            if first in _WHOLE and self._message is None:
                events.append((TEXT, _decode(payload)) if first == 0x81 else (BINARY, payload))
            else:
                self._check(first, size)
                event = self._assemble(first, payload)
                if event is not None:
                    events.append(event)
            at = stop
        return at

    def _check(self, first: int, size: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise FrameError(1002, "a reserved bit is set, and no extension was negotiated")
        if opcode in _CONTROL:
            if size > 125 or not first & 0x80:
                raise FrameError(1002, "a control frame is long, or comes in parts")
        elif opcode > BINARY:
            raise FrameError(1002, f"a frame has the opcode {opcode}")
        elif (opcode == 0) != (self._message is not None):
            raise FrameError(1002, "the frames of a message are out of order")

    def _assemble(self, first: int, payload: bytes) -> Event | None:
        opcode = first & 0x0F
        if opcode in _CONTROL:
            return opcode, payload
        if opcode:
            self._message = bytearray()
            self._is_text = opcode == TEXT
        message = self._message
        assert message is not None
        message += payload
        if len(message) > self.limit_bytes:
            raise FrameError(1009, f"a message has more than {self.limit_bytes} bytes")
        if not first & 0x80:
            return None
        self._message = None
        return (TEXT, _decode(message)) if self._is_text else (BINARY, bytes(message))


def _decode(payload: bytes | bytearray) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise FrameError(1007, "a text message is not UTF-8") from error


def encode_control(opcode: int, payload: bytes = b"") -> bytes:
    """A server's control frame; the payload is cut off at 125 bytes."""
    payload = payload[:125]
    return bytes((0x80 | opcode, len(payload))) + payload


def encode_close(code: int, reason: str) -> bytes:
    """A close frame, with as much of the reason as fits."""
    said = reason.encode()[:123]
    return encode_control(CLOSE, code.to_bytes(2, "big") + said.decode(errors="ignore").encode())


def decode_close(payload: bytes) -> int:
    """What to answer a client's close frame with.

    Raises:
        FrameError: it is broken.
    """
    if not payload:
        return 1000
    code = int.from_bytes(payload[:2], "big")
    valid = code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999
    if len(payload) == 1 or not valid:
        raise FrameError(1002, "a close frame has no valid code")
    _decode(payload[2:])
    return code
