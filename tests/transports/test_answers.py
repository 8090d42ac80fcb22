"""What a handler answers is written by whoever has run it, on the spot where that is possible. What peers see of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
from asgi_driver import Client, Exchange, ManualClock, drive, settled
from counting_peer import client_of

from holdfast import Server, Socket

pytestmark = pytest.mark.anyio


async def test_who_takes_no_answers_keeps_no_handler_waiting_and_gets_them_in_order() -> None:
    io, seen = Server(), list[str]()

    @io.on("echo")
    async def echo(socket: Socket, text: str) -> str:
        seen.append(text)
        return text

    async with client_of(io) as client:
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

    async with client_of(io) as client:
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
        # From now on there is a task that is free.
        await self.send('420["echo","x"]')
        assert await self.poll().text() == '430["x"]'

    def poll(self) -> Exchange:
        return self.client.get(self.url)

    async def send(self, *packets: str) -> None:
        assert await self.client.post(self.url, "\x1e".join(packets)).text() == "ok"


@asynccontextmanager
async def polling(clients: AbstractAsyncContextManager[Client]) -> AsyncIterator[Poller]:
    """One that is connected."""
    async with clients as client:
        peer = Poller(client)
        await peer.connect()
        yield peer


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
    async with polling(client_of(answering())) as peer:
        for number in range(3):
            poll = peer.poll()
            await settled()
            await peer.send(f'42{number}["echo","{number}"]')
            assert await poll.text() == f'43{number}["{number}"]'


async def test_what_is_said_before_an_answer_comes_before_it_by_polling_too() -> None:
    async with polling(client_of(answering())) as peer:
        for number in range(3):
            poll = peer.poll()
            await settled()
            await peer.send(f'42{number}["tell","a"]')
            assert await poll.text() == f'42["told","a"]\x1e43{number}["a"]'
            # Nobody polls.
            await peer.send(f'42{number}["echo","b"]')
            assert await peer.poll().text() == f'43{number}["b"]'


async def test_several_answers_come_by_as_many_polls_as_they_take_in_order() -> None:
    async with polling(client_of(answering())) as peer:
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


@pytest.mark.asgi
async def test_who_has_left_when_his_poll_is_answered_is_told_of() -> None:
    log: list[str] = []
    async with polling(client_of(answering(log))) as peer:
        poll = peer.poll()
        await settled()
        poll.fail_end()
        await peer.send('421["echo","a"]')
        await settled()
        assert log == ["transport close"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_ping_that_falls_due_when_a_poll_is_answered_is_asked() -> None:
    clock = ManualClock()
    io = Server(clock=clock)

    @io.on("busy")
    async def busy(socket: Socket) -> str:
        clock.jump(25.5)
        return "done"

    @io.on("echo")
    async def echo(socket: Socket, text: str) -> str:
        return text

    async with polling(client_of(io)) as peer:
        poll = peer.poll()
        await settled()
        posts = [peer.client.post(peer.url, packet) for packet in ('421["busy"]', '422["echo","a"]')]
        wanted = {'431["done"]', '432["a"]', "2"}
        found = (await poll.text()).split("\x1e")
        assert [await post.text() for post in posts] == ["ok", "ok"]
        while len(found) < len(wanted):
            found += (await peer.poll().text()).split("\x1e")
        assert set(found) == wanted


async def test_long_answers_come_as_short_ones_do() -> None:
    async with polling(client_of(answering())) as peer:
        for size in (1, 10_000, 100_000):
            text = "x" * size
            poll = peer.poll()
            await settled()
            await peer.send(f'421["echo","{text}"]')
            assert await poll.text() == f'431["{text}"]'


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

    async with polling(drive(app)) as peer:
        peer.poll()
        await settled()
        await peer.send('421["cancel"]')
        await settled()
        assert log == ["transport close"]
