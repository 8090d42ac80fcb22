"""Connection state recovery for plain peers, on the wire as Socket.IO does it.

The answer to CONNECT carries a secret ``pid``; each event carries its offset as one more argument at its end. A client
that comes back sends both and gets its id, its rooms, its data and what it has missed. A counting peer needs none of
it.

1. Every event without an acknowledgement carries an offset, a volatile one too: the client takes any text at the end of
   an event for one.
2. An offset is a number of this namespace, growing, and a tag of this server. What is not ours, or from before this
   ``pid`` was given, means that nothing was received under it.
3. Per socket, what it was sent is kept for as long as a loss can go unnoticed and be recovered. Whether it can come
   back depends on what it has missed and not on when it last heard something: an idle client has missed nothing.
4. A lost socket stays in its rooms as a `Log`, which collects what it would get.
5. A ``pid`` belongs to one session at a time, the newest: whoever has it is put out before another takes over.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, NamedTuple, cast

from ..host import Timer
from ..session.budget import kept_bytes
from ..session.reason import CloseReason
from ..settings import Settings
from ..wire.codec import Codec
from ..wire.message import Message
from ..wire.socketio import BinaryHeader, SocketPacket, SocketPacketType

if TYPE_CHECKING:
    from .membership import Membership
    from .registry import Registry

__all__ = ["RECOVERABLE", "Log", "Recovery"]

# Nobody meant the peer to go.
RECOVERABLE = frozenset(
    (
        CloseReason.TRANSPORT_CLOSE,
        CloseReason.TRANSPORT_ERROR,
        CloseReason.PING_TIMEOUT,
        CloseReason.FORCED_CLOSE,
    )
)
_MAX_OFFSET_LENGTH = 40


class Numbered(list[Message]):
    """The messages of one event, with its number."""

    __slots__ = ("number",)

    def __init__(self, messages: list[Message], number: int) -> None:
        super().__init__(messages)
        self.number = number


class OffsetCodec:
    """Another codec, with an offset at the end of each event (rule 1)."""

    __slots__ = ("_codec", "_recovery")

    def __init__(self, codec: Codec, recovery: Recovery) -> None:
        self._codec = codec
        self._recovery = recovery

    @property
    def name(self) -> str:
        return self._codec.name

    def recognises(self, data: str | bytes) -> bool:
        return self._codec.recognises(data)

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        return self._codec.decode(data)

    def encode(self, packet: SocketPacket) -> list[Message]:
        if packet.type is not SocketPacketType.EVENT or packet.id is not None:
            return self._codec.encode(packet)
        number, offset = self._recovery.next_offset()
        data = [*cast("list[object]", packet.data), offset]
        return Numbered(self._codec.encode(packet._replace(data=data)), number)


class _Entry(NamedTuple):
    number: int
    time: float
    messages: Numbered
    size_bytes: int


class Log:
    """What one socket was sent, and the place that is kept for it while it is lost (a `Recipient`).

    Attributes:
        pid: The secret by which it comes back.
        member: Who has the pid now, or had it last.
        is_over: Nobody has it, or will.
    """

    __slots__ = (
        "_dropped",
        "_entries",
        "_recovery",
        "_size",
        "_start",
        "_timer",
        "is_over",
        "member",
        "pid",
    )

    def __init__(self, recovery: Recovery, member: Membership) -> None:
        self.pid = secrets.token_urlsafe(18)
        self.member = member
        self._recovery = recovery
        self._entries: deque[_Entry] = deque()
        self._size = 0
        self._start = recovery.number
        self._dropped = recovery.number
        self._timer: Timer | None = None
        self.is_over = False

    def note(self, messages: list[Message]) -> None:
        """Keep what is sent."""
        if self.is_over or not isinstance(messages, Numbered):
            return
        recovery = self._recovery
        live = self.member.session.live
        now, budget = live.host.now(), live.budget
        size = kept_bytes(messages)
        for message in messages:
            budget.keep(message)
        self._entries.append(_Entry(messages.number, now, messages, size))
        self._size += size
        while self._entries and (
            self._size > recovery.limit_bytes
            or (budget.is_used_up and self._size > budget.share_bytes)
            or (not self.is_lost and self._entries[0].time < now - recovery.keep)
        ):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._entries.popleft()
        self._size -= oldest.size_bytes
        self._dropped = oldest.number
        budget = self.member.session.live.budget
        for message in oldest.messages:
            budget.let_go(message)

    def end(self) -> None:
        """Nobody has it, or will: let go of everything."""
        self.is_over = True
        while self._entries:
            self._drop_oldest()

    def missed(self, offset: object) -> list[Message] | None:
        """What was sent after an offset; None if that is not known any more, or the offset is none.

        It stays: the next connection may be lost as well.
        """
        position = self._recovery.position(offset)
        if position is None:
            return None
        position = max(position, self._start)
        if position < self._dropped:
            return None
        return [message for entry in self._entries if entry.number > position for message in entry.messages]

    # -- while it is lost

    @property
    def is_lost(self) -> bool:
        return self._timer is not None

    def lose(self) -> None:
        """Its session is over: stay in its rooms for it."""
        member = self.member
        adapter = member.registry.adapter
        # In its place, not after it: no room is empty meanwhile.
        for room in member.rooms:
            adapter.add(self, room)
        member.registry.hold()
        self._timer = member.session.live.host.call_later(self._recovery.period, self.expire)

    def found(self, member: Membership) -> None:
        """It has come back: hand its rooms over."""
        assert self._timer is not None
        self._timer.cancel()
        self._timer = None
        adapter = member.registry.adapter
        rooms = adapter.rooms(self)
        for room in rooms:
            adapter.add(member, room)
        if not rooms:
            adapter.remove_all(self)
        before, self.member = self.member, member
        before.runner.let_go()
        member.registry.release()

    def expire(self) -> None:
        """It is too late; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.member.registry.adapter.remove_all(self)
            self.member.registry.release()
        self._recovery.forget(self)
        self.member.log = None
        if self.member.is_gone:
            self.member.runner.let_go()

    # -- as a recipient

    @property
    def id(self) -> str:
        return self.member.id

    @property
    def codec(self) -> Codec:
        return self.member.codec

    @property
    def limit_bytes(self) -> int:
        return self._recovery.limit_bytes

    @property
    def writable(self) -> bool:
        return False

    @property
    def as_socket(self) -> None:
        """It is none while it is lost."""

    def deliver(self, messages: list[Message], packet: SocketPacket, *, volatile: bool = False) -> None:
        if not volatile:
            self.note(messages)


class Recovery:
    """Of one namespace.

    Attributes:
        number: Of the newest event.
        period: For how many seconds a lost socket can come back.
        keep: For how many seconds a message may be needed.
        limit_bytes: What is kept for one socket.
        skip_middleware: Whether the ``pid`` alone lets it in again.
    """

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self.number = 0
        self.period = settings.max_disconnection_duration
        # A loss goes unnoticed for as long as a ping takes to be missed.
        self.keep = self.period + settings.ping_interval + settings.ping_timeout
        # Half of what a session may be owed: the answer to CONNECT and what is sent meanwhile come on top.
        self.limit_bytes = settings.buffer_limit // 2
        self.skip_middleware = settings.skip_middlewares
        self._max_lost = settings.max_tombstones
        self._tag = secrets.token_urlsafe(6)
        self._logs: dict[str, Log] = {}
        self._lost: OrderedDict[str, Log] = OrderedDict()
        self._codecs: dict[Codec, OffsetCodec] = {}

    def codec(self, codec: Codec) -> Codec:
        """The same one for every socket, so that a broadcast is encoded once."""
        found = self._codecs.get(codec)
        if found is None:
            found = self._codecs[codec] = OffsetCodec(codec, self)
        return found

    def next_offset(self) -> tuple[int, str]:
        """Of the next event: its number, and how that is said."""
        self.number += 1
        return self.number, f"{self.number}.{self._tag}"

    def position(self, offset: object) -> int | None:
        """The number that an offset says; 0 for one that is not ours, None for what a client never sends (rule 2)."""
        if offset is None:
            return 0
        if not isinstance(offset, str):
            return None
        digits, _, tag = offset[:_MAX_OFFSET_LENGTH].partition(".")
        if tag != self._tag or not digits.isascii() or not digits.isdigit():
            return 0
        return int(digits)

    def admit(self, member: Membership, auth: dict[str, object]) -> None:
        """Give a new socket its log: the one of the ``pid`` in its ``auth`` if it can come back, or one of its own."""
        pid, offset = auth.get("pid"), auth.get("offset")
        log = self._logs.get(pid) if isinstance(pid, str) else None
        if log is not None:
            # A secret of ours, and no business of the application, which may log what its peers bring.
            del auth["pid"]
            auth.pop("offset", None)
            if log.member.principal != member.principal:
                # Whoever has it is not whom it was given to, and takes nothing from him.
                log = None
        if log is not None and log.member.codec is member.codec:
            missed = log.missed(offset)
            if missed is not None:
                if not log.is_lost:
                    log.member.displace()
                member.recover(log, missed)
                self._lost.pop(log.pid, None)
                log.found(member)
                return
        if log is not None and log.is_lost:
            # Whoever knows the pid has gone on without it.
            log.expire()
        member.log = Log(self, member)
        self._logs[member.log.pid] = member.log

    def lost(self, log: Log) -> None:
        """A socket is lost and may come back; of too many the oldest may not."""
        log.lose()
        self._lost[log.pid] = log
        while len(self._lost) > self._max_lost:
            next(iter(self._lost.values())).expire()

    def forget(self, log: Log) -> None:
        """It will not come back."""
        self._lost.pop(log.pid, None)
        self._logs.pop(log.pid, None)
        log.end()
