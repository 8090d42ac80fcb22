"""Many sockets at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..adapters import EVERYBODY, SocketInfo, Target
from ..errors import AckTimeout, Disconnected, LocalProtocolError
from ..host import Host
from ..live import SocketHandshake
from ..wire.socketio import SocketPacket, SocketPacketType, check_event_name
from .acks import AckCollector, value_of
from .names import check_rooms
from .registry import Source

__all__ = ["BroadcastOperator", "FetchedSockets", "RemoteSocket"]


@dataclass(frozen=True, slots=True)
class BroadcastOperator:
    """Who is meant. Immutable: every step of a chain is a new one, which may be kept and used again.

    It reaches the sockets of all servers that share an adapter, unless it is `local`.

    Attributes:
        source: One namespace, or those of a pattern.
        target: Which of its sockets.
        timeout_seconds: For `emit_with_ack`; None for the server's ``ack_timeout``.
    """

    source: Source
    host: Host
    target: Target = EVERYBODY
    timeout_seconds: float | None = None

    def to(self, *rooms: str) -> BroadcastOperator:
        """Also who is in any of these rooms; without any `to`, everybody. ``to(*[])`` on its own is nobody."""
        check_rooms(rooms)
        return self._meaning(replace(self.target, rooms=frozenset(rooms).union(self.target.rooms or ())))

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Nobody who is in any of these rooms."""
        check_rooms(rooms)
        return self._meaning(replace(self.target, except_=self.target.except_.union(rooms)))

    @property
    def volatile(self) -> BroadcastOperator:
        """Only whom it reaches at once: what somebody would get late is dropped."""
        return self._meaning(replace(self.target, volatile=True))

    @property
    def local(self) -> BroadcastOperator:
        """Only who is connected to this server."""
        return self._meaning(replace(self.target, local=True))

    def timeout(self, seconds: float) -> BroadcastOperator:
        """How long `emit_with_ack` waits."""
        return replace(self, timeout_seconds=seconds)

    def _meaning(self, target: Target) -> BroadcastOperator:
        return replace(self, target=target)

    async def emit(self, event: str, *args: object) -> None:
        """Send an event to all of them, encoded once. Waits for nobody: who is too slow is closed ("buffer full").

        Many are served in turns with everything else. Two broadcasts in one namespace come to everybody
        in the same order. It may be cancelled: then all have got it, or nobody.

        Raises:
            LocalProtocolError: a reserved name, or a value that a codec cannot carry or that is too large; nobody got
                it. Of the namespaces of a pattern, those before the one whose peers' codec it was did.
        """
        check_event_name(event)
        for registry in self.source.registries():
            packet = SocketPacket(SocketPacketType.EVENT, registry.name, [event, *args])
            await registry.adapter.broadcast(packet, self.target)

    async def send(self, *args: object) -> None:
        """`emit` an event named "message"."""
        await self.emit("message", *args)

    async def emit_with_ack(self, event: str, *args: object) -> list[object]:
        """Send an event and collect the acknowledgements of all of them.

        Returns:
            One answer per socket, in the order in which they came; who leaves meanwhile has none.

        Raises:
            AckTimeout: not all came in time; its ``answers`` are those that did.
            LocalProtocolError: as `emit`.
        """
        check_event_name(event)
        collector = AckCollector()
        seconds = self.timeout_seconds if self.timeout_seconds is not None else self.source.ack_timeout
        timer = None if seconds is None else self.host.call_later(seconds, collector.expire)
        ends: list[Callable[[], None]] = []
        try:
            for registry in self.source.registries():
                ask = registry.adapter.ask
                ends.append(await ask(event, args, self.target, collector, seconds=seconds))
            return await collector.wait()
        finally:
            for end in ends:
                end()
            if timer is not None:
                timer.cancel()

    async def fetch_sockets(self) -> FetchedSockets:
        """The sockets that are meant, those of other servers among them, as far as these answer in time."""
        found = FetchedSockets()
        for registry in self.source.registries():
            operator = BroadcastOperator(registry, self.host)
            fetched = await registry.adapter.fetch(self.target)
            found += [RemoteSocket(info, operator) for info in fetched]
            found.missing |= fetched.missing
        return found

    async def sockets_join(self, *rooms: str) -> None:
        """Let them enter rooms.

        Raises:
            LocalProtocolError: one is in as many as the setting ``max_rooms_per_socket`` allows; the others have
                entered.
        """
        check_rooms(rooms)
        refused: LocalProtocolError | None = None
        for registry in self.source.registries():
            try:
                await registry.adapter.join(self.target, rooms)
            except LocalProtocolError as error:
                refused = error
        if refused is not None:
            raise refused

    async def sockets_leave(self, *rooms: str) -> None:
        """Let them leave rooms."""
        check_rooms(rooms)
        for registry in self.source.registries():
            await registry.adapter.leave(self.target, rooms)

    async def disconnect_sockets(self, close: bool = False) -> None:
        """Put them out of the namespace; with ``close``, end their sessions."""
        for registry in self.source.registries():
            await registry.adapter.disconnect(self.target, close=close)


class FetchedSockets(list["RemoteSocket"]):
    """What `fetch_sockets` has found: a list.

    Attributes:
        missing: The names of the servers that did not answer in time; without their sockets the list is what came.
            ``"?"`` if nobody can tell which servers there are.
    """

    def __init__(self, found: Iterable[RemoteSocket] = (), *, missing: frozenset[str] = frozenset()) -> None:
        super().__init__(found)
        self.missing = missing


class RemoteSocket:
    """A socket of this server or another: what was known of it when it was fetched, and the way to reach it.

    Attributes:
        id: As `Socket.id`.
        namespace: With its leading slash.
        handshake: How the peer came.
        rooms: Those it was in, among them its own.
        data: As `Socket.data`: of a socket of this server the very dict, of another's a copy.
    """

    __slots__ = ("_itself", "data", "handshake", "id", "namespace", "rooms")

    def __init__(self, info: SocketInfo, namespace: BroadcastOperator) -> None:
        self.id: str = info.id
        self.namespace: str = info.namespace
        self.handshake: SocketHandshake = info.handshake
        self.rooms: frozenset[str] = info.rooms
        self.data: dict[str, object] = info.data
        self._itself = namespace.to(info.id)

    def __repr__(self) -> str:
        return f"<RemoteSocket {self.id} in {self.namespace!r}>"

    async def emit(self, event: str, *args: object) -> None:
        """Send it an event; if it has left, nobody gets it. See `BroadcastOperator.emit`."""
        await self._itself.emit(event, *args)

    async def emit_with_ack(self, event: str, *args: object, timeout: float | None = None) -> object:
        """Send it an event and wait for its acknowledgement: as `Socket.emit_with_ack`, without its order.

        Raises:
            AckTimeout: none came in time.
            Disconnected: it has left.
            EventError: the peer answered with an error.
        """
        operator = self._itself if timeout is None else self._itself.timeout(timeout)
        try:
            answers = await operator.emit_with_ack(event, *args)
        except AckTimeout:
            raise AckTimeout("the acknowledgement did not arrive in time") from None
        if not answers:
            raise Disconnected("the socket left before its acknowledgement arrived")
        return value_of(answers)

    async def join(self, *rooms: str) -> None:
        """Let it enter rooms."""
        await self._itself.sockets_join(*rooms)

    async def leave(self, *rooms: str) -> None:
        """Let it leave rooms."""
        await self._itself.sockets_leave(*rooms)

    async def disconnect(self, close: bool = False) -> None:
        """Put it out of the namespace; with ``close``, end its session."""
        await self._itself.disconnect_sockets(close)
