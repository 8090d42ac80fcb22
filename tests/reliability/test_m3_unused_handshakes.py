"""M3: handshakes that are never used cost little, are gone soon, and one address cannot have many of them."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest
from asgi_driver import ManualClock, settled
from counting_peer import client_of, open_site

from holdfast import Server

COUNTING = "/engine.io/?EIO=4&transport=polling&holdfast=1"
PLAIN = "/engine.io/?EIO=4&transport=polling"


def forwarded(address: str, **more: str) -> dict[str, str]:
    return {"x-forwarded-for": address, **more}


@pytest.mark.parametrize("url", [COUNTING, PLAIN])
async def test_m3_session_that_is_never_used_is_gone_after_the_handshakes_time(url: str) -> None:
    async with open_site() as site:
        await site.client.get(url).text()
        await settled()
        await site.clock.advance(14.9)
        assert site.engine.session_count == 1
        await site.clock.advance(0.2)
        assert site.engine.session_count == 0


async def test_m3_session_that_was_used_is_kept_as_long_as_ever() -> None:
    async with open_site() as site:
        _, poll = await site.opened("polling")
        await poll.send("hello")
        poll.cut()
        await site.clock.advance(100)
        assert site.session.is_open


@pytest.mark.parametrize("transport", ["websocket", "stream"])
async def test_m3_client_that_only_listens_is_no_unused_one(transport: str) -> None:
    async with open_site(counting_ping_interval=25.0, max_unused_sessions_per_address=1) as site:
        carriers = [(await site.opened(transport))[1] for _ in range(3)]
        await site.clock.advance(20)
        assert site.engine.session_count == 3
        assert not any(carrier.is_over for carrier in carriers)


@pytest.mark.parametrize("url", [COUNTING, PLAIN])
async def test_m3_one_address_is_refused_with_429_and_the_others_are_let_in(url: str) -> None:
    async with open_site(trusted_proxies=["127.0.0.1"], max_unused_sessions_per_address=5) as site:
        for _ in range(5):
            assert await site.client.get(url, headers=forwarded("198.51.100.7")).start() == 200
        await settled()
        refused = site.client.get(url, headers=forwarded("198.51.100.7"))
        assert await refused.start() == 429
        answer = await refused.json()
        assert answer["code"] == 4
        assert "max_unused_sessions_per_address" in answer["message"]
        assert await site.client.get(url, headers=forwarded("198.51.100.8")).start() == 200
        await site.clock.advance(15.1)
        assert await site.client.get(url, headers=forwarded("198.51.100.7")).start() == 200


async def test_m3_everyone_behind_a_companys_nat_comes_in_who_uses_what_they_open() -> None:
    async with open_site(max_unused_sessions_per_address=5) as site:
        for _ in range(30):
            _, poll = await site.opened("polling")
            await poll.send("hello")
            poll.cut()
        await settled()
        assert site.engine.session_count == 30


async def test_m3_word_of_who_is_no_trusted_proxy_is_not_taken() -> None:
    async with open_site(trusted_proxies=["10.0.0.0/8"], max_unused_sessions_per_address=2) as site:
        found = [
            await site.client.get(COUNTING, headers=forwarded(f"198.51.100.{number}")).start()
            for number in range(3)
        ]
        assert found == [200, 200, 429]


async def test_m3_addresses_of_one_ipv6_customer_are_one() -> None:
    async with open_site(trusted_proxies=["127.0.0.1"], max_unused_sessions_per_address=2) as site:
        found = [
            await site.client.get(COUNTING, headers=forwarded(f"2001:db8:0:1::{number}")).start()
            for number in range(3)
        ]
        assert found == [200, 200, 429]
        assert await site.client.get(COUNTING, headers=forwarded("2001:db8:0:2::1")).start() == 200


async def test_m3_unused_handshake_costs_at_most_ten_kilobytes() -> None:
    clock = ManualClock()
    server = Server(clock=clock, max_unused_sessions_per_address=10_000)
    async with client_of(server) as client:

        async def open_one() -> None:
            exchange = client.get("/socket.io/?EIO=4&transport=polling")
            json.loads((await exchange.text())[1:])
            await exchange.finished()

        await open_one()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        for _ in range(300):
            await open_one()
        client.close()
        gc.collect()
        after = tracemalloc.take_snapshot()
        tracemalloc.stop()
        inside = [tracemalloc.Filter(inclusive=False, filename_pattern="*tests*")]
        found = after.filter_traces(inside).compare_to(before.filter_traces(inside), "filename")
        assert sum(entry.size_diff for entry in found) / 300 < 10_000
        await clock.advance(15.1)
        assert server.session_count == 0
