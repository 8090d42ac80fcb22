"""A way to end what a coroutine is doing from outside, for where it is done with every message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio

from ..host import Task, running_task

__all__ = ["Stopper"]


class Stopper:
    """Runs a coroutine that can be stopped; used once.

    On asyncio it cancels the task, once, and takes that back, as ``asyncio.timeout`` does; a cancel scope of anyio
    would cost a fourth of all that is done with a message.
    """

    __slots__ = ("_is_stopped", "_scope", "_task")

    def __init__(self) -> None:
        self._is_stopped = False
        self._scope: anyio.CancelScope | None = None
        self._task: Task | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to end."""
        return self._is_stopped

    def stop(self) -> None:
        """End it, wherever it waits."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._scope is not None:
            self._scope.cancel()
        elif self._task is not None:
            self._task.cancel()

    cancel = stop

    async def run(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run it to its end, or until it is stopped."""
        task = self._task = running_task()
        if task is None:
            with anyio.CancelScope() as self._scope:
                await function()
            return
        before = task.cancelling()
        if self._is_stopped:
            # Before it was here.
            task.cancel()
        try:
            await function()
        except asyncio.CancelledError:
            # Another one may have come as well.
            if not self._is_stopped or task.uncancel() > before:
                raise
        except BaseException:
            await self._take_back(task)
            raise
        else:
            await self._take_back(task)
        finally:
            self._task = None

    async def _take_back(self, task: Task) -> None:
        """It came to its end before it was told."""
        if not self._is_stopped:
            return
        left = task.uncancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if left:
                raise
