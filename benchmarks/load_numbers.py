"""What the servers of the load benchmarks have in common: numbers that come and go, by the ``id`` of each client."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.demo.checker import Checker

__all__ = ["Numbers"]

TICK_SECONDS = float(os.environ.get("TICK_MS", "0")) / 1000


class Numbers:
    """Those of all clients.

    Args:
        emit: Sends a number to all sockets of an id. With TICK_MS in the environment each id is sent one in that time.
    """

    def __init__(self, emit: Callable[[str, int], Awaitable[object]]) -> None:
        self.counts = {"connects": 0, "disconnects": 0}
        self._emit = emit
        self._up: dict[str, Checker] = {}
        self._down: dict[str, int] = {}
        self._is_sending = True
        self._ticking: asyncio.Task[None] | None = None

    def wants(self, id: object) -> bool:
        """Whether a client that says this id takes part; it does from now on."""
        if not isinstance(id, str) or not TICK_SECONDS:
            return False
        self._up.setdefault(id, Checker())
        self._down.setdefault(id, 0)
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick())
        return True

    def take(self, id: str, number: int) -> None:
        """One has come."""
        self._up[id].take(number)

    def stop(self) -> None:
        """None is sent any more."""
        self._is_sending = False

    def state(self) -> dict[str, Any]:
        """For ``/state``. Any: JSON."""
        up = {id: checker.verdict().to_json() for id, checker in self._up.items()}
        return {"up": up, "down": self._down, **self.counts}

    async def _tick(self) -> None:
        # One after the other, so that each gets one in a period.
        while True:
            began = time.monotonic()
            for id in list(self._down):
                if self._is_sending:
                    self._down[id] += 1
                    await self._emit(id, self._down[id])
            await asyncio.sleep(max(0.0, TICK_SECONDS - (time.monotonic() - began)))
