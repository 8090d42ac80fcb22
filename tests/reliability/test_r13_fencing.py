"""R13: what a session was carried by before is fenced. Its end, whenever that comes and however, has no effect."""

from __future__ import annotations

import json

import pytest
from asgi_driver import Exchange, WebSocketExchange, settled
from counting_peer import Carrier, HttpCarrier, Site, WebSocketCarrier, open_site

KINDS = ("websocket", "stream", "polling")


def exchange_of(carrier: Carrier) -> Exchange | WebSocketExchange:
    assert isinstance(carrier, WebSocketCarrier | HttpCarrier)
    return carrier.socket if isinstance(carrier, WebSocketCarrier) else carrier.exchange


def attachments(site: Site, sid: str) -> int:
    return len(site.engine.table.sessions[sid]._attachments)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("old", KINDS)
@pytest.mark.parametrize("new", KINDS)
async def test_r13_old_carrier_that_dies_later_has_no_effect(old: str, new: str) -> None:
    async with open_site("stream") as site:
        peer, first = await site.opened()
        before = await peer.attach(old)
        await settled()
        carrier = await peer.attach(new)
        await settled()
        before.cut()
        first.cut()
        await settled()
        for number in range(3):
            await site.session.send(f"{number}")
        assert await carrier.take(3) == ["0", "1", "2"]
        await carrier.send("up")
        assert site.received == ["up"]
        assert site.session.is_open


@pytest.mark.parametrize("kind", KINDS)
async def test_r13_replaced_carriers_that_take_nothing_are_cut_and_the_session_goes_on(kind: str) -> None:
    async with open_site("stream") as site:
        peer, _ = await site.opened()
        await site.session.send("x" * 400_000)
        site.client.stalled = True
        blocked = [exchange_of(await peer.attach(kind)) for _ in range(12)]
        site.client.stalled = False
        assert attachments(site, peer.sid) >= 11
        newest = await peer.attach("websocket")
        await site.clock.advance(5.1)
        # Each still has a moment for its last word.
        await site.clock.advance(1.1)
        for exchange in blocked:
            await exchange.finished()
        assert attachments(site, peer.sid) == 1
        assert await newest.take(1) == ["x" * 400_000]
        assert site.session.is_open


async def test_r13_poll_that_nobody_takes_does_not_live_as_long_as_its_session() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        await site.session.send("x" * 400_000)
        site.client.stalled = True
        exchange = exchange_of(await peer.attach("polling"))
        site.client.stalled = False
        await site.clock.advance(14.9)
        assert attachments(site, peer.sid) == 1
        await site.clock.advance(0.2)
        await exchange.finished()
        assert attachments(site, peer.sid) == 0
        assert await (await peer.attach("websocket")).take(1) == ["x" * 400_000]


async def test_r13_poll_that_is_taken_slowly_is_not_cut() -> None:
    async with open_site("polling") as site:
        peer, first = await site.opened()
        first.cut()
        await settled()
        await site.session.send("x" * 400_000)
        attach = {"key": peer.key, "received": 0, "carrier": 9}
        exchange = site.client.get(peer.url("polling"), headers={"holdfast-attach": json.dumps(attach)})
        turns = exchange.slow()
        body = b""
        while not exchange.ended:
            await site.clock.advance(14)
            turns.release()
            if exchange.status is None:
                await exchange.start()
                turns.release()
            body += await exchange.chunk()
        assert body.endswith(b"x" * 400_000)
        assert site.session.is_open
