"""Requests that are carried: what waits for whom, and what becomes of them when somebody goes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgi_driver import Client, Exchange, ManualClock, WebSocketExchange, settled
from carried import Carried, MemoryCourier
from counting_peer import client_of
from event_peer import until

from holdfast import Server, Socket
from holdfast.engine.errors import BrokerUnavailable, RemoteProtocolError, RequestRefused
from holdfast.engine.host import Host
from holdfast.transports.forwarding import Forwarding, decode_scope, encode_scope
from holdfast.transports.values import pack

pytestmark = pytest.mark.anyio

URL = "/socket.io/?EIO=4&transport="


class Site:
    """A server, the node before it, and a client."""

    def __init__(self, server: Server, carried: Carried, client: Client) -> None:
        self.server = server
        self.carried = carried
        self.client = client

    async def open(self) -> str:
        sid: str = json.loads((await self.client.get(f"{URL}polling").text())[1:])["sid"]
        assert await self.client.post(f"{URL}polling&sid={sid}", "40").text() == "ok"
        assert (await self.client.get(f"{URL}polling&sid={sid}").text()).startswith("40")
        return sid

    async def upgraded(self) -> WebSocketExchange:
        socket = self.client.websocket(f"{URL}websocket&sid={await self.open()}")
        await socket.accept()
        socket.send("2probe")
        assert await socket.receive() == "3probe"
        socket.send("5")
        await until(lambda: self.server.stats().upgrades == 1)
        return socket

    async def streamed(self, carrier: int = 2) -> Exchange:
        """A stream of the counting session, which is made by the first."""
        if carrier == 2:
            opening = await self.client.get(f"{URL}polling&holdfast=1&codec=json").text()
            self.packet = json.loads(opening[1:])
        attach = json.dumps({"carrier": carrier, "received": 0, "key": self.packet["holdfast"]["key"]})
        stream = self.client.get(
            f"{URL}stream&holdfast=1&sid={self.packet['sid']}", headers={"holdfast-attach": attach}
        )
        assert await stream.start() == 200
        assert await stream.chunk()
        return stream

    async def held(self, sid: str) -> Exchange:
        """A poll that waits."""
        poll = self.client.get(f"{URL}polling&sid={sid}")
        await until(self.is_held)
        return poll

    def is_held(self) -> bool:
        return any(session.attached for session in self.server.table.sessions.values())

    @property
    def forwarding(self) -> Forwarding:
        """Of the node before the server."""
        assert self.carried.edge.forwarding is not None
        return self.carried.edge.forwarding

    def lose(self) -> None:
        """Each node is gone for the other."""
        for courier, other in zip(self.carried.couriers, reversed(self.carried.couriers), strict=True):
            courier.lose(other.node)


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Site]:
    server = Server(**settings)
    carried = Carried(server)
    async with client_of(carried) as client:
        yield Site(server, carried, client)


async def test_client_that_takes_nothing_keeps_no_more_than_a_window_on_the_way() -> None:
    async with opened(buffer_limit=2_000_000) as site:
        socket = await site.upgraded()
        turns = socket.slow()
        owner, _ = site.carried.couriers
        said = owner.said
        for number in range(50):
            await site.server.emit("e", number, "x" * 20_000)
        await settled()
        # Four of them are more than a window.
        assert owner.said - said <= 5
        texts = list[str]()
        while len(texts) < 50:
            turns.release()
            texts.append(str(await socket.receive()))
        assert [int(text.split(",")[1]) for text in texts] == list(range(50))


async def test_that_nobody_can_be_reached_is_said_once_in_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    host = Host(clock)
    forwarding = Forwarding(Server(), host)
    courier = MemoryCourier("here", {})

    async def finds(node: str) -> bool:
        raise BrokerUnavailable("Redis is away")

    monkeypatch.setattr(courier, "finds", finds)
    forwarding.add(courier)
    for lines in (1, 2):
        for _ in range(3):
            with pytest.raises(RequestRefused) as refused:
                await forwarding.finds("there")
            assert refused.value.status == 503
        assert caplog.text.count("cannot be carried there: Redis is away") == lines
        await clock.advance(5.0)


async def test_handler_that_is_slow_keeps_no_more_than_a_window_of_what_its_client_says() -> None:
    clock = ManualClock()
    async with opened(max_events_per_second=1, ping_interval=1000, clock=clock) as site:
        heard: list[int] = []

        @site.server.on("e")
        async def hear(socket: Socket, number: int, text: str) -> None:
            heard.append(number)

        socket = await site.upgraded()
        _, edge = site.carried.couriers
        said = edge.said
        for number in range(60):
            socket.send(f'42["e",{number},"{"x" * 20_000}"]')
        await settled()
        assert heard == list(range(len(heard)))
        assert edge.said - said < 20
        assert socket.untaken() > 30
        for _ in range(100):
            await clock.advance(1)
        assert heard == list(range(60))


async def test_websocket_whose_session_is_lost_is_closed_for_a_restart() -> None:
    async with opened() as site:
        ended: list[str] = []

        @site.server.on("disconnect")
        async def left(socket: Socket, reason: str) -> None:
            ended.append(reason)

        socket = await site.upgraded()
        site.lose()
        assert await socket.closed() == 1012
        await socket.finished()
        await until(lambda: ended == ["transport close"])


async def test_websocket_that_finds_nobody_is_refused() -> None:
    async with opened() as site:
        sid = await site.open()
        site.lose()
        socket = site.client.websocket(f"{URL}websocket&sid={sid}")
        message = await socket.next()
        assert message["type"] == "websocket.http.response.start"
        assert message["status"] == 400


async def test_held_poll_whose_session_is_lost_is_refused() -> None:
    async with opened() as site:
        sid = await site.open()
        poll = await site.held(sid)
        site.lose()
        assert await poll.start() == 400
        assert (await poll.json())["code"] == 1
        await until(lambda: site.server.session_count == 0)


async def test_stream_whose_session_is_lost_ends() -> None:
    async with opened() as site:
        stream = await site.streamed()
        site.lose()
        while not stream.ended:
            await stream.chunk()
        await stream.finished()


async def test_node_that_leaves_answers_the_polls_that_it_carries_and_keeps_their_sessions() -> None:
    async with opened(ping_interval=1000) as site:
        sid = await site.open()
        poll = await site.held(sid)
        site.forwarding.leave()
        assert (await poll.start(), await poll.text()) == (200, "6")
        site.forwarding.stay()
        poll = await site.held(sid)
        assert not poll.answered()
        await site.server.emit("e", 1)
        assert await poll.text() == '42["e",1]'


async def test_node_that_leaves_lets_those_that_still_come_wait_for_a_moment() -> None:
    clock = ManualClock()
    async with opened(ping_interval=1000, clock=clock) as site:
        sid = await site.open()
        site.forwarding.leave()
        site.forwarding.leave()
        for _ in range(3):
            poll = await site.held(sid)
            assert not poll.answered()
            await clock.advance(0.5)
            assert await poll.text() == "6"


async def test_node_that_leaves_says_all_that_a_poll_was_answered_with() -> None:
    async with opened(ping_interval=1000) as site:
        sid = await site.open()
        poll = await site.held(sid)
        turns = poll.slow()
        await site.server.emit("e", "x" * 300_000)
        turns.release()
        turns.release()
        await until(poll.answered)
        site.forwarding.leave()
        for _ in range(9):
            turns.release()
        assert await poll.text() == f'42["e","{"x" * 300_000}"]'


async def test_node_that_leaves_ends_the_streams_that_it_carries() -> None:
    async with opened() as site:
        stream = await site.streamed()
        site.forwarding.leave()
        while not stream.ended:
            await stream.chunk()
        await stream.finished()
        site.forwarding.stay()
        assert site.server.session_count == 1
        stream = await site.streamed(carrier=3)
        await until(site.is_held)
        assert not stream.ended


async def test_node_that_leaves_closes_the_websockets_that_it_carries() -> None:
    async with opened() as site:
        socket = await site.upgraded()
        site.forwarding.leave()
        assert await socket.closed() == 1012
        await socket.finished()


async def test_server_that_is_drained_leaves_afterwards() -> None:
    async with opened(ping_interval=1000) as site:
        sid = await site.open()
        poll = await site.held(sid)
        await site.carried.edge.drain()
        assert await poll.text() == "6"
        site.carried.edge.start()
        poll = await site.held(sid)
        assert not poll.answered()
        await site.carried.edge.shutdown()
        assert await poll.text() == "6"


@pytest.mark.parametrize(
    "frame", [[], [0], [0, 1], [0, 1, 5], [99, 1], ["0", 1, {}], [1, 1, []], {"a": 1}, 5]
)
async def test_frame_that_makes_no_sense_is_refused(frame: object) -> None:
    async with opened() as site:
        forwarding, courier = site.server.forwarding, site.carried.couriers[0]
        assert forwarding is not None
        with pytest.raises(RemoteProtocolError):
            forwarding.frame(courier, "somebody", pack(frame))
        with pytest.raises(RemoteProtocolError):
            forwarding.frame(courier, "somebody", b"\xc1")


async def test_frame_about_a_request_that_is_over_is_left() -> None:
    async with opened() as site:
        forwarding, courier = site.server.forwarding, site.carried.couriers[0]
        assert forwarding is not None
        for frame in ([1, 7, {}], [2, 7, True], [3, 7, []], [4, 7], [5, 7, 1], [6, 7, 1]):
            forwarding.frame(courier, "somebody", pack(frame))


def test_scope_arrives_as_far_as_it_is_plain() -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [(b"a", b"b"), (b"a", b"c")],
        "client": ("::1", 5),
        "server": None,
        "path": "/ü",
        "state": {"plain": [1, 2.5, None, {"x": b"y"}], "other": object(), 5: 6},
        "user": object(),
        "deep": [[[[[[[[[[1]]]]]]]]]],
        "mixed": [1, object()],
    }
    found = decode_scope(encode_scope(scope))
    assert found == {
        "type": "http",
        "headers": [(b"a", b"b"), (b"a", b"c")],
        "client": ("::1", 5),
        "server": None,
        "path": "/ü",
        "state": {"plain": [1, 2.5, None, {"x": b"y"}]},
    }
