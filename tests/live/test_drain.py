"""A server that goes away: everybody is told in turns, what was sent goes out first, and nobody new is taken."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from asgi_driver import Client, ManualClock, settled
from counting_peer import Carrier, CountingPeer, Site, client_of, open_site

from holdfast import CloseReason, Drained, Handshake, Server, Socket

pytestmark = pytest.mark.anyio

PLAIN = "/engine.io/?EIO=4&transport="


class Draining:
    """A drain that is under way."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.result: Drained | None = None

    async def pass_time(self, seconds: float) -> None:
        """In the steps in which a drain looks."""
        for _ in range(round(seconds / 0.05)):
            await self._clock.advance(0.05)

    async def end(self) -> Drained:
        for _ in range(2000):
            if self.result is not None:
                return self.result
            await self._clock.advance(0.05)
        raise AssertionError("it did not come to its end")


async def begin(site: Site, timeout: float = 20.0, period: float = 0.0, retry_after: float = 0.0) -> Draining:
    draining = Draining(site.clock)

    async def run() -> None:
        draining.result = await site.engine.drain(timeout, period=period, retry_after=retry_after)

    site.client.tasks.start_soon(run)
    await settled()
    return draining


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_session_is_told_after_all_that_was_sent_to_it(transport: str) -> None:
    async with open_site(transport) as site:
        _, carrier = await site.opened()
        for text in ("one", "two"):
            await site.session.send(text)
        draining = await begin(site)
        assert await carrier.take(2) == ["one", "two"]
        closing = await carrier.closing()
        assert closing.value == {"message": "server shutting down", "received": 0}
        assert await carrier.ended() == (1012 if transport == "websocket" else 0)
        result = await draining.end()
        assert (result.sessions, result.told, result.gone, result.cut) == (1, 1, 0, 0)
        assert (result.undelivered, result.running) == (0, 0)
        assert site.application.ended == [CloseReason.SERVER_SHUTTING_DOWN]


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_client_is_told_when_to_come_back(transport: str) -> None:
    async with open_site(transport) as site:
        carriers = [(await site.opened())[1] for _ in range(10)]
        draining = await begin(site, retry_after=2.0)
        times = [(await carrier.closing()).value["retry"] for carrier in carriers]
        assert all(2000 <= time <= 3000 for time in times)
        assert len(set(times)) > 1
        assert (await draining.end()).told == 10


async def test_plain_clients_are_told_by_the_standard_s_close() -> None:
    async with open_site() as site:
        sid = json.loads((await site.client.get(f"{PLAIN}polling").text())[1:])["sid"]
        poll = site.client.get(f"{PLAIN}polling&sid={sid}")
        socket = site.client.websocket(f"{PLAIN}websocket")
        await socket.accept()
        await socket.receive()
        await settled()
        draining = await begin(site, retry_after=2.0)
        assert await poll.text() == "1"
        assert await socket.receive() == "1"
        assert await socket.closed() == 1012
        assert (await draining.end()).told == 2


async def test_turns_are_spread_over_the_period() -> None:
    async with open_site() as site:
        for _ in range(100):
            await site.opened()
        # Two hundred a second are the least.
        draining = await begin(site, period=10.0, timeout=60.0)
        await draining.pass_time(0.25)
        assert 40 <= site.engine.session_count <= 60
        assert (await draining.end()).seconds < 0.7


async def test_turns_of_many_take_the_period_and_no_longer() -> None:
    async with open_site(max_unused_sessions_per_address=2000) as site:
        for _ in range(900):
            site.engine.table.open("polling", Handshake(), counting=True)
        draining = await begin(site, period=3.0, timeout=60.0)
        open_at: list[int] = []
        for _ in range(3):
            open_at.append(sum(session.is_open for session in site.engine.table.sessions.values()))
            await draining.pass_time(1.0)
        assert open_at[0] > 850
        assert 550 < open_at[1] < 650
        assert 250 < open_at[2] < 350
        assert not any(session.is_open for session in site.engine.table.sessions.values())


async def test_who_has_no_carrier_hears_of_it_on_the_next_one_and_is_not_waited_for_for_long() -> None:
    async with open_site("websocket") as site:
        back, carrier = await site.opened()
        away, other = await site.opened()
        for each in (carrier, other):
            each.cut()
        await settled()
        for session in site.application.sessions:
            await session.send("kept")
        draining = await begin(site)
        await draining.pass_time(1)
        carrier = await back.attach("stream")
        assert await carrier.take(1) == ["kept"]
        assert (await carrier.closing()).value["message"] == "server shutting down"
        result = await draining.end()
        assert (result.told, result.cut, result.undelivered) == (1, 1, 1)
        assert 4.9 <= result.seconds <= 5.3
        refused = await (await away.attach("stream")).refusal()
        assert (refused.code, refused.received) == (1, 0)


async def test_new_sessions_are_refused_and_told_when_to_try_again() -> None:
    async with open_site() as site:
        await site.opened()
        await begin(site, retry_after=2.5)
        for url in (f"{PLAIN}polling", f"{PLAIN}polling&holdfast=1", f"{PLAIN}stream&holdfast=1"):
            exchange = site.client.get(url)
            assert await exchange.start() == 503
            assert exchange.headers["retry-after"] == "3"
            assert exchange.headers["connection"] == "close"
            assert (await exchange.json())["retry"] == 2500
        denial = await site.client.websocket(f"{PLAIN}websocket").next()
        assert denial["status"] == 503
        assert (b"retry-after", b"3") in denial["headers"]
        site.client.denial = False
        assert await site.client.websocket(f"{PLAIN}websocket").closed_at_once() == 1013
        assert site.engine.stats().refused == {"shutting down": 5}


@pytest.mark.parametrize(("version", "closes"), [("1.1", True), ("1.0", True), ("2", False), ("3", False)])
async def test_connection_is_closed_behind_an_answer_where_that_is_said_by_a_header(
    version: str, closes: bool
) -> None:
    async def of_version(scope: Any, receive: Any, send: Any) -> None:
        await site.engine({**scope, "http_version": version}, receive, send)

    async with open_site() as site:
        site.client.app = of_version
        for draining in (False, True):
            exchange = site.client.get(f"{PLAIN}polling")
            await exchange.start()
            assert ("connection" in exchange.headers) == (closes and draining)
            await begin(site)


async def test_drain_is_one_whoever_asks_for_it_and_goes_on_without_them() -> None:
    async with open_site() as site:
        _, carrier = await site.opened()
        carrier.cut()
        await settled()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(site.engine.drain)
                await settled()
                scope.cancel()
        assert site.engine.stats().draining
        draining = await begin(site)
        result = await draining.end()
        assert (result.sessions, result.cut) == (1, 1)
        assert await site.engine.drain() is result
        site.engine.start()
        assert not site.engine.stats().draining
        await site.opened()


async def test_clients_that_leave_by_themselves_are_gone() -> None:
    async with open_site() as site:
        carriers = [(await site.opened())[1] for _ in range(3)]
        draining = await begin(site, period=10, timeout=60)
        for carrier in carriers:
            carrier.socket.send("1")  # type: ignore[attr-defined]
        result = await draining.end()
        assert result.told + result.gone == 3
        assert result.gone >= 2


async def test_who_takes_nothing_does_not_hold_it_up() -> None:
    async with open_site("stream") as site:
        _, carrier = await site.opened()
        carrier.exchange.hang()  # type: ignore[attr-defined]
        assert (await (await begin(site)).end()).seconds < 4


async def test_drain_of_nobody_is_over_at_once() -> None:
    async with open_site() as site:
        assert (await site.engine.drain()).sessions == 0


@pytest.mark.parametrize("wrong", [{"timeout": -1}, {"period": -1}, {"retry_after": -0.1}])
async def test_times_below_zero_are_refused(wrong: dict[str, float]) -> None:
    async with open_site() as site:
        with pytest.raises(ValueError, match="below zero"):
            await site.engine.drain(**wrong)
        assert not site.engine.stats().draining


# -- handlers


class Shop:
    """A server with a handler that waits to be let go."""

    def __init__(self, clock: ManualClock, client: Client, io: Server) -> None:
        self.site = Site("websocket", io, None, clock, client)  # type: ignore[arg-type]
        self.io = io
        self.go = anyio.Event()
        self.heard: list[str] = []

    async def buyer(self) -> Carrier:
        peer = CountingPeer(self.site.client, "/socket.io/")
        carrier = await peer.open("websocket")
        await carrier.send("0")
        await carrier.take(1)
        await carrier.send('21["buy"]')
        return carrier


@asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    clock = ManualClock()
    io = Server(clock=clock)
    async with client_of(io) as client:
        shop = Shop(clock, client, io)

        @io.on("buy")
        async def buy(socket: Socket) -> str:
            await shop.go.wait()
            return "bought"

        @io.on("disconnect")
        async def gone(socket: Socket, reason: str) -> None:
            shop.heard.append(reason)

        yield shop


async def test_handler_that_runs_answers_before_its_session_is_told() -> None:
    async with open_shop() as shop:
        carrier = await shop.buyer()
        draining = await begin(shop.site)
        await draining.pass_time(3)
        assert shop.io.session_count == 1
        shop.go.set()
        await draining.pass_time(0.1)
        assert await carrier.take(1) == ['31["bought"]']
        assert (await carrier.closing()).value["received"] == 2
        result = await draining.end()
        assert (result.told, result.running) == (1, 0)
        assert shop.heard == ["server shutting down"]


async def test_handler_that_hangs_has_half_of_the_time_and_is_counted() -> None:
    async with open_shop() as shop:
        carrier = await shop.buyer()
        draining = await begin(shop.site, timeout=8.0)
        await draining.pass_time(3.9)
        assert shop.io.stats().ended["server shutting down"] == 0
        await draining.pass_time(0.2)
        assert (await carrier.closing()).value["message"] == "server shutting down"
        result = await draining.end()
        assert (result.told, result.running) == (1, 1)
        assert 8.0 <= result.seconds < 8.2
        shop.go.set()
