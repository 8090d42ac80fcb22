"""Sessions that were opened and never used: how many of them one address may have.

Only those count that no carrier serves: behind one address there may be all of a company, whose clients use what they
open.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from ..errors import ErrorCode, RequestRefused
from .session import LiveSession

__all__ = ["Unused"]


def _place(address: tuple[str, int] | None) -> str | None:
    """What counts as one address: of IPv6, what one customer is given. None where it is not known."""
    return None if address is None else _place_of(address[0])


# Asked four times for each session, and a fifth of what opening one takes.
@lru_cache(maxsize=1024)
def _place_of(name: str) -> str | None:
    try:
        host = ip_address(name)
    except ValueError:
        return name or None
    if isinstance(host, IPv6Address):
        return str(host.ipv4_mapped or ip_network((int(host), 64), strict=False))
    return str(host)


class Unused:
    """Of one server."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sessions: dict[str, set[LiveSession]] = {}

    def check(self, address: tuple[str, int] | None) -> None:
        """Return if this address may open one more.

        Raises:
            RequestRefused: status 429.
        """
        place = _place(address)
        found = self._sessions.get(place) if place is not None else None
        if place is None or found is None or len(found) < self._limit:
            return
        # Most have been used since they were noted.
        found = {session for session in found if not session.is_used}
        self._sessions[place] = found
        if sum([not session.attached for session in found]) >= self._limit:
            message = (
                f"{self._limit} sessions of this address wait to be used (setting max_unused_sessions_per_address; "
                "behind a proxy, trusted_proxies)"
            )
            raise RequestRefused(ErrorCode.FORBIDDEN, message, status=429)

    def add(self, session: LiveSession) -> None:
        """It has been opened."""
        place = _place(session.request.address)
        if place is not None:
            self._sessions.setdefault(place, set()).add(session)

    def forget(self, session: LiveSession) -> None:
        """It is over."""
        place = _place(session.request.address)
        found = self._sessions.get(place) if place is not None else None
        if place is not None and found is not None:
            found.discard(session)
            if not found:
                del self._sessions[place]
