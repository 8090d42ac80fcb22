"""Coroutines that begin at once: what they see is what they would see in a task of their own."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from asgi_driver import ManualClock, settled
from counting_peer import Application, client_of
from starlette.types import Message, Receive, Scope, Send

from holdfast import CloseReason, Engine
from holdfast.engine.host import Host
from holdfast.engine.live.stopper import Stopper

pytestmark = pytest.mark.anyio

PLACE: ContextVar[str] = ContextVar("PLACE", default="nowhere")


@pytest.fixture
def anyio_backend() -> str:
    """On Trio a task is started instead."""
    return "asyncio"


async def ready_host() -> Host:
    """A host with a task that waits for something to do."""
    host = Host()
    host.begin(asyncio.sleep, 0)
    await host.idle()
    await asyncio.sleep(0)
    return host


async def test_what_does_not_wait_is_done_when_begin_returns() -> None:
    host, done = await ready_host(), list[int]()

    async def work(number: int) -> None:
        done.append(number)

    tasks = len(asyncio.all_tasks())
    for number in range(50):
        host.begin(work, number)
    assert done == list(range(50))
    assert (host.running, len(asyncio.all_tasks())) == (0, tasks)


async def test_the_current_task_and_the_context_stay_the_same_across_waits() -> None:
    host = await ready_host()
    seen: dict[str, set[asyncio.Task[object] | None]] = {}
    go = asyncio.Event()

    async def work(name: str) -> None:
        assert PLACE.get() == name
        PLACE.set(name + "!")
        for _ in range(3):
            seen.setdefault(name, set()).add(asyncio.current_task())
            await asyncio.sleep(0)
            assert PLACE.get() == name + "!"
        await go.wait()
        seen[name].add(asyncio.current_task())
        assert PLACE.get() == name + "!"

    me = asyncio.current_task()
    for name in ("a", "b", "c"):
        PLACE.set(name)
        host.begin(work, name)
        assert asyncio.current_task() is me
        assert PLACE.get() == name
    go.set()
    await host.idle()
    assert [len(tasks) for tasks in seen.values()] == [1, 1, 1]
    assert len({*seen["a"], *seen["b"], *seen["c"], me}) == 4


@pytest.mark.parametrize("wait", [asyncio.timeout, anyio.move_on_after])
async def test_timeouts_work_from_the_first_line_on(wait: Callable[[float], object]) -> None:
    host, ended = await ready_host(), list[str]()

    async def work() -> None:
        try:
            if wait is asyncio.timeout:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(60)
            else:
                with anyio.move_on_after(0.01):
                    await anyio.sleep(60)
        except TimeoutError:
            pass
        ended.append("in time")
        await asyncio.sleep(0)
        ended.append("and goes on")

    host.begin(work)
    await host.idle()
    assert ended == ["in time", "and goes on"]


async def wait_for_future() -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("wait", [lambda: asyncio.sleep(0), wait_for_future, lambda: asyncio.sleep(60)])
async def test_who_cancels_itself_before_it_first_waits_is_cancelled_there(
    wait: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    host, ended = await ready_host(), list[int]()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await wait()
        except asyncio.CancelledError:
            ended.append(task.uncancel())

    host.begin(work)
    await host.idle()
    assert ended == [0]
    assert caplog.records == []


async def test_a_task_that_somebody_kept_is_not_used_again() -> None:
    host, kept, done = await ready_host(), list[asyncio.Task[object] | None](), list[int]()

    async def keep() -> None:
        kept.append(asyncio.current_task())

    async def work(number: int) -> None:
        assert asyncio.current_task() not in kept
        await asyncio.sleep(0)
        done.append(number)

    for waits in (False, True):
        host.begin(keep)
        if waits:
            await asyncio.sleep(0)
        for task in kept:
            assert task is not None
            task.cancel()
        host.begin(work, waits)
        await host.idle()
    assert done == [False, True]


@pytest.mark.parametrize("cancels", [False, True])
async def test_who_waits_for_a_task_that_was_kept_sees_it_end_as_its_work_has(cancels: bool) -> None:
    host, kept = await ready_host(), list[asyncio.Task[Any]]()

    async def keep() -> None:
        task = asyncio.current_task()
        assert task is not None
        kept.append(task)
        if cancels:
            task.cancel()

    host.begin(keep)
    await asyncio.wait(kept, timeout=5)
    assert (kept[0].done(), kept[0].cancelled()) == (True, cancels)


async def test_a_task_that_was_kept_before_it_first_waited_is_not_used_again() -> None:
    host, kept, done = await ready_host(), set[asyncio.Task[object] | None](), list[int]()

    async def keep() -> None:
        kept.add(asyncio.current_task())
        await asyncio.sleep(0)

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    for number in range(3):
        host.begin(keep)
        await host.idle()
        await asyncio.sleep(0)
        host.begin(work, number)
        for task in kept:
            assert task is not None
            task.cancel()
        await host.idle()
    assert (done, len(kept)) == ([0, 1, 2], 3)


@pytest.mark.parametrize("wait", [asyncio.timeout, anyio.fail_after])
async def test_a_task_whose_work_had_a_timeout_is_used_again(wait: Callable[[float], Any]) -> None:
    host = await ready_host()

    async def work() -> None:
        timeout = wait(5)
        if isinstance(timeout, asyncio.Timeout):
            async with timeout:
                await asyncio.sleep(0)
        else:
            with timeout:
                await asyncio.sleep(0)

    names: set[str] = set()
    for _ in range(5):
        host.begin(work)
        await host.idle()
        await settled()
        found = {task.get_name() for task in asyncio.all_tasks()}
        assert found == (names := names or found)


async def test_who_needs_another_task_at_once_finds_one_however_many_wait() -> None:
    host, gate = await ready_host(), asyncio.Event()
    assert host.hands is not None
    for number in range(40):
        while host.idle_tasks:
            host.begin(gate.wait)
        if number == 20:
            spare = host.hands._spare  # pyright: ignore[reportPrivateUsage]
            assert spare is not None
            spare.cancel()
            await settled()
            host.begin(gate.wait)
        await settled()
        assert host.idle_tasks
    gate.set()
    await host.idle()
    await settled()
    assert host.idle_tasks == 16


@pytest.mark.parametrize("way", ["begin", "take"])
async def test_a_task_whose_work_has_failed_at_once_is_used_again(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await ready_host()
    # Who keeps a failure keeps what has led to it, and since Python 3.12 that is all of the stack.
    monkeypatch.setattr(logging.getLogger("holdfast.host"), "disabled", True)

    async def fail() -> None:
        raise ValueError

    gc.disable()
    try:
        for _ in range(3):
            if way == "begin":
                host.begin(fail)
            else:
                host.take(lambda _: fail(), host.hands)
            await host.idle()
            await settled()
            assert host.idle_tasks == 2
    finally:
        gc.enable()


async def test_who_is_told_of_a_tasks_end_is_told() -> None:
    host, told = await ready_host(), asyncio.Event()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: told.set())

    host.begin(work)
    with anyio.fail_after(5):
        await told.wait()


async def test_a_failure_is_logged_once_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    host, done = await ready_host(), list[int]()

    async def fail(waits: bool) -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError("on purpose")

    async def work() -> None:
        done.append(1)

    for waits in (False, True):
        host.begin(fail, waits)
    await host.idle()
    host.begin(work)
    await host.idle()
    assert done == [1]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


async def test_one_inside_of_another_and_so_on_without_end() -> None:
    host, depth = await ready_host(), list[int]()

    async def work(level: int) -> None:
        if level < 200:
            host.begin(work, level + 1)
        depth.append(level)

    host.begin(work, 0)
    await host.idle()
    assert sorted(depth) == list(range(201))


async def test_what_is_to_be_called_soon_is_called_in_order() -> None:
    host, done = await ready_host(), list[int]()

    for number in range(5):
        host.soon(lambda number=number: done.append(number))
    assert done == []
    await anyio.wait_all_tasks_blocked()
    assert done == [0, 1, 2, 3, 4]


async def test_a_loop_that_ends_ends_what_has_begun() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("waiting")

    async def main() -> None:
        host = await ready_host()
        host.begin(wait)
        host.spawn(wait)
        await asyncio.sleep(0)

    with anyio.fail_after(10):
        await anyio.to_thread.run_sync(lambda: asyncio.run(main()))
    assert ended == ["waiting"] * 2


async def test_a_stopper_stops_and_the_task_goes_on() -> None:
    stopper = Stopper()

    async def stop() -> None:
        stopper.stop()
        stopper.stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        await stopper.run(wait_for_future)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    await asyncio.sleep(0)


@pytest.mark.parametrize("error", [None, ValueError("on purpose")])
async def test_a_stopper_that_comes_too_late_leaves_nothing_behind(error: Exception | None) -> None:
    stopper = Stopper()

    async def work() -> None:
        stopper.stop()
        if error is not None:
            raise error

    try:
        await stopper.run(work)
    except ValueError as raised:
        assert raised is error
    await asyncio.sleep(0)


async def test_another_cancellation_is_not_swallowed_by_a_stopper() -> None:
    stopper = Stopper()

    async def cancelled_too() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        stopper.stop()
        await asyncio.sleep(60)

    async def run() -> None:
        await stopper.run(cancelled_too)

    task = asyncio.create_task(run())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_another_cancellation_that_comes_with_one_that_was_too_late_is_not_swallowed() -> None:
    stopper, order = Stopper(), list[str]()

    async def work() -> None:
        stopper.stop()
        # It has come to its end when this is called, and waits to hear of it.
        asyncio.get_running_loop().call_soon(task.cancel)

    async def run() -> None:
        await stopper.run(work)
        order.append("goes on")
        await asyncio.sleep(0)
        order.append("went on")

    task = asyncio.create_task(run())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert order == []


async def test_a_websocket_ends_though_who_stands_before_it_has_swallowed_that_it_is_cut() -> None:
    clock, application = ManualClock(), Application()
    engine = Engine(application, clock=clock)

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def patient() -> Message:
            try:
                return await receive()
            except asyncio.CancelledError:
                # As `asyncio.wait_for` of Python 3.11, if a message has come in the same moment.
                return {"type": "websocket.receive", "text": "4late"}

        await engine(scope, patient, send)

    async with client_of(middleware) as client:
        socket = client.websocket("/engine.io/?EIO=4&transport=websocket")
        await socket.accept()
        await clock.advance(100)
        await settled()
        assert application.ended == [CloseReason.PING_TIMEOUT]
        with anyio.fail_after(5):
            await socket.finished()


async def test_what_is_thrown_away_does_not_go_on(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[BaseException] = []

    async def wait(host: Host) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except BaseException as error:
            ended.append(error)
            await host.go_on_after(error)
            await asyncio.sleep(0)

    host = await ready_host()
    host.begin(wait, host)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del host
    gc.collect()
    assert [type(error) for error in ended] == [GeneratorExit]
    assert all("destroyed" in record.getMessage() for record in caplog.records)


class _Last:
    """The turns of a test, and what became of what they ended with."""

    def __init__(self, host: Host) -> None:
        hands = host.hands
        assert hands is not None
        self.host, self.hands = host, hands
        self.seen: list[object] = []
        self.gate = asyncio.Event()

    async def finish(self, rest: Awaitable[None]) -> None:
        try:
            await rest
        except OSError as error:
            self.seen.append(error)
        self.seen.append("finished")

    async def say(self, *, waits: bool = False, error: Exception | None = None) -> None:
        before, where = asyncio.current_task(), PLACE.get()
        if waits:
            await self.gate.wait()
        if error is not None:
            raise error
        assert (asyncio.current_task(), PLACE.get()) == (before, where)
        self.seen.append(where)

    def begin(self, *, waits: bool = False, error: Exception | None = None, more: bool = False) -> None:
        def turn(task: asyncio.Task[object] | None) -> Coroutine[Any, Any, None] | None:
            assert task is asyncio.current_task()
            PLACE.set("in the turn")
            self.seen.append(self.hands.end_turn(task, self.say(waits=waits, error=error), self.finish))
            return self.say() if more else None

        self.host.take(turn, self.hands)


async def test_what_a_turn_ends_with_is_done_when_it_does_not_wait() -> None:
    last = _Last(await ready_host())
    idle = last.hands.idle
    last.begin()
    assert last.seen == ["in the turn", True]
    assert (last.host.running, last.hands.idle) == (0, idle)


async def test_the_task_of_a_turn_goes_on_with_what_it_ends_with() -> None:
    last = _Last(await ready_host())
    idle = last.hands.idle
    last.begin(waits=True)
    # The turn itself is over.
    assert (last.seen, last.host.running, last.hands.idle) == ([False], 0, idle - 1)
    last.gate.set()
    await settled()
    assert last.seen == [False, "in the turn", "finished"]


async def test_what_a_turn_ends_with_may_fail() -> None:
    last = _Last(await ready_host())
    error = OSError("gone")
    last.begin(error=error)
    await settled()
    assert last.seen == [False, error, "finished"]
    last.begin(waits=True, error=error)
    last.gate.set()
    await settled()
    assert last.seen[3:] == [False, error, "finished"]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_turn_may_leave_more_than_what_it_ends_with(waits: bool) -> None:
    last = _Last(await ready_host())
    last.begin(waits=waits, more=True)
    last.gate.set()
    await last.host.idle()
    await settled()
    assert last.seen.count("in the turn") + last.seen.count("nowhere") == 2
    assert last.host.running == 0


async def test_a_turn_that_has_a_whole_task_ends_with_a_task_of_its_own() -> None:
    last = _Last(Host())
    # There is none that is idle.
    last.begin(waits=True)
    await settled()
    assert last.seen == [False]
    last.gate.set()
    await settled()
    assert last.seen == [False, "in the turn", "finished"]
