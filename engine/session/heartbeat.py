"""When to ping, and when a silence is too long. No clock of its own: time comes in with each call."""

from __future__ import annotations

from enum import Enum

__all__ = ["Beat", "Heartbeat"]


# A timer always fires a little late; the peer's time runs on from when the ping was due. After a stall it does not.
_TIMER_LATENESS = 0.05


class Beat(Enum):
    """What is due."""

    NOTHING = "nothing"
    PING = "ping"
    DEAD = "dead"


class Heartbeat:
    """The server's side of Engine.IO's heartbeat (Engine.IO 4, "Heartbeat").

    Args:
        interval: Seconds between two pings.
        timeout: Seconds in which something must be heard after a ping.
        now: Seconds on any monotonic clock.
    """

    __slots__ = ("_dead_at", "_interval", "_ping_at", "_timeout")

    def __init__(self, *, interval: float, timeout: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._ping_at = now + interval
        self._dead_at: float | None = None

    def heard(self, now: float) -> None:
        """The peer is alive. Of many signs of life between two pings the first one counts."""
        if self._dead_at is not None:
            self._dead_at = None
            self._ping_at = now + self._interval

    def deadline(self) -> float:
        """When `due` has to be asked next."""
        return self._ping_at if self._dead_at is None else self._dead_at

    def due(self, now: float) -> Beat:
        """What is due now; a PING counts as sent with this answer."""
        if now < self.deadline():
            return Beat.NOTHING
        if self._dead_at is not None:
            return Beat.DEAD
        asked_at = self._ping_at if now - self._ping_at < _TIMER_LATENESS else now
        self._dead_at = asked_at + self._timeout
        return Beat.PING
