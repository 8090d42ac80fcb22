"""R15: who comes back too late hears so, and what of his the server had taken."""

from __future__ import annotations

import pytest
from asgi_driver import settled
from counting_peer import open_site

from holdfast import CloseReason

KINDS = ("websocket", "stream", "polling")


@pytest.mark.parametrize("kind", KINDS)
async def test_r15_the_refusal_says_what_was_taken_for_ten_minutes(kind: str) -> None:
    async with open_site(kind, grace_period=120.0) as site:
        peer, carrier = await site.opened()
        await carrier.send("one", "two")
        carrier.cut()
        await settled()
        # These two are on their way when the network goes.
        peer.said += ["three", "four"]
        await site.clock.advance(121)
        assert site.received == ["one", "two"]
        assert site.application.ended == [CloseReason.TRANSPORT_CLOSE]
        for _ in range(3):
            refusal = await (await peer.attach(kind)).refusal()
            assert (refusal.code, refusal.received) == (1, 2)
            assert peer.said[refusal.received :] == ["three", "four"]
            await site.clock.advance(190)
        await site.clock.advance(31)
        refusal = await (await peer.attach(kind)).refusal()
        assert (refusal.code, refusal.received) == (1, None)


@pytest.mark.parametrize("kind", KINDS)
async def test_r15_without_the_key_nobody_hears_it(kind: str) -> None:
    async with open_site(kind, grace_period=120.0) as site:
        peer, carrier = await site.opened()
        await carrier.send("one")
        carrier.cut()
        await site.clock.advance(121)
        peer.key = "x" * len(peer.key)
        refusal = await (await peer.attach(kind)).refusal()
        assert refusal.received is None
