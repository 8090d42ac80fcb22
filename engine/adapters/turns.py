"""One after the other, in the order in which they came."""

from __future__ import annotations

from collections import deque

from ..host import Event, make_event

__all__ = ["Turns"]


class Turns:
    """``async with turns:`` waits until everybody who came before has left.

    Who holds it is not asked: what begins a turn on one task may end it on another. A cancellation while it waits gives
    the place up.
    """

    __slots__ = ("_are_taken", "_waiting")

    def __init__(self) -> None:
        self._are_taken = False
        self._waiting: deque[Event] = deque()

    @property
    def are_taken(self) -> bool:
        """Whether who comes now has to wait."""
        return self._are_taken

    async def __aenter__(self) -> None:
        if not self._are_taken:
            self._are_taken = True
            return
        turn = make_event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                # It had come already.
                self._next()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._next()

    def _next(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._are_taken = False
