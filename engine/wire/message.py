"""A message, and the forms in which it crosses the wire. Values only.

Engine.IO 4, "Packet encoding"; docs/protocol.md, section 3.
"""

from __future__ import annotations

import json
from base64 import b64encode
from struct import Struct

from ..errors import LocalProtocolError

__all__ = ["MESSAGE_OVERHEAD", "SEPARATOR", "Message", "encode_frame"]

SEPARATOR = "\x1e"
# What a message costs besides its bytes where it is kept, the object and its places in lists: an empty one is not free.
MESSAGE_OVERHEAD = 150
_MIDDLE, _LONG = Struct("!BBH"), Struct("!BBQ")


class Message:
    """One message, encoded at most once however many sessions send it.

    Args:
        data: Text or bytes. Bytes-like objects other than `bytes` are copied.

    Raises:
        LocalProtocolError: the text holds a lone surrogate, which UTF-8 cannot carry.

    Attributes:
        holders: How many buffers keep it now; theirs to change.
    """

    __slots__ = ("_base64", "_counting", "_frame", "data", "holders", "size_bytes")

    def __init__(self, data: str | bytes | bytearray | memoryview) -> None:
        if isinstance(data, str):
            try:
                size = len(data) if data.isascii() else len(data.encode())
            except UnicodeEncodeError as error:
                raise LocalProtocolError(
                    f"text with a lone surrogate at index {error.start} cannot be sent"
                ) from error
        else:
            data = bytes(data)
            size = len(data)
        self.data: str | bytes = data
        self.size_bytes = size
        self.holders = 0
        self._counting: str | None = None
        self._base64: str | None = None
        self._frame: bytes | None = None

    @property
    def is_text(self) -> bool:
        return isinstance(self.data, str)

    def counting_text(self) -> str:
        """The packet of a text message between counting peers: ``4…``, or ``j…`` (section 3)."""
        packet = self._counting
        if packet is None:
            text = self.data
            assert isinstance(text, str)
            if SEPARATOR in text or "\n" in text or "\r" in text:
                packet = "j" + json.dumps(text, ensure_ascii=False)
            else:
                packet = "4" + text
            self._counting = packet
        return packet

    def payload_bytes(self) -> int:
        """Bytes in a payload between counting peers, with a separator; towards a plain peer there are no more."""
        if isinstance(self.data, bytes):
            return (self.size_bytes + 2) // 3 * 4 + 2
        text = self.counting_text()
        return self.size_bytes + 2 if text.startswith("4") else len(text.encode()) + 1

    def base64(self) -> str:
        """The packet of a binary message in a payload: ``b…``."""
        if self._base64 is None:
            assert isinstance(self.data, bytes)
            self._base64 = "b" + b64encode(self.data).decode("ascii")
        return self._base64

    def frame(self) -> bytes:
        """The WebSocket frame that carries it alone to a plain peer."""
        if self._frame is None:
            data = self.data
            self._frame = encode_frame(data if isinstance(data, bytes) else f"4{data}")
        return self._frame


def encode_frame(data: str | bytes) -> bytes:
    """A server's frame (RFC 6455, section 5.2): a whole message, not masked and not compressed."""
    first, payload = (0x82, data) if isinstance(data, bytes) else (0x81, data.encode())
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return _MIDDLE.pack(first, 126, size) + payload
    return _LONG.pack(first, 127, size) + payload
