"""A TCP proxy that breaks the network on purpose, at the level of bytes.

It passes everything on untouched (streaming, half-close and back-pressure included) until it is told to misbehave::

    async with MisbehavingProxy("127.0.0.1", 9000) as proxy:
        connect_to(proxy.url)
        proxy.set(refuse_websocket=True, delay_down=0.05)      # faults that last, see Faults
        lost = proxy.next(Mishap.LOSE_ANSWER, of=Kind.POST)    # what befalls the next fitting request
        await lost.wait()
        proxy.cut()                                            # reset what carries sessions now
        proxy.stall(0.5)                                       # … after half a second of silence
        proxy.cut_all(3.0)                                     # and everything, for three seconds
        proxy.black_hole(5.0)                                  # connections stay, bytes vanish
        proxy.silence()                                        # … for good, but only on those open now
        proxy.clear()

Everything random comes from ``seed``. It knows HTTP/1.1 and WebSocket handshakes, nothing of any protocol on top but
the query parameter ``transport``, by which a poll is told from a page.
"""

from __future__ import annotations

import math
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Any, Self

import anyio

from .connection import Connection
from .faults import CARRIERS, Direction, Faults, Kind, Mishap, Plan, Rules, Stats, Traffic, fitting
from .tcp import Wire, listen

__all__ = [
    "CARRIERS",
    "Direction",
    "Faults",
    "Kind",
    "MisbehavingProxy",
    "Mishap",
    "Plan",
    "Stats",
    "Traffic",
]


class MisbehavingProxy:
    """Carries TCP connections to one target, and breaks them as told. An async context manager.

    Methods are called from the event loop it runs on. None of those that break something waits.

    Args:
        target_host: Where the server is.
        target_port: And its port.
        host: Where to listen.
        port: 0 lets the system choose; see `port`.
        faults: What is wrong from the start.
        seed: Of everything random: jitter, and which requests `Faults.mishaps` befall.

    Attributes:
        stats: What has flowed and how often each fault has struck.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        seed: int = 0,
    ) -> None:
        self._target = (target_host, target_port)
        self.host = host
        self.port = port
        self._seed = seed
        self._rules = Rules(faults or Faults())
        self._connections: set[Connection] = set()
        self._closed_until = 0.0
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        listener = listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        self._exit.callback(listener.close)
        self._tasks = await self._exit.enter_async_context(anyio.create_task_group())
        self._tasks.start_soon(self._accept, listener)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        return await self._exit.__aexit__(kind, error, traceback)

    @property
    def url(self) -> str:
        """The address to use in place of the server's, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def stats(self) -> Stats:
        stats = self._rules.stats
        kinds = (connection.kind for connection in self._connections)
        stats.open_carriers = Counter(kind for kind in kinds if kind is not None and kind in CARRIERS)
        return stats

    @property
    def closed_for(self) -> float:
        """Seconds for which new connections are still reset (see `cut_all`)."""
        return max(0.0, self._closed_until - anyio.current_time())

    def carrying(self, *kinds: Kind) -> int:
        """How many connections carry these kinds now, by default any carrier."""
        return sum(connection.kind in (kinds or CARRIERS) for connection in self._connections)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when a condition on the proxy is true, e.g. ``lambda: proxy.stats.open_carriers["stream"] == 1``.

        The condition is asked again whenever a request or response begins or ends, or a fault strikes.
        """
        await self._rules.until(condition)

    # What lasts

    @property
    def faults(self) -> Faults:
        """The faults in force. Assign, or use `set`, to change them."""
        return self._rules.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._rules.faults = faults
        if not faults.holds(Kind.STREAM):
            for connection in self._connections:
                self._start(connection.release)
        self._rules.changed()

    def set(self, **changes: Any) -> None:
        """Change some faults (the fields of `Faults`) and leave the others. Bytes no longer held back leave at once."""
        self.faults = replace(self.faults, **changes)

    def clear(self) -> None:
        """Behave. Plans are forgotten too; a connection that lost bytes stays silent."""
        self._rules.plans.clear()
        self._closed_until = 0.0
        self._rules.darken(0.0)
        self.faults = Faults()

    # What happens once

    def next(
        self,
        mishap: Mishap,
        *,
        of: Kind | Iterable[Kind] | None = None,
        after_bytes: int = 0,
        delay: float = 0.0,
        times: int = 1,
    ) -> Plan:
        """Plan a mishap for the next request it fits. Plans for the same kind happen in the order they were made.

        Args:
            mishap: What is to happen.
            of: To which kinds of request; by default to all that it can befall.
            after_bytes: For the cuts: how many bytes of the body pass at least.
            delay: For REPEAT: seconds until the copy follows; 0: the copy comes before the original. For REORDER:
                seconds until the request follows if no other overtakes it; 0: never.
            times: How many requests in a row.
        """
        kinds = (of,) if isinstance(of, Kind) else tuple(of or fitting(mishap))
        plan = Plan(mishap, kinds, after_bytes=after_bytes, delay=delay, times=times)
        self._rules.plans.append(plan)
        return plan

    def cut(self, *kinds: Kind, reset: bool = True) -> int:
        """End the connections that carry these kinds now, by default all carriers; return how many.

        Args:
            kinds: WebSockets, streams, held polls, POSTs.
            reset: With RST, or else with FIN.
        """
        return self._end(lambda connection: connection.kind in (kinds or CARRIERS), reset=reset)

    def stall(self, seconds: float, *kinds: Kind, reset: bool = True) -> int:
        """Let the connections that carry these kinds lose all bytes, and end them some seconds later.

        Args:
            seconds: From now until their end.
            kinds: As in `cut`.
            reset: With RST, or else with FIN.

        Returns:
            How many they are.
        """
        stalled = [connection for connection in self._connections if connection.kind in (kinds or CARRIERS)]
        for connection in stalled:
            connection.stall(seconds, reset=reset)
        if stalled:
            self._rules.count("stall")
        return len(stalled)

    def cut_all(self, seconds: float = 0.0, *, reset: bool = True) -> int:
        """End all connections, and for some seconds (`math.inf`: until `clear`) reset each new one."""
        self._closed_until = anyio.current_time() + seconds
        return self._end(lambda _: True, reset=reset)

    def black_hole(self, seconds: float = math.inf) -> None:
        """Let all bytes vanish for some seconds (by default until `clear`).

        Connections stay. One that lost bytes is silent for good, since its stream cannot be mended; one that had
        nothing to say goes on unharmed.
        """
        self._rules.darken(anyio.current_time() + seconds)

    def silence(self, *directions: Direction) -> int:
        """Let all bytes vanish, for good, on the connections that are open now; return how many.

        Neither end hears of it, nor that the other has closed: so it is when a router on the way has forgotten them.
        New connections work.

        Args:
            directions: One of them, and the other way goes on; by default both.
        """
        for connection in self._connections:
            connection.silence(*directions)
        self._rules.count("silence")
        return len(self._connections)

    def _end(self, which: Callable[[Connection], bool], *, reset: bool) -> int:
        ended = [connection for connection in self._connections if which(connection)]
        for connection in ended:
            connection.end(reset=reset)
        self._connections.difference_update(ended)
        self._rules.count("cut")
        return len(ended)

    def _start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.start_soon(function)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await anyio.wait_readable(listener)
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, ConnectionError):
                continue  # The client has given up already.
            except OSError:
                await anyio.sleep(0.1)  # Out of file descriptors: some will be closed.
                continue
            wire = Wire(sock)
            self._rules.stats.connections += 1
            if anyio.current_time() < self._closed_until:
                wire.close(reset=True)
                self._rules.count("refused connection")
            else:
                self._tasks.start_soon(self._carry, wire)

    async def _carry(self, wire: Wire) -> None:
        random = Random(f"{self._seed}/{self._rules.stats.connections}")
        connection = Connection(wire, self._target, self._rules, random=random, start=self._start)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._rules.changed()
