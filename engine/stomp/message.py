"""A message on its way to many: what they share is encoded once for each version."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from ..errors import LocalProtocolError
from ..subprotocols.stomp_frames import Version, encode_head
from ..wire.message import MESSAGE_OVERHEAD

__all__ = ["BINARY", "JSON", "TEXT", "Published", "content_of"]

JSON = "application/json"
TEXT = "text/plain;charset=utf-8"
BINARY = "application/octet-stream"

# Who sends cannot say these for a MESSAGE.
_OURS = frozenset(
    {"destination", "message-id", "subscription", "ack", "content-length", "redelivered", "receipt"}
)

# By how much a text may be larger than its bytes.
_SLACK = 100
# What a queue keeps besides texts: a `Published`, its table of heads and its `Letter`.
_LETTER = 400


class Published:
    """What is published.

    Args:
        headers: Of the one who sends; those that are ours to say are left out.

    Raises:
        LocalProtocolError: a header is none.

    Attributes:
        size_bytes: What it counts on its way to a client.
    """

    __slots__ = ("_data", "_heads", "_is_text", "_kept_bytes", "headers", "size_bytes")

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        self.headers = {name: value for name, value in headers.items() if name not in _OURS}
        self._data: str | bytes = body
        self._is_text = False
        try:
            text = body.decode()
        except UnicodeDecodeError:
            pass
        else:
            self._is_text = True
            # One of the two is kept. One emoji makes every letter of a text four bytes.
            if sys.getsizeof(text) <= sys.getsizeof(body) + _SLACK:
                self._data = text
        self._kept_bytes = 0
        self._heads: dict[Version, str] = {}
        # A head that cannot be encoded is the sender's fault, and nobody gets the message.
        head = self._head("1.2", len(body))
        self.size_bytes = len(body) + len(head.encode(errors="strict")) + MESSAGE_OVERHEAD

    @property
    def body(self) -> bytes:
        data = self._data
        return data.encode() if isinstance(data, str) else data

    @property
    def kept_bytes(self) -> int:
        """The memory that it takes while a queue keeps it."""
        if not self._kept_bytes:
            texts = [*self.headers, *self.headers.values(), *self._heads.values()]
            size = sum(map(sys.getsizeof, texts)) + sys.getsizeof(self.headers)
            self._kept_bytes = size + sys.getsizeof(self._data) + _LETTER
        return self._kept_bytes

    def _head(self, version: Version, length: int | None = None) -> str:
        head = self._heads.get(version)
        if head is None:
            headers = self.headers
            if version == "1.0":
                # It has no escapes, and what another client has put there must not end this one.
                headers = {
                    name: " ".join(value.splitlines())
                    for name, value in headers.items()
                    if ":" not in name and "\n" not in name
                }
            headers = {**headers, "content-length": str(len(self.body) if length is None else length)}
            try:
                head = encode_head("", headers, version)
                head.encode()
            except UnicodeEncodeError as error:
                raise LocalProtocolError("a header with a lone surrogate cannot be sent") from error
            self._heads[version] = head
        return head

    def encode(self, own: Mapping[str, str], version: Version) -> str | bytes:
        """A MESSAGE with these headers besides: text, if the body is some."""
        head = encode_head("MESSAGE", own, version) + self._head(version) + "\n\n"
        data = self._data
        if isinstance(data, str):
            return f"{head}{data}\0"
        return f"{head}{data.decode()}\0" if self._is_text else b"%b%b\0" % (head.encode(), data)


def content_of(value: object) -> tuple[str, bytes]:
    """The content type and the body of what an application sends: text and bytes as they are, all else as JSON.

    Raises:
        LocalProtocolError: it cannot be JSON.
    """
    if isinstance(value, str):
        return TEXT, _encoded(value)
    if isinstance(value, bytes | bytearray):
        return BINARY, bytes(value)
    try:
        return JSON, _encoded(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"this cannot be sent as JSON: {error}") from error


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError(
            f"text with a lone surrogate at index {error.start} cannot be sent"
        ) from error
