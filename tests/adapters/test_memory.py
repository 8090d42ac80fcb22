from __future__ import annotations

from collections.abc import Callable

import pytest

from holdfast.engine.adapters import (
    EVERYBODY,
    MemoryAdapter,
    MemoryHub,
    NoHandler,
    RoomChange,
    Target,
)
from holdfast.engine.errors import LocalProtocolError
from holdfast.engine.wire.codec import Codec, JsonCodec, MsgpackCodec
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.socketio import SocketPacket, SocketPacketType

pytestmark = pytest.mark.anyio

JSON, MSGPACK = JsonCodec(), MsgpackCodec()
_INDEX = ("_everyone", "_rooms", "_rooms_of")


class Mailbox:
    """Who is no socket, and keeps what it gets."""

    limit_bytes = 1_000_000
    as_socket = None

    def __init__(self, id: str, codec: Codec = JSON, *, writable: bool = True) -> None:
        self.id = id
        self.codec = codec
        self.writable = writable
        self.messages: list[Message] = []

    def deliver(self, messages: list[Message], packet: SocketPacket, *, volatile: bool = False) -> None:
        self.messages += messages


class Alone:
    """A namespace of a server that is asked nothing."""

    name = "/"

    def ask(self, *args: object) -> Callable[[], None]:
        raise AssertionError("nobody asked")

    async def server_event(self, name: str, args: tuple[object, ...]) -> object:
        raise NoHandler(name)

    def room_changed(self, change: RoomChange, room: str, id: str) -> None:
        """Nobody listens."""


class Leaver(Mailbox):
    """One whose delivery ends its session: it leaves every room in the middle of a broadcast."""

    adapter: MemoryAdapter

    def deliver(self, messages: list[Message], packet: SocketPacket, *, volatile: bool = False) -> None:
        super().deliver(messages, packet)
        self.adapter.remove_all(self)


def event(name: str, *args: object) -> SocketPacket:
    return SocketPacket(SocketPacketType.EVENT, "/", [name, *args])


def rooms_of(*mailboxes: Mailbox) -> MemoryAdapter:
    adapter = MemoryHub()(Alone())
    for mailbox in mailboxes:
        adapter.add(mailbox, mailbox.id)
    return adapter


async def test_member_of_several_rooms_gets_one_copy() -> None:
    a, b, c = Mailbox("a"), Mailbox("b"), Mailbox("c")
    adapter = rooms_of(a, b, c)
    for room in ("x", "y"):
        adapter.add(a, room)
        adapter.add(a, room)
    adapter.add(b, "y")
    await adapter.broadcast(
        event("e"), Target(rooms=frozenset(("x", "y", "missing")), except_=frozenset(("b", "missing")))
    )
    assert [len(mailbox.messages) for mailbox in (a, b, c)] == [1, 0, 0]
    await adapter.broadcast(event("e"), EVERYBODY)
    await adapter.broadcast(event("e"), Target(rooms=frozenset()))
    assert [len(mailbox.messages) for mailbox in (a, b, c)] == [2, 1, 1]


async def test_all_members_get_the_same_objects() -> None:
    a, b, c = Mailbox("a"), Mailbox("b"), Mailbox("c", MSGPACK)
    await rooms_of(a, b, c).broadcast(event("e", b"1"), EVERYBODY)
    assert a.messages[0] is b.messages[0]
    assert a.messages[1] is b.messages[1]
    assert len(c.messages) == 1


async def test_packet_that_one_codec_cannot_carry_reaches_nobody() -> None:
    a, b = Mailbox("a"), Mailbox("b", MSGPACK)
    with pytest.raises(LocalProtocolError):
        await rooms_of(a, b).broadcast(event("e", *[b""] * 11), EVERYBODY)
    assert a.messages == b.messages == []


async def test_volatile_broadcast_leaves_out_who_has_no_carrier() -> None:
    a, b = Mailbox("a"), Mailbox("b", writable=False)
    await rooms_of(a, b).broadcast(event("e"), Target(volatile=True))
    assert [len(mailbox.messages) for mailbox in (a, b)] == [1, 0]


async def test_member_may_leave_in_the_middle_of_a_broadcast() -> None:
    a, b = Leaver("a"), Mailbox("b")
    adapter = a.adapter = rooms_of(a, b)
    for _ in range(2):
        await adapter.broadcast(event("e"), EVERYBODY)
    assert [len(mailbox.messages) for mailbox in (a, b)] == [1, 2]


def test_nothing_is_kept_of_who_left() -> None:
    a = Mailbox("a")
    adapter = MemoryHub()(Alone())
    empty = {slot: getattr(adapter, slot).copy() for slot in _INDEX}
    adapter.add(a, "a")
    adapter.add(a, "x")
    assert adapter.rooms(a) == {"a", "x"}
    adapter.remove(a, "x")
    adapter.remove(a, "x")
    assert adapter.rooms(a) == {"a"}
    adapter.remove_all(a)
    adapter.remove_all(a)
    assert adapter.rooms(a) == frozenset()
    assert {slot: getattr(adapter, slot) for slot in _INDEX} == empty
    assert adapter.members(EVERYBODY) == []
