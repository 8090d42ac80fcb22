"""A broadcast to many is served in slices. What is promised of one to a few is promised of it too."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest
import sniffio
from event_peer import EventPeer, Wire, until

from holdfast.engine.adapters.memory import SLICE, MemoryHub
from holdfast.engine.adapters.turns import Turns
from holdfast.engine.dispatch import Events
from holdfast.engine.errors import LocalProtocolError
from holdfast.engine.wire.codec import JsonCodec
from holdfast.engine.wire.socketio import SocketPacket

pytestmark = pytest.mark.anyio

MANY = 2 * SLICE + 10


async def crowd(io: Events, number: int = MANY) -> list[EventPeer]:
    wire = Wire(io)
    return [await wire.connect() for _ in range(number)]


def heard(peers: list[EventPeer]) -> list[str]:
    """The names of the events that each has got: one letter each."""
    return ["".join(str(data)[-3] for data in peer.received()) for peer in peers]


async def test_two_broadcasts_at_once_come_to_everybody_in_the_same_order() -> None:
    io = Events()
    peers = await crowd(io)
    few = peers[-3:]
    for peer in few:
        io.sockets[peer.ids["/"]].join("few")

    async def emit(name: str, *rooms: str) -> None:
        for _ in range(2):
            await (io.to(*rooms) if rooms else io.local).emit(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(emit, "a")
        tasks.start_soon(emit, "b")
        tasks.start_soon(emit, "c", "few")
    (order,) = set(heard(peers[:-3]))
    (fuller,) = set(heard(few))
    assert sorted(order) == ["a", "a", "b", "b"]
    assert fuller.replace("c", "") == order


async def test_others_have_their_turn_while_many_are_served() -> None:
    io = Events()
    peers = await crowd(io)
    served: list[int] = []

    async def look() -> None:
        while not served or served[-1] < MANY:
            served.append(sum(peer.session.buffered_bytes > 0 for peer in peers))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await io.emit("a")
    steps = [after - before for before, after in zip(served, served[1:], strict=False)]
    # Trio does not say in which order those run that can: between two looks there may be two turns, but no more.
    assert 0 < max(steps) <= 2 * SLICE < MANY


async def test_broadcast_that_is_given_up_in_the_middle_reaches_everybody() -> None:
    io = Events()
    peers = await crowd(io)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(io.emit, "a")
            await until(lambda: peers[0].session.buffered_bytes > 0)
            assert not peers[-1].session.buffered_bytes
            scope.cancel()
    assert scope.cancelled_caught
    assert heard(peers) == ["a"] * MANY
    await io.emit("b")
    assert heard(peers) == ["b"] * MANY


async def test_broadcast_whose_task_is_cancelled_reaches_everybody() -> None:
    if sniffio.current_async_library() != "asyncio":
        # Trio has no other cancellation than the one above.
        return
    io = Events()
    peers = await crowd(io)
    task = asyncio.create_task(io.emit("a"))
    await until(lambda: peers[0].session.buffered_bytes > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard(peers) == ["a"] * MANY


async def test_broadcast_that_is_given_up_before_its_turn_reaches_nobody_and_keeps_nobody_back() -> None:
    io = Events()
    peers = await crowd(io)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(io.emit, "a")
        await until(lambda: peers[0].session.buffered_bytes > 0)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await io.emit("b")
        await io.emit("c")
    assert scope.cancelled_caught
    assert heard(peers) == ["ac"] * MANY


async def test_who_leaves_meanwhile_is_left_out_and_who_comes_meanwhile_comes_too_late() -> None:
    io = Events()
    wire = Wire(io)
    peers = [await wire.connect() for _ in range(MANY)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(io.emit, "a")
        await until(lambda: peers[0].session.buffered_bytes > 0)
        late = wire.open()
        late.send("0")
        peers[-1].send("1")
        peers[-2].lose()
    assert heard(peers) == ["a"] * (MANY - 2) + ["", ""]
    # Its CONNECT was answered, and nothing follows.
    assert [str(data)[:1] for data in late.received()] == ["0"]


async def test_volatile_is_dropped_for_who_has_become_slow_meanwhile() -> None:
    io = Events()
    peers = await crowd(io)
    slow = peers[-1].session
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(io.volatile.emit, "a")
        await until(lambda: peers[0].session.buffered_bytes > 0)
        peers[-1]._attachment.busy = True
    assert heard(peers[:-1]) == ["a"] * (MANY - 1)
    assert not slow.buffered_bytes


async def test_question_to_many_collects_from_all_but_those_who_leave() -> None:
    io = Events()
    peers = await crowd(io)
    answers: list[object] = []

    async def ask() -> None:
        answers.extend(await io.timeout(60).emit_with_ack("a"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await until(lambda: peers[0].session.buffered_bytes > 0)
        peers[-1].lose()
        for number, peer in enumerate(peers[:-1]):
            packet = str(await peer.receive())
            id = packet[1 : packet.index("[")]
            peer.send(f"3{id}[{number}]")
    assert answers == list(range(MANY - 1))


async def test_question_that_is_given_up_in_the_middle_is_asked_of_all_and_nothing_is_kept_of_it() -> None:
    io = Events()
    peers = await crowd(io)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(io.emit_with_ack, "a")
            await until(lambda: peers[0].session.buffered_bytes > 0)
            scope.cancel()
    assert all(peer.received() for peer in peers)
    assert not any(session.handler.awaited_acks for session in (peer.session for peer in peers))  # type: ignore[union-attr]


class Mute(JsonCodec):
    """Carries no event."""

    name = "mute"

    def recognises(self, data: str | bytes) -> bool:
        return False

    def encode(self, packet: SocketPacket):  # type: ignore[no-untyped-def]
        if isinstance(packet.data, list):
            raise LocalProtocolError("not this")
        return super().encode(packet)


@pytest.mark.parametrize("asks", [False, True])
async def test_what_the_codec_of_the_last_one_cannot_carry_reaches_nobody(asks: bool) -> None:
    io = Events(codecs=[JsonCodec(), Mute()])
    wire = Wire(io)
    peers = [await wire.connect() for _ in range(MANY)]
    mute = wire.open(counting=True, codecs=("mute",))
    await mute.connect()
    with pytest.raises(LocalProtocolError, match="not this"):
        await (io.emit_with_ack("a") if asks else io.emit("a"))
    assert heard(peers) == [""] * MANY


async def test_broadcasts_of_two_servers_of_a_hub_have_one_order() -> None:
    hub = MemoryHub()
    one, other = Events(adapter=hub), Events(adapter=hub)
    peers = await crowd(one) + await crowd(other, 3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.emit, "a")
        tasks.start_soon(other.emit, "b")
    assert len(set(heard(peers))) == 1


async def test_turn_that_came_with_a_cancellation_goes_to_the_next() -> None:
    turns = Turns()
    done: list[str] = []

    async def take(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            async with turns:
                done.append(name)

    async with anyio.create_task_group() as tasks:
        async with turns:
            scopes = [anyio.CancelScope() for _ in range(3)]
            for name, scope in zip("abc", scopes, strict=True):
                tasks.start_soon(take, name, scope)
                await anyio.wait_all_tasks_blocked()
            scopes[0].cancel()
            await anyio.wait_all_tasks_blocked()
        # It is the turn of b, which has not woken up.
        scopes[1].cancel()
    assert done == ["c"] or done == ["b", "c"]
    assert not turns.are_taken
