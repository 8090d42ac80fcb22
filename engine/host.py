"""What hosts the tasks and timers that outlive a request.

An ASGI application gets a task per request and nothing else. A handler must outlive the carrier that brought its event,
and a session waits for its next carrier while no request is there. So such tasks run on the event loop itself: an
asyncio task that we hold a reference to (see `Hands`), or a Trio system task. Neither needs a lifespan.

All timers of a server share one heap and one sleeping task, which exists only while a timer does.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import contextmanager
from contextvars import Context
from itertools import count
from time import monotonic
from typing import Any, Protocol, TypeVar, cast

import anyio

from .hands import Entered, Hands, Turn, running_task, whole

__all__ = [
    "Clock",
    "Event",
    "Host",
    "LoopClock",
    "Task",
    "Timer",
    "guarded",
    "in_event_loop",
    "make_event",
    "running_task",
]

logger = logging.getLogger("holdfast.host")

Task = asyncio.Task[Any]
T = TypeVar("T")
Finish = Callable[[Any], Coroutine[Any, Any, None]]


class Clock(Protocol):
    """Where time comes from. Tests hand in one that they move themselves."""

    def now(self) -> float:
        """Seconds on a monotonic clock."""
        ...

    async def sleep_until(self, when: float, changed: anyio.Event) -> None:
        """Return at ``when``, or as soon as ``changed`` is set."""
        ...


class LoopClock:
    """The system's monotonic clock. Asking an event loop for its own costs ten times as much, and often."""

    def now(self) -> float:
        return monotonic()

    async def sleep_until(self, when: float, changed: anyio.Event) -> None:
        with anyio.move_on_after(when - monotonic()):
            await changed.wait()


class Event(Protocol):
    """What asyncio, Trio and anyio call an Event: set once, waited for by any number."""

    def set(self) -> object: ...

    async def wait(self) -> object: ...


def make_event() -> Event:
    """An event of the loop that runs: for asyncio its own, which is several times cheaper to make than anyio's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return anyio.Event()
    return asyncio.Event()


def in_event_loop() -> bool:
    """Whether this is called in one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        return trio is not None and trio.lowlevel.in_trio_run()
    return True


async def guarded(
    running: Awaitable[T], who: str, *, failure: Callable[[str], Exception] = RuntimeError
) -> T:
    """Wait for what belongs to the application. On asyncio that also ends in a cancellation when what it waits for was
    cancelled: that is its failure, not our end.

    Raises:
        Exception: that failure, made by ``failure`` of its text.
    """
    try:
        return await running
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise failure(f"what {who} waited for was cancelled") from error


def _is_failure_on_trio(error: BaseException) -> bool:
    if isinstance(error, Exception):
        return True
    import trio

    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        # A coroutine is being thrown away.
        return False
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).subgroup(trio.Cancelled) is None
    # Trio keeps an interruption by the user from system tasks: this one was raised by hand.
    return not isinstance(error, trio.Cancelled)


def _is_thrown_away(error: GeneratorExit) -> bool:
    """Whether the coroutine that has caught it may not go on; not, if something that it called has raised that."""
    return error.__traceback__ is None or error.__traceback__.tb_next is None


class Timer:
    """One pending call. `cancel` is idempotent and allowed after the call."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self._call = None

    def fire(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()

    @property
    def cancelled(self) -> bool:
        return self._call is None


class Host:
    """Runs coroutines and timers beside the requests, on asyncio and on Trio.

    Attributes:
        now: Seconds on the host's clock.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or LoopClock()
        # Asked several times for each message.
        self.now: Callable[[], float] = self._clock.now if clock else monotonic
        self._tasks: set[asyncio.Task[None]] = set()
        self._hands: Hands | None = None
        self._due: list[Callable[[], object]] = []
        # Nobody's: what is due may be anybody's.
        self._context = Context()
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._compact_at = 64
        self._changed: anyio.Event | None = None
        self._sleeping_until = 0.0
        self._running = 0
        self._idle: anyio.Event | None = None

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Start a coroutine that nobody waits for. What it raises is logged, once, with its traceback."""
        self._running += 1
        self._start(self._finish, function(*args))

    def spawn_aside(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """`spawn` what `running` does not count and `idle` does not wait for: it ends with what it serves, or waits
        itself until the others are done."""
        self._start(self.finish_aside, function(*args))

    def begin(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """`spawn`, but on asyncio the coroutine runs until it waits for the first time before this returns."""
        self._running += 1
        if self._begin(self._finish, function(*args)):
            self._ended()

    def take(self, turn: Turn, hands: Hands | None) -> None:
        """`begin` what needs no coroutine as long as it does not wait.

        Args:
            hands: Those of the event loop that runs.
        """
        self._running += 1
        if hands is None:
            self._start(self._finish, whole(turn))
        elif hands.take(turn, self._finish):
            self._ended()

    def leave(
        self, hands: Hands, entered: Entered, context: Context, rest: Coroutine[Any, Any, None]
    ) -> None:
        """`Hands.leave`, with what is left of what was begun as that task."""
        self._running += 1
        if hands.leave(entered, context, rest, self._finish):
            self._ended()

    def begin_aside(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """`spawn_aside`, as `begin`."""
        self._begin(self.finish_aside, function(*args))

    def soon(self, function: Callable[[], object]) -> None:
        """On asyncio, call what does not wait, together with all that is to be called soon."""
        if self._due:
            self._due.append(function)
        else:
            self._due = [function]
            asyncio.get_running_loop().call_soon(self._call_due, context=self._context)

    def _call_due(self) -> None:
        due, self._due = self._due, []
        for function in due:
            try:
                function()
            except Exception:
                logger.exception("a carrier failed")

    def _begin(self, finish: Finish, coroutine: Coroutine[Any, Any, None]) -> bool:
        hands = self.hands
        if hands is None:
            self._start(finish, coroutine)
            return False
        return hands.run(coroutine, finish)

    def _start(self, finish: Finish, coroutine: Coroutine[Any, Any, None]) -> None:
        hands = self.hands
        if hands is None:
            import trio

            trio.lowlevel.spawn_system_task(finish, coroutine)
        else:
            hands.start(coroutine, finish)

    @property
    def hands(self) -> Hands | None:
        """The tasks of the event loop that runs, where a coroutine that does not wait costs none; None on Trio."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        hands = self._hands
        if hands is None or hands.loop is not loop:
            self._hands = hands = Hands(loop, self._made)
            # What was due on another event loop is not any more.
            self._due = []
        return hands

    def _made(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await self.finish_aside(coroutine)
        finally:
            self._ended()

    async def finish_aside(self, coroutine: Awaitable[None]) -> None:
        """Await what nobody else waits for; what it raises is logged."""
        try:
            await coroutine
        except BaseException as error:
            # Nobody awaits this task, so this is the last place where its failure can be seen; on Trio an
            # exception that left here would end the program, and so would `SystemExit` on asyncio.
            await self.go_on_after(error)
            logger.error("a background task failed", exc_info=error)

    def _ended(self) -> None:
        self._running -= 1
        if self._idle is not None and not self._running:
            self._idle.set()

    async def go_on_after(self, error: BaseException | None) -> None:
        """Return if an exception is the failure of what a task of ours was running, and the task can go on.

        That is every `Exception`; but also `SystemExit`, and a cancellation of the task itself that the application
        has asked for, which is undone; None where it has not come out yet.

        Raises:
            BaseException: it ends the task: its event loop closes, or (on asyncio) the program was interrupted.
        """
        if isinstance(error, GeneratorExit) and _is_thrown_away(error):
            raise error from None
        try:
            task = asyncio.current_task()
        except RuntimeError:
            if error is not None and not _is_failure_on_trio(error):
                raise error from None
            return
        # Without a task, a coroutine is being thrown away.
        if error is not None and (task is None or isinstance(error, KeyboardInterrupt)):
            raise error from None
        if task is None or not task.cancelling():
            return
        if self._loop_ends(task):
            raise error or asyncio.CancelledError
        while task.cancelling():
            task.uncancel()
        try:
            # It may not have been delivered yet.
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if task.cancelling():
                raise

    def _loop_ends(self, task: asyncio.Task[Any]) -> bool:
        """An event loop that closes cancels all tasks at once, before any of them hears of it."""

        def spared(tasks: Iterable[asyncio.Task[Any]]) -> bool:
            return any(other is not task and not other.cancelling() for other in tasks)

        return not spared(self._tasks) and not spared(asyncio.all_tasks())

    @property
    def running(self) -> int:
        """How many coroutines that were started by `spawn` have not come to their end."""
        return self._running

    @property
    def idle_tasks(self) -> int:
        """How many asyncio tasks are kept for what is to come."""
        return 0 if self._hands is None else self._hands.idle

    async def idle(self) -> None:
        """Return when there is none."""
        while self._running:
            self._idle = anyio.Event()
            await self._idle.wait()

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Call a function that does not wait at ``when``, in the order of the times asked for."""
        timer = Timer(call)
        if len(self._heap) >= self._compact_at:
            # Most timers are cancelled long before they are due.
            self._heap = [entry for entry in self._heap if not entry[2].cancelled]
            heapq.heapify(self._heap)
            self._compact_at = max(64, 2 * len(self._heap))
        heapq.heappush(self._heap, (when, next(self._order), timer))
        if self._changed is None:
            self._changed = anyio.Event()
            self._start(self.finish_aside, self._keep_time())
        elif when < self._sleeping_until:
            self._changed.set()
        return timer

    def call_later(self, delay: float, call: Callable[[], object]) -> Timer:
        """`call_at` with seconds from now."""
        return self.call_at(self.now() + delay, call)

    @contextmanager
    def move_on_after(self, delay: float) -> Generator[anyio.CancelScope]:
        """anyio's function of this name, by this clock."""
        with anyio.CancelScope() as scope:
            timer = self.call_later(delay, scope.cancel)
            try:
                yield scope
            finally:
                timer.cancel()

    async def sleep(self, seconds: float) -> None:
        """anyio's function of this name, by this clock."""
        with self.move_on_after(seconds):
            await anyio.sleep_forever()

    async def _keep_time(self) -> None:
        try:
            while self._heap:
                when, _, timer = self._heap[0]
                if timer.cancelled:
                    heapq.heappop(self._heap)
                elif when <= self.now():
                    heapq.heappop(self._heap)
                    self._fire(timer)
                else:
                    self._changed = anyio.Event()
                    self._sleeping_until = when
                    await self._clock.sleep_until(when, self._changed)
        finally:
            self._changed = None

    @staticmethod
    def _fire(timer: Timer) -> None:
        try:
            timer.fire()
        except Exception:
            # One session's timer must not stop the clock of all the others.
            logger.exception("a timer failed")
