"""One socket, said more exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from ..adapters import Target, deliver
from ..errors import AckTimeout
from ..wire.socketio import SocketPacket, SocketPacketType, check_event_name
from .broadcast import BroadcastOperator

if TYPE_CHECKING:
    from .membership import Membership
    from .socket import Socket

__all__ = ["SocketOperator"]

_VOLATILE = Target(volatile=True)


@dataclass(frozen=True, slots=True)
class SocketOperator:
    """A socket with what was said of how it is reached; with `to` and the like, everybody else in the same way.

    Immutable, as `BroadcastOperator`.
    """

    socket: Socket
    membership: Membership
    is_volatile: bool = False
    timeout_seconds: float | None = None

    @property
    def volatile(self) -> SocketOperator:
        """If it can be reached at once: what it would get late is dropped."""
        return replace(self, is_volatile=True)

    def timeout(self, seconds: float) -> SocketOperator:
        """How long `emit_with_ack` waits."""
        return replace(self, timeout_seconds=seconds)

    @property
    def broadcast(self) -> BroadcastOperator:
        """Everybody in the namespace, without this socket."""
        others = self.socket.broadcast
        if self.timeout_seconds is not None:
            others = others.timeout(self.timeout_seconds)
        return others.volatile if self.is_volatile else others

    @property
    def local(self) -> BroadcastOperator:
        """Everybody on this server, without this socket."""
        return self.broadcast.local

    def to(self, *rooms: str) -> BroadcastOperator:
        """Everybody in any of these rooms, without this socket."""
        return self.broadcast.to(*rooms)

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Everybody who is in none of these rooms, without this socket."""
        return self.broadcast.except_(*rooms)

    async def emit(self, event: str, *args: object) -> None:
        """Send it an event: as `Socket.emit`, but a volatile one waits for no room and is dropped for who has left."""
        if not self.is_volatile:
            await self.socket.emit(event, *args)
            return
        check_event_name(event)
        member = self.membership
        if member.writable and not member.is_gone:
            packet = SocketPacket(SocketPacketType.EVENT, member.registry.name, [event, *args])
            deliver([member], packet, _VOLATILE)
        # Nothing here waits, but those who write must have their turn between two.
        await checkpoint()

    async def send(self, *args: object) -> None:
        """`emit` an event named "message"."""
        await self.emit("message", *args)

    async def emit_with_ack(self, event: str, *args: object) -> object:
        """Send it an event and wait for its acknowledgement: as `Socket.emit_with_ack`.

        Raises:
            AckTimeout: none came in time; or it is volatile and was dropped.
        """
        if self.is_volatile and not self.membership.writable:
            raise AckTimeout("there was no carrier to send the event on at once")
        return await self.socket.emit_with_ack(event, *args, timeout=self.timeout_seconds)
