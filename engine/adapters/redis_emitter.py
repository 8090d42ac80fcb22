"""Events from processes that are no server, to the sockets of those that are joined by Redis."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from ..errors import LocalProtocolError
from ..host import Host
from ..redis import RedisAddress, RedisConnection
from ..wire.socketio import SocketPacket, SocketPacketType, check_event_name, is_namespace
from .base import EVERYBODY, Target
from .messages import MessageType, encode_packet, encode_target
from .redis_requests import EMITTER, RequestFormat

__all__ = ["EmitterOperator", "RedisEmitter"]


@dataclass(frozen=True, slots=True)
class EmitterOperator:
    """Who is meant. Immutable: every step of a chain is a new one, which may be kept and used again."""

    connection: RedisConnection
    format: RequestFormat
    target: Target = EVERYBODY

    def to(self, *rooms: str) -> EmitterOperator:
        """Also who is in any of these rooms; without any `to`, everybody."""
        return self._meaning(replace(self.target, rooms=frozenset(rooms).union(self.target.rooms or ())))

    in_ = to

    def except_(self, *rooms: str) -> EmitterOperator:
        """Nobody who is in any of these rooms."""
        return self._meaning(replace(self.target, except_=self.target.except_.union(rooms)))

    @property
    def volatile(self) -> EmitterOperator:
        """Only whom it reaches at once: what somebody would get late is dropped."""
        return self._meaning(replace(self.target, volatile=True))

    def _meaning(self, target: Target) -> EmitterOperator:
        return replace(self, target=target)

    async def emit(self, event: str, *args: object) -> None:
        """Send an event to all of them. Returns when Redis has it.

        Raises:
            BrokerUnavailable: Redis cannot be reached. If it is ``uncertain``, the event may have been sent.
            LocalProtocolError: a reserved name, or a value that cannot be carried.
        """
        check_event_name(event)
        packet = SocketPacket(SocketPacketType.EVENT, self.format.namespace, [event, *args])
        await self._say(MessageType.BROADCAST, packet=encode_packet(packet))

    async def sockets_join(self, *rooms: str) -> None:
        """Let them enter rooms.

        Raises:
            BrokerUnavailable: as `emit`.
        """
        await self._say(MessageType.SOCKETS_JOIN, rooms=list(rooms))

    async def sockets_leave(self, *rooms: str) -> None:
        """Let them leave rooms.

        Raises:
            BrokerUnavailable: as `emit`.
        """
        await self._say(MessageType.SOCKETS_LEAVE, rooms=list(rooms))

    async def disconnect_sockets(self, close: bool = False) -> None:
        """Put them out of the namespace; with ``close``, end their sessions.

        Raises:
            BrokerUnavailable: as `emit`.
        """
        await self._say(MessageType.DISCONNECT_SOCKETS, close=close)

    async def _say(self, type: MessageType, **data: object) -> None:
        if self.target.rooms is not None and not self.target.rooms:
            # Nobody; on the wire it would mean everybody.
            return
        data["opts"] = encode_target(self.target)
        await self.publish(type, data)

    async def publish(self, type: MessageType, data: dict[str, object]) -> None:
        """Say something to all servers.

        Raises:
            BrokerUnavailable, LocalProtocolError: as `emit`.
        """
        nsp = self.format.namespace
        message: dict[str, object] = {"uid": EMITTER, "nsp": nsp, "type": type.value, "data": data}
        channel, payload = self.format.encode(message)
        self.connection.open()
        await self.connection.command("PUBLISH", channel, payload)


class RedisEmitter:
    """Sends events to the sockets of servers that share a `RedisAdapter`, from a process that is none of them::

        async with RedisEmitter("redis://…") as emitter:
            await emitter.to("room").emit("news", 1)

    It speaks the format of ``@socket.io/redis-emitter`` 5.1, so servers in Node.js hear it, too.

    Args:
        url: As of `RedisAdapter`.
        key: As of `RedisAdapter`.
        namespace: Whose sockets are meant; see `of`.
        ssl_context: As of `RedisAdapter`.
        timeout: Seconds for a connection to be made, and for Redis to answer.

    Raises:
        ValueError: the URL is none.
        ModuleNotFoundError: ``holdfast[redis]`` is not installed.
    """

    def __init__(
        self,
        url: str | RedisAddress,
        *,
        key: str = "socket.io",
        namespace: str = "/",
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 5.0,
    ) -> None:
        address = RedisAddress.parse(url, ssl_context=ssl_context) if isinstance(url, str) else url
        self._key = key
        self._connection = RedisConnection(address, Host(), timeout_seconds=timeout)
        self._everybody = self._of(namespace)

    def _of(self, namespace: str) -> EmitterOperator:
        if not is_namespace(namespace):
            raise LocalProtocolError(f"{namespace!r} cannot be the name of a namespace")
        return EmitterOperator(self._connection, RequestFormat(self._key, namespace))

    def of(self, namespace: str) -> EmitterOperator:
        """Everybody in a namespace.

        Raises:
            LocalProtocolError: it cannot be the name of one.
        """
        return self._of(namespace)

    def to(self, *rooms: str) -> EmitterOperator:
        """See `EmitterOperator.to`."""
        return self._everybody.to(*rooms)

    in_ = to

    def except_(self, *rooms: str) -> EmitterOperator:
        """See `EmitterOperator.except_`."""
        return self._everybody.except_(*rooms)

    @property
    def volatile(self) -> EmitterOperator:
        """See `EmitterOperator.volatile`."""
        return self._everybody.volatile

    async def emit(self, event: str, *args: object) -> None:
        """Send an event to everybody: see `EmitterOperator.emit`."""
        await self._everybody.emit(event, *args)

    async def sockets_join(self, *rooms: str) -> None:
        """Everybody: see `EmitterOperator.sockets_join`."""
        await self._everybody.sockets_join(*rooms)

    async def sockets_leave(self, *rooms: str) -> None:
        """Everybody: see `EmitterOperator.sockets_leave`."""
        await self._everybody.sockets_leave(*rooms)

    async def disconnect_sockets(self, close: bool = False) -> None:
        """Everybody: see `EmitterOperator.disconnect_sockets`."""
        await self._everybody.disconnect_sockets(close)

    async def server_side_emit(self, event: str, *args: object) -> None:
        """Send an event to the servers themselves.

        Raises:
            BrokerUnavailable, LocalProtocolError: as `emit`.
        """
        check_event_name(event)
        await self._everybody.publish(MessageType.SERVER_SIDE_EMIT, {"packet": [event, *args]})

    def close(self) -> None:
        """End the connection; idempotent. What is sent later makes another."""
        self._connection.close()

    async def __aenter__(self) -> Self:
        self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
