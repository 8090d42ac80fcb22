"""Most events take a shorter way to their handler. What the handlers and the peer see is the same."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import anyio
import anyio.lowlevel
import pytest
from event_peer import EventPeer, Wire, until

from holdfast.engine.dispatch import Ack, Events, Socket
from holdfast.engine.errors import EventError
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio


# How they come: each by itself, as a plain peer's do or as in a payload of its own, or all together, from a plain peer
# or a counting one. The first is how those come for whose handlers there is no shorter way.
WAYS = ["queued", "alone", "each", "together", "counted"]


async def hear(socket: Socket, event: str, *args: object) -> None:
    pass


def sent(peer: EventPeer, messages: list[str], way: str) -> None:
    if way in ("together", "counted"):
        peer.send(*messages)
        return
    for message in messages:
        if not peer.session.is_open:
            return
        if way == "alone":
            peer.session.receive_message(message)
        else:
            peer.send(message)


async def ready(io: Events, *, counting: bool = False) -> EventPeer:
    """A peer, and on asyncio a task that is free."""
    peer = Wire(io).open(counting=counting)
    await peer.connect()

    @io.on("begin")
    async def begin(socket: Socket) -> str:
        return "begun"

    peer.send('20["begin"]')
    assert await peer.receive() == '30["begun"]'
    await anyio.wait_all_tasks_blocked()
    return peer


def play(io: Events, log: list[object], gate: anyio.Event) -> None:
    @io.on("echo")
    async def echo(socket: Socket, text: str, more: str = "") -> str:
        log.append(text)
        return text + more

    @io.on("wait")
    async def wait(socket: Socket) -> str:
        log.append("waits")
        await gate.wait()
        log.append("has waited")
        return "waited"

    @io.on("fail")
    async def fail(socket: Socket) -> None:
        raise EventError("no")

    @io.on("unsendable")
    async def unsendable(socket: Socket) -> object:
        return object()

    @io.on("ack")
    async def ack(socket: Socket, ack: Ack) -> None:
        await ack("acknowledged")

    @io.on("emit")
    async def emit(socket: Socket) -> str:
        await socket.emit("news")
        return "emitted"

    @io.on("replace")
    async def replace(socket: Socket) -> None:
        io.off("echo")
        io.on("echo", other)

    async def other(socket: Socket, *args: str) -> str:
        return "other"

    @io.on("leave")
    async def leave(socket: Socket) -> None:
        socket.disconnect()
        log.append("left")

    @io.on("disconnect")
    async def disconnect(socket: Socket) -> None:
        log.append("disconnect")


ORDERS = [
    ['21["echo","a"]', '22["echo","b","c"]', '2["echo","d"]'],
    ['21["echo"]', '22["echo","a","b","c"]', '23["nobody"]', '24["echo","a"]'],
    ['21["wait"]', '22["echo","a"]', '23["echo","b"]'],
    ['21["fail"]', '22["unsendable"]', '23["echo","a"]', '2["fail"]'],
    ['21["ack"]', '22["emit"]', '23["echo","a"]'],
    ['21["echo","a"]', '2["replace"]', '22["echo","b"]'],
    ['21["wait"]', '2["replace"]', '22["echo","b"]'],
    ['2["leave"]', '21["echo","a"]'],
    ['21["wait"]', '2["leave"]', '21["echo","a"]'],
]


@pytest.mark.parametrize("messages", ORDERS)
async def test_what_is_handled_by_the_shorter_way_is_handled_as_ever(messages: list[str]) -> None:
    seen: dict[str, tuple[list[object], list[str | bytes]]] = {}
    for way in WAYS:
        io, log, gate = Events(), list[object](), anyio.Event()
        play(io, log, gate)
        if way == "queued":
            io.on_any(hear)
        peer = await ready(io, counting=way == "counted")
        sent(peer, messages, way)
        await anyio.wait_all_tasks_blocked()
        gate.set()
        await anyio.wait_all_tasks_blocked()
        seen[way] = (log, peer.received())
    assert all(found == seen["queued"] for found in seen.values())


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("close", [False, True])
async def test_nothing_is_handled_behind_who_is_put_out(close: bool, waits: bool) -> None:
    for way in WAYS:
        io, log, gate = Events(), list[object](), anyio.Event()
        play(io, log, gate)

        @io.on("bye")
        async def bye(socket: Socket, gate: anyio.Event = gate) -> None:
            if waits:
                await gate.wait()
            socket.disconnect(close)

        if way == "queued":
            io.on_any(hear)
        peer = await ready(io, counting=way == "counted")
        sent(peer, ['2["echo","a"]', '2["bye"]', '2["echo","b"]', '21["echo","c"]'], way)
        gate.set()
        await anyio.wait_all_tasks_blocked()
        assert log == ["a", "disconnect"]
        # That it is put out, and no answer.
        assert peer.received() == ["1"]
        assert peer.session.handler is None or not peer.session.handler.is_behind
        assert peer.session.host.running == 0


@pytest.mark.parametrize("settings", [Settings(max_pending_events=5), Settings(max_pending_event_bytes=60)])
async def test_what_comes_alone_is_bounded_like_everything_else(settings: Settings) -> None:
    counts: list[int] = []
    for way in WAYS:
        io, log, gate = Events(settings), list[object](), anyio.Event()
        play(io, log, gate)
        if way == "queued":
            io.on_any(hear)
        peer = await ready(io, counting=way == "counted")
        for number in range(1, 100):
            sent(peer, ['2["wait"]'], way)
            if not peer.session.is_open:
                counts.append(number)
                break
        gate.set()
    assert len(set(counts)) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_comes_together_is_answered_together() -> None:
    io = Events()
    play(io, [], anyio.Event())
    peer = await ready(io)
    peer.send('21["echo","a"]', '2["emit"]', '22["echo","b"]', '23["wait"]', '24["echo","c"]')
    assert peer.received() == ['31["a"]', '2["news"]', '32["b"]']


async def test_answers_for_which_there_is_no_room_wait_for_it() -> None:
    expected = [f'3{id}["{"x" * 900}{id}"]' for id in range(1, 21)]
    for way in ("queued", "counted"):
        io, log = Events(Settings(buffer_limit=8_000)), list[object]()
        play(io, log, anyio.Event())
        if way == "queued":
            io.on_any(hear)
        peer = await ready(io, counting=True)
        sent(peer, [f'2{id}["echo","{"x" * 900}{id}"]' for id in range(1, 21)], way)
        await anyio.wait_all_tasks_blocked()
        assert len(log) == 5, "one waits with its answer"
        answers = peer.received()
        assert answers == expected[:4]
        while len(answers) < 20:
            peer.acknowledge()
            await anyio.wait_all_tasks_blocked()
            answers += peer.received()
        assert answers == expected
        assert peer.session.is_open


async def with_two_tasks(io: Events) -> EventPeer:
    peer = await ready(io)
    peer.send("0/other,")
    await peer.receive()
    for _ in range(2):
        peer.session.host.spawn(anyio.sleep, 0)
    # Who looks through all tasks keeps them.
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    return peer


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_handlers_that_keep_their_task_have_one_each() -> None:
    io, tasks = Events(), list[asyncio.Task[object] | None]()

    @io.on("keep")
    async def keep(socket: Socket) -> None:
        tasks.append(asyncio.current_task())

    io.of("/other")
    play(io, [], anyio.Event())
    peer = await with_two_tasks(io)
    peer.send('2["keep"]', '2["keep"]')
    assert len(tasks) == len(set(tasks)) == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancellation_that_a_handler_has_taken_back_is_not_the_next_ones() -> None:
    io = Events()

    @io.on("reconsider")
    async def reconsider(socket: Socket) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.uncancel()
        return "after all"

    @io.on("wait")
    async def wait(socket: Socket) -> str:
        await anyio.lowlevel.checkpoint()
        return "waited"

    peer = await ready(io)
    peer.send('21["reconsider"]', '22["wait"]', '23["wait"]')
    await anyio.wait_all_tasks_blocked()
    assert peer.received() == ['31["after all"]', '32["waited"]', '33["waited"]']


PLACE: ContextVar[str] = ContextVar("PLACE", default="nowhere")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_handlers_of_one_message_have_a_context_each() -> None:
    io, seen = Events(), list[str]()

    async def move(socket: Socket, place: str) -> None:
        seen.append(PLACE.get())
        PLACE.set(place)

    io.on("move", move)
    io.of("/other").on("move", move)
    play(io, [], anyio.Event())
    peer = await with_two_tasks(io)
    peer.send('2["move","here"]', '2/other,["move","there"]', '2["move","here"]')
    assert seen == ["nowhere"] * 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_looks_for_a_namespace_is_not_the_handler_before() -> None:
    io, tasks = Events(), list[int]()

    @io.on("who")
    async def who(socket: Socket) -> None:
        tasks.append(id(asyncio.current_task()))

    def find(name: str, auth: object) -> bool:
        tasks.append(id(asyncio.current_task()))
        return True

    io.of(find)
    play(io, [], anyio.Event())
    peer = await ready(io)
    peer.send('2["who"]', "0/found,", '2["who"]')
    assert tasks[1] == id(asyncio.current_task())
    assert tasks[0] == tasks[2] != tasks[1]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_handlers_of_one_message_have_a_task_together_until_one_waits() -> None:
    io, tasks, gate = Events(), list[int](), anyio.Event()
    play(io, [], gate)

    @io.on("who")
    async def who(socket: Socket) -> None:
        tasks.append(id(asyncio.current_task()))

    @io.of("/other").on("who")
    async def other(socket: Socket) -> None:
        await who(socket)

    @io.of("/other").on("wait")
    async def wait(socket: Socket) -> None:
        await who(socket)
        await gate.wait()
        await who(socket)

    peer = await with_two_tasks(io)
    peer.send('2["who"]', '2["who"]', '2/other,["wait"]', '2/other,["who"]', '2["who"]')
    assert len(tasks) == 4
    assert tasks[0] == tasks[1] == tasks[2] != tasks[3]
    assert id(asyncio.current_task()) not in tasks
    gate.set()
    await anyio.wait_all_tasks_blocked()
    assert tasks[4:] == [tasks[0], tasks[0]]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_handler_of_what_comes_alone_has_answered_when_it_is_taken() -> None:
    """On Trio it is another task's."""
    io = Events()
    play(io, [], anyio.Event())
    peer = await ready(io)
    assert peer.session.receive_message('21["echo","a"]')
    assert peer.received() == ['31["a"]']


async def test_middleware_and_who_hears_all_see_what_comes_alone() -> None:
    io, log = Events(), list[object]()
    play(io, [], anyio.Event())

    @io.use_event
    async def middleware(socket: Socket, event: str, args: list[object]) -> None:
        log.append(("middleware", event))

    async def listen(socket: Socket, event: str, *args: object) -> None:
        log.append(("heard", event))

    io.on_any(listen)
    peer = await ready(io)
    log.clear()
    peer.session.receive_message('21["echo","a"]')
    await until(lambda: len(log) == 2)
    assert log == [("heard", "echo"), ("middleware", "echo")]
    assert await peer.receive() == '31["a"]'
