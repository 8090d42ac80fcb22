"""The server's end of a session: it accepts attaches, keeps the heartbeat, and gives up after the grace period."""

from __future__ import annotations

from ..errors import RemoteProtocolError, StaleAttach
from ..wire.handshake import (
    Attached,
    Closing,
    decode_ending,
    encode_attached,
    encode_closing,
    encode_ending,
)
from ..wire.packet import PacketType, encode_packet
from .budget import Budget
from .carrier import Carrier, Role
from .heartbeat import Beat, Heartbeat
from .reason import CloseReason
from .session import OVERDUE, Life, Session

__all__ = ["ServerSession"]

_LINGER = 30.0

# A writer of these transports may be named again by its own number: intermediaries repeat a GET (rule 6).
_REPEATABLE = ("polling", "stream")

# An enum's members take long to look up.
_OPEN, _CLOSING, _CLOSED = Life.OPEN, Life.CLOSING, Life.CLOSED
_WRITER, _BRINGER = Role.WRITER, Role.BRINGER


class ServerSession(Session):
    """One peer, across its carriers.

    Args:
        transport: What the peer opened with.
        counting: Whether the peer asked for positions.
        ping_interval: Seconds between pings.
        ping_timeout: Seconds that a ping may stay unanswered.
        grace: Seconds that a counting session is kept without a carrier.
        limit_bytes: Bytes kept for the peer before the session is closed.
        now: Seconds on any monotonic clock.
        budget: What all sessions may keep together; None for no bound.
        unused_grace: Seconds that a session is kept that never came back after its handshake; None for as long as any.

    Attributes:
        opening: The carrier of the opening request.
        peer_left: Whether the peer has said that it leaves.
        gone_at: Since when there is no carrier that writes, if there is none.
        end_message: What the peer was told of its end, if that was no ordinary one.
        retry_ms: In how many milliseconds it is to come back; None for when it likes.
    """

    __slots__ = (
        "_attach_number",
        "_came_back",
        "_closing_at",
        "_gone_reason",
        "_grace",
        "_heartbeat",
        "_interval",
        "_timeout",
        "_unused_grace",
        "_waiting",
        "end_message",
        "ended_as",
        "gone_at",
        "opening",
        "peer_left",
        "retry_ms",
    )

    def __init__(
        self,
        *,
        transport: str,
        counting: bool,
        ping_interval: float,
        ping_timeout: float,
        grace: float,
        limit_bytes: int,
        now: float,
        budget: Budget | None = None,
        unused_grace: float | None = None,
    ) -> None:
        super().__init__(transport=transport, counting=counting, limit_bytes=limit_bytes, budget=budget)
        self.opening = Carrier(transport, _WRITER, number=1, next_in=1)
        self.writer = self.opening
        self._attach_number = 1
        self._interval = ping_interval
        self._timeout = ping_timeout
        self._grace = grace
        self._heartbeat = Heartbeat(interval=ping_interval, timeout=ping_timeout, now=now)
        # Pings for which no poll was there.
        self._waiting: list[str] | None = None
        self.gone_at = now
        self._closing_at = now
        self._gone_reason = CloseReason.TRANSPORT_CLOSE
        self._unused_grace = grace if unused_grace is None else min(unused_grace, grace)
        self._came_back = False
        self.peer_left = False
        self.end_message: str | None = None
        self.ended_as: tuple[int, str] | None = None
        self.retry_ms: int | None = None

    def attach(
        self, transport: str, *, now: float, number: int | None = None, received: int | None = None
    ) -> Carrier:
        """Put a new carrier that writes under the session; the one before is replaced.

        Args:
            number: The client's number for it; None from a plain peer.
            received: How far the client has our stream; None from a plain peer.

        Raises:
            StaleAttach: a newer carrier exists; ``received`` still counted (rule 6).
            RemoteProtocolError: ``received`` was never sent; close the session.
        """
        if received is not None:
            self._acknowledge(received)
        if number is not None:
            self._check_number(number, transport)
            self._attach_number = number
        self._came_back = True
        carrier = Carrier(transport, _WRITER, number=number, written=self.outbox.acknowledged)
        if self.counting:
            # Rules 3 and 4: both positions, before anything else is written here.
            position = self.outbox.acknowledged
            answer = Attached(carrier=number, received=self.told())
            carrier.control = [encode_attached(answer), encode_packet(PacketType.NEXT, str(position + 1))]
            if transport == "polling":
                carrier.held = len(carrier.control)
            self._heartbeat = Heartbeat(interval=self._interval, timeout=self._timeout, now=now)
            self._replace_writer(carrier)
            self._forget()
        else:
            # A ping that the old poll did not come to write still has to be asked.
            carrier.control = (self._waiting or []) + (self.writer.control if self.writer is not None else [])
            self._waiting = None
            self._replace_writer(carrier)
        self.transport = transport
        return carrier

    def _check_number(self, number: int, transport: str) -> None:
        if number > self._attach_number:
            return
        if number == self._attach_number and transport in _REPEATABLE and self.transport == transport:
            return
        raise StaleAttach(f"carrier {number} is not newer than carrier {self._attach_number}")

    def bring(self, *, now: float, received: int | None = None) -> Carrier:
        """Attach a carrier that only brings: a POST.

        Raises:
            RemoteProtocolError: ``received`` was never sent; close the session.
        """
        if received is not None:
            self._acknowledge(received)
            self._heartbeat.heard(now)
        self._came_back = True
        return Carrier("polling", _BRINGER)

    def answer_to_post(self) -> str:
        """What a counting peer's POST is answered with (docs/protocol.md, section 5)."""
        # A client that has got a WebSocket meanwhile does not POST again when this answer is lost: there the
        # acknowledgement stays owed.
        on_websocket = self.writer is not None and self.writer.transport == "websocket"
        received = self.inbox.received if on_websocket else self.told()
        return encode_attached(Attached(received=received, sent=self.outbox.written))

    @property
    def is_used(self) -> bool:
        """Whether anything came from the peer after its handshake."""
        return self._came_back or self.inbox.received > 0

    def _receive_control(self, carrier: Carrier, kind: PacketType, data: str | bytes, now: float) -> None:
        self._came_back = True
        if self.counting or kind is PacketType.PONG:
            self._heartbeat.heard(now)
        if kind is PacketType.CLOSE:
            self.peer_left = True
            if self.counting and self.ended_as is None:
                self.ended_as = decode_ending(data)
        super()._receive_control(carrier, kind, data, now)

    def _receive_ping(self, carrier: Carrier, data: str) -> None:
        if not self.counting:
            raise RemoteProtocolError("pings go from the server to the client")
        if carrier.role is _WRITER:
            super()._receive_ping(carrier, data)
        elif carrier.role is _BRINGER and self.writer is not None and data == str(self.writer.number):
            super()._receive_ping(self.writer, data)

    def _owe_ack(self, now: float) -> None:
        self._is_asked = False
        self._heartbeat.heard(now)
        super()._owe_ack(now)

    def detach(
        self, carrier: Carrier, *, now: float, reason: CloseReason = CloseReason.TRANSPORT_CLOSE
    ) -> bool:
        """A carrier is over; idempotent. Only the writer's end matters (rule 6).

        A counting session then waits ``grace`` seconds for the next carrier; a plain one lives on if a poll has ended
        (`close` it if that poll was cut short).
        """
        was_writer = super().detach(carrier, now=now)
        if was_writer:
            self.gone_at = now
            self._gone_reason = reason
        return was_writer

    def close(self, reason: CloseReason, *, now: float, retry_ms: int | None = None) -> None:
        """End the session from this side; what was sent before still goes out, for at most 30 s."""
        if self.life is not _OPEN:
            return
        self.retry_ms = retry_ms
        self._end(_CLOSING, reason)
        self._closing_at = now

    def end_as(self, code: int, text: str) -> None:
        """Say what the peer is told at the end; the first word stays."""
        if self.ended_as is None and self.life is _OPEN:
            self.ended_as = (code, text)

    def fail(self, reason: CloseReason, *, code: int | None = None, message: str | None = None) -> None:
        """End the session at once: the peer broke the protocol or is gone. A carrier that can write tells it why."""
        if self.life is _CLOSED:
            return
        self._end(_CLOSED, reason)
        self.end_message = message
        if self.writer is not None:
            data = Closing(code=code, message=message, received=self.inbox.received, retry_ms=self.retry_ms)
            self.writer.control.append(
                encode_packet(PacketType.CLOSE, encode_closing(data) if self.counting else "")
            )

    def _overrun(self, message: str) -> None:
        self.fail(CloseReason.BUFFER_FULL, message=message)

    def _farewell(self) -> str:
        if not self.counting:
            return super()._farewell()
        message = self.reason if self.ended_as is None else encode_ending(*self.ended_as)
        closing = Closing(message=message, received=self.inbox.received, retry_ms=self.retry_ms)
        return encode_packet(PacketType.CLOSE, encode_closing(closing))

    def deadline(self) -> float | None:
        """When `tick` has to be called next; None when nothing waits for time."""
        if self.life is _CLOSED:
            return None
        if self.life is _CLOSING:
            return self._closing_at + _LINGER
        if not self.counting:
            due = self._heartbeat.deadline()
            return min(due, self._given_up_at()) if self.writer is None and not self.is_used else due
        if self.writer is None:
            return self._given_up_at()
        if self.writer.transport == "polling":
            return None
        due = self._heartbeat.deadline()
        return due if self._ack_at is None or self._ack_at == OVERDUE else min(due, self._ack_at)

    def _given_up_at(self) -> float:
        return self.gone_at + (self._grace if self.is_used else self._unused_grace)

    def tick(self, *, now: float) -> Carrier | None:
        """Do what is due at ``now``. Returns a carrier that has to be cut because its peer is silent."""
        due = self.deadline()
        if due is None or now < due:
            return None
        if self.life is _CLOSING:
            self._end(_CLOSED, CloseReason.FORCED_SERVER_CLOSE)
        elif self.writer is None and (self.counting or not self.is_used) and now >= self._given_up_at():
            self._end(_CLOSED, self._gone_reason)
        else:
            if self._ack_at is not None and self._ack_at <= now:
                # Said once: the deadline of a writer that cannot write now would stay in the past, and whoever waits
                # for it would call here again and again.
                self._ack_at = OVERDUE
            return self._beat(now)
        return None

    def _beat(self, now: float) -> Carrier | None:
        beat = self._heartbeat.due(now)
        if beat is Beat.PING:
            self._is_asked = True
            if self.writer is not None:
                self.writer.control.append(encode_packet(PacketType.PING))
            else:
                self._waiting = [*(self._waiting or ()), encode_packet(PacketType.PING)]
        elif beat is Beat.DEAD:
            silent = self.writer
            if silent is None or not self.counting:
                self._end(_CLOSED, CloseReason.PING_TIMEOUT)
            else:
                self.detach(silent, now=now, reason=CloseReason.PING_TIMEOUT)
            return silent
        return None
