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
    "FrameError",
    "FrameReader",
    "decode_close",
    "encode_close",
    "encode_control",
]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTROL = frozenset((CLOSE, PING, PONG))
# First bytes of whole messages.
_WHOLE_TEXT, _WHOLE_BINARY = 0x80 | TEXT, 0x80 | BINARY
# One for all that have none; nothing is put into it.
_NO_CONTROLS: list[tuple[int, bytes]] = []


class FrameError(Exception):
    """The client breaks the protocol: the WebSocket is closed with this code.

    Attributes:
        before: The messages that were whole before that.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.before: list[str | bytes] = []


class FrameReader:
    """Makes messages of bytes.

    Args:
        limit_bytes: Of one message, whatever the frames that it comes in.

    Attributes:
        controls: The control frames that came with the messages that `feed` has returned or found before an error:
            opcode and payload, in order. CLOSE is the last of all; nothing behind it is read.
    """

    __slots__ = ("_buffer", "_have", "_is_closed", "_is_text", "_message", "_need", "controls", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.controls = _NO_CONTROLS
        self._is_closed = False
        self._buffer: list[bytes] = []
        # So many bytes there are of a frame; with so many it is whole.
        self._have = self._need = 0
        # The frames so far of a message that comes in several.
        self._message: bytearray | None = None
        self._is_text = False

    def feed(self, data: bytes) -> list[str | bytes]:
        """The messages that are whole with these bytes, in order: texts, and binary ones.

        Raises:
            FrameError: nothing can be read any more.
        """
        self.controls = _NO_CONTROLS
        if self._buffer:
            self._buffer.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._buffer)
            self._buffer = []
        self._need = 0
        messages: list[str | bytes] = []
        if self._is_closed:
            return messages
        try:
            at = self._read(data, messages)
        except UnicodeDecodeError as cause:
            error = FrameError(1007, "a text message is not UTF-8")
            error.before = messages
            raise error from cause
        except FrameError as error:
            error.before = messages
            raise
        if at < len(data) and not self._is_closed:
            self._buffer = [data[at:]]
            self._have = len(data) - at
        return messages

    def _read(self, data: bytes, messages: list[str | bytes]) -> int:
        """How far it has come."""
        at, end, limit = 0, len(data), self.limit_bytes
        last = end - 1
        while at < last:
            size, body = data[at + 1] - 0x80, at + 6
            if size < 0:
                raise FrameError(1002, "a frame of a client is not masked")
            if size > 125:
                body = at + (8 if size == 126 else 14)
                if end < body - 4:
                    break
                size = int.from_bytes(data[at + 2 : body - 4], "big")
            if size > limit:
                raise FrameError(1009, f"a message has more than {limit} bytes")
            stop, first = body + size, data[at]
            if stop > end:
                self._check(first, size)
                self._need = stop - at
                break
            payload = apply_mask(data[body:stop], data[body - 4 : body])
            if first == _WHOLE_TEXT and self._message is None:
                messages.append(payload.decode())
            elif first == _WHOLE_BINARY and self._message is None:
                messages.append(payload)
            else:
                self._check(first, size)
                if first & 0x0F in _CONTROL:
                    if not self.controls:
                        self.controls = []
                    self.controls.append((first & 0x0F, payload))
                    if first & 0x0F == CLOSE:
                        self._is_closed = True
                        break
                else:
                    message = self._assemble(first, payload)
                    if message is not None:
                        messages.append(message)
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

    def _assemble(self, first: int, payload: bytes) -> str | bytes | None:
        opcode = first & 0x0F
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
        return message.decode() if self._is_text else bytes(message)


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
    try:
        payload[2:].decode()
    except UnicodeDecodeError as error:
        raise FrameError(1007, "the reason of a close frame is not UTF-8") from error
    return code
