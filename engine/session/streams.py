"""The two streams of a session: what we still owe the peer, and how far we have taken over what it sends.

Rules 1 and 5 of docs/protocol.md live here; the carriers that move the messages know nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import MissingMessages, RemoteProtocolError
from ..wire.message import MESSAGE_OVERHEAD, Message
from ..wire.packet import HIGHEST_NUMBER
from .budget import Budget

__all__ = ["Inbox", "Outbox"]

# Stands in the list where a message was, so that letting go of it frees its memory at once.
_FORGOTTEN = ""


class Outbox:
    """Our stream: messages in order, kept until nobody can need them any more.

    Attributes:
        last: Number of the newest message, 0 for none.
        written: Highest number that any carrier has written.
        acknowledged: The peer's position in our stream.
        size_bytes: Bytes of the messages that are kept, with what each costs besides its payload.
    """

    __slots__ = ("_budget", "_floor", "_head", "_messages", "acknowledged", "last", "size_bytes", "written")

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        # A text is the packet of a message that nobody else keeps.
        self._messages: list[str | Message] = []
        self._head = 0  # index in the list of message number _floor + 1
        self._floor = 0
        self.last = 0
        self.written = 0
        self.acknowledged = 0
        self.size_bytes = 0

    def append(self, message: Message) -> int:
        """Keep one more message and return its number."""
        self._messages.append(message)
        size = message.size_bytes + MESSAGE_OVERHEAD
        self.size_bytes += size
        # `Budget.keep`, without the call: this is done for every message.
        if not message.holders:
            self._budget.used_bytes += size
        message.holders += 1
        self.last += 1
        return self.last

    def append_packet(self, packet: str, size_bytes: int) -> None:
        """`append` a message by its packet (`Message.counting_text`), which is quicker.

        Args:
            size_bytes: What it counts as (`kept_bytes`).
        """
        self._messages.append(packet)
        self.size_bytes += size_bytes
        self._budget.used_bytes += size_bytes
        self.last += 1

    def after(self, position: int, limit_bytes: int | None = None) -> Sequence[str | Message]:
        """The messages after ``position``: all, or at least one and then no more than ``limit_bytes`` as a payload."""
        start = self._head + position - self._floor
        messages = self._messages[start:]
        if limit_bytes is None or len(messages) == 1:
            return messages
        size = 0
        for count, message in enumerate(messages):
            size += _size(message) + 2 if isinstance(message, str) else message.payload_bytes()
            if size > limit_bytes and count:
                return messages[:count]
        return messages

    def take_all(self) -> list[str | Message]:
        """What is kept, all of it: written, acknowledged and forgotten with this call."""
        self.written = self.acknowledged = self.last
        return self._forget_all()

    def _forget_all(self) -> list[str | Message]:
        messages = self._messages[self._head :] if self._head else self._messages
        freed = self.size_bytes
        for message in messages:
            if isinstance(message, str):
                continue
            message.holders = holders = message.holders - 1
            if holders:
                freed -= message.size_bytes + MESSAGE_OVERHEAD
        self._budget.used_bytes -= freed
        self._messages = []
        self._head = self.size_bytes = 0
        self._floor = self.last
        return messages

    def pass_through(self, count: int) -> int:
        """So many messages that need not be kept, behind nothing that is; return the number of the last one."""
        self.last = last = self.last + count
        self._floor = self.written = self.acknowledged = last
        return last

    def mark_written(self, position: int) -> None:
        """A carrier has written up to ``position``."""
        if position > self.written:
            self.written = position

    def acknowledge(self, position: int) -> None:
        """Take the peer's word for how far it has come (rule 1); an older word changes nothing.

        Raises:
            RemoteProtocolError: that was never sent.
        """
        if position > self.written:
            raise RemoteProtocolError("an acknowledgement of messages that were never sent")
        if position > self.acknowledged:
            self.acknowledged = position

    def forget(self, position: int) -> None:
        """Let go of everything up to ``position``."""
        count = position - self._floor
        if count <= 0:
            return
        head, messages = self._head, self._messages
        if count == len(messages) - head:
            self._forget_all()
            return
        freed = held_by_others = 0
        for index in range(head, head + count):
            message = messages[index]
            messages[index] = _FORGOTTEN
            if isinstance(message, str):
                freed += _size(message) + MESSAGE_OVERHEAD
                continue
            size = message.size_bytes + MESSAGE_OVERHEAD
            freed += size
            message.holders = holders = message.holders - 1
            if holders:
                held_by_others += size
        self.size_bytes -= freed
        self._budget.used_bytes -= freed - held_by_others
        self._floor = position
        self._head = head + count
        # Cutting the list at each acknowledgement would make a long backlog quadratic.
        if self._head > 64 and self._head * 2 > len(self._messages):
            del self._messages[: self._head]
            self._head = 0

    @property
    def kept(self) -> int:
        """How many messages."""
        return len(self._messages) - self._head

    def clear(self) -> None:
        """Let go of everything, because nobody will ask for it."""
        self._forget_all()


def _size(packet: str) -> int:
    # All but the first character, which is the packet's type.
    return (len(packet) if packet.isascii() else len(packet.encode())) - 1


class Inbox:
    """The peer's stream: how far we have taken it over.

    Attributes:
        received: Our position; the highest number taken over in order.
    """

    __slots__ = ("received",)

    def __init__(self) -> None:
        self.received = 0

    def take(self, number: int) -> bool:
        """Whether message ``number`` is the next one (and now counts) or a repeat (and does not).

        Raises:
            MissingMessages: it is neither: messages before it are missing.
            RemoteProtocolError: numbers are used up.
        """
        if number == self.received + 1:
            if number > HIGHEST_NUMBER:
                raise RemoteProtocolError("the numbers of this session are used up")
            self.received = number
            return True
        if number <= self.received:
            return False
        raise MissingMessages(number, self.received)
