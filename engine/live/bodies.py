"""How much of the bodies of POSTs may be in memory at once, whoever sends them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from ..errors import ErrorCode, RequestRefused

__all__ = ["Bodies"]


class Bodies:
    """The bodies that a server reads now.

    Attributes:
        used_bytes: What has arrived of them.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.used_bytes = 0
        self._limit_bytes = limit_bytes

    def has_room_for(self, size: int) -> bool:
        """Whether a body of so many bytes may come."""
        return self.used_bytes + size <= self._limit_bytes

    @contextmanager
    def one(self) -> Generator[Callable[[int], None]]:
        """While a body is read and worked on; yields what is to be called with the size of each piece.

        Raises:
            RequestRefused: status 503: too much of all bodies is there; from what is yielded.
        """
        mine = 0

        def add(size: int) -> None:
            nonlocal mine
            if not self.has_room_for(size):
                message = "the server has too many bodies to read (setting max_bodies)"
                raise RequestRefused(ErrorCode.FORBIDDEN, message, status=503)
            self.used_bytes += size
            mine += size

        try:
            yield add
        finally:
            self.used_bytes -= mine
