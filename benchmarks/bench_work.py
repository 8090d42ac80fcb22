"""What the workloads of `make bench` have in common. Texts begin with their number, so that no two are alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bench_peers import Link
from bench_servers import Running
from bench_wire import WrongAnswer

__all__ = ["SOCKETS", "Meter", "Work", "all_finished", "complain", "events", "payload"]

SOCKETS = 100


# A turn of the event loop that takes no longer than this many of the quickest has had nothing to do.
_IDLE = 3


class _Awake:
    """Keeps the clients awake: their event loop asks without a pause whether something has come.

    The kernel wakes a process that sleeps in the time of the one that has something for it. A server that is quick
    keeps its clients busy, and one that is slower would pay for waking them with each message, some 4 us; over a
    network nobody does that.
    """

    def __init__(self) -> None:
        self._is_on = False
        self._before = 0.0
        self._quickest = 1.0
        self._idle = 0.0

    def begin(self) -> None:
        self._is_on = True
        self._idle, self._before = 0.0, time.perf_counter()
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        if not self._is_on:
            return
        now = time.perf_counter()
        took, self._before = now - self._before, now
        self._quickest = min(took, self._quickest)
        if took <= _IDLE * self._quickest:
            self._idle += took
        asyncio.get_running_loop().call_soon(self._turn)

    def end(self) -> float:
        """For how many seconds there was nothing to do."""
        self._is_on = False
        return self._idle


@dataclass
class Meter:
    """Between ``with`` and its end: what the server spent, what the clients spent, and how long it took, in seconds.

    Args:
        scale: Of the usual number of clients.
    """

    server: Running
    scale: float = 1.0
    cpu: float = field(default=0.0, init=False)
    own_cpu: float = field(default=0.0, init=False)
    wall: float = field(default=0.0, init=False)
    _awake: _Awake = field(default_factory=lambda: _Awake(), init=False)

    def clients(self, usual: int) -> int:
        """How many of them."""
        return max(2, int(usual * self.scale))

    def __enter__(self) -> None:
        self._awake.begin()
        self.wall -= time.monotonic()
        self.own_cpu -= time.process_time()
        self.cpu -= self.server.cpu_seconds()

    def __exit__(self, *_: object) -> None:
        self.cpu += self.server.cpu_seconds()
        self.own_cpu += time.process_time()
        self.wall += time.monotonic()
        self.own_cpu -= self._awake.end()


# Takes the number of operations, and returns how many there were.
Work = Callable[[Meter, int], Awaitable[int]]


def payload(number: int, size: int) -> str:
    return f"{number:08}".ljust(size, "x")


def complain(link: Link, found: str, wanted: str) -> None:
    link.fail(WrongAnswer(f"{found[:300]!r} instead of {wanted[:300]!r}"))


async def all_finished(links: Sequence[Link]) -> None:
    await asyncio.gather(*(link.finished() for link in links))


def events(bare: bool, count: int, size: int) -> tuple[list[str], list[str]]:
    """So many, and their answers."""
    texts = [payload(number, size) for number in range(count)]
    if bare:
        asked = [f'42["echo","{text}"]' for text in texts]
        return asked, asked
    asked = [f'42{number}["echo","{text}"]' for number, text in enumerate(texts)]
    return asked, [f'43{number}["{text}"]' for number, text in enumerate(texts)]
