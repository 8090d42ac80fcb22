"""A SockJS session: where it differs from every other one. No I/O, no clock.

1. Receivers (a poll, a stream, a WebSocket) are carriers, and there is one at a time: a second one is refused while the
   first is there. It is never replaced.
2. A receiver that ends as it should leaves the session to the next one for a while (``expiry``); one that breaks off
   ends it, because what was written to it may be lost and nothing is repeated.
3. A poll takes one frame: what opens, a heartbeat or what closes by itself, or all messages that wait.
4. Nobody answers a heartbeat. One that could not be written until the next is due says that nothing is taken any more.
5. A session that has ended has a code and a text for whoever still asks.

SockJS protocol 0.3.4, "Session URLs", "Protocol and framing" and "Handling close".
"""

from __future__ import annotations

from ..errors import LocalProtocolError, StaleAttach
from ..wire.message import Message
from ..wire.sockjs import HEARTBEAT, OPEN, encode_close
from .budget import Budget
from .carrier import Carrier, Role
from .reason import CloseReason
from .server import ServerSession
from .session import Life

__all__ = ["ANOTHER_RECEIVER", "GO_AWAY", "SockJSCore"]

GO_AWAY = (3000, "Go away!")
ANOTHER_RECEIVER = (2010, "Another connection still open")
_INTERRUPTED = (1002, "Connection interrupted")
_POLICY = 1008
# An enum's members take long to look up.
_OPEN, _CLOSING, _CLOSED, _WRITER = Life.OPEN, Life.CLOSING, Life.CLOSED, Role.WRITER
# What a writer that takes nothing has for the end.
_LINGER = 30.0

_ENDS = {
    CloseReason.FORCED_SERVER_CLOSE: GO_AWAY,
    CloseReason.SERVER_SHUTTING_DOWN: GO_AWAY,
    CloseReason.BUFFER_FULL: (_POLICY, "Too much waits for this client"),
    CloseReason.AUTHENTICATION_EXPIRED: (_POLICY, "The credentials have expired"),
    CloseReason.PARSE_ERROR: (1002, "Protocol error"),
}


class SockJSCore(ServerSession):
    """One peer, across its receivers.

    Args:
        transport: "websocket", "stream" or "polling": what kind the first receiver is.
        raw: Whether it is a WebSocket without frames, which also carries bytes.
        heartbeat: Seconds between two heartbeats.
        expiry: Seconds that it is kept without a receiver.
        limit_bytes: Bytes kept for the peer before the session is closed.
        now: Seconds on any monotonic clock.
        budget: What all sessions may keep together; None for no bound.
        takes_bytes: Whether bytes can be sent: without frames, or where the peer takes a list of numbers for them.
    """

    def __init__(
        self,
        *,
        transport: str,
        raw: bool,
        heartbeat: float,
        expiry: float,
        limit_bytes: int,
        now: float,
        budget: Budget | None = None,
        takes_bytes: bool = False,
    ) -> None:
        super().__init__(
            transport=transport,
            counting=False,
            ping_interval=heartbeat,
            ping_timeout=heartbeat,
            grace=expiry,
            limit_bytes=limit_bytes,
            now=now,
            budget=budget,
        )
        self.raw = raw
        self._takes_bytes = takes_bytes or raw
        self._beat_at = now + heartbeat
        if not raw:
            self.opening.control.append(OPEN)

    @property
    def end(self) -> tuple[int, str]:
        """The code and the text that it has ended with, or would (rule 5)."""
        if self.ended_as is not None:
            return self.ended_as
        code, text = _INTERRUPTED if self.reason is None else _ENDS.get(self.reason, _INTERRUPTED)
        return code, self.end_message or text

    def send(self, message: Message, *, now: float) -> int:
        """`Session.send`.

        Raises:
            SessionClosed: the session is over or ending.
            LocalProtocolError: bytes, which this peer does not take.
        """
        if not self._takes_bytes and not message.is_text:
            raise LocalProtocolError("SockJS carries text only; encode the bytes, as base64 for example")
        return super().send(message, now=now)

    def _check_plain_poll(self, message: Message) -> None:
        """Frames are JSON: there is nothing that they cannot carry."""

    def write_through(self, count: int = 1) -> bool:
        """`Session.write_through`: never. What it writes are frames, which whoever asks does not know."""
        return False

    # -- receivers

    def attach(
        self, transport: str, *, now: float, number: int | None = None, received: int | None = None
    ) -> Carrier:
        """Put a receiver under the session (rule 1).

        Raises:
            StaleAttach: there is one; the session is unharmed.
        """
        if self.writer is not None:
            raise StaleAttach(ANOTHER_RECEIVER[1])
        self._came_back = True
        carrier = Carrier(transport, _WRITER, written=self.outbox.acknowledged)
        self._replace_writer(carrier)
        self.transport = transport
        self._beat_at = now + self._interval
        return carrier

    def packets_to_send(
        self, carrier: Carrier, *, now: float, limit_bytes: int | None = None
    ) -> list[str | Message]:
        """Frames, and messages that are to be framed; of a poll one frame's (rule 3)."""
        if carrier.role is not _WRITER:
            return []
        packets: list[str | Message] = []
        one = carrier.transport == "polling"
        if carrier.control:
            packets += carrier.control[:1] if one else carrier.control
            carrier.control = []
        if self.life is _CLOSED or (one and packets):
            return packets
        outbox = self.outbox
        if carrier.written < outbox.last:
            messages = outbox.after(carrier.written, limit_bytes)
            carrier.written += len(messages)
            outbox.mark_written(carrier.written)
            outbox.acknowledge(carrier.written)
            packets.extend(messages)
            self._forget()
        if self.life is _CLOSING and carrier.written == outbox.last and not (one and packets):
            if not self.raw:
                packets.append(encode_close(*self.end))
            self.has_said_bye = True
            self._end(_CLOSED, CloseReason.FORCED_SERVER_CLOSE)
        return packets

    # -- the end

    def fail(self, reason: CloseReason, *, code: int | None = None, message: str | None = None) -> None:
        """End the session at once. A receiver that is there tells it, but of a WebSocket that broke the protocol."""
        if self.life is _CLOSED:
            return
        self._end(_CLOSED, reason)
        self.end_message = message
        writer = self.writer
        if writer is None or self.raw:
            return
        if reason is not CloseReason.PARSE_ERROR or writer.transport != "websocket":
            writer.control.append(encode_close(*self.end))

    # -- time

    def deadline(self) -> float | None:
        """When `tick` has to be called next; None when nothing waits for time."""
        if self.life is _CLOSED:
            return None
        if self.writer is None:
            since = self.gone_at if self.life is _OPEN else max(self.gone_at, self._closing_at)
            return since + self._grace
        if self.life is _CLOSING:
            return self._closing_at + _LINGER
        return None if self.raw else self._beat_at

    def tick(self, *, now: float) -> Carrier | None:
        """Do what is due at ``now``. Returns a receiver that takes nothing any more (rule 4)."""
        due = self.deadline()
        if due is None or now < due:
            return None
        writer = self.writer
        if self.life is _CLOSING or writer is None:
            self._end(_CLOSED, CloseReason.TRANSPORT_CLOSE)
            return None
        if HEARTBEAT in writer.control:
            self.detach(writer, now=now, reason=CloseReason.PING_TIMEOUT)
            return writer
        self._beat_at = now + self._interval
        writer.control.append(HEARTBEAT)
        return None
