"""Whose a session is, and for how long.

1. `allow_request` has said so at the opening. Without a word on that, nobody is asked again.
2. It is asked again when a WebSocket or a stream attaches, when polls begin, after a gap, and when a request brings
   anything else than those that were judged: other headers, another query, from another address. So a poll of a
   client whose polls were judged costs a hash.
3. Whoever is refused, or is somebody else, harms nobody: his request alone is refused.
4. When the time is over, it is asked about the newest request once more. Without a new time in a second no carrier goes
   on, and every request is judged anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

from ..errors import ErrorCode, RequestRefused
from ..host import Host, Timer
from .handshake import Handshake
from .permission import Allowed, Permission

__all__ = ["Identity", "fingerprint"]

logger = logging.getLogger("holdfast.session")

# The requests of one client are of four kinds at most: poll, POST, stream, WebSocket.
_MOST_KNOWN = 8
# How long the application has to give more time when it is over, and how often it is asked at most.
_LAST_WORD = 1.0
_LEAST = 0.5

# What differs from one request of a client to the next, and says nothing about who it is.
_CHANGING = frozenset(
    b"accept accept-encoding accept-language b3 baggage cache-control cf-ray connection content-length content-type "
    b"date expect holdfast-attach if-modified-since if-none-match keep-alive last-event-id origin pragma priority "
    b"referer sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-extensions sec-websocket-key "
    b"sec-websocket-protocol sec-websocket-version te traceparent tracestate transfer-encoding upgrade "
    b"x-amzn-trace-id x-b3-parentspanid x-b3-sampled x-b3-spanid x-b3-traceid x-cloud-trace-context x-correlation-id "
    b"x-request-id x-request-start".split()
)
_OWN_QUERY = frozenset({"EIO", "transport", "sid", "holdfast", "codec", "t", "b64"})


def fingerprint(request: Handshake) -> bytes:
    """All of a request that may say who makes it."""
    digest = blake2b(digest_size=16)
    # Any: what the server and the middleware in front have put there.
    scope: Mapping[str, Any] = request.scope
    headers: list[tuple[bytes, bytes]] = scope.get("headers") or []
    for name, value in sorted([pair for pair in headers if pair[0] not in _CHANGING]):
        digest.update(b"%d %d %b%b" % (len(name), len(value), name, value))
    query = sorted(pair for pair in request.query.items() if pair[0] not in _OWN_QUERY)
    extensions: Mapping[str, Any] = scope.get("extensions") or {}
    # With ASGI's TLS extension there may be a certificate of the client.
    rest = (query, request.address and request.address[0], request.secure, extensions.get("tls"))
    digest.update(repr(rest).encode(errors="surrogatepass"))
    return digest.digest()


def _seconds_left(allowed: Allowed) -> float | None:
    at = allowed.expires_at
    if at is None:
        return None
    return (at.timestamp() if isinstance(at, datetime) else at) - time.time()


def _check_time(allowed: Allowed) -> None:
    left = _seconds_left(allowed)
    if left is not None and left <= 0:
        raise RequestRefused(ErrorCode.FORBIDDEN, "Forbidden: the credentials have expired", status=403)


class Identity:
    """Of one session.

    Args:
        permission: Who is asked.
        allowed: Its answer about the request that opens the session.
        request: That request.

    Raises:
        RequestRefused: status 403; the time is over already.

    Attributes:
        principal: Whose it is; None where the application has not said.
    """

    __slots__ = (
        "_allowed",
        "_expired",
        "_host",
        "_known",
        "_name",
        "_newest",
        "_permission",
        "_timer",
        "_turn",
        "_warned",
        "principal",
    )

    def __init__(self, permission: Permission, allowed: Allowed, request: Handshake) -> None:
        _check_time(allowed)
        self.principal = allowed.principal
        self._permission = permission
        self._allowed = allowed
        self._newest = request
        self._known = [fingerprint(request)]
        self._name = ""
        self._host: Host | None = None
        self._expired: Callable[[], None] | None = None
        self._timer: Timer | None = None
        # Counts the times that were set: an answer about the one before comes too late.
        self._turn = 0
        self._warned = False

    def begin(self, host: Host, name: str, expired: Callable[[], None]) -> None:
        """The session is open, and has this name in logs; ``expired`` is called when its time is over."""
        self._host, self._name, self._expired = host, name, expired
        self._set_time()

    def end(self) -> None:
        """The session is over; idempotent."""
        self._host = self._expired = None
        self._stop()

    @property
    def expires_at(self) -> datetime | float | None:
        """When the credentials are not good any more, as the application has said it last."""
        return self._allowed.expires_at

    @property
    def is_good(self) -> bool:
        """Whether some request was judged since the time was over last, or it never was."""
        return bool(self._known)

    async def check(self, request: Handshake, *, again: bool) -> bool:
        """Return if this request may speak for the session; whether the application was asked.

        Args:
            again: Ask it in any case (rule 2).

        Raises:
            RequestRefused: status 403; the session is unharmed (rule 3).
        """
        mark = fingerprint(request)
        if not again and mark in self._known:
            return False
        self._allowed = await self._judge(request)
        if mark not in self._known:
            self._known = [*self._known[1 - _MOST_KNOWN :], mark]
        if self._allowed.expires_at is not None:
            # Without a time nobody asks about it, and it would only be kept.
            self._newest = request
        self._set_time()
        return True

    async def _judge(self, request: Handshake) -> Allowed:
        allowed = await self._permission.ask(request) or Allowed()
        if not self._is_same(allowed.principal):
            if not self._warned:
                self._warned = True
                logger.warning("session %s: a request of another principal was refused", self._name)
            message = "Forbidden: the session is not of the one who asks"
            raise RequestRefused(ErrorCode.FORBIDDEN, message, status=403)
        _check_time(allowed)
        return allowed

    def _is_same(self, principal: object) -> bool:
        try:
            return bool(principal == self.principal)
        except Exception:
            # Whatever the application's own values raise; a check that failed has let nobody in.
            logger.exception("session %s: its principal cannot be compared", self._name)
            return False

    def _stop(self) -> None:
        self._turn += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_time(self) -> None:
        self._stop()
        left = _seconds_left(self._allowed)
        if self._host is not None and left is not None:
            self._timer = self._host.call_later(max(left, _LEAST), self._time_is_over)

    def _time_is_over(self) -> None:
        if self._host is not None:
            self._known = []
            self._timer = self._host.call_later(_LAST_WORD, self._lapse)
            self._host.spawn(self._ask_for_more, self._turn)

    async def _ask_for_more(self, turn: int) -> None:
        """The cookie that was good for an hour may be good for one more: sessions of web applications slide."""
        newest, allowed = self._newest, None
        try:
            allowed = await self._judge(newest)
        except RequestRefused:
            pass
        # Neither a request that was judged meanwhile nor the end is undone by what was asked before it.
        if turn != self._turn:
            return
        if allowed is None:
            self._lapse()
        else:
            self._allowed, self._known = allowed, [fingerprint(newest)]
            self._set_time()

    def _lapse(self) -> None:
        self._stop()
        if self._expired is not None:
            self._expired()
