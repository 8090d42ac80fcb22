"""What a server says of itself: counted where it happens, and level again when everybody has gone."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from asgi_driver import settled
from counting_peer import Site, open_site

from holdfast import Stats

pytestmark = pytest.mark.anyio

NONE = {"websocket": 0, "stream": 0, "polling": 0}
PLAIN = "/engine.io/?EIO=4&transport="


def stats(site: Site) -> Stats:
    return site.engine.stats()


async def test_sessions_are_counted_by_what_carries_them() -> None:
    async with open_site() as site:
        for transport in ("websocket", "stream", "stream", "polling"):
            await site.opened(transport)
        plain = site.client.get(f"{PLAIN}polling")
        await plain.text()
        await settled()
        seen = stats(site)
        assert seen.sessions == {"websocket": 1, "stream": 2, "polling": 2}
        assert seen.opened == seen.sessions
        assert (seen.counting, seen.detached, seen.running) == (4, 0, 5)
        assert not seen.draining
        for session in list(site.engine.table.sessions.values()):
            session.close()
        await site.clock.advance(200)
        seen = stats(site)
        assert seen.sessions == NONE
        assert (seen.counting, seen.detached, seen.running, seen.queued_bytes) == (0, 0, 0, 0)
        assert seen.opened == {"websocket": 1, "stream": 2, "polling": 2}
        assert {reason: count for reason, count in seen.ended.items() if count} == {"forced server close": 5}


async def test_upgrade_and_fallback_and_what_is_written_again_are_counted() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened("polling")
        for transport in ("stream", "websocket", "polling"):
            await peer.attach(transport)
            await settled()
        seen = stats(site)
        assert seen.sessions == NONE | {"polling": 1}
        assert (seen.upgrades, seen.fallbacks, seen.replayed) == (2, 1, 0)
        assert (seen.detaches, seen.resumes) == (0, 0)
        carrier = await peer.attach("websocket")
        await carrier.attached()
        for number in range(3):
            site.say(str(number))
        await settled()
        # Written, and not acknowledged.
        await (await peer.attach("stream")).take(3)
        seen = stats(site)
        assert (seen.upgrades, seen.fallbacks, seen.replayed) == (3, 2, 3)
        assert seen.queued_bytes == 3 * 151


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_session_that_loses_its_carrier_is_detached_until_the_next(transport: str) -> None:
    async with open_site(transport) as site:
        peer, carrier = await site.opened()
        assert stats(site).detached == 0
        carrier.cut()
        await settled()
        seen = stats(site)
        assert (seen.detached, seen.detaches, seen.resumes) == (1, 1, 0)
        carrier = await peer.attach(transport)
        await settled()
        seen = stats(site)
        assert (seen.detached, seen.detaches, seen.resumes) == (0, 1, 1)
        carrier.cut()
        await site.clock.advance(site.engine.table.settings.grace_period + 1)
        seen = stats(site)
        assert (seen.detached, seen.detaches, seen.resumes) == (0, 2, 1)
        assert seen.ended["transport close"] == 1


async def test_silent_carrier_is_a_lost_one() -> None:
    async with open_site("stream") as site:
        await site.opened()
        await site.clock.advance(10)
        await site.clock.advance(5)
        seen = stats(site)
        assert (seen.detached, seen.detaches) == (1, 1)
        await site.clock.advance(121)
        seen = stats(site)
        assert (seen.detached, seen.detaches) == (0, 1)
        assert seen.ended["ping timeout"] == 1


async def test_polls_that_follow_one_another_are_no_losses() -> None:
    async with open_site("polling") as site:
        _, carrier = await site.opened()
        for number in range(5):
            site.say(str(number))
            assert await carrier.take(1) == [str(number)]
        seen = stats(site)
        assert (seen.detached, seen.detaches, seen.replayed) == (0, 0, 0)


async def test_plain_upgrade_is_counted_and_its_end_is_no_loss_to_wait_for() -> None:
    async with open_site() as site:
        sid = json.loads((await site.client.get(f"{PLAIN}polling").text())[1:])["sid"]
        socket = site.client.websocket(f"{PLAIN}websocket&sid={sid}")
        await socket.accept()
        socket.send("2probe")
        await socket.receive()
        socket.send("5")
        await settled()
        assert stats(site).upgrades == 1
        assert stats(site).sessions == NONE | {"websocket": 1}
        socket.close(1006)
        await settled()
        seen = stats(site)
        assert (seen.sessions, seen.detaches, seen.ended["transport close"]) == (NONE, 0, 1)


REFUSALS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "session unknown": (f"{PLAIN}polling&sid=nobody", {}, {}),
    "transport unknown": (f"{PLAIN}carrier-pigeon", {}, {}),
    "version unsupported": ("/engine.io/?EIO=1&transport=polling", {}, {}),
    "forbidden": (f"{PLAIN}polling", {"origin": "https://elsewhere.example"}, {}),
    "server full": (f"{PLAIN}polling", {}, {"max_sessions": 1}),
    "too many": (f"{PLAIN}polling", {}, {"max_unused_sessions_per_address": 1}),
}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_refusals_are_counted_by_their_reasons(reason: str) -> None:
    url, headers, settings = REFUSALS[reason]
    async with open_site(**settings) as site:
        if settings:
            await site.client.get(f"{PLAIN}polling").text()
        for _ in range(2):
            assert await site.client.get(url, headers=headers).start() >= 400
        assert stats(site).refused == {reason: 2}


async def test_refused_bodies_and_attaches_are_counted() -> None:
    async with open_site(max_payload=1000, body_timeout=0.01) as site:
        peer, _ = await site.opened("websocket")
        url = peer.url("polling")
        assert await site.client.request("POST", url, body=b"4", more_body=True).start() == 408
        assert await site.client.post(url, 2000 * "x").start() == 413
        peer.key = "another"
        for transport in ("stream", "websocket"):
            assert (await (await peer.attach(transport)).refusal()).code == 4
        assert stats(site).refused == {"body late": 1, "body too large": 1, "forbidden": 2}


async def test_stats_are_a_value_of_their_own() -> None:
    async with open_site() as site:
        before = stats(site)
        await site.opened()
        assert before.sessions == NONE
        assert dataclasses.asdict(stats(site))["sessions"] == NONE | {"websocket": 1}
