"""What runs at once, and in which order the rest does."""

from __future__ import annotations

import asyncio
import threading

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from event_peer import Idle, Wire, until

from holdfast.engine.dispatch import Ack, Events, Socket
from holdfast.engine.errors import Disconnected, EventError, RemoteProtocolError
from holdfast.engine.session.reason import CloseReason
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio


async def test_concurrent_handler_does_not_hold_up_the_next_event() -> None:
    io = Events()
    gates = {number: anyio.Event() for number in (1, 2)}

    @io.on("slow", concurrent=True)
    async def slow(socket: Socket, number: int) -> int:
        await gates[number].wait()
        return number

    io.on("quick", lambda socket: "quick")
    peer = await Wire(io).connect()
    peer.send('21["slow",1]', '22["slow",2]', '23["quick"]')
    assert await peer.receive() == '33["quick"]'
    gates[2].set()
    assert await peer.receive() == "32[2]"
    gates[1].set()
    assert await peer.receive() == "31[1]"


async def test_concurrent_handler_begins_in_its_turn() -> None:
    io = Events()
    log: list[str] = []
    gate = anyio.Event()

    @io.on("slow")
    async def slow(socket: Socket) -> None:
        await gate.wait()
        log.append("slow")

    @io.on("beside", concurrent=True)
    async def beside(socket: Socket) -> None:
        log.append("beside")

    peer = await Wire(io).connect()
    peer.send('2["slow"]', '2["beside"]')
    await anyio.wait_all_tasks_blocked()
    assert log == []
    gate.set()
    await until(lambda: log == ["slow", "beside"])


async def test_concurrent_catch_all_and_handler_of_a_socket() -> None:
    io = Events()
    gate = anyio.Event()

    @io.on("*", concurrent=True)
    async def everything(socket: Socket, event: str) -> str:
        await gate.wait()
        return event

    peer = await Wire(io).connect()

    @io.sockets[peer.ids["/"]].on("own", concurrent=True)
    async def own(socket: Socket) -> str:
        await gate.wait()
        return "own"

    peer.send('21["a"]', '22["own"]', '23["b"]')
    await anyio.wait_all_tasks_blocked()
    gate.set()
    assert {await peer.receive() for _ in range(3)} == {'31["a"]', '32["own"]', '33["b"]'}


@pytest.mark.parametrize("settings", [Settings(max_pending_events=5), Settings(max_pending_event_bytes=60)])
async def test_concurrent_handlers_that_run_are_bounded(settings: Settings) -> None:
    io = Events(settings)
    running: list[int] = []
    gate = anyio.Event()

    @io.on("n", concurrent=True)
    async def n(socket: Socket) -> None:
        running.append(1)
        await gate.wait()

    peer = await Wire(io).connect()
    for _ in range(100):
        if peer.session.is_open:
            peer.send('2["n"]')
            await anyio.wait_all_tasks_blocked()
    with pytest.raises(Idle):
        await peer.receive()
    assert peer.session.ended_with() == CloseReason.BUFFER_FULL
    assert 5 <= len(running) <= 10
    gate.set()


async def test_concurrent_handlers_that_are_done_make_room() -> None:
    io = Events(Settings(max_pending_events=5))
    done: list[int] = []

    @io.on("n", concurrent=True)
    async def n(socket: Socket, fail: bool) -> None:
        await anyio.lowlevel.checkpoint()
        done.append(1)
        if fail:
            raise EventError("no")

    peer = await Wire(io).connect()
    for number in range(1, 51):
        peer.send('2["n",true]' if number % 2 else '2["n",false]')
        await until(lambda number=number: len(done) == number)
        await anyio.wait_all_tasks_blocked()
    assert peer.session.is_open


async def test_disconnect_does_not_wait_for_concurrent_handlers_and_they_live_on() -> None:
    io = Events()
    log: list[str] = []
    gate = anyio.Event()

    @io.on("slow", concurrent=True)
    async def slow(socket: Socket) -> str:
        log.append("begins")
        await gate.wait()
        try:
            await socket.emit("x")
        except Disconnected:
            log.append("ends")
        return "nobody hears"

    for name in ("disconnect", "disconnecting"):

        async def note(socket: Socket, reason: str, name: str = name) -> None:
            log.append(name)

        io.on(name, note)
    peer = await Wire(io).connect()
    peer.send('21["slow"]')
    await until(lambda: log == ["begins"])
    peer.lose()
    await until(lambda: len(log) == 3)
    gate.set()
    await until(lambda: len(log) == 4)
    assert log == ["begins", "disconnecting", "disconnect", "ends"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("client", "client namespace disconnect"),
        ("server", "server namespace disconnect"),
        ("server closes", "server namespace disconnect"),
        ("sockets", "server namespace disconnect"),
        ("transport", "transport close"),
        ("parse", "parse error"),
        ("shutdown", "server shutting down"),
        ("ping", "ping timeout"),
    ],
)
async def test_reasons_and_rooms_of_both_handlers(how: str, reason: str) -> None:
    io = Events()
    log: list[tuple[str, str, bool]] = []

    async def leaves(name: str, socket: Socket, why: str) -> None:
        log.append((name, why, socket.rooms == {socket.id, "lobby"}))

    io.on("disconnect", lambda socket, why: leaves("disconnect", socket, why))
    io.on("disconnecting", lambda socket, why: leaves("disconnecting", socket, why))
    wire = Wire(io)
    peer = await wire.connect()
    socket = io.sockets[peer.ids["/"]]
    socket.join("lobby", "left")
    socket.leave("left")
    if how == "client":
        peer.send("1")
    elif how == "server":
        socket.disconnect()
    elif how == "server closes":
        socket.disconnect(close=True)
    elif how == "sockets":
        await io.disconnect_sockets()
    elif how == "transport":
        peer.lose()
    elif how == "parse":
        with pytest.raises(RemoteProtocolError):
            peer.send("nonsense")
    elif how == "shutdown":
        await wire.table.shutdown(0)
    else:
        for _ in range(3):
            wire.clock.move(25)
            await anyio.wait_all_tasks_blocked()
    await until(lambda: len(log) == 2)
    assert log == [("disconnecting", reason, True), ("disconnect", reason, True)]
    assert dict(io.rooms) == {}
    socket.join("late")
    socket.leave("late")
    assert socket.rooms == {socket.id, "lobby"}
    assert dict(io.rooms) == {}


async def test_handlers_in_threads_emit_join_ask_and_answer_from_there() -> None:
    io = Events()

    @io.on("x")
    def in_thread(socket: Socket, value: int) -> object:
        assert threading.current_thread() is not threading.main_thread()
        anyio.from_thread.run_sync(socket.join, "room")
        anyio.from_thread.run(socket.emit, "own", value)
        anyio.from_thread.run(io.to("room").emit, "room")
        anyio.from_thread.run(io.emit, "all")
        return anyio.from_thread.run(socket.emit_with_ack, "ask")

    wire = Wire(io)
    peer, other = await wire.connect(), await wire.connect()
    peer.send('21["x",5]')
    assert [await peer.receive() for _ in range(4)] == ['2["own",5]', '2["room"]', '2["all"]', '20["ask"]']
    peer.send('30["answer"]')
    assert await peer.receive() == '31["answer"]'
    assert other.received() == ['2["all"]']


async def test_failure_in_a_thread_is_an_error_answer_and_the_next_event_is_served() -> None:
    io = Events()

    @io.on("fail")
    def fail(socket: Socket, ack: Ack) -> None:
        raise EventError("no", data=[1])

    @io.on("gone")
    def gone(socket: Socket) -> None:
        anyio.from_thread.run_sync(socket.disconnect)
        try:
            anyio.from_thread.run(socket.emit, "late")
        finally:
            ended.append(True)

    ended: list[bool] = []
    peer = await Wire(io).connect()
    peer.send('21["fail"]', '22["gone"]')
    assert await peer.receive() == '31[{"error":{"message":"no","data":[1]}}]'
    assert await peer.receive() == "1"
    # A task that waits for its thread counts as blocked.
    await until(lambda: bool(ended))
    await anyio.wait_all_tasks_blocked()
    assert peer.received() == []


async def test_concurrent_handlers_in_threads_run_at_once() -> None:
    io = Events()
    meet = threading.Barrier(2, timeout=5)

    @io.on("x", concurrent=True)
    def in_thread(socket: Socket) -> int:
        return meet.wait() * 0

    peer = await Wire(io).connect()
    peer.send('21["x"]', '22["x"]')
    assert {await peer.receive(), await peer.receive()} == {"31[0]", "32[0]"}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_task_of_a_handler_that_has_waited_runs_the_next_one_too() -> None:
    """On Trio each has its own."""
    io = Events()
    names: list[str] = []

    @io.on("ask")
    async def ask(socket: Socket, waits: bool) -> str:
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())
        return "asked"

    peer = await Wire(io).connect()
    for waits in ("true", "false", "true", "true"):
        peer.send(f'21["ask",{waits}]')
        assert await peer.receive() == '31["asked"]'
        # The first waits for its own beginning, too.
        await anyio.wait_all_tasks_blocked()
    assert len(set(names)) == 1
