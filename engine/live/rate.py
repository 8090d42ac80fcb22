"""How many packets a session may send: so many in a second, and a second's worth at once."""

from __future__ import annotations

from ..errors import LimitExceeded

__all__ = ["Rate"]


class Rate:
    """What is left is counted down by who takes packets; only when it is used up does time matter.

    Attributes:
        left: How many more may come; below zero, call `renew`.
    """

    __slots__ = ("_most", "_since", "left")

    def __init__(self, most: int, *, now: float) -> None:
        self._most = most
        self._since = now
        self.left = most

    def renew(self, now: float) -> None:
        """What was allowed is used up: how much is allowed by now?

        Raises:
            LimitExceeded: not even what has come.
        """
        most = self._most
        self.left += min(int((now - self._since) * most), most)
        self._since = now
        if self.left < 0:
            raise LimitExceeded(f"more than {most} packets in a second (setting max_events_per_second)")
