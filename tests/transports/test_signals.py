"""A signal is taken in its handler's place and handed on; what others wait for is passed on untouched."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from asgi_driver import settled
from counting_peer import open_site

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@contextmanager
def handled(number: int) -> Iterator[list[int]]:
    """The signals that a handler of Python's gets."""
    heard: list[int] = []
    before = signal.signal(number, lambda number, frame: heard.append(number))
    try:
        yield heard
    finally:
        signal.signal(number, before)


async def until(condition: object) -> None:
    assert callable(condition)
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.001)


async def test_signal_drains_and_is_handed_on_when_that_is_done() -> None:
    with handled(signal.SIGUSR2) as heard:
        async with open_site() as site:
            _, carrier = await site.opened()
            with site.engine.drain_on_signal(signal.SIGUSR2, period=0.0):
                os.kill(os.getpid(), signal.SIGUSR2)
                await until(lambda: site.engine.stats().draining)
                await settled()
                assert heard == []
                await carrier.closing()
                await settled()
                await site.clock.advance(0.1)
                await until(lambda: heard)
        assert heard == [signal.SIGUSR2]
        assert signal.getsignal(signal.SIGUSR2).__qualname__.startswith("handled.")  # type: ignore[union-attr]


async def test_second_signal_is_handed_on_before_the_drain_is_done() -> None:
    with handled(signal.SIGUSR2) as heard:
        async with open_site() as site:
            await site.opened()
            with site.engine.drain_on_signal(signal.SIGUSR2):
                os.kill(os.getpid(), signal.SIGUSR2)
                await until(lambda: site.engine.stats().draining)
                os.kill(os.getpid(), signal.SIGUSR2)
                await until(lambda: heard)
                for _ in range(500):
                    await site.clock.advance(0.05)
        assert heard == [signal.SIGUSR2]


async def test_who_waits_for_the_drain_has_the_signal_to_himself() -> None:
    with handled(signal.SIGUSR2) as heard:
        async with open_site() as site, anyio.create_task_group() as tasks:
            signals = site.engine.drain_on_signal(signal.SIGUSR2)
            done: list[bool] = []

            async def wait() -> None:
                await signals.wait()
                done.append(True)

            tasks.start_soon(wait)
            await settled()
            os.kill(os.getpid(), signal.SIGUSR2)
            await until(lambda: done)
        assert heard == []
        os.kill(os.getpid(), signal.SIGUSR2)
        assert heard == [signal.SIGUSR2]


async def test_lifespan_arms_it_and_puts_everything_back() -> None:
    with handled(signal.SIGUSR2) as heard:
        async with open_site() as site:
            site.engine.drain_on_signal(signal.SIGUSR2)
            os.kill(os.getpid(), signal.SIGUSR2)
            assert heard == [signal.SIGUSR2]
            async with site.engine.lifespan():
                os.kill(os.getpid(), signal.SIGUSR2)
                await until(lambda: site.engine.stats().draining)
                await until(lambda: len(heard) == 2)
            os.kill(os.getpid(), signal.SIGUSR2)
            assert len(heard) == 3


async def test_server_that_does_not_run_in_the_main_thread_says_that_it_has_no_signals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_site() as site:
        signals = site.engine.drain_on_signal(signal.SIGUSR2)
        before = signal.getsignal(signal.SIGUSR2)
        thread = threading.Thread(target=signals.arm)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGUSR2) == before
    assert "main thread" in caplog.text


def test_it_is_not_armed_where_nothing_runs() -> None:
    from holdfast import Server

    io = Server()
    io.drain_on_signal(signal.SIGUSR2)
    before = signal.getsignal(signal.SIGUSR2)
    io.start()
    assert signal.getsignal(signal.SIGUSR2) == before


@only_asyncio
async def test_handlers_of_the_event_loop_are_kept_and_get_theirs(anyio_backend: str) -> None:
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, heard.append, "other")
    loop.add_signal_handler(signal.SIGUSR2, heard.append, "drained")
    try:
        async with open_site() as site:
            _, carrier = await site.opened()
            with site.engine.drain_on_signal(signal.SIGUSR2, period=0.0):
                os.kill(os.getpid(), signal.SIGUSR1)
                await until(lambda: heard == ["other"])
                os.kill(os.getpid(), signal.SIGUSR2)
                await until(lambda: site.engine.stats().draining)
                await settled()
                assert heard == ["other"]
                await carrier.closing()
                await settled()
                await site.clock.advance(0.1)
                await until(lambda: heard == ["other", "drained"])
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: heard == ["other", "drained", "other"])
    finally:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.remove_signal_handler(number)
