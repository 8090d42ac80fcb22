"""A message on its way to many: what they share is encoded once for each version."""

from __future__ import annotations

import json
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


class Published:
    """What is published.

    Args:
        headers: Of the one who sends; those that are ours to say are left out.

    Raises:
        LocalProtocolError: a header is none.

    Attributes:
        size_bytes: What it counts where it is kept.
    """

    __slots__ = ("_heads", "_text", "body", "headers", "size_bytes")

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        self.headers = {name: value for name, value in headers.items() if name not in _OURS}
        self.body = body
        self._text: str | None = None
        try:
            self._text = body.decode()
        except UnicodeDecodeError:
            pass
        self._heads: dict[Version, str] = {}
        # A head that cannot be encoded is the sender's fault, and nobody gets the message.
        self.size_bytes = len(body) + len(self._head("1.2").encode(errors="strict")) + MESSAGE_OVERHEAD

    def _head(self, version: Version) -> str:
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
            headers = {**headers, "content-length": str(len(self.body))}
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
        if self._text is not None:
            return f"{head}{self._text}\0"
        return b"%b%b\0" % (head.encode(), self.body)


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
