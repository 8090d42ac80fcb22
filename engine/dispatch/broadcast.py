"""Many sockets at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..wire.socketio import SocketPacket, SocketPacketType, check_event_name
from .acks import AckCollector
from .registry import Registry

if TYPE_CHECKING:
    from .membership import Membership
    from .socket import Socket

__all__ = ["BroadcastOperator"]


@dataclass(frozen=True, slots=True)
class BroadcastOperator:
    """Who is meant. Immutable: every step of a chain is a new one, which may be kept and used again.

    Attributes:
        rooms: None for everybody.
    """

    registry: Registry
    rooms: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()
    is_volatile: bool = False
    timeout_seconds: float | None = None

    def to(self, *rooms: str) -> BroadcastOperator:
        """Also who is in any of these rooms; without any `to`, everybody. ``to(*[])`` on its own is nobody."""
        return replace(self, rooms=frozenset(rooms).union(self.rooms or ()))

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Nobody who is in any of these rooms."""
        return replace(self, excluded=self.excluded.union(rooms))

    @property
    def volatile(self) -> BroadcastOperator:
        """Only who has a carrier at this moment."""
        return replace(self, is_volatile=True)

    def timeout(self, seconds: float) -> BroadcastOperator:
        """How long `emit_with_ack` waits."""
        return replace(self, timeout_seconds=seconds)

    async def emit(self, event: str, *args: object) -> None:
        """Send an event to all of them, encoded once. Waits for nobody: who is too slow is closed ("buffer full").

        Raises:
            LocalProtocolError: a reserved name, or a value that a codec cannot carry; nobody got it.
        """
        check_event_name(event)
        packet = SocketPacket(SocketPacketType.EVENT, self.registry.name, [event, *args])
        await self.registry.adapter.broadcast(
            packet, rooms=self.rooms, except_=self.excluded, volatile=self.is_volatile
        )

    async def emit_with_ack(self, event: str, *args: object) -> list[object]:
        """Send an event to those of this process and collect their acknowledgements.

        Returns:
            One answer per socket, in the order in which they came; who leaves meanwhile has none.

        Raises:
            AckTimeout: not all came in time; its ``answers`` are those that did.
            LocalProtocolError: as `emit`.
        """
        check_event_name(event)
        members = self._members()
        if not members:
            return []
        id = next(self.registry.ids)
        packet = SocketPacket(SocketPacketType.EVENT, self.registry.name, [event, *args], id)
        collector = AckCollector(len(members))
        seconds = self.timeout_seconds if self.timeout_seconds is not None else self.registry.ack_timeout
        host = members[0].session.live.host
        timer = None if seconds is None else host.call_later(seconds, collector.expire)
        for member in members:
            member.expect(id, collector)
        try:
            self.registry.adapter.deliver(packet, members)
            return await collector.wait()
        finally:
            for member in members:
                member.forget(id)
            if timer is not None:
                timer.cancel()

    def _members(self) -> list[Membership]:
        known = self.registry.members
        found = self.registry.adapter.members(self.rooms, self.excluded)
        members = [known[recipient.id] for recipient in found if recipient.id in known]
        return [member for member in members if member.attached] if self.is_volatile else members

    def fetch_sockets(self) -> list[Socket]:
        """The sockets that are meant, of this process."""
        return [member.socket for member in self._members()]

    def sockets_join(self, *rooms: str) -> None:
        """Let them enter rooms."""
        for socket in self.fetch_sockets():
            socket.join(*rooms)

    def sockets_leave(self, *rooms: str) -> None:
        """Let them leave rooms."""
        for socket in self.fetch_sockets():
            socket.leave(*rooms)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Put them out of the namespace; with ``close``, end their sessions."""
        for socket in self.fetch_sockets():
            socket.disconnect(close)
