"""Tasks and timers that outlive a request, on both event loops."""

from __future__ import annotations

import logging

import anyio
import pytest
from asgi_driver import ManualClock, settled

from holdfast.engine.host import Host


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_timers_are_called_in_the_order_of_their_times(clock: ManualClock) -> None:
    host, called = Host(clock), list[str]()
    host.call_later(3, lambda: called.append("third"))
    host.call_later(1, lambda: called.append("first"))
    host.call_later(2, lambda: called.append("second"))
    host.call_later(1, lambda: called.append("first again"))
    await clock.advance(2.5)
    assert called == ["first", "first again", "second"]
    await clock.advance(1)
    assert called[3:] == ["third"]


async def test_earlier_timer_wakes_who_sleeps_for_a_later_one(clock: ManualClock) -> None:
    host, called = Host(clock), list[float]()
    host.call_later(100, lambda: called.append(host.now()))
    await clock.advance(1)
    host.call_later(1, lambda: called.append(host.now()))
    await clock.advance(1)
    assert called == [1002.0]


async def test_cancelled_timer_is_not_called_and_may_be_cancelled_again(clock: ManualClock) -> None:
    host, called = Host(clock), list[str]()
    timer = host.call_later(1, lambda: called.append("cancelled"))
    host.call_later(2, lambda: called.append("kept"))
    timer.cancel()
    await clock.advance(3)
    timer.cancel()
    assert called == ["kept"]


async def test_timers_go_on_after_a_time_without_any(clock: ManualClock) -> None:
    host, called = Host(clock), list[int]()
    for number in range(3):
        host.call_later(1, lambda number=number: called.append(number))
        await clock.advance(2)
    assert called == [0, 1, 2]


async def test_timer_may_start_another(clock: ManualClock) -> None:
    host, called = Host(clock), list[float]()

    def again() -> None:
        called.append(host.now())
        if len(called) < 3:
            host.call_later(1, again)

    host.call_later(1, again)
    await clock.advance(5)
    assert called == [1001.0, 1002.0, 1003.0]


async def test_timer_that_fails_is_logged_and_stops_no_other(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    host, called = Host(clock), list[str]()

    def fail() -> None:
        raise RuntimeError("broken timer")

    host.call_later(1, fail)
    host.call_later(2, lambda: called.append("next"))
    await clock.advance(3)
    assert called == ["next"]
    assert "broken timer" in caplog.text


async def test_task_that_fails_is_logged_once_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    host, done = Host(), anyio.Event()

    async def fail(text: str) -> None:
        raise RuntimeError(text)

    async def go_on() -> None:
        await anyio.lowlevel.checkpoint()
        done.set()

    host.spawn(fail, "broken task")
    host.spawn(go_on)
    with anyio.fail_after(5):
        await done.wait()
    await settled()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "broken task" in caplog.text


async def test_task_outlives_who_started_it() -> None:
    host, go, done = Host(), anyio.Event(), anyio.Event()

    async def wait() -> None:
        await go.wait()
        done.set()

    async with anyio.create_task_group() as tasks:

        async def request() -> None:
            host.spawn(wait)
            await anyio.sleep_forever()

        tasks.start_soon(request)
        await settled()
        tasks.cancel_scope.cancel()
    go.set()
    with anyio.fail_after(5):
        await done.wait()


async def test_time_limit_is_by_the_clock_of_the_host(clock: ManualClock) -> None:
    host = Host(clock)
    async with anyio.create_task_group() as tasks:
        ended: list[float] = []

        async def wait() -> None:
            with host.move_on_after(2.0) as scope:
                await anyio.sleep_forever()
            assert scope.cancelled_caught
            ended.append(clock.now())

        tasks.start_soon(wait)
        await clock.advance(1.9)
        assert ended == []
        await clock.advance(0.2)
        assert ended == [1002.0]


async def test_clock_of_the_loop_is_the_default() -> None:
    host, done = Host(), anyio.Event()
    before = host.now()
    host.call_later(0.01, done.set)
    with anyio.fail_after(5):
        await done.wait()
    assert host.now() - before >= 0.01
