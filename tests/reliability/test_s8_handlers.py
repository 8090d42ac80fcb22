"""Row S8: a handler that raises, hangs, returns nonsense or cancels.

The acknowledgement gets an error, the log is told, the events behind it go on, nobody else notices, the process lives.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import anyio
import pytest
from asgi_driver import drive
from event_peer import EventPeer, Wire

from holdfast import Engine, Session
from holdfast.engine.dispatch import Ack, Events, Socket

pytestmark = pytest.mark.anyio

ERROR = '31[{"error":{"message":"internal error"}}]'
HOUR = timezone(timedelta(hours=5))


def raising(error: Callable[[], BaseException]) -> Callable[[Socket], object]:
    async def handler(socket: Socket) -> None:
        raise error()

    return handler


def raising_in_a_thread(error: Callable[[], BaseException]) -> Callable[[Socket], object]:
    def handler(socket: Socket) -> None:
        raise error()

    return handler


def returning(make: Callable[[], object]) -> Callable[[Socket], object]:
    async def handler(socket: Socket) -> object:
        return make()

    return handler


class Nonsense(dict[str, object]):
    def items(self) -> object:
        raise ZeroDivisionError


def loop() -> object:
    circle: list[object] = []
    circle.append(circle)
    return circle


async def coroutine_of(error: BaseException) -> None:
    raise error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "an exception": lambda: ValueError("told"),
    "SystemExit": lambda: SystemExit(3),
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "a group": lambda: BaseExceptionGroup("several", [asyncio.CancelledError(), SystemExit()]),
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "a class of its own": lambda: type("Own", (BaseException,), {})(),
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
}
VALUES: dict[str, Callable[[], object]] = {
    "an object": object,
    "a set": lambda: {1},
    "a loop": loop,
    "a class": lambda: Socket,
    "a date without a zone": lambda: datetime(2020, 1, 1),
    "a date that has no UTC": lambda: datetime.min.replace(tzinfo=HOUR),
    "a dict that fails": lambda: Nonsense(a=1),
    "eleven attachments": lambda: tuple([b""] * 11),
    "far too much": lambda: "x" * 2_000_000,
}
HANDLERS = {
    **{f"raises {name}": raising(error) for name, error in ERRORS.items()},
    **{f"raises {name} in a thread": raising_in_a_thread(error) for name, error in ERRORS.items()},
    **{f"returns {name}": returning(make) for name, make in VALUES.items()},
    "returns a coroutine that fails": lambda socket: coroutine_of(SystemExit()),
}


async def both(io: Events) -> tuple[EventPeer, EventPeer]:
    wire = Wire(io)
    return await wire.connect(), await wire.connect()


async def served(io: Events, peer: EventPeer, other: EventPeer) -> None:
    """The one that asked has an error and its next event an answer; the other one has its answer too."""
    io.on("next", lambda socket, number: number)
    peer.send('21["bad"]', '22["next",1]')
    other.send('21["next",2]')
    assert await peer.receive() == ERROR
    assert await peer.receive() == "32[1]"
    assert await other.receive() == "31[2]"
    assert peer.session.is_open
    assert other.session.is_open


@pytest.mark.parametrize("name", HANDLERS)
async def test_s8_handler_that_ends_badly_hurts_nobody(name: str, caplog: pytest.LogCaptureFixture) -> None:
    io = Events()
    io.on("bad", HANDLERS[name])
    peer, other = await both(io)
    await served(io, peer, other)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the handler of 'bad' in '/' failed" in caplog.text


@pytest.mark.parametrize("name", ["SystemExit", "CancelledError", "an exception"])
async def test_s8_concurrent_handler_that_ends_badly_hurts_nobody(name: str) -> None:
    io = Events()
    io.on("bad", raising(ERRORS[name]), concurrent=True)
    peer, other = await both(io)
    peer.send('21["bad"]')
    assert await peer.receive() == ERROR
    io.on("next", lambda socket: "served")
    for each in (peer, other):
        each.send('22["next"]')
        assert await each.receive() == '32["served"]'


@pytest.mark.parametrize("name", ["SystemExit", "CancelledError", "an exception"])
async def test_s8_middleware_and_listeners_that_end_badly_hurt_nobody(name: str) -> None:
    io = Events()
    io.on("bad", lambda socket: "done")
    error = ERRORS[name]

    async def listener(socket: Socket, event: str, *args: object) -> None:
        raise error()

    async def middleware(socket: Socket, event: str, args: list[object]) -> None:
        if event == "bad":
            raise error()

    io.on_any(listener)
    io.use_event(middleware)
    await served(io, *await both(io))


@pytest.mark.parametrize("name", ["SystemExit", "CancelledError", "an exception", "a group"])
async def test_s8_connect_handler_that_ends_badly_refuses(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    io = Events()
    seen: list[str] = []

    @io.on("connect")
    async def connect(socket: Socket, auth: dict[str, object]) -> None:
        if auth:
            raise ERRORS[name]()

    @io.on("disconnect")
    async def disconnect(socket: Socket) -> None:
        seen.append(socket.id)
        raise ERRORS[name]()

    wire = Wire(io)
    peer, other = wire.open(), await wire.connect()
    peer.send('0{"bad":true}')
    assert await peer.receive() == '4{"message":"internal error"}'
    await peer.connect()
    peer.send("1")
    await peer.connect()
    other.send("1")
    await other.connect()
    assert seen[0] != seen[1]
    assert caplog.text.count("the handler of 'disconnect' in '/' failed") == 2


async def test_s8_namespace_function_that_ends_badly_refuses() -> None:
    io = Events()

    async def exists(name: str, auth: object) -> bool:
        raise SystemExit(name)

    def exists_at_once(name: str, auth: object) -> bool:
        raise SystemExit(name)

    wire = Wire(io)
    io.of(exists)
    peer = wire.open()
    peer.send("0/one,")
    assert await peer.receive() == '4/one,{"message":"internal error"}'
    other = Wire(Events())
    other.events.of(exists_at_once)
    peer = other.open()
    peer.send("0/one,")
    assert await peer.receive() == '4/one,{"message":"internal error"}'


async def test_s8_check_that_ends_badly_lets_nobody_in() -> None:
    io = Events()
    sockets: list[Socket] = []

    async def check(socket: Socket) -> None:
        raise asyncio.CancelledError

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        sockets.append(socket)
        socket.reauthenticate_after(1, check=check)

    wire = Wire(io)
    peer = await wire.connect()
    wire.clock.move(1)
    assert await peer.receive() == '20["reauthenticate"]'
    peer.send("30[{}]")
    assert await peer.receive() == "1"
    assert not sockets[0].connected


async def test_s8_handler_that_hangs_holds_up_its_own_socket_alone() -> None:
    io = Events()
    go = anyio.Event()

    @io.on("hang")
    async def hang(socket: Socket) -> str:
        await go.wait()
        return "at last"

    io.on("next", lambda socket: "served")
    peer, other = await both(io)
    peer.send('21["hang"]', '22["next"]')
    other.send('21["next"]')
    assert await other.receive() == '31["served"]'
    assert peer.received() == []
    go.set()
    assert await peer.receive() == '31["at last"]'
    assert await peer.receive() == '32["served"]'


async def test_s8_handler_with_an_ack_that_ends_badly_answers_with_an_error() -> None:
    io = Events()

    @io.on("bad")
    async def bad(socket: Socket, ack: Ack) -> None:
        raise SystemExit

    await served(io, *await both(io))


async def test_s8_log_is_not_filled_by_one_peer(caplog: pytest.LogCaptureFixture) -> None:
    io = Events()
    io.on("bad", raising(ERRORS["an exception"]))
    io.on("one", lambda socket: None)
    wire = Wire(io)
    peer = await wire.connect()
    caplog.set_level(logging.INFO)
    for number in range(50):
        peer.send(f'2{2 * number}["bad"]', f'2{2 * number + 1}["one",1,2]')
        await peer.receive()
        await peer.receive()
    assert len(caplog.records) == 6
    assert "more like it of this session in the next minute are not logged" in caplog.text
    wire.clock.move(61)
    peer.send('2["one",1,2]', '21["bad"]')
    await peer.receive()
    assert len(caplog.records) == 8
    assert "(47 more like it were not logged)" in caplog.text


# -- cancellation by scopes, as Trio has it


async def test_s8_handler_that_cancels_a_scope_of_its_own_goes_on() -> None:
    io = Events()

    @io.on("bad")
    async def bad(socket: Socket) -> str:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()
        return "went on" if scope.cancelled_caught else "was not cancelled"

    peer, _ = await both(io)
    for number in (1, 2):
        peer.send(f'2{number}["bad"]')
        assert await peer.receive() == f'3{number}["went on"]'


@pytest.mark.parametrize("shielded", [False, True])
async def test_s8_handler_whose_tasks_fail_is_one_that_failed(shielded: bool) -> None:
    io = Events()
    ended: list[str] = []

    async def wait() -> None:
        try:
            with anyio.CancelScope(shield=shielded):
                await (anyio.lowlevel.checkpoint() if shielded else anyio.sleep_forever())
        finally:
            ended.append("ended")

    async def fail() -> None:
        raise ValueError("in a task of the handler")

    @io.on("bad")
    async def bad(socket: Socket) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(fail)

    await served(io, *await both(io))
    assert ended == ["ended"]


async def test_s8_handler_that_hangs_in_a_shield_does_not_hold_up_a_shutdown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events()
    go = anyio.Event()

    @io.on("hang")
    async def hang(socket: Socket) -> None:
        with anyio.CancelScope(shield=True):
            await go.wait()

    wire = Wire(io)
    peer = await wire.connect()
    peer.send('21["hang"]')
    await anyio.wait_all_tasks_blocked()
    with anyio.fail_after(10):
        await wire.table.shutdown(timeout=0.1)
    assert "handlers of 1 sockets or sessions still ran" in caplog.text
    go.set()
    await anyio.wait_all_tasks_blocked()
    assert wire.table.host.running == 0


async def test_s8_who_waits_for_an_answer_may_be_cancelled_and_the_answer_come_late() -> None:
    io = Events()
    outcome: list[object] = []

    @io.on("ask me")
    async def ask(socket: Socket) -> str:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(socket.emit_with_ack, "question")
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        outcome.append(scope.cancelled_caught)
        return "done"

    peer, _ = await both(io)
    peer.send('21["ask me"]')
    question = str(await peer.receive())
    assert await peer.receive() == '31["done"]'
    peer.send(f'3{question[1:].partition("[")[0]}["too late"]', '22["ask me"]')
    assert "question" in str(await peer.receive())
    assert await peer.receive() == '32["done"]'
    assert outcome == [True, True]


# -- cancellation by asyncio's own hand

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@only_asyncio
@pytest.mark.parametrize("waits", [True, False], ids=["and waits", "and returns"])
async def test_s8_handler_that_cancels_its_own_task_is_one_that_failed(
    waits: bool, anyio_backend: str
) -> None:
    io = Events()
    sent: list[str] = []

    @io.on("bad")
    async def bad(socket: Socket) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits:
            await asyncio.sleep(1)
        sent.append(socket.id)
        return "done"

    peer, other = await both(io)
    if waits:
        await served(io, peer, other)
    else:
        io.on("next", lambda socket, number: number)
        peer.send('21["bad"]', '22["next",1]')
        assert await peer.receive() == '31["done"]'
        assert await peer.receive() == "32[1]"


@only_asyncio
async def test_s8_handler_that_is_cancelled_by_another_is_one_that_failed(anyio_backend: str) -> None:
    io = Events()
    running: list[asyncio.Task[object]] = []

    @io.on("bad")
    async def bad(socket: Socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append(task)
        await asyncio.Event().wait()

    peer, _ = await both(io)
    peer.send('21["bad"]')
    await anyio.wait_all_tasks_blocked()
    running[0].cancel()
    assert await peer.receive() == ERROR
    peer.send('22["bad"]')
    await anyio.wait_all_tasks_blocked()
    running[1].cancel()
    assert await peer.receive() == ERROR.replace("31", "32")


@only_asyncio
async def test_s8_limit_of_time_round_a_handler_still_works(anyio_backend: str) -> None:
    io = Events()

    async def limited(socket: Socket, event: str, args: list[object], go_on: Callable[[], object]) -> object:
        with anyio.move_on_after(0.01):
            return await go_on()
        return "too late"

    async def limited_by_asyncio(
        socket: Socket, event: str, args: list[object], go_on: Callable[[], object]
    ) -> object:
        try:
            async with asyncio.timeout(0.01):
                return await go_on()
        except TimeoutError:
            return "too late"

    async def sleep(socket: Socket) -> None:
        await anyio.sleep_forever()

    io.of("/one").on("sleep", sleep)
    io.of("/one").use_event(limited)
    io.of("/two").on("sleep", sleep)
    io.of("/two").use_event(limited_by_asyncio)
    wire = Wire(io)
    for name in ("/one", "/two"):
        peer = await wire.connect(name)
        for number in (1, 2):
            peer.send(f'2{name},{number}["sleep"]')
            assert await peer.receive() == f'3{name},{number}["too late"]'


PROGRAM = """
import asyncio, sys
import anyio
from holdfast.engine.host import Host

ended = []

async def handler(host):
    try:
        await anyio.sleep_forever()
    except BaseException as error:
        try:
            await host.go_on_after(error)
        except BaseException:
            ended.append("cancelled")
            raise
        ended.append("swallowed")

async def main():
    host = Host()
    for _ in range(3):
        host.spawn(handler, host)
    host.call_later(1000, lambda: None)
    await anyio.sleep(0.01)

anyio.run(main, backend=sys.argv[1])
print(ended)
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_s8_end_of_the_event_loop_is_the_end_of_what_runs(backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "['cancelled', 'cancelled', 'cancelled']\n"
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["SystemExit", "CancelledError", "an exception", "a group"])
async def test_s8_function_of_a_bare_session_that_ends_badly_ends_its_session(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def function(session: Session) -> None:
        async for message in session:
            if message == "bad":
                raise ERRORS[name]()
            await session.send(message)

    async with drive(Engine(function)) as client:
        peer, other = [client.websocket("/engine.io/?EIO=4&transport=websocket") for _ in range(2)]
        for each in (peer, other):
            await each.accept()
            await each.receive()
        peer.send("4bad")
        assert await peer.closed() == 1000
        other.send("4good")
        assert await other.receive() == "4good"
    assert "a background task failed" in caplog.text
