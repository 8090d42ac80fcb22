"""Ending all sessions of a server gently, because others will have their clients.

1. Each session is told in its turn, in no order that a client could know: so many at once that the turns of all of them
   take no longer than a given period, and that a few have theirs soon.
2. One whose handlers still run is told when they are done; at half of the time for it all, whatever they do.
3. What was sent before goes out first, and the end is the last word. Who has no carrier now hears it on the next one,
   if that comes within a few seconds.
4. At the deadline what is left is cut.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

import anyio

from .host import Host
from .live import LiveSession
from .session import CloseReason

__all__ = ["Drain", "Drained"]

logger = logging.getLogger("holdfast.server")

_STEP = 0.05
# So many a second at least.
_LEAST_RATE = 200.0
# For the next carrier of who has none.
_ABSENCE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What became of the sessions that there were when `drain` was called.

    Attributes:
        sessions: How many there were.
        told: Those that were told, after everything that was sent to them before; or, on a server with
            ``durable=True``, handed over to other nodes.
        gone: Those that ended by themselves meanwhile.
        cut: Those that were there at the deadline, or had no carrier and did not come back for it.
        undelivered: Messages that were kept for those that were not told: not written, or not acknowledged.
        running: Handlers that still ran at the deadline.
        seconds: How long it took.
    """

    sessions: int
    told: int
    gone: int
    cut: int
    undelivered: int
    running: int
    seconds: float


class Drain:
    """One end of a server.

    Args:
        sessions: All that there are.
        timeout: Seconds for it all.
        period: Seconds over which the sessions are told.
        retry_after: Seconds that clients are asked to stay away, and up to half as much more, each another time.
    """

    def __init__(
        self, sessions: list[LiveSession], host: Host, *, timeout: float, period: float, retry_after: float
    ) -> None:
        self.retry_after = retry_after
        self._host = host
        self._begun = host.now()
        self._deadline = self._begun + timeout
        self._patience = self._begun + timeout / 2
        self._period = min(period, timeout / 2)
        self._sessions = sessions
        self._waiting = random.sample(sessions, len(sessions))
        # Whose handlers are not done; and who was told, until when it is waited for if it has no carrier.
        self._busy: list[LiveSession] = []
        self._leaving: dict[LiveSession, float] = {}
        self._cut: set[LiveSession] = set()
        self._done = anyio.Event()
        self._result: Drained | None = None
        host.spawn_aside(self._run)

    async def result(self) -> Drained:
        """Wait for its end. Who waits may be cancelled; the drain goes on."""
        await self._done.wait()
        assert self._result is not None
        return self._result

    async def _run(self) -> None:
        host = self._host
        logger.info("draining %d sessions", len(self._sessions))
        try:
            while (now := host.now()) < self._deadline:
                self._tell(now)
                self._look(now)
                if not (self._waiting or self._busy or self._leaving):
                    break
                await host.sleep(_STEP)
            for session in (*self._waiting, *self._busy, *self._leaving):
                self._end(session)
            with host.move_on_after(max(0.0, self._deadline - host.now())):
                await host.idle()
        finally:
            self._result = self._sum()
            self._done.set()
        logger.info("drained: %s", self._result)

    def _whose_turn(self, now: float) -> list[LiveSession]:
        count = len(self._sessions)
        if self._period:
            rate = max(count / self._period, _LEAST_RATE)
            count = min(count, 1 + int((now - self._begun) * rate))
        left = len(self._sessions) - count
        turn, self._waiting = self._waiting[left:], self._waiting[:left]
        return turn

    def _tell(self, now: float) -> None:
        busy, self._busy = self._busy, []
        for session in (*busy, *self._whose_turn(now)):
            if session.is_open and session.is_busy and now < self._patience:
                self._busy.append(session)
                continue
            retry_ms = round(self.retry_after * 1000 * (1 + random.random() / 2)) or None
            session.close(CloseReason.SERVER_SHUTTING_DOWN, retry_ms=retry_ms)
            self._leaving[session] = now + _ABSENCE

    def _look(self, now: float) -> None:
        """Forget those that are over, and what had carried them too; give up who does not come back."""
        for session, until in list(self._leaving.items()):
            if session.is_over:
                if not session.is_served:
                    del self._leaving[session]
            elif now >= until and not session.attached:
                self._end(session)

    def _end(self, session: LiveSession) -> None:
        if not session.is_over:
            self._cut.add(session)
            session.fail(CloseReason.SERVER_SHUTTING_DOWN, message=CloseReason.SERVER_SHUTTING_DOWN)

    def _sum(self) -> Drained:
        told = [session for session in self._sessions if session.has_said_bye]
        missed = [session.undelivered for session in self._sessions if not session.has_said_bye]
        return Drained(
            sessions=len(self._sessions),
            told=len(told),
            gone=len(self._sessions) - len(told) - len(self._cut),
            cut=len(self._cut),
            undelivered=sum(missed),
            running=self._host.running,
            seconds=round(self._host.now() - self._begun, 3),
        )
