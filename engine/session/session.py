"""The session: two numbered streams, and the carriers that come and go under them. No I/O, no clock.

Theory of operation
===================

A session owns an `Outbox` (our stream) and an `Inbox` (the peer's). Everything else is about carriers:

* At most one carrier is the *writer*. It carries our messages from its own position on; a newer carrier that can write
  replaces it, and it never writes again (rule 2). It is still read.
* Every carrier has its own count of what comes next on it, each way, stated before the first message (rule 4). So a
  message needs no number of its own, and an acknowledgement that overtakes an attach renumbers nothing (rule 3).
* The outbox lets go of a message when it is acknowledged *and* the writer has written it (rule 5).

The caller drives a session in a fixed order: hand in what arrived (`attach`, `receive`, `detach`, `tick`), then write
what `packets_to_send` gives for the writer, then wait until `deadline`. Calls return values; a session calls nobody.

`Session` is what both ends share. `ServerSession` accepts attaches and keeps time; `ClientSession` numbers its own.
The rules are those of docs/protocol.md, section 2.
"""

from __future__ import annotations

from enum import Enum

from ..errors import LocalProtocolError, RemoteProtocolError, SessionClosed
from ..wire.message import MESSAGE_OVERHEAD, SEPARATOR, Message
from ..wire.packet import HIGHEST_NUMBER, Packet, PacketType, decode_ping, decode_position, encode_packet
from ..wire.payload import PIECE_BYTES
from .budget import Budget
from .carrier import Carrier, Role
from .reason import CloseReason
from .streams import Inbox, Outbox

__all__ = [
    "ACK_DELAY",
    "ACK_EVERY_BYTES",
    "ACK_EVERY_MESSAGES",
    "MAX_CONTROL_PACKETS",
    "OVERDUE",
    "PLAIN_POLL_PACKETS",
    "Life",
    "Session",
]

ACK_DELAY = 1.0
ACK_EVERY_MESSAGES = 64
ACK_EVERY_BYTES = 65_536

MAX_CONTROL_PACKETS = 100

# python-engineio's client closes when a payload has more packets, though the standard sets no limit.
PLAIN_POLL_PACKETS = 16

# The time of an acknowledgement that is due and for which nobody has to be woken again.
OVERDUE = float("-inf")


class Life(Enum):
    """A session is OPEN; CLOSING while what was sent before the end still waits for a carrier; then CLOSED."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


# An enum's members take long to look up, where that is done for every message.
_OPEN, _CLOSING, _CLOSED = Life.OPEN, Life.CLOSING, Life.CLOSED
_WRITER, _REPLACED, _DETACHED = Role.WRITER, Role.REPLACED, Role.DETACHED
_MESSAGE = PacketType.MESSAGE


class Session:
    """What both ends of a session share.

    Args:
        transport: What the session was opened with.
        counting: Whether positions were negotiated. A plain peer's messages are forgotten when written.
        limit_bytes: How much the outbox may keep before the session is closed.
        budget: What all sessions may keep together; None for no bound.

    Attributes:
        transport: What carries the session, or carried it last.
        life: Whether it is open.
        reason: Why it ended.
        has_said_bye: Whether a carrier has written the end, after all messages.
        undelivered: How many messages were kept for the peer at the end: not written, or not acknowledged.
    """

    __slots__ = (
        "_ack_at",
        "_is_asked",
        "_told",
        "_untold_bytes",
        "budget",
        "counting",
        "has_said_bye",
        "inbox",
        "life",
        "limit_bytes",
        "outbox",
        "reason",
        "transport",
        "undelivered",
        "writer",
    )

    def __init__(
        self, *, transport: str, counting: bool, limit_bytes: int, budget: Budget | None = None
    ) -> None:
        self.transport = transport
        self.counting = counting
        self.limit_bytes = limit_bytes
        self.budget = budget or Budget()
        self.budget.sessions += 1
        self.outbox = Outbox(self.budget)
        self.inbox = Inbox()
        self.life = _OPEN
        self.reason: CloseReason | None = None
        self.writer: Carrier | None = None
        self.has_said_bye = False
        self.undelivered = 0
        self._told = 0
        self._untold_bytes = 0
        self._ack_at: float | None = None
        # Whether it was pinged since a message last counted as a sign of life.
        self._is_asked = False

    # -- our stream

    def send(self, message: Message, *, now: float) -> int:
        """Keep a message for the peer and return its number.

        Raises:
            SessionClosed: the session is over or ending.
            LocalProtocolError: a plain peer on polling cannot be sent U+001E (Engine.IO 4, "Payload"); or the numbers
                of the session are used up.
        """
        if self.life is not _OPEN:
            raise SessionClosed("the session is closed")
        if not self.counting and self.transport == "polling":
            self._check_plain_poll(message)
        outbox = self.outbox
        if outbox.last >= HIGHEST_NUMBER:
            raise LocalProtocolError("the numbers of this session are used up")
        number = outbox.append(message)
        budget = self.budget
        if outbox.size_bytes > self.limit_bytes:
            self._overrun(
                f"more than {self.limit_bytes} bytes wait for this client (setting buffer_limit)",
            )
        elif budget.used_bytes > budget.limit_bytes and outbox.size_bytes > budget.share_bytes:
            self._overrun("more waits for all clients than the server keeps (setting total_buffer_limit)")
        return number

    def keep(self, text: str) -> bool:
        """`send` a text without line breaks or U+001E to a counting peer, where there is room for it and no bound to be
        looked at again: whether it did. If not, nothing has changed."""
        outbox, budget = self.outbox, self.budget
        size = (len(text) if text.isascii() else len(text.encode())) + MESSAGE_OVERHEAD
        if (
            not self.counting
            or self.life is not _OPEN
            or (outbox.size_bytes + size) * 2 > self.limit_bytes
            or budget.used_bytes + size > budget.limit_bytes
            or outbox.last >= HIGHEST_NUMBER
        ):
            return False
        outbox.append_packet(f"4{text}", size)
        return True

    def _check_plain_poll(self, message: Message) -> None:
        if isinstance(message.data, str) and SEPARATOR in message.data:
            raise LocalProtocolError("standard polling cannot carry U+001E to this peer; send it as bytes")

    def write_through(self, count: int = 1) -> bool:
        """Count so many messages as sent, and as written by the carrier that writes now, without having them: if nobody
        can ask for them again, because the peer is a plain one, and nothing waits before them.

        Returns:
            Whether it did; the caller writes them now, before anything else. If not, nothing has changed: `send` them.
        """
        writer, outbox = self.writer, self.outbox
        if (
            writer is None
            or self.counting
            or self.life is not _OPEN
            or writer.control
            or writer.written != outbox.last
            or outbox.last + count > HIGHEST_NUMBER
        ):
            return False
        writer.written = outbox.pass_through(count)
        return True

    def _overrun(self, message: str) -> None:
        self._end(_CLOSED, CloseReason.BUFFER_FULL)

    @property
    def has_room(self) -> bool:
        """Whether less than half of what may be kept for a slow peer is kept now."""
        size, budget = self.outbox.size_bytes, self.budget
        return size * 2 <= self.limit_bytes and (
            budget.used_bytes <= budget.limit_bytes or size * 2 <= budget.share_bytes
        )

    def has_packets(self, carrier: Carrier, *, now: float) -> bool:
        """Whether `packets_to_send` has something for this carrier."""
        if carrier.role is not _WRITER:
            return False
        if self.life is not _OPEN:
            return self.life is _CLOSING or bool(carrier.control)
        return (
            carrier.written < self.outbox.last
            or len(carrier.control) > carrier.held
            or (self._ack_at is not None and self._ack_due(now))
        )

    def packets_to_send(
        self, carrier: Carrier, *, now: float, limit_bytes: int | None = None
    ) -> list[str | Message]:
        """What this carrier has to write now: encoded control packets and messages, in order.

        They count as written with this call: if writing fails, `detach` the carrier. Nothing for a carrier that is not
        the writer (rule 2). As a payload they have at most ``limit_bytes``, or one message; what has to be repeated, at
        most a piece.
        """
        if carrier.role is not _WRITER:
            return []
        outbox = self.outbox
        control = carrier.control
        if self.life is _OPEN and self._ack_at is None:
            if carrier.written == outbox.last:
                if control:
                    carrier.control, carrier.held = [], 0
                return [*control]
            if not (control or self.counting) and (carrier.transport != "polling" or outbox.kept == 1):
                carrier.written = outbox.last
                return outbox.take_all()
        carrier.control, carrier.held = [], 0
        packets: list[str | Message] = [*control]
        if self.life is _CLOSED:
            return packets
        plain_poll = not self.counting and carrier.transport == "polling"
        lags = carrier.written < outbox.last
        if self._ack_at is not None and (lags or packets or self._ack_due(now)):
            control.append(self._tell())
            packets.append(control[-1])
        if lags:
            if limit_bytes is not None:
                # What was written before and has not arrived: all of it at once might not do so again.
                if self.counting and carrier.written < outbox.written:
                    limit_bytes = min(limit_bytes, PIECE_BYTES)
                limit_bytes -= sum([len(packet.encode()) + 1 for packet in control])
            messages = outbox.after(carrier.written, limit_bytes)
            if plain_poll:
                messages = messages[: PLAIN_POLL_PACKETS - len(packets)]
            carrier.written += len(messages)
            outbox.mark_written(carrier.written)
            if not self.counting:
                outbox.acknowledge(carrier.written)
            packets.extend(messages)
            self._forget()
        # A standard client that finds the close behind messages in one payload closes before it has read them.
        apart = plain_poll and bool(packets)
        if self.life is _CLOSING and carrier.written == outbox.last and not apart:
            packets.append(self._farewell())
            self.has_said_bye = True
            self._end(_CLOSED, CloseReason.FORCED_SERVER_CLOSE)
        return packets

    def _farewell(self) -> str:
        return encode_packet(PacketType.CLOSE)

    def _forget(self) -> None:
        # Rule 5: an acknowledgement that came through another carrier does not excuse the writer from what it owes;
        # its numbers would jump, and the peer would take the next message for a repeat.
        position = self.outbox.acknowledged
        writer = self.writer
        if writer is not None and writer.written < position:
            position = writer.written
        self.outbox.forget(position)

    # -- the peer's stream

    def receive(self, carrier: Carrier, packet: Packet, now: float) -> str | bytes | None:
        """Take one packet that arrived on a carrier; return the message if one counts now.

        Raises:
            MissingMessages: end this carrier; the session lives (rule 1).
            RemoteProtocolError: close the session.
        """
        kind, data = packet
        if kind is _MESSAGE:
            if self.life is not _OPEN:
                return None
            if not self.counting:
                self.inbox.received += 1
                return data
            number = carrier.next_in
            if number is None:
                raise RemoteProtocolError("a message came before the carrier's next number was stated")
            taken = self.inbox.take(number)
            carrier.next_in = number + 1
            # For a repeat too: who repeats has not heard our acknowledgement, and would wait for it without end.
            self._untold_bytes += len(data)
            if self._ack_at is None or self._is_asked:
                self._owe_ack(now)
            return data if taken else None
        if self.life is not _CLOSED:
            self._receive_control(carrier, kind, data, now)
        return None

    def received_plain(self, count: int) -> None:
        """So many messages of a plain peer have come: what `receive` does for one, while the session is open."""
        self.inbox.received += count

    def _receive_control(self, carrier: Carrier, kind: PacketType, data: str | bytes, now: float) -> None:
        if kind is PacketType.ACK:
            self._acknowledge(decode_position(data))
        elif kind is PacketType.NEXT:
            carrier.next_in = decode_position(data, lowest=1)
        elif kind is PacketType.PONG:
            pass
        elif kind is PacketType.PING:
            self._receive_ping(carrier, decode_ping(data))
        elif kind is PacketType.CLOSE:
            self._end(_CLOSED, CloseReason.TRANSPORT_CLOSE)
        elif kind is not PacketType.NOOP:
            raise RemoteProtocolError(f"a packet of type {kind.value} is out of place")

    def _receive_ping(self, carrier: Carrier, data: str) -> None:
        if len(carrier.control) > MAX_CONTROL_PACKETS:
            raise RemoteProtocolError("too many pings before one could be answered")
        carrier.control.append(encode_packet(PacketType.PONG, data))

    def _acknowledge(self, position: int) -> None:
        self.outbox.acknowledge(position)
        self._forget()

    def _owe_ack(self, now: float) -> None:
        if self._ack_at is None:
            self._ack_at = now + ACK_DELAY

    def _ack_due(self, now: float) -> bool:
        return self._ack_at is not None and (
            now >= self._ack_at
            or self._untold_bytes >= ACK_EVERY_BYTES
            or self.inbox.received - self._told >= ACK_EVERY_MESSAGES
        )

    def told(self) -> int:
        """Our position, to be told to the peer now in whatever form."""
        self._told = self.inbox.received
        self._untold_bytes = 0
        self._ack_at = None
        return self._told

    def _tell(self) -> str:
        return encode_packet(PacketType.ACK, str(self.told()))

    # -- carriers

    def _replace_writer(self, carrier: Carrier) -> None:
        if self.writer is not None:
            self.writer.role = _REPLACED
        # After the other, which is the same one if its attach was answered twice.
        carrier.role = _WRITER
        self.writer = carrier

    def detach(self, carrier: Carrier, *, now: float) -> bool:
        """A carrier is over; idempotent. Whether it was the writer, that is: whether the session has none now."""
        carrier.role = _DETACHED
        if self.writer is not carrier:
            return False
        self.writer = None
        if self.counting:
            self._forget()
        return True

    def _end(self, life: Life, reason: CloseReason) -> None:
        # The first reason stays: what comes after it is how it ends, not why.
        if life is _CLOSED and self.life is not _CLOSED:
            self.undelivered = self.outbox.kept
            self.outbox.clear()
            self.budget.sessions -= 1
        self.life = life
        if self.reason is None:
            self.reason = reason
