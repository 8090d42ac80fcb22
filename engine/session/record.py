"""The record of a durable session: what another node needs to go on with it. Values and state; no I/O, no clock.

A record is kept by a store that all nodes reach; docs/durable.md says how. Its rules:

1. A session belongs to one node at a time. Each taking over makes the record's epoch higher, and a write of a lower
   epoch changes nothing: who was frozen and wakes finds out at its next write, before anybody has heard of it.
2. A write that may or may not have come through is written again unchanged, and changes nothing the second time.
"""

from __future__ import annotations

from typing import NamedTuple

from ..wire.message import Message

__all__ = ["Record", "Write"]


class Write(NamedTuple):
    """What one step adds to a record, all of it or nothing.

    Attributes:
        epoch: Whose writer it is (rule 1).
        first: Number of the first of ``sent``.
        sent: Messages for the peer, of which no carrier has written any yet.
        acknowledged: The peer's position in our stream.
        received: Our position in the peer's, with ``taken``.
        taken: Messages of the peer with their numbers, of which the application has not heard yet.
        done: Numbers of those that the application is done with.
        carrier: The highest number of an attach.
        state: What runs above the session; None if that has not changed.
        is_whole: It makes the record anew, from nothing.
    """

    epoch: int
    first: int
    sent: tuple[Message, ...]
    acknowledged: int
    received: int
    taken: tuple[tuple[int, str | bytes], ...]
    done: tuple[int, ...]
    carrier: int
    state: bytes | None
    is_whole: bool = False


class Record:
    """One record, as a store keeps it.

    Attributes:
        epoch: Rule 1.
        sent: Messages after ``acknowledged``.
        acknowledged, received, carrier, state: As of the newest `Write`.
        unfinished: Messages of the peer that the application is not known to be done with, by number.
    """

    __slots__ = ("acknowledged", "carrier", "epoch", "received", "sent", "state", "unfinished")

    def __init__(self, write: Write) -> None:
        self.epoch = write.epoch
        self.sent = list(write.sent)
        self.acknowledged = write.acknowledged
        self.received = write.received
        self.unfinished = dict(write.taken)
        self.carrier = write.carrier
        self.state = write.state or b""

    @property
    def last(self) -> int:
        """Number of the newest message for the peer."""
        return self.acknowledged + len(self.sent)

    def apply(self, write: Write) -> bool:
        """Take a write; whether its writer still has the session."""
        if write.epoch < self.epoch:
            return False
        if write.is_whole:
            self.__init__(write)
            return True
        self.epoch = write.epoch
        # Rule 2: what is here already came with the same write.
        self.sent += write.sent[max(0, self.last + 1 - write.first) :]
        if write.acknowledged > self.acknowledged:
            del self.sent[: write.acknowledged - self.acknowledged]
            self.acknowledged = write.acknowledged
        self.unfinished.update(write.taken)
        for number in write.done:
            self.unfinished.pop(number, None)
        self.received, self.carrier = write.received, write.carrier
        if write.state is not None:
            self.state = write.state
        return True
