"""What a peer that takes nothing costs: itself, and nobody's patience."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from event_peer import EventPeer, Wire, until

from holdfast import AckTimeout, CloseReason, Disconnected, MessageTooLarge, Settings, Socket
from holdfast.engine.dispatch import Events
from holdfast.engine.wire.packet import PacketType

pytestmark = pytest.mark.anyio

LARGE = "x" * 1_000


async def stuck(**settings: Any) -> tuple[Wire, EventPeer, Socket]:
    """A peer whose carrier is held up in a write."""
    io = Events(Settings(**settings)) if settings else Events()
    wire = Wire(io)
    peer = await wire.connect()
    attachment = peer._attachment  # pyright: ignore[reportPrivateUsage]
    attachment.busy = True
    [socket] = io.sockets.values()
    return wire, peer, socket


async def test_volatile_event_is_dropped_for_one_who_takes_nothing() -> None:
    wire, peer, socket = await stuck(buffer_limit=10_000)
    for _ in range(100):
        await wire.events.volatile.emit("everybody", LARGE)
        await socket.volatile.emit("it", LARGE)
        await wire.events.to(socket.id).volatile.emit("its room", LARGE)
    assert socket.connected
    assert peer.session.buffered_bytes == 0
    with pytest.raises(AckTimeout):
        await socket.volatile.emit_with_ack("it")
    peer._attachment.busy = False  # pyright: ignore[reportPrivateUsage]
    await wire.events.volatile.emit("again", 1)
    assert peer.received() == ['2["again",1]']


async def test_volatile_event_is_dropped_where_much_waits_already() -> None:
    wire, peer, socket = await stuck(buffer_limit=10_000)
    peer._attachment.busy = False  # pyright: ignore[reportPrivateUsage]
    for _ in range(8):
        await wire.events.emit("kept", LARGE)
    await socket.volatile.emit("dropped", LARGE)
    assert all("kept" in str(message) for message in peer.received())


async def test_time_limit_of_an_acknowledgement_holds_while_there_is_no_room() -> None:
    wire, peer, socket = await stuck(buffer_limit=10_000)
    for _ in range(8):
        await wire.events.emit("fills", LARGE)
    outcome: list[str] = []

    async def ask() -> None:
        try:
            await socket.emit_with_ack("never sent", timeout=2)
        except AckTimeout:
            outcome.append("timeout")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert outcome == []
        wire.clock.move(3)
    assert outcome == ["timeout"]
    assert len(peer.received()) == 8


async def test_emit_that_is_given_up_is_not_sent_and_costs_nothing() -> None:
    wire, peer, socket = await stuck(buffer_limit=10_000)
    for _ in range(8):
        await wire.events.emit("fills", LARGE)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(socket.emit, "given up")
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert socket.connected
    assert len(peer.received()) == 8


async def test_who_left_during_connect_is_seen_off_even_if_connect_failed_of_it() -> None:
    io = Events()
    story: list[str] = []
    may_go_on = anyio.Event()

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        story.append("connect")
        await may_go_on.wait()
        await socket.emit("hello")

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        story.append(reason)

    wire = Wire(io)
    peer = wire.open()
    peer.send("0")
    await until(lambda: bool(story))
    peer.lose()
    may_go_on.set()
    await until(lambda: len(story) == 2)
    assert story == ["connect", "transport close"]


async def test_shutdown_waits_for_handlers_and_the_server_starts_again() -> None:
    io = Events()
    story: list[str] = []

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        story.append(reason)

    wire = Wire(io)
    peer = await wire.connect()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wire.table.shutdown)
        await anyio.wait_all_tasks_blocked()
        peer.received()
        peer.lose()
    assert story == ["server shutting down"]
    wire.table.reopen()
    assert (await wire.connect()).session.is_open


async def test_shutdown_names_what_it_leaves_behind(caplog: pytest.LogCaptureFixture) -> None:
    io = Events()
    never = anyio.Event()

    @io.on("stay")
    async def stay(socket: Socket) -> None:
        await never.wait()

    wire = Wire(io)
    peer = await wire.connect()
    peer.send('2["stay"]')
    await anyio.wait_all_tasks_blocked()
    peer.lose()
    await wire.table.shutdown(timeout=0.01)
    assert "handlers of 1 sockets or sessions still ran" in caplog.text
    never.set()


async def test_cancelled_timers_are_not_kept_until_they_are_due() -> None:
    wire = Wire(Events())
    host = wire.table.host
    for _ in range(10_000):
        host.call_later(3600, lambda: None).cancel()
    assert len(host._heap) < 1_000  # pyright: ignore[reportPrivateUsage]


async def test_newest_volatile_events_wait_where_the_oldest_are_dropped() -> None:
    wire, peer, socket = await stuck(buffer_limit=10_000, volatile="drop-oldest")
    for number in range(100):
        await wire.events.volatile.emit("all", number)
        await socket.volatile.emit("it", number)
    assert peer.session.buffered_bytes == 0
    peer._attachment.busy = False  # pyright: ignore[reportPrivateUsage]
    newest = [event for number in range(92, 100) for event in (f'2["all",{number}]', f'2["it",{number}]')]
    assert peer.received() == newest
    await socket.volatile.emit("it", 100)
    assert peer.received() == ['2["it",100]']


async def test_volatile_events_that_wait_never_end_a_session() -> None:
    _, peer, socket = await stuck(buffer_limit=10_000, volatile="drop-oldest")
    for _ in range(20):
        await socket.volatile.emit("large", "x" * 6_000)
    peer._attachment.busy = False  # pyright: ignore[reportPrivateUsage]
    assert len(peer.received()) == 1
    assert peer.session.is_open


async def test_emit_does_not_wait_where_who_is_full_is_to_be_disconnected() -> None:
    _, peer, socket = await stuck(buffer_limit=10_000, when_full="disconnect")

    async def flood() -> None:
        with anyio.fail_after(5):
            for _ in range(20):
                await socket.emit("more", LARGE)

    with pytest.raises(Disconnected):
        await flood()
    assert peer.session.ended_with() is CloseReason.BUFFER_FULL


# What is larger than half of the bound waits until it fits, and ends no session that takes everything in its time.


async def crowded(**settings: Any) -> tuple[Wire, EventPeer, Socket]:
    """A counting peer that has not acknowledged three of the ten kilobytes that may be kept for it."""
    io = Events(Settings(buffer_limit=10_000, **settings))
    wire = Wire(io)
    peer = wire.open(counting=True, codecs=("json",))
    peer.control(PacketType.NEXT, "1")
    await peer.connect()
    [socket] = io.sockets.values()
    await socket.emit("kept", "x" * 3_000)
    peer.received()
    acknowledge(peer, 1)
    return wire, peer, socket


def acknowledge(peer: EventPeer, number: int) -> None:
    peer.control(PacketType.ACK, str(number))


async def heard(peer: EventPeer, count: int, *, before: int = 2) -> list[str]:
    """The next messages, each acknowledged only when nothing more can come before that."""
    found: list[str] = []
    while len(found) < count:
        acknowledge(peer, before + len(found))
        await anyio.wait_all_tasks_blocked()
        found += [str(message) for message in peer.received()]
    return found


@pytest.mark.parametrize("concurrent", [False, True])
async def test_large_answers_wait_until_they_fit(concurrent: bool) -> None:
    wire, peer, _ = await crowded()

    async def large(socket: Socket, text: str) -> str:
        return text * 9_000

    wire.events.on("large", large, concurrent=concurrent)
    peer.send('21["large","a"]', '22["large","b"]', '23["large","c"]')
    await anyio.wait_all_tasks_blocked()
    assert peer.received() == []
    answers = [message[:5] for message in await heard(peer, 3)]
    assert (sorted(answers) if concurrent else answers) == ['31["a', '32["b', '33["c']
    assert peer.session.is_open


async def test_events_behind_a_large_answer_keep_their_order() -> None:
    wire, peer, _ = await crowded()

    @wire.events.on("large")
    async def large(socket: Socket) -> str:
        await socket.emit("first", "x" * 9_000)
        await socket.emit("second", 2)
        return "third"

    peer.send('21["large"]')
    await anyio.wait_all_tasks_blocked()
    assert peer.received() == []
    assert [message[:10] for message in await heard(peer, 3)] == ['2["first",', '2["second"', '31["third"']


async def test_large_event_that_is_given_up_while_it_waits_is_not_sent() -> None:
    _, peer, socket = await crowded()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(socket.emit, "large", "x" * 9_000)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    acknowledge(peer, 2)
    await socket.emit("small")
    assert peer.received() == ['2["small"]']


async def test_time_limit_of_an_acknowledgement_holds_while_its_event_does_not_fit() -> None:
    wire, peer, socket = await crowded()
    outcome: list[str] = []

    async def ask() -> None:
        try:
            await socket.emit_with_ack("never sent", "x" * 9_000, timeout=2)
        except AckTimeout:
            outcome.append("timeout")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert outcome == []
        wire.clock.move(3)
    assert outcome == ["timeout"]
    acknowledge(peer, 2)
    assert peer.received() == []


async def test_what_can_never_fit_is_refused_at_once() -> None:
    _, peer, socket = await crowded()
    with pytest.raises(MessageTooLarge):
        await socket.emit("far too large", "x" * 10_000)
    assert peer.session.is_open


async def test_numbered_event_that_waited_is_numbered_behind_those_that_went_meanwhile() -> None:
    io = Events(Settings(buffer_limit=10_000, connection_state_recovery=True))
    wire = Wire(io)
    peer = await wire.connect()
    attachment = peer._attachment  # pyright: ignore[reportPrivateUsage]
    attachment.busy = True
    [socket] = io.sockets.values()
    await socket.emit("kept", "x" * 3_000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(socket.emit, "large", "x" * 9_000)
        await anyio.wait_all_tasks_blocked()
        await socket.emit("small")
        attachment.busy = False
        events = [json.loads(str(message)[1:]) for message in peer.received()]
        await anyio.wait_all_tasks_blocked()
        events += [json.loads(str(message)[1:]) for message in peer.received()]
    assert [event[0] for event in events] == ["kept", "small", "large"]
    numbers = [int(str(event[-1]).partition(".")[0]) for event in events]
    assert numbers == sorted(numbers)
