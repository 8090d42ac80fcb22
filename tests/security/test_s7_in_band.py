"""S7, for credentials in the `auth` of a CONNECT: the client is asked for fresh ones, whatever carries its session."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from asgi_driver import Client, ManualClock, settled
from counting_peer import Carrier, CountingPeer, client_of
from logged_in import QUIET, TRANSPORTS

from holdfast import ConnectionRefusedError, Server, Socket

ASKED = '20["reauthenticate"]'
FRESH, STALE = '30[{"token":"fresh"}]', '30[{"token":"old"}]'
PLAIN = "/socket.io/?EIO=4&transport="


class Site:
    def __init__(self, io: Server, clock: ManualClock, client: Client) -> None:
        self.io, self.clock, self.client = io, clock, client
        self.good = {"old"}
        self.gone: list[str] = []
        self.heard: list[str] = []
        io.use(self.known)
        io.on("e", self.event)
        io.on("disconnect", self.left)

    async def known(self, socket: Socket, auth: dict[str, object]) -> None:
        if auth.get("token") not in self.good:
            raise ConnectionRefusedError("unknown token")
        socket.reauthenticate_after(60, timeout=5)

    async def event(self, socket: Socket, text: str) -> None:
        self.heard.append(text)

    async def left(self, socket: Socket, reason: str) -> None:
        self.gone.append(reason)

    async def connected(self, transport: str) -> tuple[CountingPeer, Carrier]:
        peer = CountingPeer(self.client, path="/socket.io/")
        carrier = await peer.open(transport)
        await carrier.send('0{"token":"old"}')
        [answer] = await carrier.take(1)
        assert str(answer).startswith("0{")
        await settled()
        self.good = {"fresh"}
        return peer, carrier


@asynccontextmanager
async def opened() -> AsyncIterator[Site]:
    clock = ManualClock()
    io = Server(clock=clock, **QUIET)
    async with client_of(io) as client:
        yield Site(io, clock, client)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_s7_in_band_refresh_goes_unnoticed(transport: str) -> None:
    async with opened() as site:
        _, carrier = await site.connected(transport)
        await site.clock.advance(61)
        assert await carrier.take(1) == [ASKED]
        await carrier.send(FRESH, '2["e","still here"]')
        await site.clock.advance(30)
        assert (site.heard, site.gone) == (["still here"], [])
        # And again, when that one is over.
        await site.clock.advance(31)
        assert await carrier.take(1) == ['21["reauthenticate"]']


@pytest.mark.parametrize("answer", [STALE, None, '30[{"token":7}]', '30["fresh"]', "30[]"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_s7_in_band_without_fresh_credentials_the_socket_is_put_out(
    transport: str, answer: str | None
) -> None:
    async with opened() as site:
        _, carrier = await site.connected(transport)
        await site.clock.advance(61)
        assert await carrier.take(1) == [ASKED]
        if answer is None:
            await site.clock.advance(5)
        else:
            await carrier.send(answer)
        assert await carrier.take(1) == ["1"]
        await carrier.send('2["e","after"]')
        assert (site.heard, site.gone) == ([], ["authentication expired"])


@pytest.mark.parametrize("after", TRANSPORTS)
async def test_s7_in_band_resume_after_the_time_is_a_resume_of_nothing(after: str) -> None:
    async with opened() as site:
        peer, carrier = await site.connected("websocket")
        carrier.cut()
        await site.clock.advance(66)
        carrier = await peer.attach(after)
        # It was asked, and then put out, while it was away.
        assert await carrier.take(2) == [ASKED, "1"]
        await carrier.send('2["e","after"]')
        assert (site.heard, site.gone) == ([], ["authentication expired"])


@pytest.mark.parametrize("after", TRANSPORTS)
async def test_s7_in_band_client_that_is_back_in_time_answers(after: str) -> None:
    async with opened() as site:
        peer, carrier = await site.connected("websocket")
        carrier.cut()
        await site.clock.advance(62)
        carrier = await peer.attach(after)
        assert await carrier.take(1) == [ASKED]
        await carrier.send(FRESH, '2["e","after"]')
        await site.clock.advance(10)
        assert (site.heard, site.gone) == (["after"], [])


@pytest.mark.parametrize("answer", [FRESH, STALE])
async def test_s7_in_band_standard_client_with_a_listener_answers_by_polling(answer: str) -> None:
    async with opened() as site:
        sid = json.loads((await site.client.get(f"{PLAIN}polling").text())[1:])["sid"]
        url = f"{PLAIN}polling&sid={sid}"
        assert await site.client.post(url, '40{"token":"old"}').start() == 200
        assert (await site.client.get(url).text()).startswith("40{")
        await settled()
        site.good = {"fresh"}
        poll = site.client.get(url)
        await site.clock.advance(61)
        assert await poll.text() == f"4{ASKED}"
        poll = site.client.get(url)
        assert await site.client.post(url, f"4{answer}").start() == 200
        await settled()
        if answer == STALE:
            assert await poll.text() == "41"
        assert site.gone == ([] if answer == FRESH else ["authentication expired"])
