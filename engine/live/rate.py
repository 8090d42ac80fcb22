"""How many packets of a session are taken: so many in a second, and a second's worth at once.

Who sends messages faster is read no faster: what a client has gathered while it was not connected is no attack, however
much it is. Packets that bring nothing are never many from anybody who means well.
"""

from __future__ import annotations

from ..errors import LimitExceeded

__all__ = ["Rate"]

# Below that it is not worth a pause.
_LEAST_PAUSE = 0.01


class Rate:
    """What is left is counted down by who takes packets; only when it is used up does time matter.

    Attributes:
        left: How many more may come; below zero, call `renew`.
        spare: How many more that bring nothing: no message, or one that nobody has any use of.
    """

    __slots__ = ("_most", "_since", "left", "spare")

    def __init__(self, most: int, *, now: float) -> None:
        self._most = most
        self._since = now
        self.left = self.spare = most

    def renew(self, now: float) -> None:
        """What was allowed is used up: how much is allowed by now?

        Raises:
            LimitExceeded: too many bring nothing.
        """
        most = self._most
        gained = min(int((now - self._since) * most), most)
        # Not to now: of many short times, what is left of each would be lost.
        self._since = max(self._since + gained / most, now - 1)
        self.left = min(self.left + gained, most)
        self.spare = min(self.spare + gained, most)
        if self.spare < 0:
            raise LimitExceeded(
                f"more than {most} packets that bring nothing in a second (setting max_events_per_second)"
            )

    def pause(self) -> float:
        """For how many seconds nothing more is to be read."""
        seconds = -self.left / self._most
        return seconds if seconds >= _LEAST_PAUSE else 0.0
