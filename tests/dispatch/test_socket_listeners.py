"""Listeners of one socket, and how they stand to those of its namespace."""

from __future__ import annotations

import gc
import weakref

import anyio
import pytest
from event_peer import EventPeer, Wire, until

from holdfast.engine.dispatch import Ack, Events, Socket
from holdfast.engine.errors import EventError, LocalProtocolError

pytestmark = pytest.mark.anyio


def socket_of(io: Events, peer: EventPeer) -> Socket:
    return io.sockets[peer.ids["/"]]


async def two(io: Events) -> tuple[EventPeer, EventPeer]:
    wire = Wire(io)
    return await wire.connect(), await wire.connect()


async def answers(peer: EventPeer, *names: str) -> list[str]:
    """What events of these names are acknowledged with, in order."""
    peer.send(*(f'2{number}["{name}"]' for number, name in enumerate(names)))
    return [str(await peer.receive()).lstrip("3").lstrip("0123456789") for _ in names]


async def test_handler_of_a_socket_goes_before_its_namespaces_and_is_no_other_sockets() -> None:
    io = Events()
    io.on("who", lambda socket: "namespace")
    a, b = await two(io)
    socket_of(io, a).on("who", lambda socket: "socket")
    assert await answers(a, "who") == ['["socket"]']
    assert await answers(b, "who") == ['["namespace"]']
    socket_of(io, a).off("who")
    socket_of(io, a).off("who")
    assert await answers(a, "who") == ['["namespace"]']


async def test_named_handler_goes_before_every_catch_all() -> None:
    io = Events()
    io.on("known", lambda socket: "namespace")
    io.on("*", lambda socket, event: f"namespace * {event}")
    a, b = await two(io)
    socket_of(io, a).on("*", lambda socket, event: f"socket * {event}")
    assert await answers(a, "known", "other") == ['["namespace"]', '["socket * other"]']
    assert await answers(b, "known", "other") == ['["namespace"]', '["namespace * other"]']


async def test_decorator_and_off_of_one_function() -> None:
    io = Events()
    a, _ = await two(io)
    socket = socket_of(io, a)

    @socket.on("x", concurrent=True)
    async def x(socket: Socket) -> str:
        return "x"

    socket.off("x", lambda socket: "another")
    assert await answers(a, "x") == ['["x"]']
    socket.off("x", x)
    io.on("x", lambda socket: "gone")
    assert await answers(a, "x") == ['["gone"]']


async def test_once_is_once_for_several_events_in_one_batch() -> None:
    io = Events()
    io.on("x", lambda socket: "namespace")
    a, _ = await two(io)
    socket_of(io, a).once("x", lambda socket: "once")
    assert await answers(a, "x", "x", "x") == ['["once"]', '["namespace"]', '["namespace"]']


async def test_once_that_waits_does_not_run_again_meanwhile() -> None:
    io = Events()
    ran: list[int] = []
    gate = anyio.Event()
    a, _ = await two(io)

    async def wait(socket: Socket, number: int) -> None:
        ran.append(number)
        await gate.wait()

    socket_of(io, a).once("x", wait)
    a.send('2["x",1]', '2["x",2]')
    await until(lambda: ran == [1])
    a.send('2["x",3]')
    gate.set()
    await anyio.wait_all_tasks_blocked()
    assert ran == [1]


async def test_once_can_be_set_again_by_itself_and_be_removed() -> None:
    io = Events()
    ran: list[int] = []
    a, _ = await two(io)
    socket = socket_of(io, a)

    async def again(socket: Socket, number: int) -> None:
        ran.append(number)
        socket.once("x", again)

    socket.once("x", again)
    a.send('2["x",1]', '2["x",2]')
    await until(lambda: ran == [1, 2])
    socket.off("x", again)
    a.send('2["x",3]')
    await anyio.wait_all_tasks_blocked()
    assert ran == [1, 2]


async def test_what_a_handler_registers_counts_for_the_next_event_of_the_same_batch() -> None:
    io = Events()

    @io.on("login")
    async def login(socket: Socket) -> None:
        await anyio.lowlevel.checkpoint()
        socket.on("secret", lambda socket: "secret")

    @io.on("logout")
    async def logout(socket: Socket) -> None:
        socket.off("secret")

    io.on("end", lambda socket: "end")
    a, _ = await two(io)
    a.send('21["secret"]', '2["login"]', '22["secret"]', '2["logout"]', '23["secret"]', '24["end"]')
    assert [await a.receive(), await a.receive()] == ['32["secret"]', '34["end"]']


async def test_disconnect_handler_that_a_waiting_event_registers_runs() -> None:
    io = Events()
    log: list[str] = []

    @io.on("enter")
    async def enter(socket: Socket) -> None:
        log.append("enter")
        socket.on("disconnect", lambda socket, reason: log.append(reason))

    a, _ = await two(io)
    a.send('2["enter"]')
    a.lose()
    await until(lambda: len(log) == 2)
    assert log == ["enter", "transport close"]


async def test_disconnect_of_the_socket_runs_beside_that_of_its_namespace() -> None:
    io = Events()
    log: list[tuple[str, str, bool, frozenset[str]]] = []

    def note(word: str, socket: Socket, reason: str) -> None:
        log.append((word, reason, socket.connected, socket.rooms - {socket.id}))

    for name in ("disconnect", "disconnecting"):
        io.on(name, lambda socket, reason, name=name: note(f"namespace {name}", socket, reason))
    a, b = await two(io)
    socket = socket_of(io, a)
    socket.join("lobby")
    for name in ("disconnect", "disconnecting"):
        socket.on(name, lambda socket, reason, name=name: note(f"socket {name}", socket, reason))
    a.send("1")
    await until(lambda: len(log) == 4)
    rest = ("client namespace disconnect", False, frozenset({"lobby"}))
    assert log == [
        ("socket disconnecting", *rest),
        ("namespace disconnecting", *rest),
        ("socket disconnect", *rest),
        ("namespace disconnect", *rest),
    ]
    log.clear()
    b.lose()
    await until(lambda: len(log) == 2)
    assert [entry[:2] for entry in log] == [
        ("namespace disconnecting", "transport close"),
        ("namespace disconnect", "transport close"),
    ]


async def test_failing_disconnecting_handler_does_not_keep_disconnect_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events()
    log: list[str] = []

    async def fail(socket: Socket) -> None:
        raise ZeroDivisionError

    io.on("disconnecting", fail)
    io.on("disconnect", lambda socket: log.append("namespace"))
    a, _ = await two(io)
    socket_of(io, a).on("disconnect", fail)
    a.lose()
    await until(lambda: bool(log))
    assert len(caplog.records) == 2


@pytest.mark.parametrize("event", ["connect", "connection"])
async def test_socket_has_no_connect_of_its_own(event: str) -> None:
    io = Events()
    a, _ = await two(io)
    with pytest.raises(LocalProtocolError, match="namespace"):
        socket_of(io, a).on(event, lambda socket: None)


async def test_one_event_has_one_handler_of_a_socket() -> None:
    io = Events()
    a, _ = await two(io)
    socket = socket_of(io, a)
    socket.on("x", lambda socket: 1)
    for register in (socket.on, socket.once):
        with pytest.raises(LocalProtocolError, match="already"):
            register("x", lambda socket: 2)
    assert await answers(a, "x") == ["[1]"]


async def test_any_listeners_hear_every_event_before_its_handler_in_their_order() -> None:
    io = Events()
    log: list[object] = []
    io.on("x", lambda socket, *args: log.append("handler"))
    io.on_any(lambda socket, event, *args: log.append(("namespace", event, *args)))
    a, b = await two(io)
    socket = socket_of(io, a)

    async def last(socket: Socket, event: str, *args: object) -> None:
        await anyio.lowlevel.checkpoint()
        log.append("last")

    socket.on_any(lambda socket, event, *args: log.append("second"))
    socket.prepend_any(lambda socket, event, *args: log.append("first"))
    socket.on_any(last)
    a.send('2["x",1]', '2["nobody handles",2]')
    await until(lambda: len(log) == 9)
    assert log == [
        ("namespace", "x", 1),
        "first",
        "second",
        "last",
        "handler",
        ("namespace", "nobody handles", 2),
        "first",
        "second",
        "last",
    ]
    log.clear()
    socket.off_any(last)
    b.send('2["y"]')
    a.send('2["y"]')
    await until(lambda: len(log) == 4)
    assert sorted(map(str, log)) == ["('namespace', 'y')", "('namespace', 'y')", "first", "second"]
    log.clear()
    socket.off_any()
    io.off_any()
    a.send('2["x"]')
    await until(lambda: log == ["handler"])


async def test_listener_may_change_who_listens_while_it_hears() -> None:
    io = Events()
    log: list[str] = []

    async def adds(socket: Socket, event: str) -> None:
        log.append("adds")
        if len(log) < 10:
            io.on_any(lambda socket, event: log.append("added"))
            socket.prepend_any(lambda socket, event: log.append("own"))

    io.on_any(adds)
    io.on("x", lambda socket: "x")
    a, _ = await two(io)
    assert await answers(a, "x") == ['["x"]']
    assert log == ["adds"]
    await answers(a, "x")
    assert log == ["adds", "adds", "added", "own"]


async def test_failing_listener_is_logged_once_per_event_and_harmless(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events()

    async def fail(socket: Socket, event: str, *args: object) -> None:
        raise ZeroDivisionError("why")

    async def few(socket: Socket, event: str) -> None: ...

    def fail_outgoing(socket: Socket, event: str, *args: object) -> None:
        raise EventError("no answer of anybody")

    io.on_any(fail)
    io.on("x", lambda socket, *args: "x")
    a, b = await two(io)
    assert await answers(a, "x") == ['["x"]']
    assert len(caplog.records) == 1
    assert "ZeroDivisionError: why" in caplog.text
    io.off_any()
    caplog.clear()
    socket_of(io, a).on_any(few)
    a.send('2["x","the peer\'s own words"]', '21["x"]')
    await a.receive()
    assert len(caplog.records) == 1
    assert "own words" not in caplog.text
    caplog.clear()
    io.on_any_outgoing(fail_outgoing)
    await socket_of(io, a).emit("one")
    await io.emit("all")
    assert a.received() == ['2["one"]', '2["all"]']
    assert b.received() == ['2["all"]']
    assert len(caplog.records) == 3


async def test_outgoing_listeners_hear_what_is_sent_and_nothing_else() -> None:
    io = Events()
    log: list[tuple[object, ...]] = []
    a, b = await two(io)
    sockets = {socket_of(io, a): "a", socket_of(io, b): "b"}
    io.on_any_outgoing(lambda socket, event, *args: log.append((sockets[socket], event, *args)))
    socket, other = sockets
    await socket.emit("one", 1)
    await socket.send("text")
    await io.emit("all")
    await socket.broadcast.emit("others")
    await socket.volatile.emit("volatile")
    await io.to(other.id).volatile.emit("volatile too")
    (remote,) = await io.to(other.id).fetch_sockets()
    await remote.emit("remote")
    assert log == [
        ("a", "one", 1),
        ("a", "message", "text"),
        ("a", "all"),
        ("b", "all"),
        ("b", "others"),
        ("a", "volatile"),
        ("b", "volatile too"),
        ("b", "remote"),
    ]
    log.clear()
    with pytest.raises(LocalProtocolError):
        await socket.emit("unsendable", object())
    with pytest.raises(LocalProtocolError):
        await io.emit("unsendable", object())
    a.session.detach(a._attachment)
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(Exception, match="not connected"):
        await socket.emit("late")
    await io.to(socket.id).emit("nobody")
    assert log == []


async def test_outgoing_listeners_of_a_socket_have_an_order_and_an_end() -> None:
    io = Events()
    log: list[str] = []
    a, _ = await two(io)
    socket = socket_of(io, a)

    def second(socket: Socket, event: str, *args: object) -> None:
        log.append("second")

    socket.on_any_outgoing(second)
    socket.prepend_any_outgoing(lambda socket, event, *args: log.append("first"))
    io.on_any_outgoing(lambda socket, event, *args: log.append("namespace"))
    await socket.emit("x")
    assert log == ["namespace", "first", "second"]
    log.clear()
    socket.off_any_outgoing(second)
    io.off_any_outgoing()
    await io.emit("x")
    assert log == ["first"]
    socket.off_any_outgoing()
    await io.emit("x")
    assert log == ["first"]


async def test_listener_that_puts_a_member_out_in_the_middle_of_a_broadcast_harms_nobody() -> None:
    io = Events()
    heard: list[str] = []
    a, b = await two(io)
    socket, other = socket_of(io, a), socket_of(io, b)

    def put_out(socket: Socket, event: str) -> None:
        heard.append("a")
        socket.disconnect()
        other.disconnect()

    socket.on_any_outgoing(put_out)
    other.on_any_outgoing(lambda socket, event: heard.append("b"))
    await io.emit("x")
    assert [a.received(), b.received()] == [["1"], ["1"]]
    assert heard == ["a"]


def test_outgoing_listener_that_would_wait_is_refused() -> None:
    io = Events()

    async def wait(socket: Socket, event: str) -> None: ...

    with pytest.raises(LocalProtocolError, match="does not wait"):
        io.on_any_outgoing(wait)
    with pytest.raises(LocalProtocolError, match="takes"):
        io.on_any(lambda socket: None)
    with pytest.raises(LocalProtocolError, match="takes"):
        io.on_any_outgoing(lambda socket: None)


async def test_ack_of_a_sockets_own_handler() -> None:
    io = Events()
    a, _ = await two(io)

    async def handler(socket: Socket, ack: Ack) -> None:
        await ack("mine")

    socket_of(io, a).on("x", handler)
    assert await answers(a, "x") == ['["mine"]']


async def test_listeners_are_freed_with_their_socket() -> None:
    io = Events()

    class Heavy:
        pass

    kept: list[weakref.ref[Heavy]] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        heavy = Heavy()
        kept.append(weakref.ref(heavy))
        socket.data["heavy"] = heavy

        # Not in a thread: those that wait for their next task may keep the last one.
        async def holds(*args: object) -> None:
            assert heavy

        socket.on("x", holds)
        socket.once("y", holds)
        socket.use(holds)
        socket.on_any(holds)
        socket.on_any_outgoing(lambda *args: heavy)
        socket.on("disconnect", holds)

    wire = Wire(io)
    peer = await wire.connect()
    peer.send('2["x"]')
    await io.emit("out")
    await anyio.wait_all_tasks_blocked()
    peer.lose()
    del peer
    await anyio.wait_all_tasks_blocked()
    gc.collect()
    assert [heavy() for heavy in kept] == [None]
