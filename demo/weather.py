"""Cuts at random moments, the same ones for the same seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import anyio

from .faults import Kind
from .proxy import MisbehavingProxy

__all__ = ["Cut", "Struck", "cut_at_random"]


class Cut(StrEnum):
    """How a connection ends."""

    RESET = "rst"
    FIN = "fin"
    STALL = "stall"
    """It falls silent, and some time later it is reset."""


@dataclass(frozen=True, slots=True)
class Struck:
    """One cut that has happened.

    Attributes:
        at: When it began, as `time.time()`.
        ended: When the connections ended; later than ``at`` by the length of a stall.
        how: In which way.
        connections: How many it hit, one at least.
    """

    at: float
    ended: float
    how: Cut
    connections: int


async def cut_at_random(
    proxy: MisbehavingProxy,
    times: int,
    *,
    seed: int = 0,
    pause: tuple[float, float] = (0.1, 0.5),
    ways: Sequence[Cut] = tuple(Cut),
    kinds: Sequence[Kind] = (Kind.WEBSOCKET, Kind.STREAM, Kind.POLL, Kind.POST),
    stall: float = 0.5,
    note: Callable[[Struck], object] = lambda _: None,
) -> list[Struck]:
    """Cut what carries sessions, again and again. Each cut hits something: it waits for that.

    Args:
        proxy: Whose connections are cut.
        times: How often.
        seed: Of the moments and the ways.
        pause: Bounds of the time before each cut, in seconds, from when there is something to cut.
        ways: From which one is drawn for each cut.
        kinds: What is cut: all of it that is open at that moment.
        stall: Seconds of silence before the reset of a `Cut.STALL`.
        note: Called after each cut.
    """
    random = Random(f"cuts/{seed}")
    struck: list[Struck] = []
    while len(struck) < times:
        wait, how = random.uniform(*pause), random.choice(ways)
        while True:
            # Whoever pauses before it comes back is not met at the door each time.
            await proxy.until(lambda: proxy.carrying(*kinds) > 0)
            await anyio.sleep(wait)
            if (cut := await _strike(proxy, how, kinds, stall)).connections:
                break
            # Between two polls.
            wait = pause[0] / 10
        struck.append(cut)
        note(cut)
    return struck


async def _strike(proxy: MisbehavingProxy, how: Cut, kinds: Sequence[Kind], stall: float) -> Struck:
    at = time.time()
    if how is not Cut.STALL:
        hit = proxy.cut(*kinds, reset=how is Cut.RESET)
    elif hit := proxy.stall(stall, *kinds):
        await anyio.sleep(stall)
    return Struck(at, time.time(), how, hit)
