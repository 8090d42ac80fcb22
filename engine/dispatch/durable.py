"""The event layer of a session that outlives its node: see docs/durable.md.

1. A message of the peer is one `Delivery`, or part of one: of an event, its header and its attachments are. It is done
   when the handler has ended; a CONNECT is done when it was answered. What has nobody to run is done at once.
2. On another node a socket goes on with its id, rooms and data. Its namespace's `connect` handler runs once more,
   before anything else, and sees that it has `recovered`: what only exists in a process has to be made again.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from typing import Any, cast

from ..adapters.chronicle import Entry, Place, chronicle_of
from ..errors import ConnectionRefusedError, LocalProtocolError  # noqa: A004 - the name that users know
from ..host import Task
from ..live.durable import DurableLive
from ..settings import Settings
from ..subprotocols.socketio import ConnectRequested, EventReceived
from ..wire.codec import Codec
from ..wire.message import Message
from ..wire.socketio import EventFields, SocketPacket
from .delivery import Delivery, running_with
from .handlers import Handler
from .left import Left
from .membership import Life, Membership
from .registry import Registries, Registry
from .runner import Connecting, Runner
from .saved import SavedSocket, encode_sockets
from .session import EventSession

__all__ = ["DurableEventSession"]

logger = logging.getLogger("holdfast.durable")


class _Event(EventReceived):
    """An event that knows its delivery."""

    delivery: Delivery


class DurableMember(Membership):
    """See `Membership`.

    Attributes:
        newest: Which broadcast it was handed last, of those that take their time.
        before: Where it was when another node had it last.
    """

    __slots__ = ("before", "newest")

    def __init__(
        self, session: EventSession, registry: Registry, codec: Codec, auth: dict[str, object]
    ) -> None:
        super().__init__(session, registry, codec, auth)
        self.newest: SocketPacket | None = None
        self.before: Place | None = None

    def deliver(self, messages: list[Message], packet: SocketPacket, *, volatile: bool = False) -> None:
        chronicle = chronicle_of(self.registry.adapter)
        if chronicle is not None:
            before, origin = self.before, chronicle.origin
            if (
                before is not None
                and origin is not None
                and origin[0] == before.uid
                and origin[1] <= before.said
            ):
                # It has heard that already: rule 4 there.
                return
            if chronicle.is_handing(packet):
                self.newest = packet
        super().deliver(messages, packet, volatile=volatile)

    def place(self) -> Place | None:
        """How far it has heard what is said in its namespace; None where that is not kept."""
        chronicle = chronicle_of(self.registry.adapter)
        return None if chronicle is None else chronicle.place(self.newest)

    def catch_up(self, missed: list[Entry]) -> None:
        """It gets what it has missed."""
        for entry in missed:
            try:
                self.deliver(self.codec.encode(entry.packet), entry.packet)
            except LocalProtocolError as error:
                logger.error("a broadcast that was missed cannot be sent: %s", error)


class DurableRunner(Runner):
    """See `Runner`; what it runs is done afterwards."""

    __slots__ = ()

    def run_at_once(self, event: EventFields) -> bool:
        # Each has its delivery round it.
        return False

    def push_event(self, event: EventFields, size_bytes: int, memory_bytes: int) -> None:
        # It has its own type only here: an `EventReceived` is made for the events of every session.
        numbered = _Event(*event)
        numbered.delivery = _session_of(self._member).claim()
        super().push_event(numbered, size_bytes, memory_bytes)

    def _turn(self, task: Task | None) -> Coroutine[Any, Any, None]:
        # Each has its delivery round it.
        return self._run()

    async def _handle(self, handler: Handler | None, event: EventReceived) -> None:
        delivery = cast("_Event", event).delivery
        with running_with(delivery):
            await super()._handle(handler, event)
        delivery.done()

    def _dropped(self, event: EventReceived) -> None:
        cast("_Event", event).delivery.done()

    async def _connect(self, job: Connecting) -> None:
        session = _session_of(self._member)
        if self._member.recovered:
            await self._connect_again(job)
            return
        namespace = self._member.registry.name
        with running_with(session.connecting(namespace)):
            await super()._connect(job)
        session.connected(namespace)

    async def _connect_again(self, job: Connecting) -> None:
        """Rule 2."""
        member = self._member
        if job.handler is None or member.is_gone:
            return
        args: list[object] = [member.socket, member.socket.handshake.auth]
        try:
            result = await job.handler.call(args if job.handler.takes(2) else args[:1])
            await self._spare()
        except ConnectionRefusedError:
            result = False
        except BaseException as error:
            self._log("connect", await self._failure(error))
            result = False
        if result is False and not member.is_gone:
            member.put_out()


def _session_of(member: Membership) -> DurableEventSession:
    return cast("DurableEventSession", member.session)


class DurableEventSession(EventSession):
    """What a server puts above a session with a record (a `DurableHandler`).

    Args:
        live: The session.
        left: What another node has left of it; None for a new one.
    """

    __slots__ = ("_claimed", "_connecting", "_durable", "_numbers", "_replayed", "_unsaved")

    def __init__(
        self,
        live: DurableLive,
        registries: Registries,
        codecs: Mapping[str, Codec],
        settings: Settings,
        left: Left | None = None,
    ) -> None:
        super().__init__(live, registries, codecs, settings)
        self._durable = live
        # Messages that no delivery has yet (rule 1).
        self._numbers: list[int] = []
        self._replayed = False
        self._claimed = False
        self._connecting: dict[str, Delivery] = {}
        # Keys of data that could not be written, of which the log knows.
        self._unsaved: set[str] = set()
        if left is not None:
            for socket, missed in left:
                self._restore(socket, missed)

    def make_member(self, registry: Registry, codec: Codec, auth: dict[str, object]) -> DurableMember:
        return DurableMember(self, registry, codec, auth)

    def make_runner(self, member: Membership) -> Runner:
        return DurableRunner(member)

    def touched(self) -> None:
        self._durable.changed()

    def message_received(self, data: str | bytes) -> None:
        """Nothing: the record does not have it yet."""

    def take(self, number: int, data: str | bytes, *, replayed: bool) -> None:
        """See `DurableHandler`."""
        self._numbers.append(number)
        self._replayed = self._replayed or replayed
        super().message_received(data)
        if self._numbers and not self.protocol.is_incomplete:
            self.claim().done()

    def claim(self) -> Delivery:
        """What is being taken, as one."""
        numbers, self._numbers = self._numbers, []
        replayed, self._replayed = self._replayed, False
        return Delivery(self._durable, numbers, replayed=replayed)

    # -- rule 1, for a CONNECT

    def _connect(self, request: ConnectRequested) -> None:
        self._connecting[request.namespace] = self.claim()
        super()._connect(request)
        self._look(request.namespace)

    def _searched(self, namespace: str) -> None:
        super()._searched(namespace)
        if namespace not in self._members:
            # It has left, or the answer comes at once: `_look` sees which.
            self.live.begin(lambda task: self._look(namespace))

    def _look(self, namespace: str) -> None:
        member = self._members.get(namespace)
        is_searched = self._searching is not None and namespace in self._searching
        if not is_searched and (member is None or not member.is_pending):
            self.connected(namespace)

    def connecting(self, namespace: str) -> Delivery | None:
        """Of a CONNECT that is not answered."""
        return self._connecting.get(namespace)

    def connected(self, namespace: str) -> None:
        """It is answered."""
        delivery = self._connecting.pop(namespace, None)
        if delivery is not None:
            delivery.done()

    # -- rule 2

    def state(self) -> bytes:
        """See `DurableHandler`."""
        sockets = [
            SavedSocket(
                namespace=member.registry.name,
                id=member.id,
                auth=member.socket.handshake.auth,
                rooms=sorted(member.rooms - {member.id}),
                data=member.socket.data,
                place=cast("DurableMember", member).place(),
            )
            for member in self._members.values()
            if member.life is Life.CONNECTED
        ]
        encoded, unsaved = encode_sockets(sockets)
        for name in unsaved - self._unsaved:
            logger.error("session %s: %s cannot be kept for another node", self.live.name, name)
        self._unsaved |= unsaved
        return encoded

    def _restore(self, saved: SavedSocket, missed: list[Entry]) -> None:
        codec = self.protocol.codec
        assert codec is not None
        registry = self._registries.named(saved.namespace)
        member = self.make_member(registry, codec, saved.auth)
        self._members[saved.namespace] = member
        self.protocol.restore(saved.namespace)
        member.restore(saved.id, dict(saved.data), saved.rooms)
        member.before = saved.place
        member.catch_up(missed)

    def vanish(self) -> None:
        """See `DurableHandler`."""
        self._end()
        for member in list(self._members.values()):
            member.vanish()
