"""A checker of numbered events: what was lost, what came twice, what came out of order."""

from __future__ import annotations

__all__ = ["Seen"]


class Seen:
    """Numbers from 1 on, as they should come."""

    __slots__ = ("_missing", "dup", "last", "ooo")

    def __init__(self) -> None:
        self.last = 0
        self.dup = 0
        self.ooo = 0
        self._missing: set[int] = set()

    def take(self, number: int) -> None:
        """One has come."""
        if number == self.last + 1:
            self.last = number
        elif number > self.last:
            self._missing.update(range(self.last + 1, number))
            self.last = number
        elif number in self._missing:
            self._missing.discard(number)
            self.ooo += 1
        else:
            self.dup += 1

    def lost(self, sent: int) -> int:
        """Of so many that were sent."""
        return len(self._missing) + max(0, sent - self.last)

    def as_dict(self) -> dict[str, int]:
        return {"last": self.last, "missing": len(self._missing), "dup": self.dup, "ooo": self.ooo}
