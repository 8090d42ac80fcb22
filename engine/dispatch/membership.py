"""One peer in one namespace: whether it is connected, what is sent to it, and which acknowledgements it owes.

1. A membership is PENDING until its CONNECT is answered, CONNECTED, then GONE for ever.
2. While PENDING, what is sent to it is held and follows the answer, in order.
3. Acknowledgements do not go through the task that runs handlers: a handler may wait for one from its own peer.
4. `disconnect` runs once for everybody whom `connect` has seen and not refused, even if the peer left meanwhile.
5. Who comes back to what was lost (see `recovery`) has the same id, and lets the handlers of the one before come to
   their end first, if that takes no more than a few seconds.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, cast
from weakref import ProxyType, proxy

from anyio.lowlevel import checkpoint

from ..adapters import SocketInfo
from ..errors import Disconnected, LocalProtocolError, SessionClosed
from ..host import Task
from ..session.budget import kept_bytes
from ..session.reason import CloseReason
from ..wire.codec import Codec, JsonCodec
from ..wire.message import Message
from ..wire.packet import new_tuple
from ..wire.socketio import SocketPacket, SocketPacketType, encode_ack
from .acks import PendingAck
from .handlers import Handler
from .listeners import Listeners
from .reauthentication import Expiry
from .recovery import RECOVERABLE, Log
from .registry import Registry
from .runner import FAILED, REFUSED
from .socket import Socket

if TYPE_CHECKING:
    from .session import EventSession

__all__ = ["Life", "Membership"]

logger = logging.getLogger("holdfast.dispatch")

# An enum's members take long to look up, where that is done for every event.
_EVENT, _ACK = SocketPacketType.EVENT, SocketPacketType.ACK


class Life(Enum):
    """Where a membership is (rule 1)."""

    PENDING = "pending"
    CONNECTED = "connected"
    GONE = "gone"


_PENDING, _CONNECTED, _GONE = Life.PENDING, Life.CONNECTED, Life.GONE
# Since Python 3.10 each empty one is an object of its own.
_NO_ROOMS: frozenset[str] = frozenset()


class Membership:
    """What stands behind a `Socket`.

    Args:
        log: What is kept for its recovery; None where it has none.
        offset: The position that it says it has, if it comes back to that log.

    Attributes:
        id: Public; not the session's.
        codec: The session's.
        life: Rule 1.
        is_gone: Whether that is over.
        listeners: Its own, where it has some, above those of its namespace.
        socket: What handlers receive. Once it is gone and nothing of it runs, only whoever has kept it holds it.
        runner: Runs its handlers.
        recovered: Whether it has come back.
    """

    __slots__ = (
        "__weakref__",
        "_acks",
        "_expiry",
        "_held",
        "_held_bytes",
        "_last_rooms",
        "_left",
        "_missed",
        "codec",
        "id",
        "is_gone",
        "life",
        "listeners",
        "log",
        "recovered",
        "registry",
        "runner",
        "session",
        "socket",
    )

    def __init__(
        self, session: EventSession, registry: Registry, codec: Codec, auth: dict[str, object]
    ) -> None:
        self.id = secrets.token_urlsafe(18)
        self.session = session
        self.registry = registry
        self.codec = codec
        self.life = _PENDING
        # Asked for each event: before Python 3.12 a property takes as long as ten attributes.
        self.is_gone = False
        self.recovered = False
        self.log: Log | None = None
        self.socket = Socket(self, auth)
        self.runner = session.make_runner(self)
        self.listeners = registry.listeners
        # Most have none of these most of the time, and there are many of them.
        self._expiry: Expiry | None = None
        self._held: list[Message] | None = None
        self._held_bytes = 0
        self._missed: list[Message] | None = None
        self._acks: dict[int, PendingAck] | None = None
        self._left: CloseReason | None = None
        self._last_rooms = _NO_ROOMS
        registry.hold()

    @property
    def expiry(self) -> Expiry:
        """When it is asked for a fresh auth."""
        if self._expiry is None:
            self._expiry = Expiry(self)
        return self._expiry

    @property
    def is_pending(self) -> bool:
        """Whether its CONNECT is not answered yet."""
        return self.life is _PENDING

    @property
    def as_socket(self) -> Membership | None:
        """See `Recipient`."""
        return self if self.life is _CONNECTED else None

    @property
    def own_listeners(self) -> Listeners:
        """Its own, made at the first call."""
        if self.listeners is self.registry.listeners:
            self.listeners = Listeners("this socket", self.registry.listeners)
        return self.listeners

    def farewells(self, event: str) -> list[Handler]:
        """Who is told that it leaves: its own handler, and that of its namespace."""
        above = self.registry.listeners
        own = None if self.listeners is above else self.listeners.own(event)
        found = [own, above.handler(event)]
        return [handler for handler in found if handler is not None]

    @property
    def limit_bytes(self) -> int:
        """See `Recipient`."""
        return self.session.settings.buffer_limit

    # -- rooms

    @property
    def writable(self) -> bool:
        live = self.session.live
        return live.writable or (live.is_open and self.session.settings.volatile == "drop-oldest")

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms it is in; once it is gone, those it was in last."""
        return self._last_rooms if self.life is _GONE else self.registry.adapter.rooms(self)

    def join(self, room: str) -> None:
        if self.life is _GONE:
            return
        adapter = self.registry.adapter
        if adapter.add(self, room) > self.session.settings.max_rooms_per_socket:
            adapter.remove(self, room)
            raise LocalProtocolError(
                "the socket is in as many rooms as the setting max_rooms_per_socket allows"
            )
        self.session.touched()

    def leave_room(self, room: str) -> None:
        if self.life is not _GONE:
            self.registry.adapter.remove(self, room)
            self.session.touched()

    @property
    def principal(self) -> object:
        """Whose its session is."""
        return self.session.live.request.principal

    def info(self) -> SocketInfo:
        return SocketInfo(
            id=self.id,
            namespace=self.registry.name,
            handshake=self.socket.handshake,
            rooms=self.rooms,
            data=self.socket.data,
        )

    # -- sending

    def encode_event(self, name: str, args: tuple[object, ...], id: int | None = None) -> list[Message]:
        return self.codec.encode(new_tuple(SocketPacket, (_EVENT, self.registry.name, [name, *args], id)))

    def encode_ack(self, id: int, args: tuple[object, ...]) -> list[Message]:
        return self.codec.encode(new_tuple(SocketPacket, (_ACK, self.registry.name, list(args), id)))

    def encode_failure(self, id: int) -> list[Message]:
        """The answer of last resort."""
        content = [{"error": {"message": FAILED}}]
        packet = SocketPacket(SocketPacketType.ACK, self.registry.name, content, id)
        return self.session.encode_own(self.codec, packet)

    async def emit(self, name: str, args: tuple[object, ...], id: int | None = None) -> None:
        """Send an event, waiting for room first.

        Raises:
            Disconnected: it is gone.
            LocalProtocolError: the codec cannot carry it; nothing was sent.
        """
        if self.log is not None and id is None:
            await self._emit_numbered(self.log, name, args)
            return
        messages = self.encode_event(name, args, id)
        self._tell(name, args)
        if self.life is not _CONNECTED:
            await self._send(messages)
            return
        try:
            await self.session.live.send(*messages)
        except SessionClosed as error:
            raise Disconnected("the socket is not connected any more") from error

    async def emit_encoded(self, messages: list[Message], name: str, args: tuple[object, ...]) -> None:
        """`emit` of an event with an id, by what `encode_event` has made of it."""
        self._tell(name, args)
        await self._send(messages)

    async def wait_for_room(self, messages: list[Message], seconds: float) -> None:
        """Wait so long until `emit_encoded` would not wait."""
        live, size = self.session.live, kept_bytes(messages)
        if self.life is _CONNECTED and not live.has_room_for(size):
            with live.host.move_on_after(seconds):
                await live.wait_for_room(size)

    def _tell(self, name: str, args: tuple[object, ...]) -> None:
        outgoing = self.listeners.outgoing()
        if outgoing and self.life is not _GONE:
            self.runner.tell(outgoing, name, args)

    async def _emit_numbered(self, log: Log, name: str, args: tuple[object, ...]) -> None:
        """The order of the offsets is the order on the wire: an event is numbered when it is put there."""
        live = self.session.live
        if self.life is _CONNECTED:
            await live.wait_for_room()
            if live.buffered_bytes:
                # It is numbered anew when it is put there, behind those that went meanwhile.
                await live.wait_for_room(kept_bytes(self.encode_event(name, args)))
        if self.life is _GONE:
            # It may have come back as another, or come back yet.
            if log.is_over:
                raise Disconnected("the socket is not connected any more")
            if log.is_lost:
                log.note(self.encode_event(name, args))
            else:
                await log.member.emit(name, args)
            return
        messages = self.encode_event(name, args)
        self._tell(name, args)
        if self.life is _PENDING:
            self._hold(messages)
        else:
            try:
                live.send_nowait(*messages)
            except SessionClosed as error:
                raise Disconnected("the socket is not connected any more") from error
        log.note(messages)
        await checkpoint()

    async def _send(self, messages: list[Message]) -> None:
        if self.life is _PENDING:
            self._hold(messages)
            return
        if self.life is _GONE:
            raise Disconnected("the socket is not connected any more")
        try:
            await self.session.live.send(*messages)
        except SessionClosed as error:
            raise Disconnected("the socket is not connected any more") from error

    def deliver(self, messages: list[Message], packet: SocketPacket, *, volatile: bool = False) -> None:
        """See `Recipient.deliver`."""
        if self.listeners.outgoing():
            name, *args = cast("list[object]", packet.data)
            self._tell(cast("str", name), tuple(args))
        if self.log is not None and not volatile:
            self.log.note(messages)
        if self.life is not _CONNECTED:
            self._put_or_end(messages)
        elif volatile and not self.session.live.writable:
            self.session.live.send_latest(*messages)
        else:
            try:
                self.session.live.put(messages)
            except SessionClosed:
                # It is over; its end is announced to us separately.
                return
            except LocalProtocolError as error:
                self._end_for(error)

    def _put_or_end(self, messages: list[Message]) -> None:
        try:
            self.put(messages)
        except LocalProtocolError as error:
            self._end_for(error)

    def _end_for(self, error: LocalProtocolError) -> None:
        # Nobody is there to be told, and to go on without it would be a gap.
        logger.warning("session %s closed: %s", self.session.live.name, error)
        self.session.live.fail(CloseReason.BUFFER_FULL, message="too much at once")

    def put(self, messages: list[Message]) -> None:
        """Send without waiting; who is gone misses it."""
        if self.life is _CONNECTED:
            try:
                self.session.live.send_nowait(*messages)
            except SessionClosed:
                # It is over; its end is announced to us separately.
                return
        elif self.life is _PENDING:
            self._hold(messages)

    async def send_ack(self, messages: list[Message], *, more: bool = False) -> None:
        """Send an acknowledgement; nobody misses it when the peer is gone.

        Args:
            more: As `LiveSession.answer` has it.
        """
        if self.life is _CONNECTED:
            try:
                await self.session.live.answer(*messages, more=more)
            except SessionClosed:
                return

    def send_ack_now(self, messages: list[Message], *, more: bool) -> bool:
        """`send_ack`, unless it would wait: whether it did not."""
        if self.life is not _CONNECTED:
            return True
        try:
            return self.session.live.answer_now(messages, more=more)
        except SessionClosed:
            return True

    def answer_at_once(self, id: int, args: tuple[object, ...], task: Task | None) -> list[Message]:
        """`send_ack_now` as the last thing that a turn does, if all that there is to it is to write a text.

        Args:
            task: As `LiveSession.answer_at_once` has it.

        Returns:
            What is still to be sent: nothing, or all of it.
        """
        if isinstance(self.codec, JsonCodec) and self.life is _CONNECTED:
            text = encode_ack(self.registry.name, args, id)
            if text is not None:
                return [] if self.session.live.answer_at_once(text, task) else [Message(text)]
        return self.encode_ack(id, args)

    def _hold(self, messages: list[Message]) -> None:
        if self._held is None:
            self._held = []
        self._held += messages
        self._held_bytes += sum([message.size_bytes for message in messages])
        settings = self.session.settings
        if self._held_bytes > settings.buffer_limit or len(self._held) > settings.max_pending_events:
            self.session.live.fail(CloseReason.BUFFER_FULL, message="too much waits for a connect handler")

    # -- acknowledgements that we wait for

    def expect(self, id: int, pending: PendingAck) -> None:
        """Let somebody wait for an acknowledgement.

        Raises:
            LocalProtocolError: so many of the session are waited for as the setting ``max_pending_acks`` allows.
        """
        session = self.session
        if session.awaited_acks >= session.settings.max_pending_acks:
            raise LocalProtocolError(
                f"the client owes {session.awaited_acks} acknowledgements (setting max_pending_acks)"
            )
        session.awaited_acks += 1
        if self._acks is None:
            self._acks = {}
        self._acks[id] = pending

    def forget(self, id: int) -> None:
        self._settle(id)

    def _settle(self, id: int) -> PendingAck | None:
        acks = self._acks
        pending = None if acks is None else acks.pop(id, None)
        if pending is not None:
            self.session.awaited_acks -= 1
            if not acks:
                self._acks = None
        return pending

    def resolve(self, id: int, args: list[object]) -> bool:
        """The peer acknowledged. Whether anybody waits for that; else it is dropped."""
        pending = self._settle(id)
        if pending is None:
            return False
        pending.resolve(args)
        return True

    # -- life

    def recover(self, log: Log, missed: list[Message]) -> None:
        """It is the one that was lost (rule 5): before anything else happens to it."""
        before = log.member
        self.id = before.id
        self.recovered = True
        self.socket.data = before.socket.data
        self._missed = missed
        # It goes out together with what is held.
        self._held_bytes = sum([message.size_bytes for message in missed])
        self.log = log
        self.runner.follow(before.runner)

    def restore(self, id: str, data: dict[str, object], rooms: Iterable[str]) -> None:
        """It was connected on another node, and is now here: before anything else happens to it."""
        registry = self.registry
        self.id = id
        self.recovered = True
        self.socket.data = data
        self.life = _CONNECTED
        self.session.settled()
        registry.members[id] = self
        for room in (id, *rooms):
            registry.adapter.add(self, room)
        handler = self.listeners.handler("connect")
        if handler is not None:
            self.runner.push_connect([], handler)

    def vanish(self) -> None:
        """Another node has it: here nobody is told, but who waits for its acknowledgements."""
        if self.life is not _GONE:
            self._depart(None)
            self._fail_acks()
            self.runner.let_go()

    def begin(self) -> None:
        """Let `connect` and its middleware decide, if there is any."""
        skipped = (
            self.recovered and self.registry.recovery is not None and self.registry.recovery.skip_middleware
        )
        middleware = [] if skipped else self.listeners.middleware("connect")
        handler = self.listeners.handler("connect")
        if handler is None and not middleware and not self.recovered:
            self.accept()
        else:
            self.runner.push_connect(middleware, handler)

    def enter(self) -> None:
        """Its `connect` handler begins: what that sends to its room or to everybody reaches it too (rule 2)."""
        self.registry.adapter.add(self, self.id)

    def accept(self) -> None:
        """Answer the CONNECT; what was held follows (rule 2)."""
        if self.life is not _PENDING:
            return
        registry = self.registry
        content: dict[str, object] = {"sid": self.id}
        if self.log is not None:
            content["pid"] = self.log.pid
        packet = SocketPacket(SocketPacketType.CONNECT, registry.name, content)
        reply = self.session.encode_own(self.codec, packet)
        if not reply:
            self.push_disconnect()
            return
        self.life = _CONNECTED
        self.session.protocol.accept(registry.name)
        registry.members[self.id] = self
        registry.adapter.add(self, self.id)
        self.session.settled()
        # What was missed comes after the answer. Before it, the client would only put it by and, if it is cut off
        # again while it catches up, ask for it once more and then hear it twice.
        missed, self._missed = self._missed, None
        held, self._held = self._held, None
        self._put_or_end([*reply, *(missed or ()), *(held or ())])

    def refuse(self, message: str, data: object = None) -> None:
        """Answer the CONNECT with an error."""
        if self.life is not _PENDING:
            return
        content: dict[str, object] = {"message": message}
        if data is not None:
            content["data"] = data
        packet = SocketPacket(SocketPacketType.CONNECT_ERROR, self.registry.name, content)
        if data is None and message in (REFUSED, FAILED):
            messages = self.session.encode_own(self.codec, packet)
            if not messages:
                return
        else:
            messages = self.codec.encode(packet)
        self.session.protocol.refuse(self.registry.name)
        self._depart(None)
        self.session.send_nowait(messages)

    def disconnect(self, close: bool) -> None:
        """We end it, and with ``close`` its session."""
        if close:
            self.session.disconnect()
        else:
            self.put_out()

    def put_out(self, reason: CloseReason = CloseReason.SERVER_NAMESPACE) -> None:
        """We end it; the session goes on."""
        if self.life is _PENDING:
            self.refuse(REFUSED)
        elif self.life is _CONNECTED:
            self.session.protocol.leave(self.registry.name)
            packet = SocketPacket(SocketPacketType.DISCONNECT, self.registry.name)
            messages = self.session.encode_own(self.codec, packet)
            # As what comes from now on: how much of it waits already is chance.
            self.runner.drop_events()
            self.leave(reason)
            self.session.send_nowait(messages)

    def displace(self) -> None:
        """Another session comes back as this one: this one is told, and its session ends if that was all of it."""
        if self.life is _CONNECTED:
            self.put_out(CloseReason.TRANSPORT_CLOSE)
        else:
            self.session.protocol.refuse(self.registry.name)
            content = {"message": "another connection has taken over"}
            packet = SocketPacket(SocketPacketType.CONNECT_ERROR, self.registry.name, content)
            messages = self.session.encode_own(self.codec, packet)
            self.leave(CloseReason.TRANSPORT_CLOSE)
            self.session.send_nowait(messages)
        self.session.close_if_empty()

    def leave(self, reason: CloseReason) -> None:
        """It is over; idempotent. Who waits for an acknowledgement learns it now, `disconnect` runs in its turn."""
        if self.life is _GONE:
            return
        was_connected = self.life is _CONNECTED
        self._left = reason
        self.registry.hold()
        self._depart(reason)
        self._fail_acks()
        if was_connected:
            self.push_disconnect()
        self.registry.release()
        if was_connected:
            self.runner.let_go()

    def let_go(self) -> Membership:
        """Nobody here needs it any more; who holds its socket holds it.

        Returns:
            What its runner refers to it by from now on.
        """
        log = self.log
        if log is not None and log.member is self and not log.is_over:
            # It may come back.
            return self
        if type(self.socket) is not ProxyType:
            self.socket = proxy(self.socket)
        return proxy(self)

    def _fail_acks(self) -> None:
        acks, self._acks = self._acks or {}, None
        self.session.awaited_acks -= len(acks)
        for pending in acks.values():
            pending.fail(Disconnected("the socket left before its acknowledgement arrived"))

    def push_disconnect(self) -> None:
        """Whom `connect` has seen has left (rule 4)."""
        if self._left is not None:
            self.runner.push_disconnect(self._left)

    def _depart(self, reason: CloseReason | None) -> None:
        self._last_rooms = self.rooms
        registry, log = self.registry, self.log
        comes_back = reason in RECOVERABLE and (self.life is _CONNECTED or self.recovered)
        # First: a listener of rooms that hears of what follows may put it out, which is done once.
        self.life = _GONE
        if log is not None and registry.recovery is not None:
            if comes_back:
                registry.recovery.lost(log)
            else:
                log.expire()
        # Not before: an expired log lets go of who is gone, and `disconnect` is still to run.
        self.is_gone = True
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._held = self._missed = None
        if registry.members.get(self.id) is self:
            del registry.members[self.id]
        registry.adapter.remove_all(self)
        self.session.forget(self)
        if not self.runner.is_running:
            # Else when it has ended.
            registry.release()
