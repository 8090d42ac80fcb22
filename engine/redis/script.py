"""Lua that runs in the broker, known there by its digest."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Word

__all__ = ["RedisScript"]


class RedisScript:
    """One script. A `RedisConnection` that knows it loads it whenever it connects.

    Attributes:
        text: In Lua.
        digest: Its name in the broker.
    """

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def words(self, keys: Sequence[Word], args: Sequence[Word] = ()) -> tuple[Word, ...]:
        """The command that runs it, for `RedisConnection.command` or as one of a `pipeline`."""
        return ("EVALSHA", self.digest, len(keys), *keys, *args)
