"""The head of a response. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

__all__ = ["encode_head"]

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def encode_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Status line and headers, with the empty line at their end."""
    lines = [_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)
