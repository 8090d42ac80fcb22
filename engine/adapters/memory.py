"""Rooms of one process."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from anyio.lowlevel import checkpoint

from ..wire.codec import Codec
from ..wire.message import Message
from ..wire.socketio import SocketPacket
from .base import Recipient

__all__ = ["MemoryAdapter"]


class MemoryAdapter:
    """The `Adapter` of a single process."""

    __slots__ = ("_everyone", "_rooms", "_rooms_of")

    def __init__(self) -> None:
        # Dicts as ordered sets: who came first is served first.
        self._everyone: dict[str, Recipient] = {}
        self._rooms: dict[str, dict[str, Recipient]] = {}
        self._rooms_of: dict[str, set[str]] = {}

    def add(self, recipient: Recipient, room: str) -> None:
        self._everyone[recipient.id] = recipient
        self._rooms.setdefault(room, {})[recipient.id] = recipient
        self._rooms_of.setdefault(recipient.id, set()).add(room)

    def remove(self, recipient: Recipient, room: str) -> None:
        self._rooms_of.get(recipient.id, set[str]()).discard(room)
        self._drop(recipient.id, room)

    def remove_all(self, recipient: Recipient) -> None:
        self._everyone.pop(recipient.id, None)
        for room in self._rooms_of.pop(recipient.id, ()):
            self._drop(recipient.id, room)

    def _drop(self, id: str, room: str) -> None:
        members = self._rooms.get(room)
        if members is not None:
            members.pop(id, None)
            if not members:
                del self._rooms[room]

    def rooms(self, recipient: Recipient) -> frozenset[str]:
        return frozenset(self._rooms_of.get(recipient.id, ()))

    def members(self, rooms: Collection[str] | None, except_: Collection[str]) -> list[Recipient]:
        found = self._everyone.copy() if rooms is None else {}
        for room in rooms or ():
            found.update(self._rooms.get(room, {}))
        for room in except_:
            for id in self._rooms.get(room, ()):
                found.pop(id, None)
        return list(found.values())

    async def broadcast(
        self,
        packet: SocketPacket,
        *,
        rooms: Collection[str] | None = None,
        except_: Collection[str] = (),
        volatile: bool = False,
    ) -> None:
        members = self.members(rooms, except_)
        self.deliver(packet, [member for member in members if member.attached] if volatile else members)
        # It waits for no member, but those who write to them must have their turn between two broadcasts.
        await checkpoint()

    def deliver(self, packet: SocketPacket, members: Iterable[Recipient]) -> None:
        members = list(members)
        # All codecs first: a packet that one of them cannot carry reaches nobody.
        encoded: dict[Codec, list[Message]] = {
            codec: codec.encode(packet) for codec in {member.codec for member in members}
        }
        for member in members:
            member.deliver(encoded[member.codec])
