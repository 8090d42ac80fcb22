"""What speaks to Redis or Valkey, whatever it is used for."""

from __future__ import annotations

from .address import RedisAddress
from .connection import RedisConnection, Reply, Word
from .outbox import RedisOutbox, Told
from .script import RedisScript
from .streams import RedisStreams
from .subscriber import RedisSubscriber

__all__ = [
    "RedisAddress",
    "RedisConnection",
    "RedisOutbox",
    "RedisScript",
    "RedisStreams",
    "RedisSubscriber",
    "Reply",
    "Told",
    "Word",
]
