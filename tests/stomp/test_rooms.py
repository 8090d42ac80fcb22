"""A room and a topic are one conversation."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgi_driver import Client, ManualClock, WebSocketExchange, drive, settled
from stomp_peer import Site, StompPeer

from holdfast import LocalProtocolError, MemoryHub, Server, Socket, Stomp


class Talk:
    """A server of events and an endpoint of STOMP whose topics are its rooms."""

    def __init__(self, io: Server, site: Site, events: Client) -> None:
        self.io, self.site, self.events = io, site, events

    async def socket(self) -> WebSocketExchange:
        """One in the room ``news``."""
        socket = self.events.websocket("/socket.io/?EIO=4&transport=websocket")
        await socket.accept()
        socket.send("40")
        await heard(socket)
        return socket

    async def subscriber(self, destination: str = "/topic/news", id: object = 1) -> StompPeer:
        peer = await self.site.connected()
        peer.send("SUBSCRIBE", id=id, destination=destination, receipt="r")
        await peer.one()
        return peer


async def heard(socket: WebSocketExchange) -> list[Any]:
    """What has come since the last time."""
    await settled()
    found: list[Any] = []
    while not socket.quiet():
        data = await socket.receive()
        if isinstance(data, str) and data.startswith(("42", "45")):
            found.append(json.loads(data[data.index("[") :]))
        elif isinstance(data, bytes):
            found.append(data)
    return found


@asynccontextmanager
async def talk(
    rooms: Any = ("news", "sport"), hub: MemoryHub | None = None, **options: Any
) -> AsyncIterator[Talk]:
    clock = ManualClock()
    io = Server(clock=clock, adapter=hub)
    stomp = Stomp(clock=clock)
    stomp.join_rooms(io, rooms, **options)

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        socket.join("news")

    async with drive(stomp) as client, drive(io) as events:
        yield Talk(io, Site(stomp, clock, client), events)


async def test_an_event_to_a_room_is_a_message_of_its_topic() -> None:
    async with talk() as here:
        peer, socket = await here.subscriber(), await here.socket()
        await here.io.to("news").emit("headline", {"text": "é"})
        frame = await peer.one()
        assert json.loads(frame.body) == {"text": "é"}
        assert frame.headers["event"] == "headline"
        assert frame.headers["content-type"] == "application/json"
        assert "arguments" not in frame.headers
        assert await heard(socket) == [["headline", {"text": "é"}]]


@pytest.mark.parametrize(
    ("args", "body", "kind", "number"),
    [
        ((), b"[]", "application/json", "0"),
        (("a", 1), b'["a",1]', "application/json", "2"),
        ((b"\xff\0",), b"\xff\0", "application/octet-stream", None),
        (({"a": b"\xff"},), b'{"a":{"base64":"/w=="}}', "application/json", None),
    ],
)
async def test_every_event_has_a_body(
    args: tuple[Any, ...], body: bytes, kind: str, number: str | None
) -> None:
    async with talk() as here:
        peer = await here.subscriber()
        await here.io.to("news").emit("e", *args)
        frame = await peer.one()
        assert (frame.body, frame.headers["content-type"], frame.headers.get("arguments")) == (
            body,
            kind,
            number,
        )


@pytest.mark.parametrize(
    ("body", "headers", "event"),
    [
        ('{"a":1}', {}, ["message", {"a": 1}]),
        ("plain text", {}, ["message", "plain text"]),
        ("[1]", {"content_type": "text/plain"}, ["message", "[1]"]),
        ("[1]", {"content_type": "application/json;charset=utf-8", "event": "e"}, ["e", [1]]),
        ("[1,2]", {"arguments": 2, "event": "e"}, ["e", 1, 2]),
        ("[]", {"arguments": 0}, ["message"]),
    ],
)
async def test_a_message_to_a_topic_is_an_event_to_its_room(
    body: str, headers: dict[str, Any], event: list[Any]
) -> None:
    async with talk() as here:
        peer, other, socket = await here.subscriber(), await here.subscriber(), await here.socket()
        peer.send("SEND", body, destination="/topic/news", x="y", **headers)
        # To those of STOMP it is as it was sent; once.
        for one in (peer, other):
            frame = await one.one()
            assert (frame.body.decode(), frame.headers["x"]) == (body, "y")
            assert frame.headers.get("content-type") == headers.get("content_type")
        assert await heard(socket) == [event]


@pytest.mark.parametrize("kind", [None, "application/octet-stream"])
async def test_bytes_are_an_argument_of_bytes(kind: str | None) -> None:
    async with talk() as here:
        peer, socket = await here.subscriber(), await here.socket()
        peer.send("SEND", b"\xff\1", destination="/topic/news", **({"content_type": kind} if kind else {}))
        assert (await peer.one()).body == b"\xff\1"
        assert (await heard(socket))[1:] == [b"\xff\1"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("{", {"content_type": "application/json"}),
        ("NaN", {"content_type": "application/json"}),
        ("[" * 100 + "]" * 100, {"content_type": "application/json"}),
        ("[1]", {"arguments": 2}),
        ("{}", {"arguments": 1}),
        ("1", {"event": "connect"}),
        (b"\xff", {"content_type": "text/plain"}),
    ],
)
async def test_what_cannot_be_an_event_reaches_nobody(body: str | bytes, headers: dict[str, Any]) -> None:
    async with talk() as here:
        peer, other, socket = await here.subscriber(), await here.subscriber(), await here.socket()
        peer.send("SEND", body, destination="/topic/news", **headers)
        assert "event" in await peer.error()
        assert (await other.take(), await heard(socket)) == ([], [])


async def test_guests_are_no_sockets() -> None:
    async with talk() as here:
        peer, socket = await here.subscriber(), await here.socket()
        io = here.io
        await io.emit("for everybody")
        assert len(await io.to("news").fetch_sockets()) == 1
        assert len(io.rooms["news"]) == 1
        here.events.tasks.start_soon(_ask, io)
        assert await heard(socket) == [["for everybody"], ["question"]]
        await io.to("news").sockets_leave("news")
        await io.to("news").disconnect_sockets()
        assert (await peer.take(), peer.closed) == ([], None)
        await io.to("news").emit("still here")
        assert (await peer.one()).headers["event"] == "still here"
        await io.to("news").volatile.emit("quick")
        assert (await peer.one()).headers["event"] == "quick"


async def _ask(io: Server) -> None:
    await io.to("news").timeout(5).emit_with_ack("question")


async def test_who_is_meant_is_who_subscribes() -> None:
    async with talk() as here:
        news, sport = await here.subscriber(), await here.subscriber("/topic/sport")
        await here.io.to("news", "sport").emit("both")
        await here.io.to("news").to("sport").except_("sport").emit("one")
        assert [frame.headers["event"] for frame in await news.take()] == ["both", "one"]
        assert [frame.headers["event"] for frame in await sport.take()] == ["both"]


async def test_what_a_socket_sends_to_a_room_reaches_subscribers() -> None:
    async with talk() as here:

        @here.io.on("say")
        async def say(socket: Socket, text: str) -> None:
            await socket.to("news").emit("said", text)

        peer, socket = await here.subscriber(), await here.socket()
        socket.send('42["say","hello"]')
        assert (await peer.one()).body == b'"hello"'
        assert await heard(socket) == []


async def test_an_application_may_send_to_either_side() -> None:
    async with talk() as here:
        peer, socket = await here.subscriber(), await here.socket()
        await here.site.stomp.send("/topic/news", {"a": 1}, headers={"event": "e"})
        assert (await peer.one()).headers["event"] == "e"
        assert await heard(socket) == [["e", {"a": 1}]]
        with pytest.raises(LocalProtocolError, match="event"):
            await here.site.stomp.send("/topic/news", 1, headers={"event": "connect"})


async def test_subscribers_make_what_nobody_of_them_can_be_sent_an_error_of_the_sender() -> None:
    async with talk() as here:
        await here.subscriber()
        with pytest.raises(LocalProtocolError, match="STOMP"):
            await here.io.to("news").emit("e", object())


@pytest.mark.parametrize("rooms", [["news"], re.compile("n.*"), lambda room: room == "news"])
async def test_only_the_rooms_that_were_named_are_topics_and_others_are_topics_alone(rooms: Any) -> None:
    async with talk(rooms) as here:
        news, other, socket = await here.subscriber(), await here.subscriber("/topic/x"), await here.socket()
        await here.io.sockets_join("x")
        for room in ("news", "x"):
            await here.io.to(room).emit(room)
            news.send("SEND", "1", destination=f"/topic/{room}")
        assert [frame.headers.get("event") for frame in await news.take()] == ["news", None]
        assert [frame.headers.get("event") for frame in await other.take()] == [None]
        assert await heard(socket) == [["news"], ["x"], ["message", 1]]


async def test_a_filter_that_fails_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    async with talk(lambda room: {"news": True}[room]) as here:
        for command in ("SUBSCRIBE", "SEND"):
            peer = await here.site.connected()
            peer.send(command, id=1, destination="/topic/other", receipt="r")
            assert await peer.error() == "internal error"
            assert peer.frames[-1].headers["receipt-id"] == "r"
        assert caplog.text.count("KeyError: 'other'") == 2


async def test_a_sockets_own_room_is_never_a_topic() -> None:
    async with talk(lambda room: True) as here:
        await here.socket()
        [id] = here.io.sockets
        for command in ("SUBSCRIBE", "SEND"):
            peer = await here.site.connected()
            peer.send(command, "1", id=1, destination=f"/topic/{id}") if command == "SEND" else peer.send(
                command, id=1, destination=f"/topic/{id}"
            )
            assert "own" in await peer.error()


async def test_another_prefix_and_event_may_be_chosen() -> None:
    async with talk(["news"], prefix="/topic/io/", event="said") as here:
        peer, socket = await here.subscriber("/topic/io/news"), await here.socket()
        peer.send("SEND", "1", destination="/topic/io/news")
        assert await heard(socket) == [["said", 1]]
        assert len(await peer.take()) == 1
    with pytest.raises(LocalProtocolError, match="reserved"):
        Stomp().join_rooms(Server(), ["news"], event="connect")


async def test_servers_that_share_rooms_share_topics() -> None:
    hub = MemoryHub()
    async with talk(hub=hub) as here, talk(hub=hub) as there:
        peers = [await here.subscriber(), await there.subscriber()]
        sockets = [await here.socket(), await there.socket()]
        peers[0].send("SEND", '{"a":1}', destination="/topic/news", x="y")
        frames = [await peer.one() for peer in peers]
        assert [frame.body for frame in frames] == [b'{"a":1}'] * 2
        assert [frame.headers.get("x") for frame in frames] == ["y", None]
        assert [await heard(socket) for socket in sockets] == [[["message", {"a": 1}]]] * 2
        await there.io.to("news").emit("e", 1)
        assert [(await peer.one()).body for peer in peers] == [b"1"] * 2


async def test_nobody_is_in_the_room_when_the_last_subscriber_has_left() -> None:
    async with talk() as here:
        peers = [await here.subscriber() for _ in range(3)]
        adapter: Any = here.io._bound().adapter
        assert set(adapter._guests) == {"news"}
        peers[0].send("UNSUBSCRIBE", id=1)
        peers[1].socket.close()
        await settled()
        assert set(adapter._guests) == {"news"}
        peers[2].send("DISCONNECT")
        await settled()
        assert adapter._guests == {}
        again = await here.subscriber()
        await here.io.to("news").emit("e")
        assert len(await again.take()) == 1


def test_one_name_is_not_its_letters() -> None:
    with pytest.raises(TypeError, match=re.escape("say ['news']")):
        Stomp().join_rooms(Server(), "news")


async def test_headers_that_are_no_text_are_refused() -> None:
    headers: Any = {"priority": 5}
    for send in (
        Stomp().send("/topic/news", 1, headers=headers),
        Stomp().send_to_user("ann", "/queue/a", 1, headers=headers),
    ):
        with pytest.raises(LocalProtocolError, match="the header 'priority' is to be text, such as '5'"):
            await send
