"""A session that lives: with a clock, an application above it and coroutines of transports below.

Whoever is awake writes. What arrives is handed to the application at once, on the coroutine that read it; what the
application sends is pulled by the coroutine of the carrier that writes now, everything that waits together. There is no
task and no queue hop per message.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import anyio
from anyio.lowlevel import checkpoint

from ..errors import (
    ErrorCode,
    LimitExceeded,
    MessageTooLarge,
    RemoteProtocolError,
    SessionClosed,
    StaleAttach,
)
from ..host import Event, Host, Timer, make_event
from ..session import Budget, Carrier, CloseReason, Life, Role, ServerSession, kept_bytes
from ..wire.message import MESSAGE_OVERHEAD, Message
from .attachment import Attachment
from .candidates import Candidates
from .handshake import Handshake
from .identity import Identity
from .intake import TURN, Intake, SessionHandler
from .stats import Counters

__all__ = ["Arrival", "LiveSession", "short_hash"]

logger = logging.getLogger("holdfast.session")

# How long a carrier has for what a session that is over still says. A peer that takes nothing gets no more.
_LAST_WORDS = 2.0

# By how much requests of a plain peer that were sent one after the other may overtake each other: between workers each
# goes its own way.
OVERTAKING = 0.1
# How long what was replaced goes on: it may still bring what its client had written, and write what it had begun. A
# client that takes nothing any more gets no longer, whatever blocks there.
_REPLACED_LINGER = 5.0
# How long polls may pause and still be what went on before.
_PAUSE = 5.0
# How long a client whose credentials have expired has to come back with fresh ones.
_RENEWAL = 10.0
# What is longer may be longer on its way than a call may take.
_SHORT = 8_192
# How many volatile events wait where the newest are wanted.
_MOST_LATEST = 16
_OPEN, _CLOSED = Life.OPEN, Life.CLOSED
_WRITER, _BRINGER = Role.WRITER, Role.BRINGER


def short_hash(secret: str) -> str:
    """What stands in logs for a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


class Arrival:
    """A WebSocket that is no carrier yet.

    Attributes:
        poll: What carried the session when it came.
        is_proven: Whether it has answered its probe.
        crowded_out: Whether newer ones have taken its place.
    """

    def __init__(self, poll: Carrier | None = None) -> None:
        self.scope = anyio.CancelScope()
        self.poll = poll
        self.is_proven = False
        self.crowded_out = False

    @contextmanager
    def alone(self) -> Generator[Arrival]:
        """While it arrives, where no session is there to know it."""
        with self.scope:
            yield self


class LiveSession(Intake):
    """One peer, as its application sees it.

    Attributes:
        sid: Engine.IO's id: a secret half; never shown to other peers.
        key: The resume key of a counting peer.
        counting: Whether positions were negotiated.
        codec: What was negotiated; None for a plain peer, recognised by its first packet.
        request: The request that opened the session.
        max_payload: The largest message in bytes that is taken from the peer.
        max_carriers: How many may serve it at once.
        when_full: What `send` does while there is no room.
        end_code: The protocol's error code that the session ended with, if it did.
        close_code: What a plain peer's WebSocket is closed with for it.
        identity: Whose it is; None where the application has no word on that.
    """

    # More attributes than CPython shares the keys of.
    __slots__ = (
        "__weakref__",
        "_arrivals",
        "_attachments",
        "_candidates",
        "_counters",
        "_ended",
        "_is_ended",
        "_is_lost",
        "_is_plain",
        "_latest",
        "_name",
        "_on_end",
        "_posting",
        "_room",
        "_through",
        "_timer",
        "_timer_at",
        "_was_open",
        "close_code",
        "codec",
        "counting",
        "end_code",
        "identity",
        "key",
        "max_carriers",
        "max_payload",
        "request",
        "sid",
        "when_full",
    )

    def __init__(
        self,
        core: ServerSession,
        *,
        sid: str,
        key: str,
        codec: str | None,
        request: Handshake,
        host: Host,
        max_payload: int = 1_000_000,
        when_full: Literal["wait", "disconnect"] = "wait",
        max_carriers: int = 16,
        max_events_per_second: int = 20_000,
        counters: Counters | None = None,
        identity: Identity | None = None,
    ) -> None:
        super().__init__(core, host, max_events_per_second)
        self.counting = core.counting
        # A poll that comes, or goes as it should, leads to nothing else once the session is used.
        self._is_plain = core.__class__ is ServerSession and not core.counting
        self.sid = sid
        self.key = key
        self.codec = codec
        self.request = request
        self.max_payload = max_payload
        self.when_full = when_full
        self.max_carriers = max_carriers
        self._name = ""
        self.end_code: int | None = None
        self.close_code = 1000
        self._ended: Event | None = None
        self._is_ended = False
        self._candidates: Candidates | None = None
        self.identity = identity
        self._counters = counters or Counters()
        # A counting session that has lost its carrier; between two polls it has not.
        self._is_lost = False
        self._attachments: dict[Carrier, Attachment] = {}
        self._timer: Timer | None = None
        self._timer_at: float | None = None
        self._room: Event | None = None
        self._latest: deque[tuple[Message, ...]] | None = None
        self._through = 0
        self._was_open = True
        self._arrivals: tuple[Arrival, ...] = ()
        self._posting = 0
        self._on_end: Callable[[LiveSession], None] | None = None

    def start(self, handler: SessionHandler) -> None:
        """Put the application above the session, and start its time."""
        self.handler = handler
        if self.identity is not None:
            self.identity.begin(self.host, self.name, self._credentials_expired)
        self._settle()

    def on_end(self, call: Callable[[LiveSession], None]) -> None:
        """Have the owner told, once, when the session is over for good."""
        self._on_end = call

    # -- what an application asks

    @property
    def name(self) -> str:
        """What stands in logs for its id."""
        if not self._name:
            self._name = short_hash(self.sid)
        return self._name

    @property
    def transport(self) -> str:
        """What carries the session, or carried it last: "websocket", "stream" or "polling"."""
        return self._core.transport

    @property
    def attached(self) -> bool:
        """Whether a carrier that can write is attached at this moment; between two polls there is none."""
        return self._core.writer is not None

    @property
    def has_left(self) -> bool:
        """Whether its peer has said that it leaves."""
        return self._core.peer_left

    @property
    def is_used(self) -> bool:
        """Whether anything came of the peer after its handshake."""
        return self._core.is_used

    @property
    def writable(self) -> bool:
        """Whether what is sent now leaves now: a carrier is attached and not held up, and not much waits already."""
        writer = self._core.writer
        attachment = None if writer is None else self._attachments.get(writer)
        return attachment is not None and not attachment.busy and self.has_room

    @property
    def life(self) -> Life:
        return self._core.life

    @property
    def is_over(self) -> bool:
        """Whether it is over for good, here."""
        return self._core.life is _CLOSED

    @property
    def received(self) -> int:
        """How many messages of the peer were taken over."""
        return self._core.inbox.received

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept for the peer: not written or not acknowledged yet; a message has 150 besides its payload."""
        return self._core.outbox.size_bytes

    @property
    def budget(self) -> Budget:
        """What is kept for all peers."""
        return self._core.budget

    @property
    def is_busy(self) -> bool:
        """Whether its handlers still work on what it has sent."""
        return self.handler is not None and self.handler.is_busy

    @property
    def is_served(self) -> bool:
        """Whether a carrier is there, if only to say its last word."""
        return bool(self._attachments)

    @property
    def has_said_bye(self) -> bool:
        """Whether its end was written, after all messages."""
        return self._core.has_said_bye

    @property
    def undelivered(self) -> int:
        """How many messages were kept for the peer when it ended: not written, or not acknowledged."""
        return self._core.undelivered

    @property
    def end_message(self) -> str | None:
        """What the peer was told of its end, if that was no ordinary one."""
        return self._core.end_message

    def send_nowait(self, *messages: Message) -> None:
        """Send without waiting. A session whose bound this exceeds is closed with "buffer full".

        Raises:
            SessionClosed: the session is over; the messages are not delivered.
            MessageTooLarge: together they exceed the bound on their own; nothing has changed.
            LocalProtocolError: a plain peer cannot be sent U+001E as text.
        """
        self.put(messages)

    def put(self, messages: Sequence[Message]) -> None:
        """`send_nowait`."""
        if not self._write_through(messages):
            self._put(messages, kept_bytes(messages))
            self._settle()

    def _write_through(self, messages: Sequence[Message]) -> bool:
        """Write at once what need not be kept: to a plain peer, where nothing waits. Whether it did."""
        core = self._core
        writer = core.writer
        if writer is None or core.counting or self._latest:
            return False
        attachment = self._attachments.get(writer)
        if (
            attachment is None
            or attachment.busy
            or (write := attachment.write_now) is None
            or kept_bytes(messages) > core.limit_bytes
            or not core.write_through(len(messages))
        ):
            return False
        write(messages)
        return True

    def _put(self, messages: Sequence[Message], size: int) -> None:
        if size > self._core.limit_bytes:
            raise MessageTooLarge(size, self._core.limit_bytes)
        now = self.host.now()
        try:
            for message in messages:
                self._core.send(message, now=now)
        except SessionClosed:
            # One of several messages may just have been too much for what is kept.
            self._settle()
            raise

    @property
    def has_room(self) -> bool:
        """Whether less than half of the session's bound is kept for a slow peer."""
        return self._core.has_room

    def send_latest(self, *messages: Message) -> None:
        """Send what is worth something only while it is new: of what cannot leave now, the newest waits."""
        if self.is_open:
            if self._latest is None:
                self._latest = deque(maxlen=_MOST_LATEST)
            self._latest.append(messages)
            self._settle()

    def _put_latest(self) -> None:
        core, latest = self._core, self._latest
        while latest and self.is_open and core.has_room:
            messages = latest.popleft()
            # Volatile ones never end a session: what does not fit is dropped after all.
            size = kept_bytes(messages)
            if size + core.outbox.size_bytes <= core.limit_bytes:
                self._put(messages, size)

    def has_room_for(self, size_bytes: int) -> bool:
        """Whether what costs so much can be sent without waiting: less than half of the bound is kept, and it fits.
        What does not fit by itself is not to be waited for."""
        core = self._core
        return (
            core.has_room and not core.limit_bytes - core.outbox.size_bytes < size_bytes <= core.limit_bytes
        )

    async def wait_for_room(self, size_bytes: int = 0) -> None:
        """Return when the session has room for so much; at once if it has, or if nobody is to wait."""
        while self.is_open and not self.has_room_for(size_bytes) and self.when_full == "wait":
            if self._room is None:
                self._room = make_event()
            await self._room.wait()

    async def send(self, *messages: Message) -> None:
        """Send; wait first while more than half of the session's bound is kept for a slow peer (setting when_full).

        It may be cancelled: then nothing is sent, or all of it.

        Raises:
            SessionClosed: the session is over, before or while waiting; the messages are not delivered.
            MessageTooLarge: as `send_nowait`.
            LocalProtocolError: as `send_nowait`.
        """
        if self._write_through(messages):
            self._through += 1
            if not self._through % TURN:
                # Others have their turn, whoever sends without end.
                await checkpoint()
        else:
            size = kept_bytes(messages)
            await self.wait_for_room(size)
            self._put(messages, size)
            self._settle()

    async def answer(self, *messages: Message, more: bool = False) -> None:
        """`send`, and begin to write now; what is sent while the peer's messages are taken leaves when all are.

        Args:
            more: Something else is sent at once: what arrived together is answered together.
        """
        if not self.answer_now(messages, more=more):
            size = kept_bytes(messages)
            await self.wait_for_room(size)
            self._put(messages, size)
            self._settle(now=True)

    def answer_now(self, messages: Sequence[Message], *, more: bool = False) -> bool:
        """`answer`, unless it would wait: whether it did not."""
        if not (more and self._is_receiving) and self._write_through(messages):
            return True
        size = kept_bytes(messages)
        if not self.has_room_for(size):
            return False
        self._put(messages, size)
        self._settle(now=True)
        return True

    def answer_at_once(self, text: str, task: asyncio.Task[Any] | None) -> bool:
        """`answer` by one text as the last thing that a turn does, where nothing else is to be seen to: whether it did.

        Args:
            task: As which the turn runs; None where something else is sent at once, and what arrived together is
                answered together.
        """
        core = self._core
        if task is None:
            return self.joins and core.keep(text)
        attachment = None if core.writer is None else self._attachments.get(core.writer)
        if (
            attachment is None
            or attachment.busy
            or (answer := attachment.answer_now) is None
            or len(text) > _SHORT
            or self._latest
            # No letter takes more.
            or 4 * len(text) + MESSAGE_OVERHEAD > core.limit_bytes
            or not core.write_through()
        ):
            return False
        answer(text, task)
        return True

    def close(
        self, reason: CloseReason = CloseReason.FORCED_SERVER_CLOSE, *, retry_ms: int | None = None
    ) -> None:
        """End the session. What was sent before still goes out.

        Args:
            retry_ms: In how many milliseconds a counting peer is to come back; None for when it likes.
        """
        self._core.close(reason, now=self.host.now(), retry_ms=retry_ms)
        self._settle()

    def end_as(self, code: int, text: str) -> None:
        """`close`, with what the peer is told."""
        self._core.end_as(code, text)
        self.close()

    @property
    def ended_as(self) -> tuple[int, str] | None:
        """The code and the text that either side has ended it with; None where none was said."""
        return self._core.ended_as

    def fail(
        self,
        reason: CloseReason,
        *,
        code: int | None = None,
        message: str | None = None,
        close_code: int | None = None,
    ) -> None:
        """End the session at once and tell the peer why; the first reason stays."""
        if self._core.life is not _CLOSED:
            self.end_code = code
            self.close_code = close_code or (1000 if code is None else 1002)
        self._core.fail(reason, code=code, message=message)
        self._settle()

    # -- what a transport does

    def opening(self) -> Attachment:
        """The attachment of the request that opened the session."""
        return self._serve(self._core.opening)

    def attach(self, transport: str, *, number: int | None = None, received: int | None = None) -> Attachment:
        """Put a new carrier that writes under the session.

        Raises:
            StaleAttach: a newer carrier exists; the session is unharmed.
            RemoteProtocolError: the session has been closed for it.
        """
        core, counters = self._core, self._counters
        before, written = core.transport, core.outbox.written
        try:
            carrier = core.attach(transport, number=number, received=received, now=self.host.now())
        except StaleAttach:
            self._settle()
            raise
        except RemoteProtocolError as error:
            self._refuse(error)
            raise
        if transport != before:
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("session %s goes on by %s, after %s", self.name, transport, before)
            counters.move(before, transport)
        counters.replayed += written - carrier.written
        if self._is_lost:
            self._is_lost = False
            counters.resume()
        self._fence()
        attachment = self._serve(carrier)
        if not self._is_plain or len(self._attachments) > 1 or core.life is not _OPEN:
            self._settle()
        return attachment

    def _fence(self) -> None:
        """All that were there are replaced: see to it that none of them stays, wherever it waits."""
        for attachment in self._attachments.values():
            if not attachment.fenced:
                attachment.fenced = True
                self.host.call_later(_REPLACED_LINGER, attachment.cut)
        # Those that are cut already have a second for their last word.
        left = [attachment for attachment in self._attachments.values() if not attachment.is_cut]
        if len(left) >= self.max_carriers:
            left[0].cut()

    def goes_on_by(self, transport: str | None) -> bool:
        """Whether a carrier of this kind is only the next one: a poll after a poll, and soon; None is a POST."""
        if transport is not None and (transport != "polling" or self._core.transport != "polling"):
            return False
        return self.attached or self.host.now() - self._core.gone_at <= _PAUSE

    def _credentials_expired(self) -> None:
        """A counting peer has its carriers cut: it attaches again, and is asked who it is. A plain one begins anew."""
        if not self.counting:
            self._fail_expired()
            return
        logger.info("session %s: its credentials have expired; it is to attach again", self.name)
        if self.attached:
            self.host.call_later(_RENEWAL, self._end_unless_renewed)
        self._cut_candidates()
        self._cut()

    def _end_unless_renewed(self) -> None:
        if self.identity is not None and not self.identity.is_good:
            self._fail_expired()

    def _fail_expired(self) -> None:
        self.fail(
            CloseReason.AUTHENTICATION_EXPIRED,
            code=int(ErrorCode.FORBIDDEN),
            message="the credentials have expired",
            close_code=1008,
        )

    def bring(self, *, received: int | None = None) -> Carrier:
        """Attach a carrier that only brings: a POST.

        Raises:
            RemoteProtocolError: the session has been closed for it.
        """
        try:
            return self._core.bring(received=received, now=self.host.now())
        except RemoteProtocolError as error:
            self._refuse(error)
            raise

    def _serve(self, carrier: Carrier) -> Attachment:
        attachment = Attachment(carrier, self)
        self._attachments[carrier] = attachment
        return attachment

    def _refuse(self, error: RemoteProtocolError) -> None:
        logger.info("session %s closed: %s", self.name, error)
        self.end_code = int(error.code)
        self.close_code = error.close_code if isinstance(error, LimitExceeded) else 1002
        self._core.fail(CloseReason.PARSE_ERROR, code=int(error.code), message=str(error))
        self._settle()

    def answer_to_post(self) -> str:
        """What a counting peer's POST is answered with."""
        return self._core.answer_to_post()

    def has_packets(self, attachment: Attachment) -> bool:
        """Whether the carrier has something to write; a stream that is not attached yet has only pongs."""
        carrier = attachment.carrier
        if carrier.role is not _WRITER:
            return carrier.role is _BRINGER and bool(carrier.control)
        if self._latest and self.has_room:
            return True
        return self._core.has_packets(carrier, now=self.host.now())

    def take(self, attachment: Attachment, limit_bytes: int | None = None) -> list[str | Message]:
        """See `Attachment.take`."""
        if attachment.carrier.role is _BRINGER:
            pongs = list[str | Message](attachment.carrier.control)
            attachment.carrier.control.clear()
            return pongs
        if self._latest and attachment.carrier.role is _WRITER:
            self._put_latest()
        packets = self._core.packets_to_send(attachment.carrier, now=self.host.now(), limit_bytes=limit_bytes)
        # Writing makes room only where messages are forgotten when written.
        if self._core.life is not _OPEN or (self._room is not None and not self.counting):
            self._settle()
        return packets

    def detach(self, attachment: Attachment, reason: CloseReason = CloseReason.TRANSPORT_CLOSE) -> None:
        """The carrier is over; idempotent. A plain peer that loses a carrier that can write loses its session."""
        known = self._attachments.pop(attachment.carrier, None)
        if self._core.detach(attachment.carrier, now=self.host.now(), reason=reason):
            self._lose(reason)
        elif known is None or self._core.life is _OPEN:
            # It was not what carries the session, and nobody waits for its end.
            return
        self._settle()

    def poll_answered(self, attachment: Attachment) -> None:
        """What answers a poll is taken and about to be sent: the ordinary end of that carrier.

        Whoever sends it calls `detach` or `answer_lost` at its end.
        """
        core = self._core
        core.detach(attachment.carrier, now=self.host.now())
        if not (self._is_plain and core.is_used) or len(self._attachments) > 1 or core.life is not _OPEN:
            self._settle()

    def answer_lost(self, attachment: Attachment) -> None:
        """A poll was answered, and the answer was not sent in full. A plain peer loses its session with it."""
        self._attachments.pop(attachment.carrier, None)
        self._lose(CloseReason.TRANSPORT_CLOSE)
        self._settle()

    def _lose(self, reason: CloseReason) -> None:
        if self.counting and self.is_open and not self._is_lost:
            self._is_lost = True
            self._counters.detach()
        # A server that shuts down has no next carrier to wait for.
        if not self.counting or (self._core.reason is CloseReason.SERVER_SHUTTING_DOWN and not self.attached):
            self._core.fail(reason)

    # -- probes: not carriers yet, so the session core has not heard of them

    @property
    def candidates(self) -> Candidates:
        """The streams that are not to be attached yet."""
        if self._candidates is None:
            self._candidates = Candidates()
        return self._candidates

    @property
    def is_upgrading(self) -> bool:
        """Whether a WebSocket of a plain peer is on its way to carry the session."""
        return bool(self._arrivals)

    @property
    def has_probe(self) -> bool:
        """Whether such a WebSocket has answered its probe: polls must not be held for long."""
        return any(arrival.is_proven for arrival in self._arrivals)

    @contextmanager
    def arriving(self) -> Generator[Arrival]:
        """While a WebSocket is not a carrier yet; cancelled when a plain peer's other one has become it, and as the
        oldest of too many."""
        if len(self._arrivals) >= self.max_carriers:
            oldest, *newer = self._arrivals
            self._arrivals = tuple(newer)
            oldest.crowded_out = True
            oldest.scope.cancel()
        arrival = Arrival(self._core.writer)
        self._arrivals += (arrival,)
        try:
            with arrival.scope:
                yield arrival
        finally:
            self._arrivals = tuple(other for other in self._arrivals if other is not arrival)

    def prove(self, arrival: Arrival) -> None:
        """Such a WebSocket has answered its probe. The poll that is held is let go: its client waits for that before it
        goes on. One that came after the WebSocket may be behind the upgrade that it belongs before, or have been sent
        behind it; it has a moment to find out."""
        arrival.is_proven = True
        if self._core.writer is arrival.poll:
            self.release_poll()
        else:
            self.host.call_later(OVERTAKING, self.release_poll)

    def upgrade(self, arrival: Arrival) -> Attachment:
        """Attach a plain peer's WebSocket that has arrived; others that were on their way are ended, later than what
        this one was told before: each may come to its client by another way."""
        attachment = self.attach("websocket")
        for other in self._arrivals:
            if other is not arrival:
                self.host.call_later(OVERTAKING, other.scope.cancel)
        return attachment

    def release_poll(self) -> None:
        """Let the poll that is held answer at once."""
        writer = self._core.writer
        if writer is not None and writer.transport == "polling" and writer in self._attachments:
            self._attachments[writer].ring()

    @property
    def is_posting(self) -> bool:
        """Whether a POST is being read."""
        return self._posting > 0

    @contextmanager
    def posting(self) -> Generator[int]:
        """While a POST is read; yields how many others are under way."""
        self._posting += 1
        try:
            yield self._posting - 1
        finally:
            self._posting -= 1

    def attach_candidate(self, number: int, *, received: int) -> None:
        """Attach the stream that waits under this number; idempotent.

        Raises:
            StaleAttach: there is none, or a newer carrier exists.
            RemoteProtocolError: the session has been closed for it.
        """
        candidate = self.candidates.get(number)
        if candidate is not None and candidate.writes:
            # A POST that came twice is acknowledged, not run again (rule 7).
            return
        if candidate is None:
            raise StaleAttach("no stream waits under this number")
        attachment = self.attach("stream", number=number, received=received)
        # The coroutine that serves the candidate goes on with the carrier that it has become.
        self._attachments[attachment.carrier] = candidate
        candidate.carrier = attachment.carrier
        candidate.ring()

    # -- after every change

    def _settle(self, *, now: bool = False) -> None:
        core = self._core
        if self._is_receiving and core.life is _OPEN:
            self._is_unsettled = True
            return
        writer = core.writer
        attachments = self._attachments
        if writer is not None:
            attachment = attachments.get(writer)
            if attachment is not None and self.has_packets(attachment):
                attachment.ring(now=now)
        if len(attachments) > 1 or core.life is _CLOSED:
            for attachment in attachments.values():
                if not attachment.writes or core.life is _CLOSED:
                    attachment.ring()
        if self._room is not None and (core.life is not _OPEN or core.has_room):
            self._room.set()
            self._room = None
        if self._was_open and core.life is not _OPEN:
            self._was_open = False
            self._latest = None
            if self.identity is not None:
                self.identity.end()
            self._announce_end()
        if core.life is _CLOSED and not self._is_ended:
            self._is_ended = True
            if self._ended is not None:
                self._ended.set()
            if self._timer is not None:
                self._timer.cancel()
            if self._on_end is not None:
                self._on_end(self)
            self._let_go()
            self._cut_candidates()
            if not self.counting:
                for arrival in self._arrivals:
                    arrival.scope.cancel()
            if attachments:
                self.host.call_later(_LAST_WORDS, self._cut)
        self._schedule()

    def _let_go(self) -> None:
        """It is over. What stands above refers to it; if it referred to that too, the memory of both would wait for
        the collector of garbage."""
        self.handler = self._on_end = None

    def _cut_candidates(self) -> None:
        if self._candidates is not None:
            self._candidates.cut()

    def _cut(self) -> None:
        for attachment in list(self._attachments.values()):
            attachment.cut()

    def _announce_end(self) -> None:
        reason = self._core.reason or CloseReason.FORCED_CLOSE
        self._counters.ended[reason] += 1
        if self._is_lost:
            self._is_lost = False
            self._counters.detached -= 1
        level = logging.WARNING if reason is CloseReason.BUFFER_FULL else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "session %s ended: %s", self.name, reason)
        if self.handler is not None:
            self.handler.session_closed(reason)

    def _schedule(self) -> None:
        due = self._core.deadline()
        if due is None or (self._timer_at is not None and self._timer_at <= due):
            # An early timer looks again and sleeps on: cheaper than moving it with every message.
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self.host.call_at(due, self._tick)

    def check_time(self) -> None:
        """Do what is due: a request that comes when a timer is about to fire must not be quicker than it."""
        if self._timer_at is not None and self._timer_at <= self.host.now():
            if self._timer is not None:
                self._timer.cancel()
            self._tick()

    def _tick(self) -> None:
        self._timer = self._timer_at = None
        for attachment in self._attachments.values():
            attachment.rest()
        silent = self._core.tick(now=self.host.now())
        if silent is not None:
            self._lose(CloseReason.PING_TIMEOUT)
            attachment = self._attachments.pop(silent, None)
            if attachment is not None:
                attachment.cut()
        self._settle()

    async def wait_ended(self) -> None:
        """Return when it is over for good."""
        while not self._is_ended:
            if self._ended is None:
                self._ended = make_event()
            await self._ended.wait()

    def ended_with(self) -> CloseReason | None:
        """Why the session ended; None while it is open."""
        return self._core.reason
