"""A session that can be gone on with by another node, because all that counts is in a record first. No I/O, no clock.

1. No carrier writes a message that is not in the record.
2. No message of the peer is acknowledged, or given to the application, that is not in the record.
3. A message of the peer leaves the record when the application is done with it, in one write with all that the
   application has sent until then. So whoever does nothing but answer does it once.
4. One write at a time; the next one takes all that has gathered meanwhile. A write goes through unchanged, however
   often it has to be tried.

Everything else is as in any session: what is not in the record yet is simply not there for the carriers. The caller
hands what `gather` gives to the store, and what the store has taken to `confirm`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ..errors import MissingMessages, RemoteProtocolError
from ..wire.message import Message
from ..wire.packet import HIGHEST_NUMBER, Packet
from .budget import Budget
from .carrier import Carrier
from .reason import CloseReason
from .record import Record, Write
from .server import ServerSession
from .session import ACK_DELAY
from .streams import Inbox, Outbox

__all__ = ["DurableSession", "HeldInbox", "HeldOutbox"]

# Acknowledged messages that may stay in a record until something else is written.
_MOST_SPENT = 64


class HeldOutbox(Outbox):
    """Our stream, of which carriers see what is in the record: ``last`` is the newest of those.

    Attributes:
        newest: Number of the newest message at all.
    """

    __slots__ = ("newest",)

    def __init__(self, budget: Budget | None = None) -> None:
        super().__init__(budget)
        self.newest = 0

    def append(self, message: Message) -> int:
        super().append(message)
        self.last -= 1
        self.newest += 1
        return self.newest

    def after(self, position: int, limit_bytes: int | None = None) -> Sequence[Message]:
        return self._messages_after(position, limit_bytes)[: self.last - position]

    def _messages_after(self, position: int, limit_bytes: int | None = None) -> Sequence[Message]:
        # There is no `append_packet` here.
        return cast("Sequence[Message]", super().after(position, limit_bytes))

    def held(self) -> tuple[Message, ...]:
        """What is not in the record."""
        return tuple(self._messages_after(self.last))

    def release(self, position: int) -> None:
        """All up to ``position`` is in the record."""
        self.last = position

    def restore(self, position: int, messages: list[Message]) -> None:
        """Begin with these after ``position``, any of which a carrier may have written."""
        self.newest = self.pass_through(position)
        for message in messages:
            self.append(message)
        self.release(self.newest)
        self.mark_written(self.newest)

    def clear(self) -> None:
        self.last = self.newest
        super().clear()


class HeldInbox(Inbox):
    """The peer's stream: ``received``, which it is told, is how far the record has it.

    Attributes:
        taken: How far we have it ourselves.
    """

    __slots__ = ("taken",)

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def take(self, number: int) -> bool:
        if number == self.taken + 1:
            if number > HIGHEST_NUMBER:
                raise RemoteProtocolError("the numbers of this session are used up")
            self.taken = number
            return True
        if number <= self.taken:
            return False
        raise MissingMessages(number, self.received)

    def release(self, position: int) -> None:
        """All up to ``position`` is in the record."""
        self.received = position


class DurableSession(ServerSession):
    """The server's end of a counting session with a record.

    Args:
        epoch: Of this node's turn with it.
        record: What another node has left; None for a new session.

    The others are those of `ServerSession`.
    """

    __slots__ = (
        "_done",
        "_fresh",
        "_in",
        "_out",
        "_spent",
        "_unfinished",
        "_writing",
        "epoch",
        "is_recorded",
    )

    def __init__(
        self,
        *,
        transport: str,
        ping_interval: float,
        ping_timeout: float,
        grace: float,
        limit_bytes: int,
        now: float,
        budget: Budget | None = None,
        unused_grace: float | None = None,
        epoch: int = 1,
        record: Record | None = None,
    ) -> None:
        super().__init__(
            transport=transport,
            counting=True,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            grace=grace,
            limit_bytes=limit_bytes,
            now=now,
            budget=budget,
            unused_grace=unused_grace,
        )
        self.outbox = self._out = HeldOutbox(self.budget)
        self.inbox = self._in = HeldInbox()
        self.epoch = epoch
        self.is_recorded = record is not None
        # What was taken since the last write; what the record has and the application is not done with; those of it
        # that it has been done with since.
        self._fresh: list[tuple[int, str | bytes]] = []
        self._unfinished: dict[int, str | bytes] = {}
        self._done: list[int] = []
        self._writing: Write | None = None
        # The position up to which the record has let go of what we have sent.
        self._spent = 0
        if record is not None:
            self._restore(record, now)

    def _restore(self, record: Record, now: float) -> None:
        self._out.restore(record.acknowledged, record.sent)
        self._spent = record.acknowledged
        self._in.taken = record.received
        self._in.release(record.received)
        self._unfinished = dict(record.unfinished)
        self._attach_number = record.carrier
        self._came_back = True
        self.detach(self.opening, now=now)

    @property
    def unfinished(self) -> list[tuple[int, str | bytes]]:
        """What the record has and the application is not done with, in order."""
        return sorted(self._unfinished.items(), key=_number)

    @property
    def is_holding(self) -> bool:
        """Whether something that was taken of the peer is not in the record yet."""
        return self._in.taken > self._in.received

    def receive(self, carrier: Carrier, packet: Packet, now: float) -> str | bytes | None:
        """As of any session; but a message is not the application's before `confirm` has given it (rule 2)."""
        message = super().receive(carrier, packet, now)
        if message is not None:
            self._fresh.append((self._in.taken, message))
        return message

    def keep(self, text: str) -> bool:
        """Never: a record has messages."""
        return False

    def done(self, number: int) -> None:
        """The application is done with a message of the peer (rule 3)."""
        if self._unfinished.pop(number, None) is not None:
            self._done.append(number)

    @property
    def owes(self) -> bool:
        """Whether the record lacks something that should not wait; not while a write is under way."""
        return self._writing is None and (
            not self.is_recorded
            or self._out.newest > self._out.last
            or bool(self._fresh)
            or bool(self._done)
            or self._out.acknowledged - self._spent >= _MOST_SPENT
        )

    def gather(self, state: bytes | None = None) -> Write:
        """All that the record lacks (rule 4); the same again while it was neither confirmed nor given up.

        Args:
            state: What runs above; None if the record has it.
        """
        if self._writing is None:
            self._writing = self._next_write(state)
            self._fresh = []
            self._done = []
        return self._writing

    def _next_write(self, state: bytes | None) -> Write:
        out, is_whole = self._out, not self.is_recorded
        position = out.acknowledged if is_whole else out.last
        # Of a whole one, what carriers have written already is a part too.
        sent = (*out.after(position), *out.held())
        taken = (*self.unfinished, *self._fresh) if is_whole else tuple(self._fresh)
        return Write(
            epoch=self.epoch,
            first=position + 1,
            sent=sent,
            acknowledged=out.acknowledged,
            received=self._in.taken,
            taken=taken,
            done=() if is_whole else tuple(self._done),
            carrier=self._attach_number,
            state=state,
            is_whole=is_whole,
        )

    def confirm(self, *, now: float) -> list[tuple[int, str | bytes]]:
        """The record has what `gather` gave. Returns the messages, numbered, that are the application's now."""
        write, self._writing = self._writing, None
        assert write is not None
        self.is_recorded = True
        fresh = [(number, data) for number, data in write.taken if number > self._in.received]
        self._unfinished.update(fresh)
        self._spent = write.acknowledged
        self._out.release(max(self._out.last, write.first + len(write.sent) - 1))
        self._in.release(write.received)
        if fresh and self._ack_at is None:
            self._ack_at = now + ACK_DELAY
        return fresh

    def start_over(self) -> None:
        """There is no record: the store has lost it. The next write is a whole one."""
        write, self._writing = self._writing, None
        self.is_recorded = False
        if write is not None:
            self._fresh = [
                (number, data) for number, data in write.taken if number > self._in.received
            ] + self._fresh

    def close(self, reason: CloseReason, *, now: float, retry_ms: int | None = None) -> None:
        # Nobody goes on with it: its last words need no record.
        self._out.release(self._out.newest)
        super().close(reason, now=now, retry_ms=retry_ms)


def _number(entry: tuple[int, str | bytes]) -> int:
    return entry[0]
