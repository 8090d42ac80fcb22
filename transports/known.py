"""Requests that go on with a session that is there: nearly all of them, and most are like the one before.

What can be decided at a glance is decided here, as transports/request.py decides it; what is unusual is left to that.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from starlette.types import Scope

from ..engine.errors import RequestRefused
from ..engine.live import LiveSession
from ..engine.server import SessionTable
from ..engine.wire.packet import new_tuple
from .request import ATTACH_HEADER, HEADER_OVERHEAD, Head, check_origin, cors_headers, host_of

__all__ = ["Known", "Visit", "find_session"]

_ATTACH = ATTACH_HEADER.encode()
# As socket.io-client and ours say it.
_USUAL = re.compile(rb"EIO=4&transport=polling(&holdfast=1)?&sid=([A-Za-z0-9_.~-]+)(?:&t=[A-Za-z0-9_.~-]*)?")
# The headers that decide whether a page may ask, and what it is answered besides.
_ASKED = frozenset(
    (b"host", b"origin", b"sec-fetch-site", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
)
# A server that has met more of them has been made to, or forgets the rare ones.
_MOST_JUDGED = 1_000


class Visit(NamedTuple):
    """Such a request.

    Attributes:
        attach: A counting peer's, of a GET.
        headers: What an answer to its page says besides.
    """

    session: LiveSession
    attach: str
    headers: dict[str, str]


class Known:
    """Knows them, of one endpoint.

    Args:
        table: The sessions.
    """

    __slots__ = ("_digits", "_judged", "_table")

    def __init__(self, table: SessionTable) -> None:
        self._table = table
        self._digits = len(str(table.settings.max_payload))
        # What else decides is the settings, which stay. None for what has to be looked at.
        self._judged: dict[object, dict[str, str] | None] = {}

    def look(self, scope: Scope) -> Visit | None:
        """The poll or the POST that a request to our own path is; None for all that is not clear."""
        table = self._table
        if scope["type"] != "http" or scope["method"] not in ("GET", "POST"):
            return None
        is_post = scope["method"] == "POST"
        query: bytes = scope.get("query_string", b"")
        session = find_session(table, query, is_post=is_post)
        if session is None or table.is_closing:
            return None
        settings, headers = table.settings, scope["headers"]
        if headers.__class__ is not list:
            return None
        found: dict[bytes, bytes] = dict(headers)
        length = found.get(b"content-length")
        if length is not None and len(length) >= self._digits:
            # It may be too large.
            return None
        attach = found.get(_ATTACH, b"")
        if session.counting and not is_post and not attach:
            return None
        size = len(query) + len(scope["path"]) + HEADER_OVERHEAD * len(headers)
        if len(found) == len(headers) and not settings.trusted_proxies:
            size += sum(map(len, found)) + sum(map(len, found.values()))
            key: object = (found.get(b"host"), found.get(b"origin"), found.get(b"sec-fetch-site"))
        else:
            size += sum([len(name) + len(value) for name, value in headers])
            client = scope.get("client")
            key = (client and client[0], *[part for pair in headers if pair[0] in _ASKED for part in pair])
        if size > settings.max_header_bytes:
            return None
        more = self._judged[key] if key in self._judged else self._judge(key, scope)
        if more is None:
            return None
        session.check_time()
        if session.sid not in table.sessions:
            return None
        return new_tuple(Visit, (session, attach.decode("latin-1"), more))

    def _judge(self, key: object, scope: Scope) -> dict[str, str] | None:
        settings, head = self._table.settings, Head(scope)
        try:
            check_origin(head, settings, host=host_of(scope, head, settings))
            more = cors_headers(head, settings)
        except RequestRefused:
            more = None
        if len(self._judged) >= _MOST_JUDGED:
            self._judged.clear()
        self._judged[key] = more
        return more


def find_session(table: SessionTable, query: bytes, *, is_post: bool) -> LiveSession | None:
    """The session that a poll or a POST with such a query goes on with; None for all that is not clear."""
    usual = _USUAL.fullmatch(query)
    if usual is not None:
        counting, sid = usual[1] is not None, usual[2]
    else:
        if b"%" in query or b"+" in query:
            return None
        pairs = [pair.split(b"=", 1) for pair in query.split(b"&")]
        fields = {pair[0]: pair[-1] for pair in pairs}
        if fields.get(b"transport") != b"polling" or fields.get(b"EIO") != b"4" or len(fields) != len(pairs):
            return None
        counting, sid = fields.get(b"holdfast") == b"1", fields.get(b"sid", b"")
    session = table.sessions.get(sid.decode("latin-1"))
    if session is None or session.identity is not None:
        return None
    if session.counting != counting:
        return None
    # A POST of a counting peer brings, whatever carries the session.
    may = "polling" in table.settings.transports or (counting and is_post)
    return session if may else None
