"""What waits for the handlers of all sessions together."""

from __future__ import annotations

import logging
from sys import getsizeof
from typing import Any, Protocol, cast

__all__ = ["Backlog", "memory_of"]

logger = logging.getLogger("holdfast.dispatch")


def memory_of(value: object) -> int:
    """About how many bytes of memory a value takes that a peer has sent: a list of empty lists takes 25 times what it
    came as. What it shares with others counts, too."""
    size = 0
    left = [value]
    while left:
        item: Any = left.pop()
        size += getsizeof(item)
        kind = item.__class__
        if kind is list or kind is tuple:
            left += item
        elif kind is dict:
            pairs = cast("dict[object, object]", item)
            left += pairs.keys()
            left += pairs.values()
    return size


class Waiting(Protocol):
    """Where what a peer has said waits."""

    def drop_events(self) -> str:
        """Forget it: the peer has left, and others need the room. Returns what that was, for the log."""
        ...


class Backlog:
    """Of one server.

    A handler may wait for ever, and what waits behind it outlives its session: so there is a bound for all, and what
    peers have said that have left since goes first.

    Attributes:
        limit_bytes: What may wait in all, as it is in memory.
        used_bytes: What waits now.
        sessions: How many sessions share it.
    """

    __slots__ = ("_left", "limit_bytes", "sessions", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.sessions = 0
        # In the order in which they left.
        self._left: dict[Waiting, None] = {}

    def left(self, waiting: Waiting) -> None:
        """The peer has left, and is not there to wait for what becomes of it."""
        self._left[waiting] = None

    def done(self, waiting: Waiting) -> None:
        """Nothing waits there any more."""
        self._left.pop(waiting, None)

    def has_room(self, waiting_bytes: int) -> bool:
        """Whether a session for which so much waits may have that, after those that have left made way.

        Where the bound is reached, each may have its share.
        """
        while self.used_bytes > self.limit_bytes and self._left:
            oldest = next(iter(self._left))
            del self._left[oldest]
            dropped = oldest.drop_events()
            if dropped:
                logger.warning(
                    "%s that has left are dropped, since what handles them does not come to them and too much waits for"
                    " all (setting total_pending_event_bytes)",
                    dropped,
                )
        return self.used_bytes <= self.limit_bytes or waiting_bytes <= self.limit_bytes // max(
            1, self.sessions
        )
