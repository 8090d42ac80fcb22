"""How a server stands: counted where it happens, and nothing is looked through to answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ErrorCode, RemoteProtocolError, RequestRefused
from ..session import CloseReason

__all__ = ["Counters", "Stats"]

# From the one that gets through everywhere to the best.
_RANKS = {"polling": 0, "stream": 1, "websocket": 2}
_BY_STATUS = {
    408: "body late",
    413: "body too large",
    429: "too many",
    431: "head too large",
    503: "server full",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """One look at a server. What is a count of events has only grown since the server was made.

    Attributes:
        sessions: Open sessions by what carries them, or carried them last: "websocket", "stream" and "polling".
        counting: How many of them speak the extension, and so outlive their carriers.
        detached: How many of these have lost their carrier and wait for the next one; not those between two polls.
        queued_bytes: What is kept for clients, not written or not acknowledged yet; a message has 150 bytes besides its
            payload, and one that many wait for counts once. At most the setting ``total_buffer_limit``.
        body_bytes: What has come of the POST bodies that are being read. At most the setting ``max_bodies``.
        running: Handlers and other tasks that run.
        draining: Whether no new sessions are taken: the server drains, or has been shut down.
        opened: Sessions that were opened, by transport.
        ended: Sessions that have ended, by reason: the texts of `CloseReason`.
        refused: Requests that were refused, by reason: "session unknown", "forbidden", "server full", …
        upgrades: Changes to a better transport.
        fallbacks: Changes to a worse one.
        detaches: How often a counting session has lost its carrier.
        resumes: How often one has gone on after that.
        replayed: Messages that were written again, because the carrier before may not have brought them.
    """

    sessions: Mapping[str, int]
    counting: int
    detached: int
    queued_bytes: int
    body_bytes: int
    running: int
    draining: bool
    opened: Mapping[str, int]
    ended: Mapping[str, int]
    refused: Mapping[str, int]
    upgrades: int
    fallbacks: int
    detaches: int
    resumes: int
    replayed: int


class Counters:
    """Of one server; see `Stats` for the names."""

    __slots__ = (
        "counting",
        "detached",
        "detaches",
        "ended",
        "fallbacks",
        "opened",
        "refused",
        "replayed",
        "resumes",
        "sessions",
        "upgrades",
    )

    def __init__(self) -> None:
        self.sessions = dict.fromkeys(_RANKS, 0)
        self.opened = dict.fromkeys(_RANKS, 0)
        self.ended = dict.fromkeys([reason.value for reason in CloseReason], 0)
        self.refused: Counter[str] = Counter()
        self.counting = self.detached = 0
        self.upgrades = self.fallbacks = self.detaches = self.resumes = self.replayed = 0

    @property
    def open_sessions(self) -> int:
        """How many there are."""
        return sum(self.sessions.values())

    def open(self, transport: str, *, counting: bool) -> None:
        """A session was opened."""
        self.opened[transport] += 1
        self.sessions[transport] += 1
        self.counting += counting

    def forget(self, transport: str, *, counting: bool) -> None:
        """It is gone."""
        self.sessions[transport] -= 1
        self.counting -= counting

    def move(self, before: str, transport: str) -> None:
        """Another transport carries a session."""
        self.sessions[before] -= 1
        self.sessions[transport] += 1
        if _RANKS[transport] > _RANKS[before]:
            self.upgrades += 1
        else:
            self.fallbacks += 1

    def detach(self) -> None:
        """A counting session has lost its carrier."""
        self.detaches += 1
        self.detached += 1

    def resume(self) -> None:
        """It goes on."""
        self.resumes += 1
        self.detached -= 1

    def refuse(self, error: RequestRefused | RemoteProtocolError) -> None:
        """A request was refused."""
        name = ErrorCode(error.code).name.lower().replace("_", " ")
        if isinstance(error, RequestRefused):
            name = "shutting down" if error.retry_after is not None else _BY_STATUS.get(error.status, name)
        self.refused[name] += 1
