"""M2: what is kept for a client that is away is bounded, alone and in all, and a broadcast is kept once."""

from __future__ import annotations

import tracemalloc

import pytest
from asgi_driver import settled
from counting_peer import CountingPeer, client_of, open_site

from holdfast import Server

KINDS = ("websocket", "stream", "polling")


@pytest.mark.parametrize("size", [0, 100, 10_000])
@pytest.mark.parametrize("kind", KINDS)
async def test_m2_one_client_that_is_away_costs_a_megabyte_at_most(kind: str, size: int) -> None:
    async with open_site(kind, when_full="disconnect", volatile="drop-newest") as site:
        _, carrier = await site.opened()
        carrier.cut()
        await settled()
        text = "x" * size
        count = 0
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        while site.session.is_open and count < 20_000:
            await site.session.send(text + str(count))
            count += 1
            if count == int(1_000_000 / (size + 160)):
                cost = sum(
                    entry.size_diff for entry in tracemalloc.take_snapshot().compare_to(before, "filename")
                )
        tracemalloc.stop()
        # 20 a second for a minute asleep are 1,200 events.
        assert 1_000_000 / (size + 160) <= count <= 1_000_000 / (size + 150) + 2
        assert not site.session.is_open
        assert cost < 1_200_000


async def test_m2_a_broadcast_is_kept_once_for_all_who_are_away() -> None:
    io = Server()
    async with client_of(io) as client:
        for _ in range(50):
            peer = CountingPeer(client, "/socket.io/")
            carrier = await peer.open("websocket")
            await carrier.send("0")
            await carrier.take(1)
            carrier.cut()
        await settled()
        kept = io.stats().queued_bytes
        tracemalloc.start()
        for number in range(20):
            await io.emit("news", "x" * 10_000 + str(number))
        cost, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 200_000 < io.stats().queued_bytes - kept < 210_000
        assert cost < 500_000
