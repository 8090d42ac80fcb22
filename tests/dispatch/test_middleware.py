"""Functions that stand before a connect or an event."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
from event_peer import Idle, Wire, until

from holdfast.engine.dispatch import Ack, Events, Socket
from holdfast.engine.errors import ConnectionRefusedError, EventError, LocalProtocolError
from holdfast.engine.session.reason import CloseReason
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio

Next = Callable[[], Awaitable[object]]
INTERNAL = '{"error":{"message":"internal error"}}'


async def ask(io: Events, message: str) -> str | bytes:
    peer = await Wire(io).connect()
    peer.send(message)
    return await peer.receive()


# -- connections


async def test_middleware_runs_in_the_order_of_registration_before_connect() -> None:
    io = Events()
    log: list[object] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        log.append("connect")

    @io.use
    async def first(socket: Socket) -> None:
        await anyio.lowlevel.checkpoint()
        assert not socket.connected
        socket.data["user"] = "first"
        log.append("first")

    @io.use
    def second(socket: Socket, auth: dict[str, object]) -> None:
        assert threading.current_thread() is not threading.main_thread()
        log.append((socket.data["user"], auth))

    peer = Wire(io).open()
    await peer.connect(auth='{"token":1}')
    assert log == ["first", ("first", {"token": 1}), "connect"]


@pytest.mark.parametrize("how", ["false", "raise", "raise with data", "disconnect", "fail", "unsendable"])
async def test_middleware_refuses_and_nothing_behind_it_runs(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    io = Events()
    log: list[str] = []

    @io.use
    async def refuse(socket: Socket) -> bool | None:
        socket.on("disconnect", lambda socket: log.append("own disconnect"))
        match how:
            case "false":
                return False
            case "raise":
                raise ConnectionRefusedError("no")
            case "raise with data":
                raise ConnectionRefusedError("no", {"code": 7})
            case "disconnect":
                socket.disconnect()
                return None
            case "fail":
                raise ZeroDivisionError("secret")
            case _:
                raise ConnectionRefusedError("no", object())

    for name in ("connect", "disconnect", "disconnecting"):
        io.on(name, lambda socket, name=name: log.append(name))
    io.use(lambda socket: log.append("behind"))
    content = {
        "false": '{"message":"Connection refused"}',
        "disconnect": '{"message":"Connection refused"}',
        "raise with data": '{"message":"no","data":{"code":7}}',
        "fail": '{"message":"internal error"}',
    }.get(how, '{"message":"no"}')
    peer = Wire(io).open()
    peer.send("0")
    assert await peer.receive() == f"4{content}"
    assert len(caplog.records) == (how in ("fail", "unsendable"))
    peer.send("0")
    assert await peer.receive() == f"4{content}"
    assert log == []
    assert dict(io.rooms) == {}


async def test_middleware_of_one_namespace_is_not_run_for_another() -> None:
    io = Events()
    io.use(lambda socket: False)
    io.of("/free")
    peer = Wire(io).open()
    await peer.connect("/free")
    peer.send("0")
    assert await peer.receive() == '4{"message":"Connection refused"}'


@pytest.mark.parametrize("how", ["leaves", "is lost"])
async def test_peer_that_goes_while_middleware_runs_is_heard_of_no_more(how: str) -> None:
    io = Events()
    log: list[str] = []
    gate = anyio.Event()

    @io.use
    async def slow(socket: Socket) -> None:
        log.append("slow")
        await gate.wait()

    async def note(socket: Socket) -> None:
        log.append("more")

    io.use(note)
    for name in ("connect", "disconnect", "disconnecting"):
        io.on(name, note)
    peer = Wire(io).open()
    peer.send("0")
    await until(lambda: log == ["slow"])
    if how == "leaves":
        peer.send("1")
    else:
        peer.lose()
    gate.set()
    await anyio.wait_all_tasks_blocked()
    assert log == ["slow"]
    assert peer.received() == []


async def test_what_middleware_sends_follows_the_answer_or_is_dropped_with_it() -> None:
    io = Events()

    @io.use
    async def greet(socket: Socket, auth: dict[str, object]) -> bool:
        await socket.emit("hello")
        socket.join("room")
        return bool(auth)

    wire = Wire(io)
    peer = wire.open()
    await peer.connect(auth='{"a":1}')
    assert peer.received() == ['2["hello"]']
    refused = wire.open()
    refused.send("0")
    assert await refused.receive() == '4{"message":"Connection refused"}'
    await io.to("room").emit("x")
    assert [peer.received(), refused.received()] == [['2["x"]'], []]


async def test_connect_handler_reaches_its_own_socket_by_every_way_and_after_the_answer() -> None:
    io = Events()
    seen: list[object] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        seen.append(socket.rooms == {socket.id})
        await io.to(socket.id).emit("to id")
        await io.emit("to all")
        await socket.broadcast.emit("to others")
        await socket.emit("to itself")
        seen.append(list(io.sockets))
        seen.append(await io.fetch_sockets())

    wire = Wire(io)
    peer = await wire.connect()
    assert peer.received() == ['2["to id"]', '2["to all"]', '2["to itself"]']
    assert seen == [True, [], []]


async def test_one_who_is_refused_after_all_gets_nothing_of_what_was_sent_meanwhile() -> None:
    io = Events()

    @io.on("connect")
    async def connect(socket: Socket) -> bool:
        await io.emit("to all")
        return False

    peer = Wire(io).open()
    peer.send("0")
    assert await peer.receive() == '4{"message":"Connection refused"}'
    await io.emit("later")
    assert peer.received() == []
    assert dict(io.rooms) == {}


async def test_held_events_just_under_the_bound_do_not_leave_the_peer_without_an_answer() -> None:
    io = Events(Settings(buffer_limit=1_000))

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        await socket.emit("x", "x" * (1_000 - len('2["x",""]')))

    peer = Wire(io).open()
    peer.send("0")
    with pytest.raises(Idle):
        await peer.receive()
    assert peer.session.ended_with() == CloseReason.BUFFER_FULL


# -- events


async def test_event_middleware_checks_and_changes_the_arguments() -> None:
    io = Events()

    @io.use_event
    async def trim(socket: Socket, event: str, args: list[object]) -> None:
        args[:] = [event, *args[:1]]

    io.on("x", lambda socket, event, value: [event, value])
    assert await ask(io, '21["x",1,2,3]') == '31[["x",1]]'


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("around", [True, False])
async def test_error_of_event_middleware_is_the_answer(
    around: bool, late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    io = Events()
    ran: list[str] = []

    async def checks(socket: Socket, event: str, args: list[object]) -> None:
        raise EventError("no", code="E")

    async def stands_around(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
        if late:
            await go_on()
        raise EventError("no", code="E")

    io.use_event(stands_around if around else checks)
    io.on("x", lambda socket: ran.append("x"))
    assert await ask(io, '21["x"]') == '31[{"error":{"message":"no","code":"E"}}]'
    assert ran == (["x"] if around and late else [])
    assert caplog.records == []


async def test_failing_event_middleware_is_an_internal_error_logged_once_without_the_peers_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events()

    def fail(socket: Socket, event: str, args: list[object]) -> None:
        raise ZeroDivisionError("why")

    io.use_event(fail)
    assert await ask(io, '21["the peer\'s own words","payload"]') == f"31[{INTERNAL}]"
    assert len(caplog.records) == 1
    assert "ZeroDivisionError: why" in caplog.text
    assert "own words" not in caplog.text
    assert "payload" not in caplog.text


async def test_event_middleware_passes_the_result_on_and_may_change_it() -> None:
    io = Events()
    log: list[str] = []

    @io.use_event
    async def outer(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
        log.append("outer")
        result = await go_on()
        log.append("outer again")
        return {"result": result}

    @io.use_event
    async def checks(socket: Socket, event: str, args: list[object]) -> str:
        log.append("checks")
        return "nothing looks at this"

    @io.use_event
    async def inner(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
        log.append("inner")
        return await go_on()

    io.on("x", lambda socket: log.append("handler") or 5)
    io.on("several", lambda socket: (1, 2))
    io.on("exactly", lambda socket: Ack.of(None))
    assert await ask(io, '21["x"]') == '31[{"result":5}]'
    assert log == ["outer", "checks", "inner", "handler", "outer again"]
    assert await ask(io, '21["several"]') == '31[{"result":[1,2]}]'


async def test_result_that_is_passed_on_unchanged_is_what_the_handler_returned() -> None:
    io = Events()

    @io.use_event
    async def around(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
        return await go_on()

    io.on("several", lambda socket: (1, 2))
    io.on("exactly", lambda socket: Ack.of(None))
    io.on("none", lambda socket: None)
    peer = await Wire(io).connect()
    peer.send('21["several"]', '22["exactly"]', '23["none"]')
    assert [await peer.receive() for _ in range(3)] == ["31[1,2]", "32[null]", "33[]"]


async def test_event_middleware_that_goes_no_further_answers_itself() -> None:
    io = Events()
    ran: list[str] = []

    @io.use_event
    async def instead(socket: Socket, event: str, args: list[object], go_on: Next) -> str:
        return "instead"

    async def with_ack(socket: Socket, ack: Ack) -> None:
        ran.append("with ack")

    io.on("x", lambda socket: ran.append("x"))
    io.on("with ack", with_ack)
    peer = await Wire(io).connect()
    peer.send('21["x"]', '22["with ack"]', '23["nobody handles"]', '2["x"]')
    assert [await peer.receive() for _ in range(3)] == ['31["instead"]', '32["instead"]', '33["instead"]']
    await anyio.wait_all_tasks_blocked()
    assert ran == []
    assert peer.received() == []


async def test_calling_next_twice_is_an_error_and_the_handler_runs_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events()
    ran: list[str] = []

    @io.use_event
    async def twice(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
        await go_on()
        return await go_on()

    io.on("x", lambda socket: ran.append("x"))
    assert await ask(io, '21["x"]') == f"31[{INTERNAL}]"
    assert ran == ["x"]
    assert "calls `next` once" in caplog.text


async def test_handler_with_an_ack_decides_whatever_middleware_returns() -> None:
    io = Events()
    kept: list[Ack] = []

    @io.use_event
    async def around(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
        await go_on()
        return "of the middleware"

    @io.on("now")
    async def now(socket: Socket, ack: Ack) -> None:
        await ack("now")

    @io.on("later")
    async def later(socket: Socket, ack: Ack) -> None:
        kept.append(ack)

    peer = await Wire(io).connect()
    peer.send('21["later"]', '22["now"]')
    assert await peer.receive() == '32["now"]'
    await kept[0]("later")
    assert await peer.receive() == '31["later"]'


async def test_middleware_answers_for_a_handler_that_failed_before_it_did() -> None:
    io = Events()
    kept: list[Ack] = []

    @io.use_event
    async def saves(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
        try:
            return await go_on()
        except ZeroDivisionError:
            return "saved"

    @io.on("plain")
    async def plain(socket: Socket) -> None:
        raise ZeroDivisionError

    @io.on("with ack")
    async def with_ack(socket: Socket, ack: Ack) -> None:
        kept.append(ack)
        raise ZeroDivisionError

    peer = await Wire(io).connect()
    peer.send('21["plain"]', '22["with ack"]')
    assert [await peer.receive(), await peer.receive()] == ['31["saved"]', '32["saved"]']
    with pytest.raises(LocalProtocolError, match="already"):
        await kept[0]("too late")


async def test_kept_ack_of_a_handler_that_failed_cannot_answer_a_second_time() -> None:
    io = Events()
    kept: list[Ack] = []

    @io.on("x")
    async def x(socket: Socket, ack: Ack) -> None:
        kept.append(ack)
        raise EventError("no")

    peer = await Wire(io).connect()
    peer.send('21["x"]')
    assert await peer.receive() == '31[{"error":{"message":"no"}}]'
    with pytest.raises(LocalProtocolError, match="already"):
        kept[0].send("too late")
    assert peer.received() == []


async def test_unsendable_result_of_middleware_is_an_internal_error() -> None:
    io = Events()

    @io.use_event
    async def around(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
        return object()

    async def with_ack(socket: Socket, ack: Ack) -> None: ...

    io.on("x", with_ack)
    assert await ask(io, '21["x"]') == f"31[{INTERNAL}]"
    assert await ask(io, '21["y"]') == f"31[{INTERNAL}]"


async def test_events_nobody_handles_pass_middleware_and_are_not_acknowledged() -> None:
    io = Events()
    seen: list[tuple[str, list[object]]] = []

    @io.use_event
    async def watch(socket: Socket, event: str, args: list[object]) -> None:
        seen.append((event, args))

    io.on("known", lambda socket: "known")
    peer = await Wire(io).connect()
    peer.send('21["unknown",1]', '22["known"]')
    assert await peer.receive() == '32["known"]'
    assert seen == [("unknown", [1]), ("known", [])]


async def test_middleware_of_the_namespace_stands_outside_that_of_the_socket() -> None:
    io = Events()
    log: list[str] = []

    def notes(word: str) -> Callable[[Socket, str, list[object], Next], Awaitable[object]]:
        async def middleware(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
            log.append(word)
            return await go_on()

        return middleware

    io.on("x", lambda socket: "x")
    wire = Wire(io)
    peer, other = await wire.connect(), await wire.connect()
    io.sockets[peer.ids["/"]].use(notes("socket"))
    io.use_event(notes("namespace"))
    for each in (peer, other):
        each.send('21["x"]')
        await each.receive()
    assert log == ["namespace", "socket", "namespace"]


async def test_middleware_runs_in_order_with_the_handlers() -> None:
    io = Events()
    log: list[str] = []

    @io.use_event
    async def slow(socket: Socket, event: str, args: list[object]) -> None:
        await anyio.lowlevel.checkpoint()
        log.append(f"middleware {event}")

    @io.on("*")
    async def catch_all(socket: Socket, event: str) -> None:
        await anyio.lowlevel.checkpoint()
        log.append(f"handler {event}")

    peer = await Wire(io).connect()
    peer.send('2["a"]', '2["b"]')
    await until(lambda: len(log) == 4)
    assert log == ["middleware a", "handler a", "middleware b", "handler b"]


async def test_wrong_number_of_arguments_after_middleware_is_the_peers_or_its_doing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events()

    @io.use_event
    async def adds(socket: Socket, event: str, args: list[object]) -> None:
        args.append("more")

    io.on("x", lambda socket: "x")
    with caplog.at_level(logging.WARNING):
        assert await ask(io, '21["x"]') == '31[{"error":{"message":"wrong arguments"}}]'
    assert "takes 0 arguments after the socket; 1 came" in caplog.text


async def three(socket: Socket, event: str, args: list[object]) -> None: ...


async def with_an_ack(socket: Socket, event: str, args: list[object], ack: Ack) -> None: ...


def four(socket: Socket, event: str, args: list[object], go_on: Next) -> None: ...


def test_middleware_that_could_never_be_called_is_refused() -> None:
    io = Events()
    for refused in (lambda socket: None, lambda a, b, c, d, e: None, four, with_an_ack, 5):
        with pytest.raises(LocalProtocolError):
            io.use_event(refused)  # type: ignore[type-var]
    for refused in (lambda: None, three, 5):
        with pytest.raises(LocalProtocolError):
            io.use(refused)  # type: ignore[type-var]


def test_use_returns_the_function_as_decorators_do() -> None:
    io = Events()

    async def connection(socket: Socket) -> None: ...

    assert io.use(connection) is connection
    assert io.use_event(three) is three
    assert io.on_any(three) is three
