from __future__ import annotations

import json

import anyio
import pytest
from asgi_driver import settled
from counting_peer import CountingPeer, Site, WebSocketCarrier, open_site

from holdfast import Session


async def attached(peer: CountingPeer, **value: object) -> WebSocketCarrier:
    carrier = await peer.attach("websocket", **value)
    assert isinstance(carrier, WebSocketCarrier)
    await carrier.attached()
    return carrier


async def opened(site: Site) -> tuple[CountingPeer, WebSocketCarrier]:
    peer, carrier = await site.opened("websocket")
    assert isinstance(carrier, WebSocketCarrier)
    return peer, carrier


async def test_answer_to_an_attach_is_one_message_with_both_positions() -> None:
    async with open_site() as site:
        peer, first = await opened(site)
        await first.send("one")
        await site.session.send("a")
        await first.take(1)
        first.cut()
        await settled()
        await site.session.send("b")
        second = await peer.attach("websocket")
        assert isinstance(second, WebSocketCarrier)
        assert await second.socket.receive() == '7{"carrier":2,"received":1}\x1e92\x1e4b'


async def test_several_packets_share_a_message_and_binary_stands_alone() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        poll.cut()
        await settled()
        for message in ("a", "b\n", b"c", "d", "e"):
            await site.session.send(message)
        carrier = await peer.attach("websocket")
        assert isinstance(carrier, WebSocketCarrier)
        assert await carrier.socket.receive() == '7{"carrier":3,"received":0}\x1e91\x1e4a\x1ej"b\\n"'
        assert await carrier.socket.receive() == b"c"
        assert await carrier.socket.receive() == "4d\x1e4e"


async def test_client_may_write_binary_as_a_message_or_as_base64() -> None:
    async with open_site() as site:
        _, carrier = await opened(site)
        carrier.socket.send(b"\0\1")
        carrier.socket.send("bAAE=\x1e4text")
        await settled()
        assert site.received == [b"\0\1", b"\0\1", "text"]


async def test_replaced_carrier_is_still_read() -> None:
    async with open_site() as site:
        peer, old = await opened(site)
        new = await attached(peer)
        old.socket.send("4late but in order")
        await settled()
        assert site.received == ["late but in order"]
        new.socket.send("92\x1e4next")
        await settled()
        assert site.received == ["late but in order", "next"]


async def test_replaced_carrier_is_closed_after_a_while() -> None:
    async with open_site() as site:
        peer, old = await opened(site)
        await attached(peer)
        await site.clock.advance(4.9)
        assert old.socket.quiet()
        await site.clock.advance(0.2)
        assert await old.ended() == 4006


async def test_not_a_carrier_until_its_attach_arrives() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        socket = site.client.websocket(peer.url("websocket"))
        await socket.accept()
        socket.send("2probe")
        assert await socket.receive() == "3probe"
        socket.send("2")
        assert await socket.receive() == "3"
        assert poll.is_quiet()
        await site.session.send("a")
        assert await poll.take(1) == ["a"]
        assert site.session.transport == "polling"
        socket.send("7" + json.dumps({"key": peer.key, "received": 1, "carrier": 9}))
        assert await socket.receive() == '7{"carrier":9,"received":0}\x1e92'
        assert site.session.transport == "websocket"


async def test_probe_that_stalls_is_closed_and_leaves_no_trace() -> None:
    async with open_site("polling", upgrade_timeout=10.0, counting_ping_interval=25.0) as site:
        peer, poll = await site.opened()
        socket = site.client.websocket(peer.url("websocket"))
        await socket.accept()
        await site.clock.advance(10.1)
        assert await socket.closed_at_once() == 4003
        assert poll.is_quiet()


async def test_probe_that_leaves_leaves_no_trace() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        socket = site.client.websocket(peer.url("websocket"))
        await socket.accept()
        socket.send("2probe")
        await socket.receive()
        socket.close()
        await socket.finished()
        assert poll.is_quiet()


@pytest.mark.parametrize("first", ["4message", "9", "7", "7{}", "x", "", '7{"key":"k","received":0}', b"7{}"])
async def test_websocket_of_a_session_begins_with_an_attach(first: str | bytes) -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        socket = site.client.websocket(peer.url("websocket"))
        await socket.accept()
        socket.send(first)
        closing = await socket.receive()
        assert isinstance(closing, str)
        assert json.loads(closing[1:])["code"] == 3
        assert await socket.closed_at_once() == 4003
        await poll.send("unharmed")
        await settled()
        assert site.received == ["unharmed"]


async def test_unknown_session_is_told_in_a_packet_and_by_the_code() -> None:
    async with open_site() as site:
        peer, carrier = await opened(site)
        await carrier.send("one")
        carrier.socket.send("1")
        await carrier.ended()
        refused = await peer.attach("websocket")
        assert isinstance(refused, WebSocketCarrier)
        text = await refused.socket.receive()
        assert isinstance(text, str)
        assert json.loads(text[1:]) == {
            "code": 1,
            "message": "Session ID unknown: the session is over",
            "received": 1,
        }
        assert await refused.socket.closed_at_once() == 4001


async def test_stale_attach_and_gap_close_without_a_packet() -> None:
    async with open_site() as site:
        peer, _ = await opened(site)
        current = await attached(peer, number=5)
        stale = await peer.attach("websocket", number=4)
        assert isinstance(stale, WebSocketCarrier)
        assert await stale.socket.closed_at_once() == 4006
        same = await peer.attach("websocket", number=5)
        assert isinstance(same, WebSocketCarrier)
        assert await same.socket.closed_at_once() == 4006
        current.socket.send("97\x1e4seven")
        assert await current.socket.closed_at_once() == 4007
        assert site.session.is_open


@pytest.mark.parametrize("message", ["4" + "x" * 1000, "4" + "ü" * 600, b"x" * 1001])
async def test_message_over_max_payload_ends_the_session(message: str | bytes) -> None:
    async with open_site(max_payload=1000) as site:
        _, carrier = await opened(site)
        carrier.socket.send(message)
        assert await carrier.ended() == 1009
        await settled()
        assert not site.session.is_open


async def test_ping_of_the_client_is_answered_with_its_data() -> None:
    async with open_site() as site:
        _, carrier = await opened(site)
        carrier.socket.send("2\x1e2probe\x1e2\xfc")
        await settled()
        assert [await carrier.packet("3") for _ in range(3)] == ["3", "3probe", "3\xfc"]


async def test_session_that_ends_closes_its_websocket_with_1000() -> None:
    async with open_site() as site:
        _, carrier = await opened(site)
        site.session.close()
        assert await carrier.ended() == 1000


async def test_lost_websocket_ends_its_request_and_the_session_waits() -> None:
    async with open_site() as site:
        peer, carrier = await opened(site)
        carrier.cut()
        await carrier.socket.finished()
        live = site.engine.table.sessions[peer.sid]
        assert live.is_open
        assert not live.attached


@pytest.mark.asgi
@pytest.mark.parametrize("counting", [False, True])
async def test_peer_of_an_ended_session_that_sends_and_takes_nothing_is_not_read(counting: bool) -> None:
    async with open_site(max_payload=1000) as site:
        site.application.handle = ignore
        if counting:
            socket = (await opened(site))[1].socket
        else:
            socket = site.client.websocket("/engine.io/?EIO=4&transport=websocket")
            await socket.accept()
            await socket.receive()
        socket.hang()
        for _ in range(100):
            socket.send("4" + "x" * 999)
        await settled()
        await site.clock.advance(1)
        assert not site.session.is_open
        assert socket.untaken() > 80
        await site.clock.advance(3.1)
        await socket.finished()


async def ignore(session: Session) -> None:
    await anyio.sleep_forever()
