"""What happens at the bounds of one session, and that it happens to nobody else."""

from __future__ import annotations

import asyncio
import json
import logging

import anyio
import pytest
from asgi_driver import ManualClock, drive, settled
from event_peer import Wire

from holdfast import Server
from holdfast.engine.dispatch import Ack, Events, Socket
from holdfast.engine.errors import MessageTooLarge
from holdfast.engine.session.reason import CloseReason
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_handler_that_waits_for_something_cancelled_answers_with_an_error(
    anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    io = Events()

    @io.on("wait")
    async def wait(socket: Socket) -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    io.on("next", lambda socket: "served")
    peer = await Wire(io).connect()
    peer.send('21["wait"]', '22["next"]')
    assert await peer.receive() == '31[{"error":{"message":"internal error"}}]'
    assert await peer.receive() == '32["served"]'
    assert "HandlerCancelled" in caplog.text


async def test_event_larger_than_the_bound_is_refused_where_it_is_sent() -> None:
    io = Events(Settings(buffer_limit=1_000))
    refused: list[MessageTooLarge] = []

    @io.on("send")
    async def send(socket: Socket, *sizes: int) -> str:
        try:
            await socket.emit("large", *("x" * size for size in sizes), b"attached")
        except MessageTooLarge as error:
            refused.append(error)
        return "still here"

    peer = await Wire(io).connect()
    peer.send('21["send",2000]')
    assert await peer.receive() == '31["still here"]'
    assert refused[0].limit_bytes == 1_000
    assert refused[0].size_bytes > 2_000


async def test_answer_larger_than_the_bound_becomes_an_error_acknowledgement() -> None:
    io = Events(Settings(buffer_limit=1_000))
    io.on("ask", lambda socket: "x" * 2_000)
    peer = await Wire(io).connect()
    peer.send('21["ask"]')
    assert await peer.receive() == '31[{"error":{"message":"internal error"}}]'


@pytest.mark.parametrize("waits", [True, False])
async def test_ack_larger_than_the_bound_is_not_given(waits: bool) -> None:
    io = Events(Settings(buffer_limit=1_000))

    @io.on("ask")
    async def handler(socket: Socket, again: bool, ack: Ack) -> None:
        try:
            if waits:
                await ack("x" * 2_000)
            else:
                ack.send("x" * 2_000)
        except MessageTooLarge:
            assert not ack.given
            if not again:
                raise
            ack.send("again")

    peer = await Wire(io).connect()
    peer.send('21["ask",true]', '22["ask",false]')
    assert await peer.receive() == '31["again"]'
    assert await peer.receive() == '32[{"error":{"message":"internal error"}}]'


async def test_member_over_its_bound_is_closed_and_logged_and_the_broadcast_reaches_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    io = Events(Settings(buffer_limit=1_000))
    wire = Wire(io)
    stalled, reading = await wire.connect(), await wire.connect()
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            await io.emit("news", number, b"x" * 300)
            assert await reading.receive() == f'51-["news",{number},{{"_placeholder":true,"num":0}}]'
            assert await reading.receive() == b"x" * 300
    assert stalled.session.ended_with() is CloseReason.BUFFER_FULL
    assert stalled.session.name not in wire.table.sessions
    assert list(wire.table.sessions.values()) == [reading.session]
    assert "buffer full" in caplog.text


async def test_broadcasts_in_a_loop_give_those_who_write_their_turn() -> None:
    io = Events(Settings(buffer_limit=1_000))
    wire = Wire(io)
    peer = await wire.connect()
    heard: list[str | bytes] = []

    async def read() -> None:
        while len(heard) < 50:
            heard.append(await peer.receive())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for number in range(50):
            await io.emit("news", number, "x" * 100)
    assert len(heard) == 50
    assert peer.session.is_open


async def test_what_waits_for_a_connect_handler_is_bounded_in_bytes() -> None:
    io = Events(Settings(buffer_limit=1_000))
    go = anyio.Event()

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        socket.join("room")
        for _ in range(3):
            await socket.emit("early", "x" * 400)
        await go.wait()

    wire = Wire(io)
    peer = wire.open()
    peer.send("0")
    await anyio.wait_all_tasks_blocked()
    assert peer.session.ended_with() is CloseReason.BUFFER_FULL
    go.set()


@pytest.mark.parametrize("stuck", [False, True])
async def test_one_post_may_bring_more_events_than_may_wait_if_handlers_take_them(stuck: bool) -> None:
    clock = ManualClock()
    io = Server(max_pending_events=50, clock=clock)
    handled: list[int] = []

    @io.on("n")
    async def n(socket: Socket, number: int) -> None:
        if stuck:
            await anyio.sleep_forever()
        handled.append(number)

    async with drive(io) as client:
        url = "/socket.io/?EIO=4&transport=polling"
        url += "&sid=" + json.loads((await client.get(url).text())[1:])["sid"]
        assert await client.post(url, "40").text() == "ok"
        await client.get(url).text()
        post = client.post(url, "\x1e".join(f'42["n",{number}]' for number in range(1000)))
        if not stuck:
            assert await post.text() == "ok"
            await settled()
            assert handled == list(range(1000))
            return
        await settled()
        assert not post.answered()
        await clock.advance(1)
        assert await post.text() == "ok"
        assert await client.get(url).start() == 400


async def test_broadcast_that_is_too_large_in_one_codec_reaches_nobody() -> None:
    io = Events(Settings(buffer_limit=1_000))
    wire = Wire(io)
    plain = await wire.connect()
    other = wire.open(counting=True, codecs=("msgpack",))
    other.send(b"\x82\xa4type\x00\xa3nsp\xa1/")
    await other.receive()
    # Six characters each in JSON, one byte in msgpack.
    with pytest.raises(MessageTooLarge):
        await io.emit("x", "\x00" * 500)
    assert [peer.received() for peer in (plain, other)] == [[], []]
    await io.emit("x")
    assert [len(peer.received()) for peer in (plain, other)] == [1, 1]
