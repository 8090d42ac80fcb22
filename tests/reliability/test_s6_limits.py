"""S6: every limit of the transports and of sessions ends with its code, at once, and says which setting it is."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest
from asgi_driver import ManualClock, settled
from counting_peer import Site, client_of, open_site

from holdfast import CloseReason, Engine, Session

PATH = "/engine.io/?EIO=4&transport="


async def close_of(exchange: Any) -> MutableMapping[str, Any]:
    """The close frame, and not later than now."""
    await settled()
    while True:
        message: MutableMapping[str, Any] = await exchange.next()
        if message["type"] == "websocket.close":
            return message


@pytest.mark.parametrize("announced", [True, False])
async def test_s6_body_over_max_payload_is_refused_with_413(announced: bool) -> None:
    async with open_site(max_payload=1_000) as site:
        peer, _ = await site.opened("polling")
        headers = {"content-length": "1001"} if announced else {}
        exchange = site.client.request(
            "POST",
            peer.url("polling"),
            body=b"x" if announced else b"x" * 1_001,
            headers=headers,
            more_body=True,
        )
        assert await exchange.start() == 413


async def test_s6_body_that_does_not_come_is_refused_with_408() -> None:
    async with open_site(body_timeout=0.02) as site:
        peer, _ = await site.opened("polling")
        exchange = site.client.request("POST", peer.url("polling"), body=b"x", more_body=True)
        assert await exchange.start() == 408


async def test_s6_body_for_a_session_that_never_was_is_not_read() -> None:
    async with open_site() as site:
        url = f"{PATH}polling&holdfast=1&sid=nobody"
        for _ in range(50):
            exchange = site.client.request("POST", url, body=b"x" * 900_000, more_body=True)
            assert await exchange.start() == 400
            assert (await exchange.json())["code"] == 1
        assert site.engine.table.bodies.used_bytes == 0


async def test_s6_bodies_beyond_max_bodies_are_refused_with_503_and_room_is_given_back() -> None:
    async with open_site(max_bodies=10_000) as site:
        opened = [await site.opened("polling") for _ in range(3)]
        peers = [peer for peer, _ in opened]
        bodies = [("POST", peer.url("polling")) for peer in peers]
        reading = [site.client.request(*which, body=b"x" * 4_000, more_body=True) for which in bodies[:2]]
        await settled()
        refused = site.client.request(*bodies[2], body=b"x" * 4_000, more_body=True)
        assert await refused.start() == 503
        assert "max_bodies" in await refused.text()
        for exchange in reading:
            exchange.disconnect()
            await exchange.finished()
        assert site.engine.table.bodies.used_bytes == 0
        await opened[2][1].send("now")
        await settled()
        assert site.received == ["now"]


async def test_s6_posts_of_one_session_beyond_max_carriers_are_refused_with_429() -> None:
    async with open_site(max_carriers=4) as site:
        peer, _ = await site.opened("polling")
        for _ in range(4):
            site.client.request("POST", peer.url("polling"), body=b"7", more_body=True)
        await settled()
        assert (
            await site.client.request("POST", peer.url("polling"), body=b"7", more_body=True).start() == 429
        )
        assert site.session.is_open


async def test_s6_posts_that_wait_for_their_turn_are_among_them() -> None:
    async with open_site("polling", max_carriers=2, max_events_per_second=100) as site:
        peer, _ = await site.opened()
        posts = []
        for number in (300, 1):
            posts.append(peer.post_exchange("91", *["4a"] * number))
            await settled()
        assert not any(post.answered() for post in posts)
        refused = peer.post_exchange("91", "4a")
        assert await refused.start() == 429
        assert "max_carriers" in await refused.text()
        await site.clock.advance(20)
        assert [await post.start() for post in posts] == [200, 200]
        assert site.received == ["a"] * 300


@pytest.mark.parametrize("counting", [False, True])
async def test_s6_websocket_message_over_max_payload_closes_with_1009(counting: bool) -> None:
    async with open_site(max_payload=1_000) as site:
        socket = site.client.websocket(f"{PATH}websocket" + "&holdfast=1" * counting)
        await socket.accept()
        socket.send("b" + "A" * 1_001)
        close = await close_of(socket)
        assert close["code"] == 1009
        assert "maxPayload" in close["reason"]


async def test_s6_long_message_before_the_attach_closes_with_1009_and_is_not_parsed() -> None:
    async with open_site() as site:
        peer, _ = await site.opened("polling")
        socket = site.client.websocket(peer.url("websocket"))
        await socket.accept()
        attach = {"key": peer.key, "received": 0, "carrier": 9, "pad": "x" * 5_000}
        socket.send("7" + json.dumps(attach))
        assert await socket.closed_at_once() == 1009
        assert site.session.transport == "polling"
        assert site.session.is_open


async def test_s6_websocket_to_a_session_that_never_was_is_not_kept() -> None:
    async with open_site() as site:
        socket = site.client.websocket(f"{PATH}websocket&holdfast=1&sid=nobody")
        await socket.accept()
        assert json.loads(str(await socket.receive())[1:])["code"] == 1
        assert await socket.closed_at_once() == 4001
        await socket.finished()


@pytest.mark.parametrize("counting", [False, True])
async def test_s6_websockets_that_are_not_attached_are_bounded_and_the_newest_gets_in(counting: bool) -> None:
    async with open_site(max_carriers=4) as site:
        if counting:
            peer, _ = await site.opened("polling")
            url = peer.url("websocket")
        else:
            sid = json.loads((await site.client.get(f"{PATH}polling").text())[1:])["sid"]
            url = f"{PATH}websocket&sid={sid}"
        sockets = [site.client.websocket(url) for _ in range(20)]
        for socket in sockets:
            await socket.accept()
        await settled()
        left = [socket for socket in sockets if socket.quiet()]
        assert len(left) == 4
        for socket in sockets:
            if socket not in left:
                close = await close_of(socket)
                assert close["code"] == 1008
                assert "max_carriers" in close["reason"]
        left[-1].send("2probe")
        assert await left[-1].receive() == "3probe"
        assert site.session.is_open


@pytest.mark.parametrize("counting", [False, True])
async def test_s6_full_buffer_closes_with_its_own_code_and_names_the_setting(counting: bool) -> None:
    async with open_site(buffer_limit=10_000) as site:
        socket = site.client.websocket(f"{PATH}websocket" + "&holdfast=1" * counting)
        await socket.accept()
        await socket.receive()
        [live] = site.engine.table.sessions.values()
        from holdfast.engine.wire.message import Message

        turns = socket.slow()
        # What a plain peer is sent first is with its server, which waits for it.
        for size in (1, 5_000, 6_000):
            live.send_nowait(Message("x" * size))
        assert site.session.reason is CloseReason.BUFFER_FULL
        for _ in range(9):
            turns.release()
        close = await close_of(socket)
        assert close["code"] == (4001 if counting else 1008)
        assert "buffer_limit" in close["reason"]


@pytest.mark.parametrize("counting", [False, True])
async def test_s6_websocket_whose_accept_fails_leaves_no_session(counting: bool) -> None:
    async def listen(session: Session) -> None:
        async for _ in session:
            pass

    engine = Engine(listen, clock=ManualClock())

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        raise OSError("the client has left")

    async with client_of(engine) as client:
        scope = {
            "type": "websocket",
            "path": "/engine.io/",
            "query_string": b"EIO=4&transport=websocket" + b"&holdfast=1" * counting,
            "headers": [],
            "subprotocols": [],
        }
        client.tasks.start_soon(engine, scope, receive, send)
        await settled()
        assert engine.session_count == 0


async def test_s6_carriers_that_are_replaced_make_way_at_once_where_they_are_many() -> None:
    async with open_site("polling", max_carriers=4) as site:
        peer, _ = await site.opened()
        await site.session.send("x" * 400_000)
        site.client.stalled = True
        for _ in range(20):
            await peer.attach("stream")
        site.client.stalled = False
        live = site.engine.table.sessions[peer.sid]
        await site.clock.advance(1.1)
        assert len(live._attachments) <= 4  # pyright: ignore[reportPrivateUsage]
        carrier = await peer.attach("websocket")
        assert await carrier.take(1) == ["x" * 400_000]


async def test_s6_host_of_the_origin_check_is_a_trusted_proxys_word_and_nobody_elses() -> None:
    headers = {
        "origin": "https://app.example",
        "x-forwarded-host": "app.example",
        "x-forwarded-proto": "https",
    }

    async def status(site: Site) -> int:
        return await site.client.get(f"{PATH}polling", headers=headers).start()

    async with open_site() as site:
        assert await status(site) == 403
    async with open_site(trusted_proxies=["127.0.0.0/8"]) as site:
        assert await status(site) == 200
        await settled()
        assert site.session.request.secure
