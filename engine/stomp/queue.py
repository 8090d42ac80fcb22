"""A queue: each message for one of those who subscribe, kept until it is done.

1. A message is ready, or it is with somebody who has not acknowledged it, or it is gone.
2. Who has not acknowledged gives back: by NACK, by UNSUBSCRIBE, or by being gone. What comes back takes its old place.
3. Who subscribes is served in turn, as far as he can take more.
4. What was given away too often is dropped: somebody may die of it each time.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ..host import Timer
from ..settings import StompSettings
from ..subprotocols.stomp import StompError
from .message import Published

__all__ = ["Consumer", "Kept", "Letter", "Queue"]

logger = logging.getLogger("holdfast.stomp")

# What a queue is without its messages and its name.
_EMPTY = 2_000


class Kept:
    """The memory of all queues together."""

    def __init__(self, limits: StompSettings) -> None:
        self.size_bytes = 0
        self._most = limits.max_all_queues_bytes

    def check_room(self, more: int) -> None:
        """Return if so much more can be kept.

        Raises:
            StompError: it cannot; the text names the setting.
        """
        if self.size_bytes + more > self._most:
            raise StompError("all queues together are full (setting max_all_queues_bytes)")


@dataclass(slots=True)
class Letter:
    """A message in a queue."""

    queue: Queue
    message: Published
    number: int
    deliveries: int = 0


class Consumer(Protocol):
    """Who takes from a queue."""

    @property
    def can_take(self) -> bool:
        """Whether there is room for one more now; when that comes true again, `Queue.pump` is called."""
        ...

    def take(self, letter: Letter) -> None: ...


class Queue:
    """One queue.

    Attributes:
        ready: What waits, in order.
        consumers: Whose turn is next comes first.
        maker: The client that sent the first of what it keeps; empty for the application.
        is_kept: Whether it stays while nobody subscribes: the application has sent to it.
        expiry: When it does not.
    """

    def __init__(self, name: str, limits: StompSettings, all_kept: Kept) -> None:
        self.name = name
        self.ready: deque[Letter] = deque()
        self.consumers: deque[Consumer] = deque()
        self.maker = ""
        self.is_kept = False
        self.expiry: Timer | None = None
        self._limits = limits
        self._all_kept = all_kept
        self._own_bytes = sys.getsizeof(name) + _EMPTY
        self._count = 0
        # All that is not gone (rule 1).
        self._kept = 0
        self._kept_bytes = 0
        self._is_pumping = False

    @property
    def is_empty(self) -> bool:
        """Whether all its messages are gone."""
        return not self._kept

    @property
    def is_unused(self) -> bool:
        """Whether nothing is lost if it is forgotten."""
        return not self._kept and not self.consumers

    @property
    def is_unread(self) -> bool:
        """Whether it keeps what clients have sent, and nobody subscribes."""
        return bool(self._kept) and not self.consumers and not self.is_kept

    def check_room(self, messages: Iterable[Published]) -> int:
        """By how much all queues grow if these are kept, all of them.

        Raises:
            StompError: they cannot; the text names the setting.
        """
        messages = list(messages)
        if self._kept + len(messages) > self._limits.max_queue_messages:
            raise StompError("the queue is full (setting max_queue_messages)")
        more = sum([message.kept_bytes for message in messages])
        if self._kept_bytes + more > self._limits.max_queue_bytes:
            raise StompError("the queue is full (setting max_queue_bytes)")
        if self.is_empty:
            more += self._own_bytes
        self._all_kept.check_room(more)
        return more

    def put(self, message: Published) -> None:
        """Keep a message, and hand it on if somebody can take it."""
        self._count += 1
        if self.is_empty:
            self._all_kept.size_bytes += self._own_bytes
        self._kept += 1
        self._kept_bytes += message.kept_bytes
        self._all_kept.size_bytes += message.kept_bytes
        self.ready.append(Letter(self, message, self._count))
        self.pump()

    def done(self, letter: Letter) -> None:
        """It is gone."""
        self._kept -= 1
        self._kept_bytes -= letter.message.kept_bytes
        self._all_kept.size_bytes -= letter.message.kept_bytes
        if self.is_empty:
            self._all_kept.size_bytes -= self._own_bytes

    def give_back(self, letters: Iterable[Letter]) -> None:
        """These are ready again (rule 2); `pump` is the caller's."""
        back: list[Letter] = []
        for letter in letters:
            if letter.deliveries < self._limits.max_deliveries:
                back.append(letter)
                continue
            self.done(letter)
            logger.warning(
                "a message of %r was given out %d times and never acknowledged; it is dropped "
                "(setting max_deliveries)",
                self.name,
                letter.deliveries,
            )
        if not back:
            return
        last = max([letter.number for letter in back])
        while self.ready and self.ready[0].number < last:
            back.append(self.ready.popleft())
        back.sort(key=lambda letter: letter.number, reverse=True)
        self.ready.extendleft(back)

    def drop(self) -> int:
        """All that waits is gone; how many those were."""
        dropped = len(self.ready)
        while self.ready:
            self.done(self.ready.popleft())
        return dropped

    def add(self, consumer: Consumer) -> None:
        self.consumers.append(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Idempotent."""
        if consumer in self.consumers:
            self.consumers.remove(consumer)

    def pump(self) -> None:
        """Hand out what is ready to those who can take it, in turn (rule 3)."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            idle = 0
            while self.ready and idle < len(self.consumers):
                consumer = self.consumers[0]
                self.consumers.rotate(-1)
                if not consumer.can_take:
                    idle += 1
                    continue
                idle = 0
                letter = self.ready.popleft()
                letter.deliveries += 1
                consumer.take(letter)
        finally:
            self._is_pumping = False
