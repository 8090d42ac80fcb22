"""Which request of a plain peer the standard lets in.

Engine.IO 4, "Transports" and "Upgrade"; what the official suite tests. A counting peer needs no table: its newest
carrier wins (rule 6).
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Verdict", "admit_plain"]


class Verdict(Enum):
    """ADMIT it; REFUSE it and leave the session alone; refuse it and CLOSE the session."""

    ADMIT = "admit"
    REFUSE = "refuse"
    CLOSE = "close"


# (what is asked for, what carries the session, whether one of the same kind is under way)
_PLAIN: dict[tuple[str, str, bool], Verdict] = {
    ("poll", "polling", False): Verdict.ADMIT,
    ("poll", "polling", True): Verdict.CLOSE,
    ("post", "polling", False): Verdict.ADMIT,
    ("post", "polling", True): Verdict.CLOSE,
    ("websocket", "polling", False): Verdict.ADMIT,
    ("websocket", "polling", True): Verdict.ADMIT,
}


def admit_plain(request: str, *, transport: str, busy: bool) -> Verdict:
    """Judge a "poll", "post" or "websocket" of a plain peer whose session ``transport`` carries."""
    return _PLAIN.get((request, transport, busy), Verdict.REFUSE)
