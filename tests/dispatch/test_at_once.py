"""An event that has come alone takes a shorter way to its handler. What the handlers and the peer see is the same."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from asgi_driver import Client, Exchange, drive, settled
from event_peer import EventPeer, Wire, until

from holdfast import Server
from holdfast.engine.dispatch import Ack, Events, Socket
from holdfast.engine.errors import EventError
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio


async def sent(peer: EventPeer, messages: list[str], *, alone: bool) -> None:
    for message in messages:
        if not peer.session.is_open:
            return
        if alone:
            peer.session.receive_message(message)
        else:
            peer.send(message)


async def ready(io: Events) -> EventPeer:
    """A peer, and on asyncio a task that is free."""
    peer = await Wire(io).connect()

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
async def test_what_comes_alone_is_handled_like_everything_else(messages: list[str]) -> None:
    seen: list[tuple[list[object], list[str | bytes]]] = []
    for alone in (False, True):
        io, log, gate = Events(), list[object](), anyio.Event()
        play(io, log, gate)
        peer = await ready(io)
        await sent(peer, messages, alone=alone)
        await anyio.wait_all_tasks_blocked()
        gate.set()
        await anyio.wait_all_tasks_blocked()
        seen.append((log, peer.received()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("settings", [Settings(max_pending_events=5), Settings(max_pending_event_bytes=60)])
async def test_what_comes_alone_is_bounded_like_everything_else(settings: Settings) -> None:
    counts: list[int] = []
    for alone in (False, True):
        io, log, gate = Events(settings), list[object](), anyio.Event()
        play(io, log, gate)
        peer = await ready(io)
        for number in range(1, 100):
            await sent(peer, ['2["wait"]'], alone=alone)
            if not peer.session.is_open:
                counts.append(number)
                break
        gate.set()
    assert counts[0] == counts[1]


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

    async def hear(socket: Socket, event: str, *args: object) -> None:
        log.append(("heard", event))

    io.on_any(hear)
    peer = await ready(io)
    log.clear()
    peer.session.receive_message('21["echo","a"]')
    await until(lambda: len(log) == 2)
    assert log == [("heard", "echo"), ("middleware", "echo")]
    assert await peer.receive() == '31["a"]'


async def test_who_takes_no_answers_keeps_no_handler_waiting_and_gets_them_in_order() -> None:
    io, seen = Server(), list[str]()

    @io.on("echo")
    async def echo(socket: Socket, text: str) -> str:
        seen.append(text)
        return text

    async with drive(io) as client:
        peer = client.websocket("/socket.io/?EIO=4&transport=websocket")
        await peer.accept()
        await peer.receive()
        peer.send("40")
        await peer.receive()
        peer.send('420["echo","first"]')
        assert await peer.receive() == '430["first"]'
        slow = peer.slow()
        for number in range(1, 6):
            peer.send(f'42{number}["echo","{number}"]')
            await settled()
        assert seen == ["first", "1", "2", "3", "4", "5"]
        for number in range(1, 6):
            slow.release()
            assert await peer.receive() == f'43{number}["{number}"]'
        slow.release()
        peer.send('426["echo","last"]')
        assert await peer.receive() == '436["last"]'


async def test_an_answer_that_cannot_be_written_ends_the_socket(caplog: pytest.LogCaptureFixture) -> None:
    io, reasons = Server(), list[str]()

    @io.on("echo")
    async def echo(socket: Socket, text: str) -> str:
        return text

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        reasons.append(reason)

    async with drive(io) as client:
        peer = client.websocket("/socket.io/?EIO=4&transport=websocket")
        await peer.accept()
        await peer.receive()
        peer.send("40")
        await peer.receive()
        peer.send('420["echo","first"]')
        await peer.receive()
        peer.fail(OSError("gone"))
        peer.send('421["echo","second"]')
        await settled()
        peer.close()
        await peer.finished()
        await settled()
        assert reasons == ["transport close"]
    assert not caplog.records


class Poller:
    """A standard client that polls."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.url = "/socket.io/?EIO=4&transport=polling"

    async def connect(self) -> None:
        opened = json.loads((await self.client.get(self.url).text())[1:])
        self.url += f"&sid={opened['sid']}"
        await self.send("40")
        assert (await self.poll().text()).startswith("40")

    def poll(self) -> Exchange:
        return self.client.get(self.url)

    async def send(self, *packets: str) -> None:
        assert await self.client.post(self.url, "\x1e".join(packets)).text() == "ok"


def answering(log: list[str] | None = None) -> Server:
    io = Server()

    @io.on("echo")
    async def echo(socket: Socket, text: str) -> str:
        return text

    @io.on("tell")
    async def tell(socket: Socket, text: str) -> str:
        await socket.emit("told", text)
        return text

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        if log is not None:
            log.append(reason)

    return io


async def test_a_poll_that_is_held_is_answered_by_an_answer() -> None:
    async with drive(answering()) as client:
        peer = Poller(client)
        await peer.connect()
        for number in range(3):
            poll = peer.poll()
            await settled()
            await peer.send(f'42{number}["echo","{number}"]')
            assert await poll.text() == f'43{number}["{number}"]'


async def test_what_is_said_before_an_answer_comes_before_it_by_polling_too() -> None:
    async with drive(answering()) as client:
        peer = Poller(client)
        await peer.connect()
        for number in range(3):
            poll = peer.poll()
            await settled()
            await peer.send(f'42{number}["tell","a"]')
            assert await poll.text() == f'42["told","a"]\x1e43{number}["a"]'
            # Nobody polls.
            await peer.send(f'42{number}["echo","b"]')
            assert await peer.poll().text() == f'43{number}["b"]'


async def test_several_answers_come_by_as_many_polls_as_they_take_in_order() -> None:
    async with drive(answering()) as client:
        peer = Poller(client)
        await peer.connect()
        poll = peer.poll()
        await settled()
        await peer.send('421["echo","a"]', '422["echo","b"]')
        await peer.send('423["echo","c"]')
        await peer.send('424["tell","d"]')
        wanted = ['431["a"]', '432["b"]', '433["c"]', '42["told","d"]', '434["d"]']
        found = (await poll.text()).split("\x1e")
        while len(found) < len(wanted):
            found += (await peer.poll().text()).split("\x1e")
        assert found == wanted


async def test_who_has_left_when_his_poll_is_answered_is_told_of() -> None:
    log: list[str] = []
    async with drive(answering(log)) as client:
        peer = Poller(client)
        await peer.connect()
        poll = peer.poll()
        await settled()
        poll.fail_end()
        await peer.send('421["echo","a"]')
        await settled()
        assert log == ["transport close"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_poll_that_is_cancelled_with_its_answer_ends_its_session() -> None:
    log: list[str] = []
    io, polls = answering(log), list[asyncio.Task[object] | None]()

    @io.on("cancel")
    async def cancel(socket: Socket) -> str:
        assert polls[-1] is not None
        polls[-1].cancel()
        return "cancelled"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "GET":
            polls.append(asyncio.current_task())
        with suppress(asyncio.CancelledError):
            await io(scope, receive, send)

    async with drive(app) as client:
        peer = Poller(client)
        await peer.connect()
        peer.poll()
        await settled()
        await peer.send('421["cancel"]')
        await settled()
        assert log == ["transport close"]
