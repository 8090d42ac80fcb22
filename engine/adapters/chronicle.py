"""What is said in a namespace, as far as it is kept: a session that has changed its node gets what it has missed.

1. What others say has entries in a stream, and each node carries them out in their order. What a node says itself it
   carries out at once, and numbers it; the entry comes later, with that number.
2. A node's *place* is the last entry that it has carried out, and the number of what it has said last. A session whose
   record has a place has heard everything up to there that was for it.
3. So it has missed, of what stands behind that entry: all that others have said, and what its own node has said with a
   higher number. And of what its new node has said without having read its own entry yet: all of it.
4. What the node before had said, and could not put into the stream at once, may come there later: with a number up to
   the one in the record, it was heard already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple, cast

from ..wire.socketio import SocketPacket
from .base import Adapter, Target

__all__ = ["Chronicle", "Entry", "Place", "chronicle_of"]

# While the stream cannot be reached.
_MOST_UNREAD = 10_000


class Place(NamedTuple):
    """How far a node has got (rule 2).

    Attributes:
        uid: The node.
        entry: The id of the last entry.
        said: The number of what it has said last.
    """

    uid: str
    entry: str
    said: int


class Entry(NamedTuple):
    """One broadcast that is kept; by whom, and with which number."""

    uid: str
    number: int
    packet: SocketPacket
    target: Target


Read = Callable[[str, str], Awaitable[list[Entry]]]


class Chronicle:
    """Of one namespace, on one node.

    Args:
        uid: Says what this node is called.
        begun: Says after which entry this node has begun to read; empty as long as that is not known.
        read: The broadcasts after one entry, up to another one.

    Attributes:
        number: Of what this node has said last, and may not have carried out yet.
        read: See above.
        origin: Who has said what is being handed over at this moment, and its number there.
    """

    def __init__(self, uid: Callable[[], str], begun: Callable[[], str], read: Read) -> None:
        self.number = 0
        self.read = read
        self.origin: tuple[str, int] | None = None
        self._uid = uid
        self._begun = begun
        self._entry = ""
        self._said = 0
        # What was said here, and whose entry was not read yet.
        self._unread: deque[Entry] = deque(maxlen=_MOST_UNREAD)
        # What is being handed over to many, where others have their turn meanwhile.
        self._packet: SocketPacket | None = None
        self._next: Place | None = None

    @property
    def entry(self) -> str:
        """The last one that was carried out; empty as long as none is known."""
        return self._entry or self._begun()

    @property
    def unread(self) -> list[Entry]:
        """What was said here, and whose entry was not read yet (rule 3)."""
        return list(self._unread)

    def passed(self, entry: str, own: int | None) -> None:
        """An entry is carried out; ``own`` is its number, if it is of this node."""
        self._entry = entry
        while own is not None and self._unread and self._unread[0].number <= own:
            self._unread.popleft()

    def say(self, packet: SocketPacket, target: Target) -> None:
        """This node has said something, and carries it out now."""
        self._unread.append(Entry(self._uid(), self.number, packet, target))
        self._said = self.number

    @contextmanager
    def saying(self, packet: SocketPacket, target: Target) -> Generator[None]:
        """`say`, to many: who has not heard it yet, is where he was."""
        number = self.number
        self._unread.append(Entry(self._uid(), number, packet, target))
        with self._handing(packet, Place(self._uid(), self.entry, number)):
            yield
        self._said = number

    @contextmanager
    def hearing(self, packet: SocketPacket, entry: str, origin: tuple[str, int]) -> Generator[None]:
        """An entry is carried out, for many. Who has said it, is said here too."""
        self.origin = origin
        try:
            with self._handing(packet, Place(self._uid(), entry, self._said)):
                yield
        finally:
            self.origin = None

    @contextmanager
    def _handing(self, packet: SocketPacket, place: Place) -> Generator[None]:
        self._packet, self._next = packet, place
        try:
            yield
        finally:
            self._packet = self._next = None

    def place(self, newest: SocketPacket | None) -> Place:
        """Of a session that was handed ``newest`` last."""
        if self._next is not None and newest is self._packet:
            return self._next
        return Place(self._uid(), self.entry, self._said)

    def is_handing(self, packet: SocketPacket) -> bool:
        """Whether it is this that is being handed over to many."""
        return packet is self._packet


def chronicle_of(adapter: Adapter) -> Chronicle | None:
    """That of an adapter which has one."""
    return cast("Chronicle | None", getattr(adapter, "chronicle", None))
