"""What the outgoing buffers of all sessions may hold together. No I/O, no clock.

A message that many sessions keep is in memory once, and counts once. Beyond the limit it is not whoever happens to send
next that pays, but those that keep more than their share: the clients that read are left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from ..wire.message import MESSAGE_OVERHEAD, Message

__all__ = ["Budget", "kept_bytes"]


def kept_bytes(messages: Iterable[Message]) -> int:
    """What these count against a buffer's limit."""
    size = 0
    for message in messages:
        size += message.size_bytes + MESSAGE_OVERHEAD
    return size


class Budget:
    """Of one server.

    Attributes:
        limit_bytes: What the buffers may hold together.
        used_bytes: What they hold now.
        sessions: How many sessions share it.
    """

    __slots__ = ("limit_bytes", "sessions", "used_bytes")

    def __init__(self, limit_bytes: int = sys.maxsize) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.sessions = 0

    def keep(self, message: Message) -> None:
        """A buffer keeps it."""
        if not message.holders:
            self.used_bytes += message.size_bytes + MESSAGE_OVERHEAD
        message.holders += 1

    def let_go(self, message: Message) -> None:
        """A buffer that has kept it does not any more."""
        message.holders -= 1
        if not message.holders:
            self.used_bytes -= message.size_bytes + MESSAGE_OVERHEAD

    @property
    def is_used_up(self) -> bool:
        return self.used_bytes > self.limit_bytes

    @property
    def share_bytes(self) -> int:
        """What one session may keep where the budget is used up."""
        return self.limit_bytes // max(1, self.sessions)
