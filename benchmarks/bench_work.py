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

    def clients(self, usual: int) -> int:
        """How many of them."""
        return max(2, int(usual * self.scale))

    def __enter__(self) -> None:
        self.wall -= time.monotonic()
        self.own_cpu -= time.process_time()
        self.cpu -= self.server.cpu_seconds()

    def __exit__(self, *_: object) -> None:
        self.cpu += self.server.cpu_seconds()
        self.own_cpu += time.process_time()
        self.wall += time.monotonic()


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
