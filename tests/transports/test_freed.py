"""What is over is freed at once, and nothing of it is left for the collector of garbage.

With ten thousand sessions the collector takes a second for all of them; who comes and goes must not call for it.
"""

from __future__ import annotations

import gc
import json
import weakref

import pytest
from anyio.lowlevel import checkpoint
from asgi_driver import ManualClock, settled
from counting_peer import CountingPeer, client_of, open_site
from garbage import left, left_by_another, uncollected

from holdfast import Server, Session, Socket
from holdfast.engine.live import LiveSession

__all__ = ["uncollected"]

TRANSPORTS = ["websocket", "stream", "polling"]


def server() -> tuple[Server, ManualClock, list[str]]:
    """With a handler of each kind."""
    clock, log = ManualClock(), list[str]()
    io = Server(clock=clock, path="/engine.io")

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        socket.data["kept"] = socket
        socket.join("room")

    @io.on("ask")
    async def ask(socket: Socket, text: str) -> str:
        await socket.to("room").emit("heard", text)
        return text

    @io.on("beside", concurrent=True)
    async def beside(socket: Socket) -> None:
        await checkpoint()
        log.append("beside")

    @io.on("out")
    async def out(socket: Socket) -> None:
        socket.disconnect(close=True)

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        log.append("left" if "room" in socket.rooms else reason)
        del socket.data["kept"]

    return io, clock, log


@pytest.mark.parametrize("end", ['2["out"]', "1", "cut"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_session_of_sockets_is_freed(transport: str, end: str, uncollected: None) -> None:
    io, clock, log = server()
    async with client_of(io) as client:

        async def visit() -> None:
            peer = CountingPeer(client)
            carrier = await peer.open(transport)
            await carrier.send("0")
            await carrier.take(1)
            await carrier.send('21["ask","x"]', '2["beside"]')
            assert await carrier.take(1) == ['31["x"]']
            if end != "cut":
                await carrier.send(end)
                await settled()
            carrier.cut()
            await settled()
            await clock.advance(200)

        assert await left_by_another(visit) == {}
        assert io.session_count == 0
        assert sorted(log) == ["beside", "beside", "left", "left"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_session_of_an_engine_is_freed(transport: str, uncollected: None) -> None:
    async with open_site(transport) as site:

        async def echo(session: Session) -> None:
            async for message in session:
                await session.send(message)

        site.application.handle = echo
        for _ in range(2):
            gc.collect()
            _, carrier = await site.opened()
            await carrier.send("hello")
            await settled()
            carrier.cut()
            del carrier
            await site.clock.advance(200)
            site.application.sessions.clear()
        assert site.engine.session_count == 0
        assert left() == {}


async def test_session_of_a_plain_peer_that_leaves_while_its_poll_is_held_is_freed(uncollected: None) -> None:
    io, clock, _ = server()
    url = "/engine.io/?EIO=4&transport=polling"
    sessions: list[weakref.ref[LiveSession]] = []
    async with client_of(io) as client:

        async def visit() -> None:
            opened = await client.get(url).text()
            own = f"{url}&sid={json.loads(opened[1:])['sid']}"
            assert await client.post(own, "40").text() == "ok"
            assert (await client.get(own).text()).startswith("40")
            sessions.extend(weakref.ref(session) for session in io.table.sessions.values())
            poll = client.get(own)
            await settled()
            poll.disconnect()
            await settled()
            await clock.advance(200)

        assert await left_by_another(visit) == {}
        assert io.session_count == 0
        assert [session() for session in sessions] == [None, None]


async def test_socket_that_somebody_keeps_says_what_it_was(uncollected: None) -> None:
    io, clock, _ = server()
    kept: list[Socket] = []

    @io.on("keep")
    async def keep(socket: Socket) -> None:
        kept.append(socket)
        socket.data["name"] = "kept"

    async with client_of(io) as client:
        carrier = await CountingPeer(client).open("websocket")
        await carrier.send("0")
        await carrier.take(1)
        await carrier.send('2["keep"]', '2["out"]')
        await settled()
        await clock.advance(200)
        (socket,) = kept
        assert (socket.connected, socket.data, socket.transport) == (False, {"name": "kept"}, "websocket")
        assert socket.id in socket.rooms
        assert socket.handshake.headers["host"]
        assert not socket.session.is_open
