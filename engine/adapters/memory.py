"""Rooms of one process, of one server or of several."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from ..errors import AckTimeout, Disconnected, LocalProtocolError, MessageTooLarge
from ..host import Host, make_event
from ..session import kept_bytes
from ..wire.codec import Encoder
from ..wire.message import Message
from ..wire.socketio import SocketPacket, SocketPacketType
from .base import Answers, Fetched, LocalSocket, Node, NoHandler, Recipient, Target
from .turns import Turns

__all__ = [
    "SLICE",
    "MemoryAdapter",
    "MemoryHub",
    "deliver",
    "encode_for",
    "hand_over",
    "hand_over_in_slices",
]

logger = logging.getLogger("holdfast.adapters")

R = TypeVar("R", bound=Recipient)

SLICE = 64
"""How many members are served before others have their turn: with what writes to them, one millisecond or two."""


class MemoryHub:
    """Joins the servers of one process: ``Server(adapter=hub)`` for each.

    What one of them sends to a room reaches the members of all, and they hear each other's server-side events. All of
    them must run in the same event loop. Without it each server is alone.
    """

    def __init__(self) -> None:
        self._adapters: dict[str, list[MemoryAdapter]] = {}
        self._turns: dict[str, Turns] = {}
        self._host = Host()

    def __call__(self, node: Node) -> MemoryAdapter:
        """The adapter of one namespace of one server."""
        adapter = MemoryAdapter(node, self)
        adapter.open()
        return adapter

    def join(self, adapter: MemoryAdapter, name: str) -> list[MemoryAdapter]:
        """Put an adapter among those of its namespace; idempotent. Returns all of them."""
        adapters = self._adapters.setdefault(name, [])
        if adapter not in adapters:
            adapters.append(adapter)
        return adapters

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run what nobody waits for."""
        self._host.spawn(function, *args)

    def forget(self, adapter: MemoryAdapter, name: str) -> None:
        """An adapter is closed; idempotent."""
        adapters = self._adapters.get(name, [])
        if adapter in adapters:
            adapters.remove(adapter)
        if not adapters:
            self._adapters.pop(name, None)
            self._turns.pop(name, None)

    def turns(self, name: str) -> Turns:
        """Those of a namespace."""
        return self._turns.setdefault(name, Turns())


class MemoryAdapter:
    """The `Adapter` of a single process."""

    __slots__ = (
        "_adapters",
        "_at_home",
        "_everyone",
        "_guests",
        "_hub",
        "_node",
        "_rooms",
        "_rooms_of",
        "_turns",
    )

    def __init__(self, node: Node, hub: MemoryHub) -> None:
        self._node = node
        self._hub = hub
        # Of the same namespace: this one and those of the other servers.
        self._adapters: list[MemoryAdapter] = []
        self._turns = Turns()
        # Dicts as ordered sets: who came first is served first.
        self._everyone: dict[str, Recipient] = {}
        # Who is in the room of his own id. Most are in no other, so that takes no container for each.
        self._at_home: dict[str, Recipient] = {}
        self._rooms: dict[str, dict[str, Recipient]] = {}
        self._rooms_of: dict[str, set[str]] = {}
        self._guests: dict[str, dict[str, Recipient]] = {}

    # -- sockets of this server

    def add(self, recipient: Recipient, room: str) -> int:
        id = recipient.id
        self._everyone[id] = recipient
        is_new = room not in self._rooms and room not in self._at_home
        if room == id:
            joins = id not in self._at_home
            self._at_home[id] = recipient
        else:
            rooms = self._rooms_of.setdefault(id, set())
            joins = room not in rooms
            rooms.add(room)
            self._rooms.setdefault(room, {})[id] = recipient
        if joins:
            if is_new:
                self._node.room_changed("create-room", room, id)
            self._node.room_changed("join-room", room, id)
        return len(self._rooms_of.get(id, ())) + (id in self._at_home)

    def remove(self, recipient: Recipient, room: str) -> None:
        self._rooms_of.get(recipient.id, set[str]()).discard(room)
        self._drop(recipient.id, room)

    def remove_all(self, recipient: Recipient) -> None:
        if self._everyone.get(recipient.id) is not recipient:
            # Another one has taken its place.
            return
        del self._everyone[recipient.id]
        for room in (recipient.id, *self._rooms_of.pop(recipient.id, ())):
            self._drop(recipient.id, room)

    def _drop(self, id: str, room: str) -> None:
        if room == id:
            was_there = self._at_home.pop(id, None)
        elif (members := self._rooms.get(room)) is not None:
            was_there = members.pop(id, None)
            if not members:
                del self._rooms[room]
        else:
            was_there = None
        if was_there is None:
            return
        is_empty = room not in self._rooms and room not in self._at_home
        self._node.room_changed("leave-room", room, id)
        if is_empty:
            self._node.room_changed("delete-room", room, id)

    def overhear(self, guest: Recipient, room: str) -> Callable[[], None]:
        guests = self._guests.setdefault(room, {})
        guests[guest.id] = guest

        def end() -> None:
            if guests.get(guest.id) is guest:
                del guests[guest.id]
                if not guests:
                    self._guests.pop(room, None)

        return end

    def rooms(self, recipient: Recipient) -> frozenset[str]:
        id = recipient.id
        return frozenset((*self._rooms_of.get(id, ()), *((id,) if id in self._at_home else ())))

    def has_room(self, room: str) -> bool:
        """Whether anybody of this process would get what is sent to a room."""
        return room in self._rooms or room in self._at_home or room in self._guests

    def all_rooms(self) -> dict[str, frozenset[str]]:
        found = {id: frozenset((id,)) for id in self._at_home}
        for room, members in self._rooms.items():
            found[room] = found.get(room, frozenset[str]()).union(members)
        return found

    def members(self, target: Target) -> list[Recipient]:
        found = self._everyone if target.rooms is None else self._in_any(target)
        left_out: set[str] = set()
        if target.except_:
            left_out.update(self._at_home.keys() & target.except_)
            left_out.update(*(self._rooms[room] for room in target.except_ if room in self._rooms))
        if target.volatile:
            return [member for id, member in found.items() if id not in left_out and member.writable]
        if left_out:
            return [member for id, member in found.items() if id not in left_out]
        return list(found.values())

    def _in_any(self, target: Target) -> dict[str, Recipient]:
        """Who is in any of the rooms. It may be a room itself: it is copied once and no more, which counts with many
        members, because the collector of garbage looks through each copy.
        """
        asked = target.rooms or ()
        rooms = [self._rooms[room] for room in asked if room in self._rooms]
        found = {room: self._at_home[room] for room in asked if room in self._at_home}
        if len(rooms) == 1 and not found and not self._guests:
            return rooms[0]
        for room in rooms:
            found.update(room)
        if self._guests:
            self._add_guests(found, target)
        return found

    def _add_guests(self, found: dict[str, Recipient], target: Target) -> None:
        for room in (target.rooms or frozenset[str]()) - target.except_:
            for id, guest in self._guests.get(room, {}).items():
                # One guest stands for one room in each.
                found[f"{room} {id}"] = guest

    def _sockets(self, target: Target) -> list[LocalSocket]:
        return _sockets_of(self.members(target))

    # -- everywhere

    def _meant(self, target: Target) -> list[MemoryAdapter]:
        return [self] if target.local else self._adapters.copy()

    def _everywhere(self, target: Target) -> list[Recipient]:
        if target.local or len(self._adapters) == 1:
            return self.members(target)
        return [member for adapter in self._meant(target) for member in adapter.members(target)]

    async def broadcast(self, packet: SocketPacket, target: Target) -> None:
        turns = self._turns
        members = None if turns.are_taken else self._everywhere(target)
        if members is not None and len(members) <= SLICE:
            hand_over(members, encode_for(members, packet), packet, target)
            # It waits for no member, but those who write to them must have their turn between two broadcasts.
            await checkpoint()
            return
        async with turns:
            if members is None:
                members = self._everywhere(target)
            await hand_over_in_slices(members, encode_for(members, packet), packet, target)

    async def ask(
        self,
        name: str,
        args: tuple[object, ...],
        target: Target,
        answers: Answers,
        *,
        seconds: float | None = None,
    ) -> Callable[[], None]:
        return await self._ask(name, args, target, answers, None)

    async def _ask(
        self,
        name: str,
        args: tuple[object, ...],
        target: Target,
        answers: Answers,
        say: Callable[[], None] | None,
    ) -> Callable[[], None]:
        """`ask`; with ``say`` called when its turn has come, before anybody here is asked."""
        ends: list[Callable[[], None]] = []

        def end() -> None:
            for each in ends:
                each()

        async with self._turns:
            if say is not None:
                say()
            asked = [(adapter, adapter._sockets(target)) for adapter in self._meant(target)]
            answers.expect(sum(len(members) for _, members in asked))
            if any(len(members) > SLICE for _, members in asked):
                # Each slice is encoded for itself: it must not turn out at the second that one cannot be.
                packet = SocketPacket(SocketPacketType.EVENT, self._node.name, [name, *args], 0)
                encode_for([member for _, members in asked for member in members], packet)
            try:
                for adapter, members in asked:

                    def serve(some: Sequence[LocalSocket], node: Node = adapter._node) -> None:
                        here = _sockets_of(some)
                        for _ in range(len(some) - len(here)):
                            answers.fail(Disconnected("the socket left before it was asked"))
                        ends.append(node.ask(name, args, here, answers))

                    if members:
                        await _in_slices(members, serve)
            except BaseException:
                end()
                raise
        return end

    async def fetch(self, target: Target) -> Fetched:
        return Fetched(
            # Of another server a copy, as from one in another process.
            info if adapter is self else replace(info, data=dict(info.data))
            for adapter in self._meant(target)
            for info in [member.info() for member in adapter._sockets(target)]
        )

    async def join(self, target: Target, rooms: Iterable[str]) -> None:
        rooms = list(rooms)
        refused: LocalProtocolError | None = None
        for adapter in self._meant(target):
            for member in adapter._sockets(target):
                try:
                    for room in rooms:
                        member.join(room)
                except LocalProtocolError as error:
                    # The others come first: whom it is asked for must not depend on their order.
                    refused = error
        if refused is not None:
            raise refused

    async def leave(self, target: Target, rooms: Iterable[str]) -> None:
        rooms = list(rooms)
        for adapter in self._meant(target):
            for member in adapter._sockets(target):
                for room in rooms:
                    member.leave_room(room)

    async def disconnect(self, target: Target, *, close: bool) -> None:
        for adapter in self._meant(target):
            for member in adapter._sockets(target):
                member.disconnect(close)

    @property
    def _others(self) -> list[MemoryAdapter]:
        return [adapter for adapter in self._adapters if adapter is not self]

    async def server_side_emit(self, name: str, args: tuple[object, ...]) -> None:
        for adapter in self._others:
            self._hub.spawn(adapter._handle, name, args)
        await checkpoint()

    async def _handle(self, name: str, args: tuple[object, ...]) -> None:
        try:
            await self._node.server_event(name, args)
        except NoHandler:
            logger.debug("no handler of the server-side event %r in %r", name, self._node.name)

    async def server_side_ask(
        self, name: str, args: tuple[object, ...], seconds: float | None
    ) -> list[object]:
        others = self._others
        answers: list[object] = []
        missing = len(others)
        done = make_event()

        async def ask(adapter: MemoryAdapter) -> None:
            nonlocal missing
            try:
                answers.append(await adapter._node.server_event(name, args))
            except NoHandler:
                logger.debug("no handler of the server-side event %r in %r", name, self._node.name)
            finally:
                missing -= 1
                if not missing:
                    done.set()

        # Not as part of this call: a handler of another server runs to its end, whether it is waited for or not.
        for adapter in others:
            self._hub.spawn(ask, adapter)
        if others:
            with anyio.move_on_after(seconds):
                await done.wait()
        if missing:
            raise AckTimeout(f"{missing} servers did not answer in time", answers=answers)
        return answers

    def open(self) -> None:
        self._adapters = self._hub.join(self, self._node.name)
        self._turns = self._hub.turns(self._node.name)

    def close(self) -> None:
        self._hub.forget(self, self._node.name)


def deliver(members: Sequence[Recipient], packet: SocketPacket, target: Target) -> None:
    """Encode once per codec, and hand the same messages to everybody at once.

    Raises:
        LocalProtocolError: the packet cannot be encoded, or is larger than what may be kept; nobody got it.
    """
    hand_over(members, encode_for(members, packet), packet, target)


def encode_for(members: Sequence[Recipient], packet: SocketPacket) -> dict[Encoder, list[Message]]:
    """The messages of a packet by codec: all of them first, so that what one cannot carry reaches nobody.

    Raises:
        LocalProtocolError: as `deliver`.
    """
    encoded: dict[Encoder, list[Message]] = {}
    for member in members:
        if member.codec not in encoded:
            messages = member.codec.encode(packet)
            size = kept_bytes(messages)
            if size > member.limit_bytes:
                raise MessageTooLarge(size, member.limit_bytes)
            encoded[member.codec] = messages
    return encoded


def hand_over(
    members: Sequence[Recipient],
    encoded: Mapping[Encoder, list[Message]],
    packet: SocketPacket,
    target: Target,
) -> None:
    """Let everybody have the messages of his codec."""
    volatile = target.volatile
    for member in members:
        member.deliver(encoded[member.codec], packet, volatile=volatile)


async def hand_over_in_slices(
    members: Sequence[Recipient],
    encoded: Mapping[Encoder, list[Message]],
    packet: SocketPacket,
    target: Target,
) -> None:
    """`hand_over`, in turns with everything else."""

    def serve(some: Sequence[Recipient]) -> None:
        if target.volatile:
            # Others may have become slow since they were looked through.
            some = [member for member in some if member.writable]
        hand_over(some, encoded, packet, target)

    await _in_slices(members, serve)


def _sockets_of(members: Sequence[Recipient]) -> list[LocalSocket]:
    return [socket for member in members if (socket := member.as_socket) is not None]


async def _in_slices(members: Sequence[R], serve: Callable[[Sequence[R]], None]) -> None:
    """Serve some, then let others have their turn. It serves all, even if it is cancelled: half of a room that has
    heard something is worse than one moment without a turn.
    """
    for start in range(0, len(members), SLICE):
        serve(members[start : start + SLICE])
        try:
            await checkpoint()
        except GeneratorExit:
            # The event loop is gone, and everybody with it.
            raise
        except BaseException:
            serve(members[start + SLICE :])
            raise
