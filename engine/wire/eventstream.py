"""The framing of the streaming transport: ``text/event-stream``.

HTML standard, "Server-sent events"; docs/protocol.md, section 5. A payload between counting peers holds no line break,
so an event is always one ``id`` line and one ``data`` line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..errors import RemoteProtocolError
from .packet import decode_position

__all__ = ["PRELUDE", "EventStreamDecoder", "StreamEvent", "encode_event"]

# Intermediaries and some browsers hold back the first kilobytes of a response; a comment pays that toll.
PRELUDE = b":" + b" " * 2046 + b"\n\n"


class StreamEvent(NamedTuple):
    """One event: the position after it, and its payload."""

    position: int
    payload: str


def encode_event(position: int, payload: str) -> bytes:
    """Frame one payload. ``position`` is how far our stream has come with this event."""
    return f"id: {position}\ndata: {payload}\n\n".encode()


class EventStreamDecoder:
    """Takes a stream apart however it was cut into pieces.

    Args:
        limit_bytes: The longest event, or comment, that is accepted; without the empty line that ends it.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[StreamEvent]:
        """Yield the events that are complete now.

        Raises:
            RemoteProtocolError: not UTF-8, an id that is not a position, an event without data, or one over the limit.
        """
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            self._check_size(block)
            event = _decode_block(block)
            if event is not None:
                yield event
        # The last line break may be half of the empty line.
        self._check_size(self._rest.removesuffix(b"\n"))

    def _check_size(self, block: bytes) -> None:
        if len(block) > self._limit_bytes:
            raise RemoteProtocolError("a stream event is too large")


def _decode_block(block: bytes) -> StreamEvent | None:
    try:
        lines = block.decode().split("\n")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("a stream event is not UTF-8") from error
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
    if not fields:
        return None
    if "id" not in fields or "data" not in fields:
        raise RemoteProtocolError("a stream event has no id or no data")
    return StreamEvent(decode_position(fields["id"]), fields["data"])
