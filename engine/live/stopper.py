"""A way to end what a coroutine is doing from outside, for where it is done with every message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

import anyio

from ..host import Task, running_task

__all__ = ["Stopper"]


class Stopper:
    """Something that can be stopped: what `run` runs, or an ``async with`` block; used once.

    On asyncio it cancels the task, once, and takes that back, as ``asyncio.timeout`` does; a cancel scope of anyio
    would cost a fourth of all that is done with a message, and a kilobyte for as long as it is there.
    """

    __slots__ = ("_before", "_is_stopped", "_scope", "_task")

    def __init__(self) -> None:
        self._is_stopped = False
        self._scope: anyio.CancelScope | None = None
        self._task: Task | None = None
        self._before = 0

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
        async with self:
            await function()

    async def __aenter__(self) -> None:
        self._task = task = running_task()
        if task is None:
            self._scope = scope = anyio.CancelScope()
            scope.__enter__()
            if self._is_stopped:
                scope.cancel()
            return
        self._before = task.cancelling()
        if self._is_stopped:
            # Before it was here.
            task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task = self._task
        if task is None:
            assert self._scope is not None
            return bool(self._scope.__exit__(kind, error, trace))
        try:
            if not self._is_stopped:
                return False
            left = task.uncancel()
            if isinstance(error, asyncio.CancelledError):
                # Another one may have come as well.
                return left <= self._before
            # It came to its end before it was told.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                # Another one may have come meanwhile, and both are told of once.
                if task.cancelling() > self._before:
                    raise
            return False
        finally:
            self._task = None
