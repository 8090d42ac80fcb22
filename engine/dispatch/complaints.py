"""What the log is told of one session, so that a peer cannot fill it: the first few of a kind in a minute."""

from __future__ import annotations

from ..host import Host

__all__ = ["Complaints"]

_LINES = 3
_PERIOD = 60.0
# Kinds are the application's, by handler and exception; beyond this they are one.
_KINDS = 100


class Complaints:
    """Counts by kind. Nothing of a kind is the peer's own words."""

    __slots__ = ("_host", "_seen")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._seen: dict[tuple[str, ...], tuple[float, int]] = {}

    def note(self, *kind: str) -> str | None:
        """What to say after one more of a kind, mostly nothing; None if it is not to be said at all."""
        now = self._host.now()
        if kind not in self._seen and len(self._seen) >= _KINDS:
            kind = ("others",)
        since, count = self._seen.get(kind, (now, 0))
        missed = 0
        if now - since >= _PERIOD:
            since, count, missed = now, 0, max(count - _LINES, 0)
        self._seen[kind] = (since, count + 1)
        if count >= _LINES:
            return None
        if missed:
            return f" ({missed} more like it were not logged)"
        return (
            " (more like it of this session in the next minute are not logged)" if count == _LINES - 1 else ""
        )
