"""A drain before the server's own handler of a signal runs.

ASGI tells an application of its end by the lifespan, and that is too late: uvicorn has closed the WebSockets by then
and waits for open responses, hypercorn has waited for them in vain. So the signal is taken in the server's place, and
handed on to it when the sessions are gone.

Servers have their signals in three ways: by `signal.signal` (uvicorn), by the event loop, which reads them from a
socket (`loop.add_signal_handler`; hypercorn in one process), or not at all. A handler of Python's is replaced and put
back. Of an event loop's, the socket too: what arrives there is passed on, without what we have taken.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import Any

import anyio

from ..engine.host import Host

__all__ = ["SignalDrain"]

logger = logging.getLogger("holdfast.server")


class _Wakeup:
    """Stands before the socket by which an asyncio loop hears of signals."""

    def __init__(self, loop: asyncio.AbstractEventLoop, taken: Sequence[int], before: int) -> None:
        self._loop = loop
        self._taken = bytes(taken)
        self._before = before
        self._inner, self._outer = socket.socketpair()
        for each in (self._inner, self._outer):
            each.setblocking(False)
        loop.add_reader(self._inner, self._pass_on)
        signal.set_wakeup_fd(self._outer.fileno(), warn_on_full_buffer=False)

    def _pass_on(self) -> None:
        rest = self._inner.recv(4096).translate(None, self._taken)
        if rest:
            os.write(self._before, rest)

    def close(self) -> None:
        """Put the loop's own back."""
        if signal.set_wakeup_fd(self._before) not in (self._outer.fileno(), self._before):
            logger.debug("another wakeup socket was set meanwhile")
        self._loop.remove_reader(self._inner)
        self._inner.close()
        self._outer.close()


class SignalDrain:
    """What `drain_on_signal` returns: armed while its server runs, or within ``with``.

    The first of its signals drains the server and is then handed on to whoever has handled it before; the next one is
    handed on at once.
    """

    def __init__(self, host: Host, drain: Callable[[], Awaitable[object]], signals: Sequence[int]) -> None:
        self._host = host
        self._drain = drain
        self._signals = signals
        self._before: dict[int, Any] = {}
        self._wakeup: _Wakeup | None = None
        self._call_soon: Callable[[Callable[[], object]], object] = lambda call: call()
        self._taken: int | None = None
        self._waiting = 0
        self._done: anyio.Event | None = None

    def __enter__(self) -> SignalDrain:
        self.arm()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.disarm()

    async def wait(self) -> None:
        """Return when a signal came and the server is drained: for servers that are told by a function when to end, as
        hypercorn by its ``shutdown_trigger``. The signal is then not handed on to anybody else."""
        if self._done is None:
            self._done = anyio.Event()
        self._waiting += 1
        self.arm()
        try:
            await self._done.wait()
        finally:
            self._waiting -= 1
            self.disarm()

    def arm(self) -> None:
        """Take the signals from now on; idempotent. Called where the event loop runs. In another thread than the main
        one Python has no signals, and the log says so."""
        if self._before:
            return
        if threading.current_thread() is not threading.main_thread():
            logger.warning("signals do not drain a server that does not run in the main thread")
            return
        self._taken = None
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            import trio

            self._call_soon = trio.lowlevel.current_trio_token().run_sync_soon
        else:
            self._call_soon = loop.call_soon_threadsafe
            self._stand_before(loop)
        for number in self._signals:
            self._before[number] = signal.signal(number, self._heard)

    def _stand_before(self, loop: asyncio.AbstractEventLoop) -> None:
        before = signal.set_wakeup_fd(-1)
        if before == -1:
            return
        try:
            self._wakeup = _Wakeup(loop, self._signals, before)
        except NotImplementedError:
            # Windows' loop has no readers, and no signal handlers either.
            signal.set_wakeup_fd(before)

    def disarm(self) -> None:
        """Put everything back; idempotent."""
        if self._wakeup is not None:
            self._wakeup.close()
            self._wakeup = None
        before, self._before = self._before, {}
        for number, handler in before.items():
            # None: one that Python cannot name, nor put back. Another's that came meanwhile is left alone.
            if handler is not None and signal.getsignal(number) == self._heard:
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        first, self._taken = self._taken is None, number
        self._call_soon(self._begin if first else self._hand_on)

    def _begin(self) -> None:
        self._host.spawn_aside(self._run)

    async def _run(self) -> None:
        logger.info("signal %s: draining", self._taken)
        try:
            await self._drain()
        finally:
            self._hand_on()

    def _hand_on(self) -> None:
        number = self._taken
        if number is None or not self._before:
            return
        self.disarm()
        if self._done is not None and self._waiting:
            self._done.set()
        else:
            signal.raise_signal(number)
