"""SockJS sessions in the rooms of a server of events: what is emitted there reaches them as text."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from asgi_driver import Client, settled
from counting_peer import client_of

from holdfast import CloseReason, LocalProtocolError, MemoryHub, Server, SockJS, SockJSSession


class Place:
    """A server of events round a SockJS endpoint whose sessions may join its rooms."""

    def __init__(self, **options: Any) -> None:
        self.sessions: list[SockJSSession] = []
        self.io = Server(**options)
        self.sockjs = SockJS(self.serve, namespace=self.io, app=self.io, **options)

    async def serve(self, session: SockJSSession) -> None:
        self.sessions.append(session)
        session.join("lobby")
        async for message in session:
            await self.io.to("lobby").emit("chat", message)


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[tuple[Place, Client]]:
    place = Place(**options)
    async with client_of(place.sockjs) as client:
        yield place, client


async def websocket(client: Client) -> Any:
    socket = client.websocket("/sockjs/0/0/websocket")
    await socket.accept()
    assert await socket.receive() == "o"
    await settled()
    return socket


async def events(socket: Any) -> list[Any]:
    """What the next frame brings."""
    frame = await socket.receive()
    assert frame[0] == "a", frame
    return [json.loads(text) for text in json.loads(frame[1:])]


async def plain(client: Client) -> Any:
    """A standard Socket.IO client in the lobby."""
    socket = client.websocket("/socket.io/?EIO=4&transport=websocket")
    await socket.accept()
    await socket.receive()
    socket.send("40")
    assert str(await socket.receive()).startswith("40")
    return socket


async def test_socketio_and_sockjs_clients_are_in_one_conversation() -> None:
    async with opened() as (place, client):

        @place.io.on("chat")
        async def chat(socket: Any, text: str) -> None:
            socket.join("lobby")
            await place.io.to("lobby").emit("chat", text)

        other, sockjs = await plain(client), await websocket(client)
        other.send('42["chat","from socket.io"]')
        assert await other.receive() == '42["chat","from socket.io"]'
        assert await events(sockjs) == [["chat", "from socket.io"]]
        sockjs.send('["from sockjs"]')
        assert await other.receive() == '42["chat","from sockjs"]'
        assert await events(sockjs) == [["chat", "from sockjs"]]


async def test_only_those_in_a_room_hear_it() -> None:
    async with opened() as (place, client):
        one, other = await websocket(client), await websocket(client)
        place.sessions[0].join("a", "b")
        place.sessions[1].leave("lobby", "none")
        await place.io.to("a").to("b").emit("x", 1)
        await place.io.to("lobby").emit("x", 2)
        heard: list[Any] = []
        while len(heard) < 2:
            heard += await events(one)
        assert heard == [["x", 1], ["x", 2]]
        await place.io.emit("x", 3)
        assert await events(one) == await events(other) == [["x", 3]]
        [own] = place.sessions[1].rooms
        await place.io.to(own).emit("x", 4)
        assert await events(other) == [["x", 4]]
        assert place.sessions[0].rooms >= {"lobby", "a", "b"}


async def test_event_is_json_and_bytes_are_base64_in_it() -> None:
    async with opened() as (place, client):
        socket = await websocket(client)
        values: list[Any] = [None, 1.5, "é\u2028", {"a": [1, {"b": b"\x00\xff"}]}, (b"x",), bytearray(b"y")]
        await place.io.emit("x", *values)
        assert await events(socket) == [
            ["x", None, 1.5, "é\u2028", {"a": [1, {"b": "AP8="}]}, ["eA=="], "eQ=="]
        ]


async def test_session_that_is_over_is_in_no_room() -> None:
    async with opened() as (place, client):
        socket = await websocket(client)
        socket.close()
        await socket.finished()
        await settled()
        place.sessions[0].join("again")
        assert place.sessions[0].rooms == frozenset()
        await place.io.to("lobby").emit("x")
        await place.io.to("again").emit("x")


async def test_slow_session_is_over_its_bound_and_the_others_are_not() -> None:
    async with opened(buffer_limit=2_000, ping_interval=1000) as (place, client):
        slow, quick = await websocket(client), await websocket(client)
        slow.hang()
        heard: list[Any] = []
        for number in range(20):
            await place.io.to("lobby").emit("x", number)
            heard += await events(quick)
        assert heard == [["x", number] for number in range(20)]
        assert place.sessions[0].reason is CloseReason.BUFFER_FULL
        assert place.sessions[1].is_open


async def test_event_that_is_too_large_as_text_ends_that_session_alone() -> None:
    async with opened(buffer_limit=2_000) as (place, client):
        other, sockjs = await plain(client), await websocket(client)
        # As base64 it is a third longer.
        await place.io.emit("x", b"x" * 1_500)
        assert str(await other.receive()).startswith("451-")
        assert await other.receive() == b"x" * 1_500
        assert (await sockjs.receive()).startswith("c[1008,")


async def test_volatile_events_are_dropped_for_who_cannot_take_them() -> None:
    async with opened(ping_interval=1000) as (place, client):
        polling = client.post("/sockjs/0/id/xhr", "")
        assert await polling.text() == "o\n"
        await settled()
        await place.io.volatile.emit("x", 1)
        await place.io.emit("x", 2)
        assert await client.post("/sockjs/0/id/xhr", "").text() == 'a["[\\"x\\",2]"]\n'


async def test_it_is_no_socket() -> None:
    """Those are asked, counted and moved by others."""
    async with opened(ack_timeout=5) as (place, client):
        sockjs = await websocket(client)
        assert await place.io.fetch_sockets() == []
        assert len(place.io.sockets) == 0
        assert await place.io.emit_with_ack("question") == []
        await place.io.disconnect_sockets()
        await place.io.sockets_join("other")
        assert "other" not in place.sessions[0].rooms
        await place.io.emit("still here")
        assert await events(sockjs) == [["still here"]]


async def test_rooms_of_a_namespace_of_a_pattern() -> None:
    io = Server()
    io.of(re.compile("/room-.*"))
    namespace = io.of("/room-1")
    sessions: list[SockJSSession] = []

    async def serve(session: SockJSSession) -> None:
        sessions.append(session)
        session.join("a")
        await anyio.sleep_forever()

    async with client_of(SockJS(serve, namespace=namespace)) as client:
        socket = await websocket(client)
        await io.emit("elsewhere")
        await namespace.to("a").emit("here")
        assert await events(socket) == [["here"]]


async def test_other_servers_reach_them() -> None:
    hub = MemoryHub()
    far = Server(adapter=hub)
    io = Server(adapter=hub)

    async def serve(session: SockJSSession) -> None:
        session.join("a")
        await anyio.sleep_forever()

    async with client_of(SockJS(serve, namespace=io)) as client:
        socket = await websocket(client)
        await far.to("a").emit("from afar", 1)
        assert await events(socket) == [["from afar", 1]]


async def test_rooms_are_bounded() -> None:
    async with opened(max_rooms_per_socket=3) as (place, client):
        await websocket(client)
        [session] = place.sessions
        session.join("third")
        with pytest.raises(LocalProtocolError, match="max_rooms_per_socket"):
            session.join("fourth")
        assert len(session.rooms) == 3
        with pytest.raises(LocalProtocolError, match="argument of its own"):
            session.join(["a", "b"])  # type: ignore[arg-type]


async def test_endpoint_without_a_namespace_has_no_rooms() -> None:
    sessions: list[SockJSSession] = []

    async def serve(session: SockJSSession) -> None:
        sessions.append(session)
        await anyio.sleep_forever()

    async with client_of(SockJS(serve)) as client:
        await websocket(client)
        for ask in (lambda: sessions[0].join("a"), lambda: sessions[0].leave("a"), lambda: sessions[0].rooms):
            with pytest.raises(LocalProtocolError, match="namespace=io"):
                ask()
