"""Asking a client for a fresh `auth` while its socket lives.

1. The fresh one counts only when it has been judged. Until then everybody sees the old one; who judges is handed a
   `Socket` of its own for this one peer, whose handshake has the fresh one.
2. Without somebody to judge, nothing is asked: it would let anything pass.
3. No answer, or a refusal, puts the socket out of its namespace. The session and its other namespaces go on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from ..errors import (
    AckTimeout,
    AuthenticationFailed,
    ConnectionRefusedError,  # noqa: A004 - the name that users know
    Disconnected,
    EventError,
    LocalProtocolError,
)
from ..session.reason import CloseReason
from .handlers import Function, Handler

if TYPE_CHECKING:
    from ..host import Timer
    from .membership import Membership
    from .socket import Socket

__all__ = ["Expiry", "Judge", "reauthenticate"]

logger = logging.getLogger("holdfast.dispatch")

EVENT = "reauthenticate"
# Until it is asked whose `connect` handler takes longer than its auth is good for.
_PAUSE = 1.0


class Judge:
    """Who says whether a fresh `auth` is good: the application's `check`, or else its connection middleware.

    Raises:
        LocalProtocolError: the function could never be called.
    """

    def __init__(self, member: Membership, check: Function | None) -> None:
        self._member = member
        self._check = None
        if check is not None:
            self._check = Handler("a check", check)
            if not (self._check.takes(1) or self._check.takes(2)):
                raise LocalProtocolError("a check takes (socket) or (socket, auth)")

    def handlers(self) -> list[Handler]:
        """Those that there are now.

        Raises:
            LocalProtocolError: none (rule 2).
        """
        found = self._member.listeners.middleware("connect") if self._check is None else [self._check]
        if not found:
            raise LocalProtocolError(
                "nobody would judge the fresh auth: register middleware by `use`, or give a `check`"
            )
        return found


async def reauthenticate(member: Membership, judge: Judge, timeout: float) -> dict[str, object]:
    """See `Socket.reauthenticate`."""
    handlers = judge.handlers()
    if member.is_gone:
        raise Disconnected("the socket is not connected any more")
    socket = member.socket
    try:
        auth = await _ask(socket, timeout)
    except AuthenticationFailed:
        member.put_out(CloseReason.AUTHENTICATION_EXPIRED)
        raise
    try:
        await _judge(socket, auth, handlers)
    except ConnectionRefusedError as error:
        member.put_out(CloseReason.AUTHENTICATION_EXPIRED)
        raise AuthenticationFailed(f"the fresh auth was refused: {error.message}") from error
    except Exception:
        # A check that failed has let nobody in.
        member.put_out(CloseReason.AUTHENTICATION_EXPIRED)
        raise
    if member.is_gone:
        raise Disconnected("the socket left before its fresh auth was accepted")
    socket._accept(auth)  # pyright: ignore[reportPrivateUsage]
    return auth


async def _judge(socket: Socket, auth: dict[str, object], handlers: list[Handler]) -> None:
    candidate = socket._with(auth)  # pyright: ignore[reportPrivateUsage]
    for handler in handlers:
        args: list[object] = [candidate, auth]
        if await handler.call(args if handler.takes(2) else args[:1]) is False:
            raise AuthenticationFailed("the fresh auth was refused")


async def _ask(socket: Socket, timeout: float) -> dict[str, object]:
    try:
        answer = await socket.emit_with_ack(EVENT, timeout=timeout)
    except AckTimeout as error:
        raise AuthenticationFailed(f"no fresh auth came within {timeout:g} seconds") from error
    except EventError as error:
        raise AuthenticationFailed("the client has no fresh auth") from error
    if not isinstance(answer, dict):
        raise AuthenticationFailed("the client has no fresh auth")
    return cast("dict[str, object]", answer)


class Expiry:
    """When a socket is asked by itself."""

    __slots__ = ("_member", "_timer")

    def __init__(self, member: Membership) -> None:
        self._member = member
        self._timer: Timer | None = None

    def set(self, seconds: float, judge: Judge, timeout: float) -> None:
        """In so many seconds, and not when it was to be before."""
        self.cancel()
        if not self._member.is_gone:
            host = self._member.session.live.host
            self._timer = host.call_later(seconds, lambda: host.spawn(self._ask, judge, timeout))

    def cancel(self) -> None:
        """Not at all; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _ask(self, judge: Judge, timeout: float) -> None:
        if self._member.is_pending:
            self.set(_PAUSE, judge, timeout)
            return
        try:
            await reauthenticate(self._member, judge, timeout)
        except Disconnected as error:
            logger.info("a socket in %r: %s", self._member.registry.name, error)
        except BaseException:
            # Cancelled by a check, for one: nobody has judged, and nobody will ask again.
            self._member.put_out(CloseReason.AUTHENTICATION_EXPIRED)
            raise
