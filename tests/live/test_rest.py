"""A carrier that has nothing to write has no task for it: of idle sessions there are many."""

from __future__ import annotations

import pytest
from asgi_driver import settled
from counting_peer import Carrier, CountingPeer, Site, WebSocketCarrier, open_site


def writers(site: Site) -> int:
    """How many tasks there are that write."""
    (live,) = site.engine.table.sessions.values()
    return sum([attachment._awake for attachment in live._attachments.values()])


async def answer(peer: CountingPeer, carrier: Carrier) -> None:
    if isinstance(carrier, WebSocketCarrier):
        carrier.socket.send("3")
    else:
        await peer.post("3")


@pytest.mark.parametrize("transport", ["websocket", "stream"])
async def test_carrier_without_messages_lets_its_writer_go_and_has_it_back(transport: str) -> None:
    async with open_site(transport) as site:
        peer, carrier = await site.opened()
        await settled()
        assert writers(site) == 0
        for number in range(20):
            await site.session.send(str(number))
            assert await carrier.take(1) == [str(number)]
            await settled()
            # Who has much to write is not sent for each time; where that costs nothing, always.
            assert writers(site) == (number >= 7 and site.engine.table.host.hands is None), number
        for _ in range(3):
            await site.clock.advance(10)
            assert await carrier.packet("2")
            await answer(peer, carrier)
            await settled()
            assert writers(site) == 0


@pytest.mark.parametrize("transport", ["websocket", "stream"])
async def test_carrier_that_rests_ends_as_any(transport: str) -> None:
    async with open_site(transport) as site:
        peer, carrier = await site.opened()
        for _ in range(3):
            await site.clock.advance(10)
            await carrier.packet("2")
            await answer(peer, carrier)
            await settled()
        assert writers(site) == 0
        site.session.close()
        await carrier.closing()
        await carrier.ended()
        await settled()
        assert site.engine.session_count == 0
