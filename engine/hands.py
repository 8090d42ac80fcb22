"""Coroutines that begin at once, on asyncio.

A task costs more to make than most handlers take to run, and most of them end without ever waiting. So a coroutine is
begun by whoever asks for it, on the spot, until it waits for the first time; only then does a task go on with it. What
it sees is the same all the time: ``asyncio.current_task()`` is that task from the first line on, and its context
variables are a copy of the caller's, as those of any task that the caller would have made.

The tasks are used again; there are as many as have waited at the same time. One that somebody has kept, for whatever
reason, is not: who cancels it later means the coroutine that he has seen. The functions that say which task runs are
those that asyncio documents for such purposes ("Extending", "Task lifetime support").
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from sys import getrefcount
from types import CoroutineType
from typing import Any, TypeVar, cast
from weakref import getweakrefcount

from anyio import CancelScope

__all__ = [
    "Begun",
    "Entered",
    "Hands",
    "Turn",
    "begun",
    "begun_action",
    "ended",
    "failed",
    "running_task",
    "whole",
]

T = TypeVar("T")

# How many idle tasks are kept.
_MOST_IDLE = 16
# How many may have begun inside of one another: each needs room on the stack.
_DEEPEST = 8

Finish = Callable[[Any], Coroutine[Any, Any, None]]

Turn = Callable[["asyncio.Task[Any] | None"], Coroutine[Any, Any, None] | None]
"""Does what can be done without waiting, as the task that it is given (None on Trio), and returns what is left then."""

_enter = cast("Callable[[asyncio.AbstractEventLoop, asyncio.Task[Any]], None]", _enter_task)
_leave = cast("Callable[[asyncio.AbstractEventLoop, asyncio.Task[Any]], None]", _leave_task)
_Current = Callable[["asyncio.AbstractEventLoop"], "asyncio.Task[Any] | None"]
# Before 3.12 the function that says it is written in Python.
_current = cast(
    "_Current",
    asyncio.current_task if sys.version_info >= (3, 12) else asyncio.tasks._current_tasks.get,  # pyright: ignore
)


class _Hand(asyncio.Task[None]):
    """A task that waits to be given something to go on with.

    That somebody keeps it is seen by the number of its references, which is the same before and after otherwise. It is
    counted as an attribute: since Python 3.14 a local variable may be passed on without a reference, or with one.
    """

    rest: _Rest | None = None
    wanted: asyncio.Future[None]
    is_watched = False
    # What a turn has left behind (`Hands.end_turn`); None while there is no turn.
    last: Any = None

    def add_done_callback(self, *args: Any, **more: Any) -> None:
        self.is_watched = True
        super().add_done_callback(*args, **more)


class Entered:
    """A task as which somebody can run who is another one (`Hands.enter`)."""

    __slots__ = ("before", "holders", "task")

    def __init__(self, task: _Hand) -> None:
        self.task = task
        # From `enter` to `leave`: who that was, and how often the task is referred to when nobody has kept it.
        self.before: asyncio.Task[Any] | None = None
        self.holders = 0

    def is_free(self) -> bool:
        """Whether another turn may run as the same task: nobody has kept it, and what has ended its turn
        (`Hands.end_turn`) does not wait."""
        task = self.task
        return (
            task.last is _FRESH
            and not task.is_watched
            # Who was cancelled and has taken that back is not to be cancelled in somebody else's place.
            and not task.wanted.done()
            # As which one runs is kept as the current one.
            and getrefcount(self.task) + getweakrefcount(task) == self.holders + 1
        )


# In the place of what it waits for: it has not begun.
_FRESH = object()
DONE: Any = object()
"""In the place of what a coroutine waits for: it has ended. So ends ``next`` of one whose result nobody wants, while
``send`` makes an exception of that, which takes longer than most of what is run here."""


class _Rest:
    """What is left of a coroutine that waits for something, or all of it."""

    __slots__ = ("context", "coroutine", "finish", "is_cancelled", "waits_for")

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], finish: Finish, waits_for: Any, context: Context
    ) -> None:
        self.coroutine = coroutine
        self.finish = finish
        self.waits_for = waits_for
        self.context = context
        # Before its task could know what it waits for.
        self.is_cancelled = False

    def __await__(self) -> Generator[Any, Any, None]:
        run, coroutine, waits_for = self.context.run, self.coroutine, self.waits_for
        try:
            if waits_for is _FRESH:
                if self.is_cancelled:
                    coroutine.close()
                    raise asyncio.CancelledError
                waits_for = run(coroutine.send, None)
            elif self.is_cancelled and (waits_for is None or not waits_for.cancel()):
                waits_for = run(coroutine.throw, asyncio.CancelledError())
            while True:
                try:
                    yield waits_for
                except GeneratorExit:
                    run(coroutine.close)
                    raise
                except BaseException as error:
                    waits_for = run(coroutine.throw, error)
                else:
                    waits_for = run(coroutine.send, None)
        except StopIteration:
            pass


async def failed(error: BaseException) -> Any:
    """What has ended already, in an exception."""
    try:
        raise error
    finally:
        # By its traceback it would hold itself.
        del error


def _without_us(error: BaseException) -> BaseException:
    """An exception as it was before it was caught here: by our frame it would hold itself, and the task."""
    trace = error.__traceback__
    return error.with_traceback(None if trace is None else trace.tb_next)


async def ended(value: T) -> T:
    """What has ended already."""
    return value


class Begun:
    """A coroutine that has begun and waits: it goes on, in whatever waits for this, as if it had begun there.

    Args:
        waits_for: What it has yielded.
    """

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, object], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine, waits_for = self._coroutine, self._waits_for
        self._waits_for = None
        try:
            while True:
                try:
                    yield waits_for
                except GeneratorExit:
                    coroutine.close()
                    raise
                except BaseException as error:
                    waits_for = coroutine.throw(error)
                else:
                    waits_for = coroutine.send(None)
        except StopIteration as end:
            return end.value


def begun(awaitable: Awaitable[T]) -> tuple[Begun | None, T | None]:
    """Run what can be awaited until it waits for the first time, on asyncio, in the task that runs.

    Returns:
        What is left of it; or None, and its result.
    """
    # Any: a `cast` takes as long as a quick coroutine.
    coroutine: Any = awaitable
    if coroutine.__class__ is not CoroutineType:
        coroutine = _awaited(awaitable)
    try:
        return Begun(coroutine, coroutine.send(None)), None
    except StopIteration as end:
        return None, end.value


def begun_action(awaitable: Awaitable[None]) -> Begun | None:
    """`begun` of what has no result: what is left of it."""
    coroutine: Any = awaitable
    if coroutine.__class__ is not CoroutineType:
        coroutine = _awaited(awaitable)
    waits_for = next(coroutine.__await__(), DONE)
    return None if waits_for is DONE else Begun(coroutine, waits_for)


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def whole(turn: Turn) -> None:
    """All of it."""
    rest = turn(running_task())
    if rest is not None:
        await rest


def running_task() -> asyncio.Task[Any] | None:
    """The asyncio task that runs; None on Trio."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class Hands:
    """The tasks of one event loop that go on with what has begun.

    Args:
        made: Told of each task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, made: Callable[[asyncio.Task[None]], object]) -> None:
        self.loop = loop
        self._made = made
        self._idle: list[Entered] = []
        # One that was made to be idle, and has not begun.
        self._spare: _Hand | None = None
        self._depth = 0

    @property
    def idle(self) -> int:
        """How many tasks wait for something to do."""
        return len(self._idle)

    def run(self, coroutine: Coroutine[Any, Any, None], finish: Finish) -> bool:
        """Run a coroutine until it waits for the first time.

        Args:
            finish: A task runs this with what is left then, or with what the coroutine has raised.

        Returns:
            Whether nothing is left.
        """
        # All of `enter` and `leave` that this needs: it is done for each message to each peer.
        idle = self._idle
        if not idle or self._depth >= _DEEPEST or (hand := (entered := idle.pop()).task).wanted.done():
            self.start(coroutine, finish)
            return False
        loop, context = self.loop, copy_context()
        before = _current(loop)
        holders = getrefcount(entered.task) + getweakrefcount(hand)
        if before is not None:
            _leave(loop, before)
        _enter(loop, hand)
        self._depth += 1
        rest = failure = None
        try:
            waits_for = context.run(next, coroutine.__await__(), DONE)
            if waits_for is not DONE:
                rest = _Rest(coroutine, finish, waits_for, context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            failure = _without_us(error)
        finally:
            self._depth -= 1
            _leave(loop, hand)
            if before is not None:
                _enter(loop, before)
            if rest is not None:
                self._give(hand, rest)
            elif getrefcount(entered.task) + getweakrefcount(hand) == holders and not hand.is_watched:
                idle.append(entered)
            else:
                self._end(hand, context)
        if failure is None:
            return rest is None
        # To ``finish``, on a task of its own.
        self.start(failed(failure), finish)
        # Since Python 3.12 a frame in its traceback refers to this one, and each would hold the other.
        del failure
        return False

    def take(self, turn: Turn, finish: Finish) -> bool:
        """`run` what is no coroutine as long as it does not wait."""
        entered = self.enter()
        if entered is None:
            self.start(whole(turn), finish)
            return False
        context = copy_context()
        try:
            rest = context.run(turn, entered.task)
        except BaseException as error:
            rest = failed(_without_us(error))
        return self.leave(entered, context, rest, finish)

    def enter(self) -> Entered | None:
        """Be another task until `leave`; None where none is free."""
        idle = self._idle
        # An event loop that closes cancels all tasks.
        if not idle or self._depth >= _DEEPEST or (hand := (entered := idle.pop()).task).wanted.done():
            return None
        loop = self.loop
        entered.before = before = _current(loop)
        if before is not None:
            _leave(loop, before)
        entered.holders = getrefcount(entered.task) + getweakrefcount(hand)
        _enter(loop, hand)
        self._depth += 1
        hand.last = _FRESH
        return entered

    def leave(
        self,
        entered: Entered,
        context: Context,
        coroutine: Coroutine[Any, Any, None] | None = None,
        finish: Finish | None = None,
    ) -> bool:
        """Be what was before.

        Args:
            context: In which the other task has run, if anything of that is left.
            coroutine: What it goes on with; it begins here, as that task.
            finish: As of `run`.

        Returns:
            Whether nothing is left of the coroutine.
        """
        if coroutine is not None or entered.task.last is not _FRESH:
            return self._leave_with(entered, context, coroutine, finish)
        hand = entered.task
        loop = self.loop
        self._depth -= 1
        hand.last = None
        _leave(loop, hand)
        if entered.before is not None:
            _enter(loop, entered.before)
            entered.before = None
        if getrefcount(entered.task) + getweakrefcount(hand) == entered.holders and not hand.is_watched:
            self._idle.append(entered)
        else:
            self._end(hand, context)
        return True

    def _leave_with(
        self,
        entered: Entered,
        context: Context,
        coroutine: Coroutine[Any, Any, None] | None,
        finish: Finish | None,
    ) -> bool:
        hand, before, entered.before = entered.task, entered.before, None
        rest = failure = None
        last, hand.last = hand.last, None
        if last is not _FRESH:
            write, its_finish, waits_for = last
            rest = _Rest(write, its_finish, waits_for, context)
        elif coroutine is not None:
            assert finish is not None
            try:
                waits_for = context.run(next, coroutine.__await__(), DONE)
                if waits_for is DONE:
                    coroutine = None
                else:
                    rest = _Rest(coroutine, finish, waits_for, context)
            except BaseException as error:
                coroutine, failure = None, _without_us(error)
        loop = self.loop
        self._depth -= 1
        _leave(loop, hand)
        if before is not None:
            _enter(loop, before)
        if rest is not None:
            self._give(hand, rest)
        elif getrefcount(entered.task) + getweakrefcount(hand) == entered.holders and not hand.is_watched:
            self._idle.append(entered)
        else:
            self._end(hand, context)
        if coroutine is None and failure is None:
            return True
        assert finish is not None
        if failure is not None:
            if isinstance(failure, KeyboardInterrupt):
                raise failure
            # On a task of its own.
            self.start(failed(failure), finish)
            del failure
        elif last is not _FRESH:
            assert coroutine is not None
            self.start(coroutine, finish)
        return False

    def end_turn(self, task: asyncio.Task[Any], coroutine: Coroutine[Any, Any, None], finish: Finish) -> bool:
        """`run` a coroutine as the last thing that a turn does: in its place, where that is possible.

        Args:
            task: As which the turn runs. It goes on with what is left of the coroutine.
        """
        if not isinstance(task, _Hand) or task.last is not _FRESH:
            return self.run(coroutine, finish)
        try:
            waits_for = next(coroutine.__await__(), DONE)
            if waits_for is DONE:
                return True
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.start(failed(_without_us(error)), finish)
        else:
            task.last = coroutine, finish, waits_for
        return False

    def start(self, coroutine: Coroutine[Any, Any, None], finish: Finish) -> None:
        """Let a task run a coroutine from its beginning, when its turn comes. Nobody is told which task: who keeps it
        could not be seen."""
        rest = _Rest(coroutine, finish, _FRESH, copy_context())
        hand = self._idle_one()
        if hand is None:
            # One that has never run could not be cancelled in order, so nothing begins on it.
            self._new(rest)
            self._keep_one()
        else:
            self._give(hand, rest)

    def _keep_one(self) -> None:
        """However many wait: who needs another task at once (`enter`) is to find one."""
        if not self._idle and (self._spare is None or self._spare.done()):
            self._spare = self._new(None)

    def _new(self, first: _Rest | None) -> _Hand:
        hand = _Hand(self._work(first), loop=self.loop, context=Context())
        self._made(hand)
        hand.is_watched = False
        return hand

    def _give(self, hand: _Hand, rest: _Rest) -> None:
        hand.rest = rest
        if not hand.wanted.done():
            hand.wanted.set_result(None)
        self._keep_one()

    def _end(self, hand: _Hand, context: Context) -> None:
        """It is somebody's now, who may wait for it: it ends as what has run on it has."""
        self._give(hand, _Rest(ended(None), _awaited, _FRESH, context))

    def _idle_one(self) -> _Hand | None:
        # But the last: what has time can have a new one, and `enter` has none.
        while len(self._idle) > 1:
            hand = self._idle.pop().task
            # An event loop that closes cancels all tasks.
            if not hand.wanted.done():
                return hand
        return None

    async def _work(self, first: _Rest | None) -> None:
        hand, rest = cast("_Hand", asyncio.current_task()), first
        entered = Entered(hand)
        if first is None:
            self._spare = None
        del first
        # From now on anyio knows this task, so that it does not seem to be kept by somebody later.
        CancelScope().__enter__().__exit__(None, None, None)
        # Counted once: what goes on here may have begun before, and been kept, or hold its task as a timeout does.
        holders = getrefcount(entered.task) + getweakrefcount(hand)
        while True:
            if rest is not None:
                await rest.finish(rest)
            del rest
            hand.rest = None
            is_kept = getrefcount(entered.task) + getweakrefcount(hand) != holders
            if is_kept or hand.is_watched or hand.cancelling() or len(self._idle) >= _MOST_IDLE:
                return
            hand.wanted = self.loop.create_future()
            # What is idle may be thrown away with its server.
            hand._log_destroy_pending = False  # pyright: ignore
            self._idle.append(entered)
            try:
                await hand.wanted
            except asyncio.CancelledError:
                if hand.rest is None:
                    raise
                hand.rest.is_cancelled = True
            hand._log_destroy_pending = True  # pyright: ignore
            rest = cast("_Rest", hand.rest)
