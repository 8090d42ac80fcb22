"""The head of a request, where it is as plain as that of every browser. No I/O.

Whatever is unusual is not refused here, but left to the server's own parser: None is its answer to all that could be
read in two ways.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Head", "read_head"]

_LINE = re.compile(rb"(GET|POST|OPTIONS) (/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))? HTTP/1\.1")
_FIELDS = re.compile(rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\x21-\x7e\x80-\xff\t ]*)*")
# Without these, a request ends with its head.
_LENGTH = re.compile(rb"[0-9]{1,9}")
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"trailer", b"te"))
# Longer ones are nobody's who means well, and looked at by the server.
_MOST_BYTES = 32_768
_SINGLE = frozenset((b"host", b"content-length", b"connection", b"upgrade", b"sec-websocket-key"))


class Head(NamedTuple):
    """A request's.

    Attributes:
        length: Of the body.
        keeps: Whether the connection is to be used again.
        upgrade: What is asked for instead of HTTP, in lower case.
    """

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    length: int
    keeps: bool
    upgrade: bytes


def read_head(data: bytes) -> Head | None:
    """Read what stands before the empty line, without that."""
    if len(data) > _MOST_BYTES:
        return None
    line, _, _ = data.partition(b"\r\n")
    found = _LINE.fullmatch(line)
    fields = data[len(line) :]
    if found is None or _FIELDS.fullmatch(fields) is None:
        return None
    method, path, query = found.groups()
    headers: list[tuple[bytes, bytes]] = []
    seen: dict[bytes, bytes] = {}
    for field in fields.split(b"\r\n")[1:]:
        name, _, value = field.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in _UNUSUAL or (name in _SINGLE and name in seen):
            return None
        headers.append((name, value))
        seen[name] = value
    length = seen.get(b"content-length", b"0")
    if b"host" not in seen or _LENGTH.fullmatch(length) is None:
        return None
    connection = seen.get(b"connection", b"").lower()
    tokens = {token.strip() for token in connection.split(b",")} if connection else set[bytes]()
    upgrade = seen.get(b"upgrade", b"").lower() if b"upgrade" in tokens else b""
    return Head(method.decode(), path, query or b"", headers, int(length), b"close" not in tokens, upgrade)
