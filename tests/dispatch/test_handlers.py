from __future__ import annotations

import functools
import logging
import threading
from typing import TYPE_CHECKING, Optional

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from event_peer import Idle, Wire, until

from holdfast.engine import dispatch
from holdfast.engine.dispatch import Ack, Answer, Events, Socket
from holdfast.engine.dispatch.handlers import Function
from holdfast.engine.errors import Disconnected, EventError, LocalProtocolError
from holdfast.engine.session.reason import CloseReason
from holdfast.engine.settings import Settings

if TYPE_CHECKING:
    from decimal import Decimal

pytestmark = pytest.mark.anyio


async def ask(io: Events, message: str) -> str | bytes:
    peer = await Wire(io).connect()
    peer.send(message)
    return await peer.receive()


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, "[]"),
        ("seen", '["seen"]'),
        ((1, "two"), '[1,"two"]'),
        ((), "[]"),
        ([1, 2], "[[1,2]]"),
        (False, "[false]"),
        (Ack.of(None), "[null]"),
        (Ack.of((1, 2)), "[[1,2]]"),
        (Answer((1, 2)), "[1,2]"),
    ],
)
async def test_what_a_handler_returns_is_the_acknowledgement(result: object, expected: str) -> None:
    io = Events()

    @io.on("ask")
    async def handler(socket: Socket, *args: object) -> object:
        return result

    assert await ask(io, '27["ask"]') == f"37{expected}"


async def test_event_nobody_handles_is_not_acknowledged() -> None:
    io = Events()
    io.on("known", lambda socket: "yes")
    peer = await Wire(io).connect()
    peer.send('21["unknown"]', '22["known"]')
    assert await peer.receive() == '32["yes"]'


async def test_plain_function_runs_in_a_worker_thread() -> None:
    io = Events()

    @io.event
    def thread(socket: Socket) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await ask(io, '21["thread"]') == "31[false]"


async def test_callables_of_every_kind_can_be_handlers() -> None:
    io = Events()

    class CallableObject:
        async def __call__(self, socket: Socket, value: int) -> int:
            return value + 1

    async def add(more: int, socket: Socket, value: int) -> int:
        return value + more

    def wrapped(socket: Socket, value: int) -> object:
        return add(3, socket, value)

    io.on("object", CallableObject())
    io.on("partial", functools.partial(add, 2))
    io.on("wrapped", wrapped)
    peer = await Wire(io).connect()
    peer.send('21["object",1]', '22["partial",1]', '23["wrapped",1]')
    assert [await peer.receive() for _ in range(3)] == ["31[2]", "32[3]", "33[4]"]


async def test_catch_all_gets_the_name_of_what_nothing_else_handles() -> None:
    io = Events()

    @io.on("*")
    async def anything(socket: Socket, event: str, *args: object) -> object:
        return [event, *args]

    @io.on("known")
    async def known(socket: Socket) -> str:
        return "known"

    peer = await Wire(io).connect()
    peer.send('21["a",1]', '22["known"]')
    assert [await peer.receive() for _ in range(2)] == ['31[["a",1]]', '32["known"]']


async def test_handlers_of_one_socket_run_in_order_while_the_session_is_read() -> None:
    io = Events()
    log: list[str] = []
    gate = anyio.Event()

    @io.on("slow")
    async def slow(socket: Socket) -> str:
        await gate.wait()
        log.append("slow")
        return "slow"

    @io.on("quick")
    async def quick(socket: Socket) -> str:
        log.append("quick")
        return "quick"

    wire = Wire(io)
    peer, other = await wire.connect(), await wire.connect()
    peer.send('21["slow"]', '22["quick"]')
    other.send('21["quick"]')
    assert await other.receive() == '31["quick"]'
    assert log == ["quick"]
    gate.set()
    assert [await peer.receive(), await peer.receive()] == ['31["slow"]', '32["quick"]']


async def test_handler_can_await_an_acknowledgement_of_its_own_peer() -> None:
    io = Events()

    @io.on("ask")
    async def handler(socket: Socket) -> object:
        return await socket.emit_with_ack("counter", b"\x00")

    peer = await Wire(io).connect()
    peer.send('27["ask"]')
    assert await peer.receive() == '51-0["counter",{"_placeholder":true,"num":0}]'
    assert await peer.receive() == b"\x00"
    peer.send('61-0[{"_placeholder":true,"num":0}]', b"\x01")
    assert await peer.receive() == '61-7[{"_placeholder":true,"num":0}]'
    assert await peer.receive() == b"\x01"


async def test_handler_outlives_the_session_and_its_sending_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events()
    gate = anyio.Event()
    seen: list[BaseException] = []

    @io.on("work")
    async def work(socket: Socket) -> None:
        await gate.wait()
        try:
            await socket.emit("done")
        except Disconnected as error:
            seen.append(error)
            raise

    peer = await Wire(io).connect()
    peer.send('21["work"]')
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    peer.lose()
    with caplog.at_level(logging.INFO):
        gate.set()
        await until(lambda: bool(seen))
        await anyio.lowlevel.checkpoint()
    assert "work" not in caplog.text


async def test_events_that_came_before_the_end_are_handled_before_disconnect() -> None:
    io = Events()
    log: list[object] = []

    @io.on("n")
    async def n(socket: Socket, number: int) -> None:
        log.append(number)

    @io.on("disconnect")
    async def disconnect(socket: Socket) -> None:
        log.append("disconnect")

    peer = await Wire(io).connect()
    peer.send('2["n",1]', '2["n",2]')
    peer.lose()
    await until(lambda: len(log) == 3)
    assert log == [1, 2, "disconnect"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EventError("full"), '{"message":"full"}'),
        (EventError("full", code="E1", data=[1]), '{"message":"full","code":"E1","data":[1]}'),
        (ZeroDivisionError("secret"), '{"message":"internal error"}'),
        (TypeError("secret"), '{"message":"internal error"}'),
        (EventError("full", data={1, 2}), '{"message":"internal error"}'),
    ],
)
async def test_exception_reaches_the_callers_acknowledgement(error: Exception, expected: str) -> None:
    io = Events()

    @io.on("fail")
    async def fail(socket: Socket) -> None:
        raise error

    assert await ask(io, '21["fail"]') == f'31[{{"error":{expected}}}]'


async def test_exception_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    io = Events()

    @io.on("fail")
    async def fail(socket: Socket) -> None:
        raise ZeroDivisionError("why")

    @io.on("refuse")
    async def refuse(socket: Socket) -> None:
        raise EventError("no")

    peer = await Wire(io).connect()
    peer.send('2["fail"]', '21["refuse"]')
    assert await peer.receive() == '31[{"error":{"message":"no"}}]'
    assert len(caplog.records) == 1
    assert caplog.text.count("Traceback") == 1
    assert "ZeroDivisionError: why" in caplog.text


async def test_unsendable_answer_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    io = Events()
    io.on("ask", lambda socket: object())
    assert await ask(io, '21["ask"]') == '31[{"error":{"message":"internal error"}}]'
    assert "cannot carry" in caplog.text


@pytest.mark.parametrize("args", ["", ",1,2,3"])
async def test_wrong_number_of_arguments_is_told_apart(args: str, caplog: pytest.LogCaptureFixture) -> None:
    io = Events()

    @io.on("add")
    async def add(socket: Socket, a: int, b: int = 0) -> int:
        return a + b

    assert await ask(io, f'21["add"{args}]') == '31[{"error":{"message":"wrong arguments"}}]'
    assert "Traceback" not in caplog.text
    came = 3 if args else 0
    assert f"the handler of 'add' takes 1 to 2 arguments after the socket; {came} came" in caplog.text


@pytest.mark.parametrize(
    ("handler", "takes"),
    [
        (lambda socket: None, "takes 0 arguments"),
        (lambda socket, one: None, "takes 1 argument "),
        (lambda socket, one, two, *more: None, "takes 2 arguments or more"),
    ],
)
async def test_what_a_handler_takes_is_told(
    handler: Function, takes: str, caplog: pytest.LogCaptureFixture
) -> None:
    io = Events()
    io.on("ask", handler)
    await ask(io, '21["ask",1]' if "0" in takes else '21["ask"]')
    assert takes in caplog.text


async def first(socket: Socket, ack: Ack, value: int) -> None:
    await ack(value)


async def last(socket: Socket, value: int, ack: Ack) -> None:
    await ack(value)


async def keyword(socket: Socket, *args: int, ack: Ack) -> None:
    ack.send(*args)


async def text(socket: Socket, value: int, ack: dispatch.Ack) -> None:
    ack.send(value)


async def unknown(socket: Socket, value: Decimal, ack: Ack) -> None:
    ack.send(value)


async def default(socket: Socket, value: int, ack: Ack | None = None) -> None:
    assert ack is not None
    ack.send(value)


async def optional(socket: Socket, value: int, ack: Optional[Ack] = None) -> None:  # noqa: UP045
    await default(socket, value, ack)


async def text_or_none(socket: Socket, value: Decimal, ack: dispatch.Ack | None = None) -> None:
    ack.send(value)


async def optional_text(socket: Socket, value: Decimal, ack: Optional[dispatch.Ack] = None) -> None:  # noqa: UP045
    ack.send(value)


@pytest.mark.parametrize(
    "handler", [first, last, keyword, text, unknown, default, optional, text_or_none, optional_text]
)
async def test_ack_parameter_may_stand_anywhere(handler: object) -> None:
    io = Events()
    io.on("ask", handler)  # type: ignore[type-var]
    assert await ask(io, '21["ask",5]') == "31[5]"


async def test_handler_with_an_ack_decides_itself_when() -> None:
    io = Events()
    kept: list[Ack] = []

    @io.on("ask")
    async def handler(socket: Socket, ack: Ack) -> str:
        kept.append(ack)
        return "not this"

    peer = await Wire(io).connect()
    peer.send('21["ask"]', '2["ask"]')
    await until(lambda: len(kept) == 2)
    assert peer.received() == []
    with pytest.raises(LocalProtocolError):
        await kept[0]({1, 2})
    await kept[0]("now")
    assert await peer.receive() == '31["now"]'
    assert kept[0].given
    with pytest.raises(LocalProtocolError):
        await kept[0]("again")
    assert not kept[1].wanted
    await kept[1]("nobody asked")
    kept[1].send("nobody asked")
    assert peer.received() == []


async def test_handler_with_an_ack_that_fails_before_giving_it_answers_with_the_error() -> None:
    io = Events()

    @io.on("ask")
    async def handler(socket: Socket, early: bool, ack: Ack) -> None:
        if early:
            await ack("early")
        raise EventError("late")

    peer = await Wire(io).connect()
    peer.send('21["ask",false]', '22["ask",true]')
    assert [await peer.receive(), await peer.receive()] == ['31[{"error":{"message":"late"}}]', '32["early"]']
    assert peer.received() == []


async def test_acknowledgement_for_one_who_left_is_dropped() -> None:
    io = Events()
    gate = anyio.Event()
    done: list[bool] = []

    @io.on("ask")
    async def handler(socket: Socket) -> str:
        await gate.wait()
        done.append(True)
        return "late"

    peer = await Wire(io).connect()
    peer.send('21["ask"]', "1")
    gate.set()
    await until(lambda: bool(done))
    await peer.connect()
    assert peer.received() == []


@pytest.mark.parametrize(
    "settings", [Settings(max_pending_events=5), Settings(max_pending_event_bytes=60), Settings()]
)
async def test_waiting_events_are_bounded(settings: Settings) -> None:
    io = Events(settings)
    gate = anyio.Event()
    handled: list[int] = []

    @io.on("n")
    async def n(socket: Socket) -> None:
        await gate.wait()
        handled.append(1)

    peer = await Wire(io).connect()
    peer.send(*['2["n"]'] * 100)
    if settings == Settings():
        gate.set()
        await until(lambda: len(handled) == 100)
        assert peer.session.is_open
    else:
        with pytest.raises(Idle):
            await peer.receive()
        assert peer.session.ended_with() == CloseReason.BUFFER_FULL
        gate.set()


async def test_who_is_quicker_than_its_handlers_waits_for_them_a_second_in_all() -> None:
    io = Events(Settings(max_pending_events=20))
    gate = anyio.Event()
    paced: list[float] = []

    @io.on("n")
    async def n(socket: Socket) -> None:
        await gate.wait()

    wire = Wire(io)
    peer = await wire.connect()

    async def pace() -> None:
        await peer.session.pace()
        paced.append(wire.clock.time)

    peer.send('2["n"]')
    await until(lambda: peer.session.handler is not None and not peer.session.handler.is_behind)
    await pace()
    peer.send(*['2["n"]'] * 3)
    async with anyio.create_task_group() as group:
        group.start_soon(pace)
        await anyio.wait_all_tasks_blocked()
        assert len(paced) == 1
        wire.clock.move(1.1)
        await until(lambda: len(paced) == 2)
        # Behind what is not read may stand what the handler waits for.
        await pace()
        gate.set()
        await until(lambda: peer.session.handler is not None and not peer.session.handler.is_behind)
    assert paced == [1000.0, 1001.1, 1001.1]


async def test_end_of_a_session_lets_its_reader_go_on() -> None:
    io = Events(Settings(max_pending_events=20))
    io.on("n", _wait_for_ever)
    peer = await Wire(io).connect()
    peer.send(*['2["n"]'] * 5)
    async with anyio.create_task_group() as group:
        group.start_soon(peer.session.pace)
        await anyio.wait_all_tasks_blocked()
        peer.session.fail(CloseReason.TRANSPORT_CLOSE)


async def _wait_for_ever(socket: Socket) -> None:
    await anyio.sleep_forever()


async def test_msgpack_peer_is_recognised_by_its_first_message() -> None:
    io = Events()

    @io.on("ask")
    async def handler(socket: Socket, value: object) -> object:
        return value

    peer = Wire(io).open()
    peer.send(bytes.fromhex("83a47479706500a464617461d40000a36e7370a12f"))
    reply = await peer.receive()
    assert isinstance(reply, bytes)
    assert reply.startswith(b"\x83\xa4type\x00\xa4data\x81\xa3sid")
    peer.send(b"\x84\xa4type\x02\xa4data\x92\xa3ask\xc4\x01\xff\xa3nsp\xa1/\xa2id\x07")
    assert await peer.receive() == b"\x84\xa4type\x03\xa4data\x91\xc4\x01\xff\xa3nsp\xa1/\xa2id\x07"


async def test_counting_peer_has_the_codec_that_it_negotiated() -> None:
    io = Events()
    io.on("ask", lambda socket: 1)
    peer = Wire(io).open(counting=True, codecs=("msgpack", "json"))
    peer.send(b"\x82\xa4type\x00\xa3nsp\xa1/")
    assert isinstance(await peer.receive(), bytes)


async def test_handler_in_a_thread_reaches_its_socket() -> None:
    io = Events()

    @io.on("ask")
    def ask_from_thread(socket: Socket, ack: Ack) -> None:
        anyio.from_thread.run(socket.emit, "from", "thread")
        anyio.from_thread.run_sync(socket.join, "room")
        anyio.from_thread.run_sync(ack.send, sorted(socket.rooms - {socket.id}))

    peer = await Wire(io).connect()
    peer.send('21["ask"]')
    assert [await peer.receive(), await peer.receive()] == ['2["from","thread"]', '31[["room"]]']


async def test_failing_disconnect_handler_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    io = Events()

    @io.on("disconnect")
    async def disconnect(socket: Socket) -> None:
        raise ZeroDivisionError

    peer = await Wire(io).connect()
    peer.lose()
    await until(lambda: "ZeroDivisionError" in caplog.text)
    assert len(caplog.records) == 1


async def test_unexpected_builtin_is_called_with_what_came() -> None:
    io = Events()
    io.on("repr", print)
    io.on("max", max)
    assert await ask(io, '21["max",1]') == '31[{"error":{"message":"internal error"}}]'


async def test_several_handlers_of_one_event_are_refused_not_replaced() -> None:
    io = Events()
    io.on("a", lambda socket: 1)
    with pytest.raises(LocalProtocolError):
        io.on("a", lambda socket: 2)
    assert await ask(io, '21["a"]') == "31[1]"


async def test_messages_after_the_end_in_the_same_batch_are_dropped() -> None:
    io = Events()
    handled: list[int] = []

    @io.on("n")
    async def n(socket: Socket, number: int) -> None:
        handled.append(number)

    peer = await Wire(io).connect()
    handler = peer.session.handler
    assert handler is not None
    peer.lose()
    handler.message_received('2["n",1]')
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    assert handled == []


async def test_binary_answer_of_a_slow_peer_waits_for_room() -> None:
    io = Events(Settings(buffer_limit=1000))
    io.on("big", lambda socket: "x" * 300)
    peer = await Wire(io).connect()
    peer.send(*(f'2{number}["big"]' for number in range(5)))
    for number in range(5):
        assert str(await peer.receive()).startswith(f"3{number}")
    assert peer.session.is_open


async def test_what_waits_for_handlers_is_bounded_for_all_together() -> None:
    io = Events(Settings(total_pending_event_bytes=11_000))

    @io.on("hang")
    async def hang(socket: Socket, *args: object) -> None:
        await anyio.sleep_forever()

    said = f'2["hang","{"x" * 988}"]'
    first, second, third = [await Wire(io).connect() for _ in range(3)]
    first.send(*[said] * 10)
    second.send(said)
    assert first.session.is_open
    # Each may have its share, a third.
    second.send(*[said] * 2)
    assert second.session.is_open
    first.send(said)
    with pytest.raises(Idle):
        await first.receive()
    assert (first.session.ended_with(), second.session.is_open) == (CloseReason.BUFFER_FULL, True)
    # Nothing is counted of what was refused, and the first to go is what a client has said that has left.
    third.send(*[said] * 7)
    assert third.session.is_open


async def test_what_waits_counts_as_what_it_is_in_memory() -> None:
    io = Events(Settings(total_pending_event_bytes=1_000_000))

    @io.on("hang")
    async def hang(socket: Socket, *args: object) -> None:
        await anyio.sleep_forever()

    # Nine thousand bytes, which become two hundred thousand.
    said = f'2["hang",[{",".join(["[]"] * 3_000)}]]'
    first, other = [await Wire(io).connect() for _ in range(2)]
    first.send(*[said] * 4)
    # Beyond the bound each session may have half of it.
    other.send(*[said] * 2)
    assert (first.session.is_open, other.session.is_open) == (True, True)
    other.send(*[said] * 2)
    with pytest.raises(Idle):
        await other.receive()
    assert (first.session.is_open, other.session.ended_with()) == (True, CloseReason.BUFFER_FULL)


async def test_what_clients_have_said_that_left_makes_way_oldest_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events(Settings(total_pending_event_bytes=11_000))
    gate = anyio.Event()
    handled: list[str] = []

    @io.on("n")
    async def n(socket: Socket, name: str, *args: object) -> None:
        await gate.wait()
        handled.append(name)

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        handled.append("disconnect")

    for name in "abc":
        peer = await Wire(io).connect()
        peer.send(*[f'2["n","{name}","{"x" * 982}"]'] * 5)
        peer.send("1") if name == "b" else peer.session.close()
        await anyio.wait_all_tasks_blocked()
    assert "4 events of a socket in '/' that has left are dropped" in caplog.text
    gate.set()
    # What runs goes on, `disconnect` comes, and of who came later nothing is lost.
    await until(lambda: len(handled) == 14)
    assert [handled.count(name) for name in ("a", "b", "c", "disconnect")] == [1, 5, 5, 3]
    peer = await Wire(io).connect()
    peer.send(*[f'2["n","d","{"x" * 982}"]'] * 9)
    await until(lambda: handled.count("d") == 9)
