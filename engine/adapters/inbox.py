"""What other nodes have said, carried out one after the other."""

from __future__ import annotations

import logging
from collections import deque

from ..host import Host
from .bus import Receiver
from .messages import ClusterMessage

__all__ = ["Inbox"]

logger = logging.getLogger("holdfast.adapters")


class Inbox:
    """Lets a receiver hear of messages, each when the one before is carried out.

    Args:
        limit_bytes: What may wait. What comes beyond is not carried out: the log says so, and `unread` counts it.
    """

    def __init__(self, host: Host, receiver: Receiver, *, limit_bytes: int) -> None:
        self.unread = 0
        self._host = host
        self._receiver = receiver
        self._limit = limit_bytes
        self._waiting: deque[tuple[ClusterMessage, int]] = deque()
        self._bytes = 0
        self._is_busy = False

    def put(self, message: ClusterMessage, size_bytes: int) -> None:
        """Let it be carried out when its turn comes: at once if nothing waits, on asyncio."""
        if self._bytes > self._limit:
            self.unread += 1
            if self.unread == 1:
                logger.error("more comes from other servers than can be carried out: some of it is not")
            return
        self._waiting.append((message, size_bytes))
        self._bytes += size_bytes
        if not self._is_busy:
            self._is_busy = True
            self._host.begin_aside(self._pump)

    async def _pump(self) -> None:
        try:
            while self._waiting:
                message, size = self._waiting.popleft()
                self._bytes -= size
                await self._receiver.receive(message)
        finally:
            self._is_busy = False
