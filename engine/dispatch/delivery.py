"""What a handler was called for, where sessions outlive their node: see docs/durable.md."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..live.durable import DurableLive

__all__ = ["Delivery", "current_delivery", "running_with"]


class Delivery:
    """What came of the peer as one.

    Attributes:
        number: Of its last message, in the stream of the session: the same on every node.
        replayed: Whether another node had begun with it, or was about to.
    """

    __slots__ = ("_live", "_numbers", "number", "replayed")

    def __init__(self, live: DurableLive, numbers: list[int], *, replayed: bool) -> None:
        self._live = live
        self._numbers = numbers
        self.number = numbers[-1]
        self.replayed = replayed

    def done(self) -> None:
        """It need not be delivered again."""
        numbers, self._numbers = self._numbers, []
        if numbers:
            self._live.done(numbers)


_current: ContextVar[Delivery | None] = ContextVar("holdfast_delivery", default=None)


def current_delivery() -> Delivery | None:
    """What the handler that runs was called with; None elsewhere, and where sessions are not durable."""
    return _current.get()


@contextmanager
def running_with(delivery: Delivery | None) -> Generator[None]:
    """While its handler runs."""
    token = _current.set(delivery)
    try:
        yield
    finally:
        _current.reset(token)
