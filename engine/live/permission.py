"""The application's own word on who may open a session."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from anyio import to_thread

from ..errors import ConnectionRefusedError, ErrorCode, RequestRefused  # noqa: A004 - the name users know
from ..host import guarded
from .handshake import Handshake

__all__ = ["AllowRequest", "Allowed", "Permission"]

logger = logging.getLogger("holdfast.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """An answer of `allow_request`: the request may open a session, which is somebody's, and for how long.

    A session that was let in with it is bound to its principal: `allow_request` is asked again about the requests that
    go on with the session, and must say the same one.

    Attributes:
        principal: Whose the session is: anything that is equal for the same one and for nobody else, such as the user's
            id. `Handshake.principal` has it. None where only the time matters.
        expires_at: When the credentials are not good any more, as a `datetime` with a zone or in seconds since 1970,
            like ``exp`` of a JWT. `allow_request` is then asked once more. None for as long as the session lives.

    Raises:
        TypeError: ``expires_at`` is no time.
        ValueError: it is a `datetime` without a zone, or not finite.
    """

    principal: object = field(default=None, repr=False)
    expires_at: datetime | float | None = None

    def __post_init__(self) -> None:
        at = cast("object", self.expires_at)
        if isinstance(at, datetime):
            if at.tzinfo is None:
                raise ValueError(
                    "expires_at must have a time zone: datetime.now(UTC) has one, utcnow() has none"
                )
        elif at is None:
            return
        elif isinstance(at, bool) or not isinstance(at, int | float):
            raise TypeError(f"expires_at must be a datetime or seconds since 1970, not {type(at).__name__}")
        elif not math.isfinite(at):
            raise ValueError(f"expires_at must be a time, not {at!r}; None is for ever")


AllowRequest = Callable[[Handshake], Awaitable[Allowed | bool | None] | Allowed | bool | None]
"""`async def`, or `def` that runs in a worker thread: None or True lets the request in, an `Allowed` does so and says
whose the session is, False refuses it; `ConnectionRefusedError` refuses it with a message."""


class Permission:
    """Asks the application about a request: before anything of a session exists, and again for one that is somebody's.

    Raises:
        TypeError: the function cannot be called, or is a generator.
    """

    def __init__(self, function: AllowRequest | None) -> None:
        if function is not None and not callable(function):
            raise TypeError(
                f"allow_request must be a function of one Handshake, not {type(function).__name__}"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("allow_request must return its answer; a generator cannot")
        self._function = function

    async def ask(self, handshake: Handshake) -> Allowed | None:
        """Return if the request is let in; the application's word on whose it is, if it has one.

        Raises:
            RequestRefused: status 403, with the application's message if it gave one.
        """
        if self._function is None:
            return None
        try:
            answer = await _call(self._function, handshake)
            if answer is not None and not isinstance(answer, bool | Allowed):
                kind = type(answer).__name__
                raise TypeError(f"allow_request must return True, False, None or Allowed(…), not {kind}")
        except ConnectionRefusedError as error:
            # An application may put anything there; the answer has a text.
            message = str(error.message) or "Forbidden"
            raise RequestRefused(ErrorCode.FORBIDDEN, message, status=403) from error
        except Exception as error:
            # A check that failed has let nobody in; why is nothing for a stranger.
            logger.exception("allow_request failed; the request is refused")
            raise RequestRefused(ErrorCode.FORBIDDEN, "Forbidden", status=403) from error
        if answer is False:
            raise RequestRefused(ErrorCode.FORBIDDEN, "Forbidden", status=403)
        return answer if isinstance(answer, Allowed) else None


async def _call(function: AllowRequest, handshake: Handshake) -> object:
    method = getattr(function, "__call__", None)  # noqa: B004 - it is the method that we look at
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(method):
        result = function(handshake)
    else:
        # In a list, because Trio takes a thread's function that returns a coroutine for a mistake. Here it is a plain
        # function round a coroutine function: what decorators leave behind.
        (result,) = await to_thread.run_sync(lambda: [function(handshake)])
    return await guarded(result, "allow_request") if inspect.isawaitable(result) else result
