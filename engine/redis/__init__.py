"""What speaks to Redis or Valkey, whatever it is used for."""

from __future__ import annotations

from .address import RedisAddress
from .connection import RedisConnection, Reply, Word
from .script import RedisScript

__all__ = ["RedisAddress", "RedisConnection", "RedisScript", "Reply", "Word"]
