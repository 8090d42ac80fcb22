"""What reaches the members of rooms, in this process or beyond it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from ..wire.codec import Codec
from ..wire.message import Message
from ..wire.socketio import SocketPacket

__all__ = ["Adapter", "Recipient"]


class Recipient(Protocol):
    """A socket, as an adapter sees it."""

    @property
    def id(self) -> str: ...

    @property
    def codec(self) -> Codec: ...

    @property
    def attached(self) -> bool:
        """Whether it has a carrier at this moment."""
        ...

    def deliver(self, messages: list[Message]) -> None:
        """Send without waiting. Never raises: who is gone misses it, who is over its bound is closed."""
        ...


class Adapter(Protocol):
    """Rooms of one namespace. Every socket is a member of the room that has its id as name."""

    def add(self, recipient: Recipient, room: str) -> None:
        """Let a socket of this process join a room; idempotent."""
        ...

    def remove(self, recipient: Recipient, room: str) -> None:
        """Let it leave; idempotent."""
        ...

    def remove_all(self, recipient: Recipient) -> None:
        """Let it leave every room: it is gone."""
        ...

    def rooms(self, recipient: Recipient) -> frozenset[str]:
        """The rooms that a socket of this process is in."""
        ...

    def members(self, rooms: Collection[str] | None, except_: Collection[str]) -> list[Recipient]:
        """Sockets of this process that are in any of ``rooms`` (None: all) and in none of ``except_``."""
        ...

    async def broadcast(
        self,
        packet: SocketPacket,
        *,
        rooms: Collection[str] | None = None,
        except_: Collection[str] = (),
        volatile: bool = False,
    ) -> None:
        """Send one packet to every member, wherever it is. Waits for no member.

        Args:
            rooms: None for all; an empty list of recipients is nobody.
            volatile: Leave out who has no carrier at this moment.

        Raises:
            LocalProtocolError: the packet cannot be encoded; nobody got it.
        """
        ...

    def deliver(self, packet: SocketPacket, members: Iterable[Recipient]) -> None:
        """The local half of `broadcast`: encode once per codec, hand the same messages to everybody."""
        ...
