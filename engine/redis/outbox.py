"""What waits to be published: in order, bounded, and never lost without a word.

One batch is on its way at a time and takes all that waits, so load makes batches larger and not more numerous. Of one
whose replies do not come nobody knows what was carried out. What says so itself is sent again, and nothing else.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import anyio
from anyio.lowlevel import checkpoint

from ..errors import BrokerRefused, BrokerUnavailable
from ..host import Event, Host, make_event
from .connection import RedisConnection, Word

__all__ = ["RedisOutbox", "Told"]

logger = logging.getLogger("holdfast.redis")

Told = Callable[[object], None]
"""Called with a reply, or with the exception in its place."""

_BATCH = 500
_EACH = 100
"""What one counts besides its payload."""


class _Item(NamedTuple):
    command: Sequence[Word]
    size: int
    told: Told | None
    again: bool


class RedisOutbox:
    """Carries commands to the broker that nobody waits for.

    Args:
        connection: Carries them. While there is none, they wait.
        limit_bytes: What may wait. What comes beyond is not published; the log says how much, and `lost` counts it.
    """

    def __init__(self, connection: RedisConnection, host: Host, *, limit_bytes: int) -> None:
        self.lost = 0
        self._connection = connection
        self._host = host
        self._limit = limit_bytes
        self._waiting: deque[_Item] = deque()
        self._bytes = 0
        self._is_pumping = False
        self._emptied: Event | None = None
        self._unreported = 0

    @property
    def waiting_bytes(self) -> int:
        """What is not published yet."""
        return self._bytes

    def put(
        self, command: Sequence[Word], size_bytes: int, told: Told | None = None, *, again: bool = False
    ) -> None:
        """Let a command follow all that were put before.

        Args:
            told: Called later with what came of it.
            again: Whether it may be carried out twice, or before one that was put before it, without harm.
        """
        size = size_bytes + _EACH
        if self._bytes + size > self._limit:
            self._lose(1, f"{self._bytes} bytes wait already")
            if told is not None:
                self._host.soon(lambda: told(BrokerUnavailable("too much waits to be published")))
            return
        self._bytes += size
        self._waiting.append(_Item(command, size, told, again))
        if not self._is_pumping:
            self._is_pumping = True
            self._host.spawn_aside(self._pump)

    async def flush(self) -> None:
        """Let others have their turn; while more than half of the limit waits for a broker that is there, wait."""
        await checkpoint()
        while self._bytes > self._limit // 2 and self._connection.is_up:
            await self._progress()

    async def empty(self, timeout: float) -> None:
        """Return when all is published, or could not be, or after ``timeout`` seconds."""
        with anyio.move_on_after(timeout):
            while self._is_pumping:
                await self._progress()

    async def _progress(self) -> None:
        if self._emptied is None:
            self._emptied = make_event()
        await self._emptied.wait()

    async def _pump(self) -> None:
        try:
            while self._waiting:
                # With no connection they stay where they are, and count as waiting.
                await self._connected()
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                left: list[_Item] = []
                for item, reply in zip(batch, await self._publish(batch), strict=True):
                    if item.again and isinstance(reply, BrokerUnavailable):
                        left.append(item)
                        continue
                    self._bytes -= item.size
                    if item.told is not None:
                        item.told(reply)
                self._waiting.extendleft(reversed(left))
                self._tell()
        finally:
            self._is_pumping = False
            self._tell()

    async def _connected(self) -> None:
        while self._connection.is_open:
            try:
                await self._connection.up()
                return
            except BrokerUnavailable:
                continue
        self.drop("it is closed")

    async def _publish(self, items: list[_Item]) -> Sequence[object]:
        if not items:
            return []
        try:
            replies = await self._connection.pipeline([item.command for item in items])
        except BrokerUnavailable as error:
            # Sent again they might come twice.
            lost = sum(not item.again for item in items)
            if lost:
                self._lose(lost, str(error))
            return [error] * len(items)
        refused = [reply for reply in replies if isinstance(reply, BrokerRefused)]
        if refused:
            self._lose(len(refused), str(refused[0]))
        elif self._unreported:
            logger.error("%d messages to other servers were not published", self._unreported)
            self._unreported = 0
        return replies

    def drop(self, why: str) -> None:
        """Nothing more will be published."""
        waiting = len(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        if waiting:
            self._lose(waiting, why)

    def _lose(self, number: int, why: str) -> None:
        self.lost += number
        if not self._unreported:
            # The first one with its reason; their number when it is over.
            logger.error("messages to other servers are not published: %s", why)
        self._unreported += number

    def _tell(self) -> None:
        emptied, self._emptied = self._emptied, None
        if emptied is not None:
            emptied.set()
