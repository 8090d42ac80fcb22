"""Streams that are not to be attached yet: they have to prove themselves first (docs/protocol.md, section 7)."""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..session import MAX_CONTROL_PACKETS, Carrier, Role
from .attachment import Attachable, Attachment

__all__ = ["Candidates"]

_MAX_CANDIDATES = 4


class Candidates:
    """The candidates of one session, by the numbers they would be attached with."""

    __slots__ = ("_by_number",)

    def __init__(self) -> None:
        self._by_number: dict[int, Attachment] = {}

    def add(self, session: Attachable, number: int) -> Attachment:
        """A new one of the session. It ends an older one of that number, or the oldest when there are too many."""
        candidate = Attachment(Carrier("stream", Role.BRINGER, number=number), session)
        old = self._by_number.pop(number, None)
        # One that was attached stays listed and does not count: it is the carrier now.
        waiting = [other for other in self._by_number.values() if other.is_candidate]
        self._by_number[number] = candidate
        if old is None and len(waiting) >= _MAX_CANDIDATES:
            old = waiting[0]
            self.drop(old)
        if old is not None:
            old.cut()
        return candidate

    def drop(self, candidate: Attachment) -> None:
        """It is over, attached or not."""
        number = candidate.carrier.number or 0
        if self._by_number.get(number) is candidate:
            del self._by_number[number]

    def get(self, number: int) -> Attachment | None:
        """The one with this number, attached or not."""
        return self._by_number.get(number)

    def pong(self, data: str) -> bool:
        """Answer a ping for a candidate; whether there is such a one.

        Raises:
            RemoteProtocolError: too many pings wait for their answers.
        """
        candidate = self._by_number.get(int(data)) if data.isdecimal() and len(data) < 17 else None
        if candidate is None:
            return False
        if len(candidate.carrier.control) > MAX_CONTROL_PACKETS:
            raise RemoteProtocolError("too many pings before one could be answered")
        candidate.carrier.control.append(f"3{data}")
        candidate.ring()
        return True

    def cut(self) -> None:
        """End them all."""
        for candidate in list(self._by_number.values()):
            candidate.cut()
