"""The application's own word on who may open a session."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from anyio import to_thread

from ..errors import ConnectionRefusedError, ErrorCode, RequestRefused  # noqa: A004 - the name users know
from .handshake import Handshake

__all__ = ["AllowRequest", "Permission"]

logger = logging.getLogger("holdfast.server")

AllowRequest = Callable[[Handshake], Awaitable[bool | None] | bool | None]
"""`async def`, or `def` that runs in a worker thread: None or True lets the request in, False refuses it;
`ConnectionRefusedError` refuses it with a message."""


class Permission:
    """Asks the application once for each new session, before anything of it exists.

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

    async def ask(self, handshake: Handshake) -> None:
        """Return if the session may be opened.

        Raises:
            RequestRefused: status 403, with the application's message if it gave one.
        """
        if self._function is None:
            return
        try:
            answer = await _call(self._function, handshake)
            if answer is not None and not isinstance(answer, bool):
                raise TypeError(f"allow_request must return True, False or None, not {answer!r}")
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


async def _call(function: AllowRequest, handshake: Handshake) -> object:
    method = getattr(function, "__call__", None)  # noqa: B004 - it is the method that we look at
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(method):
        result = function(handshake)
    else:
        # In a list, because Trio takes a thread's function that returns a coroutine for a mistake. Here it is a plain
        # function round a coroutine function: what decorators leave behind.
        (result,) = await to_thread.run_sync(lambda: [function(handshake)])
    return await _guarded(result) if inspect.isawaitable(result) else result


async def _guarded(running: Awaitable[object]) -> object:
    """On asyncio it also ends in a cancellation when what it waits for was cancelled: that is its failure."""
    try:
        return await running
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("what allow_request waited for was cancelled") from error
