from __future__ import annotations

import asyncio

import anyio
import event_peer
import pytest
import sniffio
from asgi_driver import settled
from event_peer import EventPeer, Wire, until

from holdfast.engine.dispatch import Events, Socket
from holdfast.engine.errors import AckTimeout, Disconnected, EventError, LocalProtocolError
from holdfast.engine.host import Host
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio


def socket_of(io: Events, peer: EventPeer) -> Socket:
    return io.sockets[peer.ids["/"]]


async def three(io: Events) -> tuple[Wire, list[EventPeer], list[Socket]]:
    wire = Wire(io)
    peers = [await wire.connect() for _ in range(3)]
    return wire, peers, [socket_of(io, peer) for peer in peers]


async def telling(io: Events, told: list[object]) -> tuple[Wire, EventPeer]:
    """A peer whose numbers are told: 0 is, and on asyncio a task is free for the next."""

    @io.on("say")
    async def say(socket: Socket, number: int) -> None:
        told.append(number)

    wire = Wire(io)
    peer = await wire.connect()
    peer.send('2["say",0]')
    await until(lambda: told == [0])
    return wire, peer


async def test_emit_reaches_everybody_rooms_and_exceptions() -> None:
    io = Events()
    _, peers, (a, b, c) = await three(io)
    a.join("x")
    b.join("x", "y")
    c.join("y")
    await io.emit("all")
    await io.to("x").emit("x")
    await io.to("x", "y").emit("once")
    await io.in_("x").to("y").except_("y").emit("only a")
    await io.except_(a.id).emit("not a")
    await io.to(c.id).emit("to c")
    await a.broadcast.emit("a to others")
    await a.to("x").emit("a to x")
    await b.except_("y").emit("b to who is not in y")
    seen = [[str(message)[3:-2] for message in peer.received()] for peer in peers]
    assert seen == [
        ["all", "x", "once", "only a", "b to who is not in y"],
        ["all", "x", "once", "not a", "a to others", "a to x"],
        ["all", "once", "not a", "to c", "a to others"],
    ]


async def test_empty_list_of_recipients_is_nobody() -> None:
    io = Events()
    _, peers, (a, *_) = await three(io)
    nobody: list[str] = []
    for operator in (io.to(*nobody), io.in_(*nobody), a.to(*nobody), io.volatile.to(*nobody)):
        await operator.emit("to nobody")
        assert await operator.emit_with_ack("to nobody") == []
        assert await operator.fetch_sockets() == []
    assert [peer.received() for peer in peers] == [[], [], []]
    await io.to(*nobody).to(a.id).emit("to a")
    await io.except_(*nobody).emit("to all")
    assert [len(peer.received()) for peer in peers] == [2, 1, 1]


async def test_chain_is_immutable() -> None:
    io = Events()
    _, peers, (a, b, _) = await three(io)
    a.join("x")
    b.join("y")
    x = io.to("x")
    x.to("y")
    x.volatile.except_("x")
    await x.emit("x")
    assert [len(peer.received()) for peer in peers] == [1, 0, 0]


async def test_namespaces_do_not_hear_each_other() -> None:
    io = Events()
    admin = io.of("/admin")
    wire = Wire(io)
    peer = await wire.connect()
    await peer.connect("/admin")
    await admin.emit("a", 1)
    await io.emit("b")
    assert peer.received() == ['2/admin,["a",1]', '2["b"]']


async def test_broadcast_is_encoded_once_per_codec() -> None:
    io = Events()
    wire = Wire(io)
    peers = [await wire.connect() for _ in range(2)]
    binary = wire.open(counting=True, codecs=("msgpack",))
    binary.send(b"\x82\xa4type\x00\xa3nsp\xa1/")
    await binary.receive()
    await io.emit("b", b"\x01")
    first, second = [peer.received() for peer in peers]
    assert first[0] is second[0]
    assert first[1] is second[1]
    assert binary.received() == [b"\x83\xa4type\x02\xa4data\x92\xa1b\xc4\x01\x01\xa3nsp\xa1/"]


async def test_broadcast_that_cannot_be_encoded_reaches_nobody() -> None:
    io = Events()
    wire = Wire(io)
    peer = await wire.connect()
    binary = wire.open(counting=True, codecs=("msgpack",))
    binary.send(b"\x82\xa4type\x00\xa3nsp\xa1/")
    await binary.receive()
    with pytest.raises(LocalProtocolError):
        await io.emit("attachments", *[b""] * 11)
    assert peer.received() == []
    assert binary.received() == []


async def test_member_that_is_too_slow_is_closed_and_the_others_are_served() -> None:
    io = Events(Settings(buffer_limit=1000))
    _, peers, _ = await three(io)
    for _ in range(5):
        await io.emit("big", "x" * 300)
        for peer in peers[1:]:
            assert len(peer.received()) == 1
    assert not peers[0].session.is_open
    assert len(io.sockets) == 2


async def test_volatile_leaves_out_who_has_no_carrier() -> None:
    io = Events()
    wire = Wire(io)
    here, away = await wire.connect(), wire.open(counting=True)
    await away.connect()
    socket = socket_of(io, away)
    away.lose()
    await io.volatile.emit("now")
    await socket.volatile.emit("now")
    await socket_of(io, here).volatile.emit("here")
    assert here.received() == ['2["now"]', '2["here"]']
    assert away.session.buffered_bytes == 0 or b"now" not in str(away.received()).encode()
    assert socket.connected


@pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error", "disconnecting", "newListener"])
async def test_reserved_names_cannot_be_emitted(name: str) -> None:
    io = Events()
    peer = await Wire(io).connect()
    with pytest.raises(LocalProtocolError):
        await io.emit(name)
    with pytest.raises(LocalProtocolError):
        await socket_of(io, peer).emit(name)
    with pytest.raises(LocalProtocolError):
        await socket_of(io, peer).emit_with_ack(name)
    with pytest.raises(LocalProtocolError):
        await io.timeout(1).emit_with_ack(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "expected"), [("[]", None), ("[1]", 1), ("[1,2]", (1, 2)), ('[{"error":1}]', {"error": 1})]
)
async def test_emit_with_ack_returns_the_answer(answer: str, expected: object) -> None:
    io = Events()
    peer = await Wire(io).connect()
    result: list[object] = []

    async def emit() -> None:
        result.append(await socket_of(io, peer).emit_with_ack("q", 1, timeout=10))

    async with anyio.create_task_group() as group:
        group.start_soon(emit)
        assert await peer.receive() == '20["q",1]'
        peer.send("399[]", f"30{answer}", '30["again"]')
    assert result == [expected]


@pytest.mark.parametrize("came", [(1, 2, "a", 3), ("a", 1, "b", 2), ("a", "b", 1, 2), (1, "a", "b", 2)])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("busy", [True, False])
async def test_who_waits_for_an_answer_goes_on_when_it_came(
    came: tuple[int | str, ...], together: bool, busy: bool
) -> None:
    io = Events()
    told: list[object] = []
    gate = anyio.Event()

    @io.on("wait")
    async def wait(socket: Socket) -> None:
        await gate.wait()

    async def ask(question: str) -> None:
        told.append(await socket_of(io, peer).emit_with_ack(question))

    wire, peer = await telling(io, told)
    messages: dict[int | str, str] = {number: f'2["say",{number}]' for number in (1, 2, 3)}
    async with anyio.create_task_group() as group:
        for question in "ab":
            if question in came:
                group.start_soon(ask, question)
                asked = str(await peer.receive())
                messages[question] = f'3{asked[1 : asked.index("[")]}["{question}"]'
        while busy and io.sockets[peer.ids["/"]].session.host.idle_tasks:
            # No task is free.
            (await wire.connect()).send('2["wait"]')
        if together:
            peer.send(*[messages[each] for each in came])
        else:
            for each in came:
                peer.send(messages[each])
        await until(lambda: len(told) == 1 + len(came))
        gate.set()
    if sniffio.current_async_library() == "asyncio":
        assert told == [0, *came]
    for question in "ab":
        # On Trio either of two tasks that can run may be the first, but what came after waits for it.
        if question in came:
            assert not set(came[came.index(question) :]) & {1, 2, 3} & set(told[: told.index(question)])


async def test_who_has_given_up_waiting_keeps_nobody_back() -> None:
    io = Events()
    told: list[object] = []
    _, peer = await telling(io, told)

    async def ask() -> None:
        await socket_of(io, peer).emit_with_ack("q")

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await peer.receive()
        peer.send('30["answer"]')
        group.cancel_scope.cancel()
    peer.send('2["say",1]')
    if sniffio.current_async_library() == "asyncio":
        # At once, as ever.
        assert told == [0, 1]
    await until(lambda: told == [0, 1])


async def test_answer_to_what_is_not_sent_yet_keeps_nobody_back() -> None:
    io = Events(Settings(buffer_limit=1000))
    told: list[object] = []
    _, peer = await telling(io, told)

    async def ask() -> None:
        await socket_of(io, peer).emit("big", "x" * 600)
        told.append(await socket_of(io, peer).emit_with_ack("q"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        peer.send('30["early"]')
        peer.send('2["say",1]')
        if sniffio.current_async_library() == "asyncio":
            assert told == [0, 1]
        await until(lambda: told == [0, 1])
        await peer.receive()
        assert await peer.receive() == '20["q"]'
    assert told == [0, 1, "early"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_cancels_the_task_of_a_handler_that_has_ended_hits_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events()
    gate, told = asyncio.Event(), list[object]()
    kept: list[asyncio.Task[object] | None] = []

    @io.on("keep")
    async def keep(socket: Socket) -> None:
        kept.append(asyncio.current_task())
        await gate.wait()

    _, peer = await telling(io, told)

    async def ask() -> None:
        told.append(await socket_of(io, peer).emit_with_ack("q"))
        assert kept[0] is not None
        kept[0].cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await peer.receive()
        peer.send('2["keep"]')
        await settled()
        gate.set()
        peer.send('30["a"]', '2["say",1]')
        await until(lambda: len(told) == 3)
    assert (told, caplog.records) == ([0, "a", 1], [])


async def test_error_in_an_answer_is_raised() -> None:
    io = Events()
    peer = await Wire(io).connect()

    async def emit() -> None:
        with pytest.raises(EventError, match="no") as caught:
            await socket_of(io, peer).emit_with_ack("q")
        assert (caught.value.code, caught.value.data) == ("E", 7)

    async with anyio.create_task_group() as group:
        group.start_soon(emit)
        await peer.receive()
        peer.send('30[{"error":{"message":"no","code":"E","data":7}}]')


@pytest.mark.parametrize("setting", [True, False])
async def test_ack_that_does_not_come_times_out_and_is_ignored_later(setting: bool) -> None:
    io = Events(Settings(ack_timeout=5.0 if setting else None))
    wire = Wire(io)
    peer = await wire.connect()

    async def emit() -> None:
        with pytest.raises(AckTimeout):
            await socket_of(io, peer).emit_with_ack("q", timeout=None if setting else 5.0)

    async with anyio.create_task_group() as group:
        group.start_soon(emit)
        await peer.receive()
        await until(lambda: True)
        wire.clock.move(5.1)
    peer.send("30[]")
    assert peer.session.is_open


@pytest.mark.parametrize("how", ["lose", "leave", "put out"])
async def test_ack_of_one_who_leaves_is_not_awaited(how: str) -> None:
    io = Events()
    peer = await Wire(io).connect()
    socket = socket_of(io, peer)

    async def emit() -> None:
        with pytest.raises(Disconnected):
            await socket.emit_with_ack("q")

    async with anyio.create_task_group() as group:
        group.start_soon(emit)
        await peer.receive()
        if how == "lose":
            peer.lose()
        elif how == "leave":
            peer.send("1")
        else:
            socket.disconnect()
    with pytest.raises(Disconnected):
        await socket.emit("late")
    with pytest.raises(Disconnected):
        await socket.emit_with_ack("late")


async def test_emit_waits_for_a_slow_peer() -> None:
    io = Events(Settings(buffer_limit=1000))
    peer = await Wire(io).connect()
    sent: list[int] = []

    async def emit() -> None:
        for number in range(5):
            await socket_of(io, peer).emit("big", "x" * 300)
            sent.append(number)

    async with anyio.create_task_group() as group:
        group.start_soon(emit)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert len(sent) < 5
        for _ in range(5):
            await peer.receive()
    assert peer.session.is_open


async def test_broadcast_collects_acknowledgements() -> None:
    io = Events()
    _, peers, _ = await three(io)
    answers: list[object] = []

    async def emit() -> None:
        answers.extend(await io.timeout(9).emit_with_ack("q"))

    async with anyio.create_task_group() as group:
        group.start_soon(emit)
        for peer in peers:
            assert await peer.receive() == '20["q"]'
        peers[0].send("30[0]")
        peers[1].send("30[]")
        peers[2].lose()
    assert answers == [0, None]
    assert await io.to("nobody").emit_with_ack("q") == []


async def test_broadcast_that_times_out_says_who_answered() -> None:
    clock = event_peer.TestClock()
    io = Events(host=Host(clock))
    _, peers, _ = await three(io)

    async def emit() -> None:
        with pytest.raises(AckTimeout) as caught:
            await io.timeout(5).emit_with_ack("q")
        assert caught.value.answers == [(1, 2)]

    async with anyio.create_task_group() as group:
        group.start_soon(emit)
        for peer in peers:
            await peer.receive()
        peers[1].send("30[1,2]")
        clock.move(5.1)


async def test_sockets_of_a_room_can_be_moved_and_put_out() -> None:
    io = Events()
    _, _, (a, b, c) = await three(io)
    a.join("x")
    b.join("x")
    await io.to("x").sockets_join("y", "z")
    await io.in_("x").sockets_leave("z")
    assert a.rooms == {a.id, "x", "y"}
    assert {socket.id for socket in await io.to("y").fetch_sockets()} == {a.id, b.id}
    await io.to("y").disconnect_sockets()
    assert [socket.connected for socket in (a, b, c)] == [False, False, True]
    assert [socket.id for socket in await io.fetch_sockets()] == [c.id]
    a.disconnect()
    assert repr(c) == f"<Socket {c.id} in '/'>"
    assert c.transport == "websocket"
    assert len(await io.volatile.fetch_sockets()) == 1
