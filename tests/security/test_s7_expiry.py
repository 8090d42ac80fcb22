"""S7: with credentials that have expired a session goes on for a second at most, on every transport."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from asgi_driver import settled
from counting_peer import Carrier, CountingPeer, Site, open_site
from logged_in import QUIET, TRANSPORTS, Browser, open_users, peer_of

from holdfast import Allowed, CloseReason, Handshake

PLAIN = "/engine.io/?EIO=4&transport="


async def opened(site: Site, transport: str, cookie: str = "user=alice") -> tuple[CountingPeer, Carrier]:
    peer = peer_of(site, cookie)
    carrier = await peer.open(transport)
    await carrier.send("before")
    return peer, carrier


def bad_from_now_on(users: Any, cookie: str = "user=alice") -> None:
    users.out.add(cookie)
    users.until = None


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_s7_carrier_is_cut_in_time_and_nothing_of_the_client_counts_any_more(transport: str) -> None:
    async with open_users(seconds=60) as (site, users):
        peer, carrier = await opened(site, transport)
        await site.clock.advance(59)
        assert site.engine.table.sessions[peer.sid].attached
        bad_from_now_on(users)
        await site.clock.advance(1.5)
        # A poll is answered, a stream ended, a WebSocket closed as one that is out of date.
        assert await carrier.ended() == (4006 if transport == "websocket" else 0)
        for again in TRANSPORTS:
            refusal = await (await peer.attach(again)).refusal()
            assert (refusal.status, refusal.value["message"]) == (403, "log in first")
        peer.said.append("after")
        assert (await peer.post()).status == 403
        assert site.received == ["before"]
        await site.clock.advance(10)
        assert site.session.reason is CloseReason.AUTHENTICATION_EXPIRED
        assert site.engine.session_count == 0


@pytest.mark.parametrize("after", TRANSPORTS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_s7_client_comes_back_with_fresh_credentials_and_nothing_is_lost(
    transport: str, after: str
) -> None:
    async with open_users(seconds=60) as (site, users):
        peer, carrier = await opened(site, transport)
        if transport != "polling":
            await site.session.send("one")
            assert await carrier.take(1) == ["one"]
        bad_from_now_on(users)
        await site.clock.advance(61)
        await carrier.ended()
        await site.session.send("two")
        # The page has another cookie now, of the same user.
        peer.client = Browser(site.client, cookie="user=alice; fresh")
        carrier = await peer.attach(after)
        assert await carrier.take(1) == ["two"]
        await carrier.send("three")
        assert site.received == ["before", "three"]
        await site.clock.advance(9)
        assert site.session.is_open


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_s7_session_of_a_web_application_that_slides_goes_on_unnoticed(transport: str) -> None:
    async with open_users(seconds=20) as (site, users):
        _, carrier = await opened(site, transport)
        asked = len(users.asked)
        for _ in range(3):
            users.until = time.time() + 20
            await site.clock.advance(8)
            await carrier.send("still here")
        assert asked < len(users.asked) <= asked + 4
        assert site.received == ["before"] + ["still here"] * 3
        assert site.session.is_open


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_s7_standard_client_is_put_out_and_refused(transport: str) -> None:
    async with open_users(seconds=20) as (site, users):
        browser = Browser(site.client, cookie="user=alice")
        if transport == "websocket":
            socket = browser.websocket(PLAIN + "websocket")
            await socket.accept()
            await socket.receive()
            bad_from_now_on(users)
            await site.clock.advance(20.5)
            assert await socket.receive() == "1"
            assert await socket.closed() == 1008
            start = await browser.websocket(PLAIN + "websocket").next()
            assert start["status"] == 403
        else:
            sid = json.loads((await browser.get(PLAIN + "polling").text())[1:])["sid"]
            poll = browser.get(f"{PLAIN}polling&sid={sid}")
            bad_from_now_on(users)
            await site.clock.advance(20.5)
            assert await poll.text() == "1"
            assert await browser.post(f"{PLAIN}polling&sid={sid}", "4after").start() == 400
            assert await browser.get(PLAIN + "polling").start() == 403
        await settled()
        assert site.session.reason is CloseReason.AUTHENTICATION_EXPIRED
        assert site.received == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_s7_application_that_takes_longer_than_a_second_is_not_waited_for(transport: str) -> None:
    gate = anyio.Event()
    asked = 0

    async def allow_request(handshake: Handshake) -> Allowed:
        nonlocal asked
        asked += 1
        if asked > 1:
            await gate.wait()
        return Allowed(principal="alice", expires_at=time.time() + 20)

    async with open_site(allow_request=allow_request, **QUIET) as site:
        peer = site.peer()
        carrier = await peer.open(transport)
        await site.clock.advance(21.5)
        await carrier.ended()
        assert not site.engine.table.sessions[peer.sid].attached
        gate.set()
        await settled()
        # What it says now is too late for the old carrier, and in time for the next one.
        carrier = await peer.attach(transport)
        await site.session.send("here")
        assert await carrier.take(1) == ["here"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_s7_resume_with_credentials_that_expired_meanwhile_is_refused(transport: str) -> None:
    async with open_users(seconds=60) as (site, users):
        peer, carrier = await opened(site, "websocket")
        carrier.cut()
        await site.clock.advance(30)
        users.until = time.time() - 1
        refusal = await (await peer.attach(transport)).refusal()
        assert (refusal.status, refusal.code) == (403, 4)
        assert "expired" in refusal.value["message"]
        # Not harmed, and not ended by it: whoever comes with better ones gets it.
        users.until = None
        carrier = await peer.attach("websocket")
        assert (await carrier.attached()).received == 1


async def test_s7_credentials_of_a_client_that_is_away_expire_too() -> None:
    async with open_users(seconds=20) as (site, users):
        peer, carrier = await opened(site, "polling")
        carrier.cut()
        await settled()
        bad_from_now_on(users)
        await site.clock.advance(30)
        assert site.session.is_open
        peer.client = Browser(site.client, cookie="user=alice; fresh")
        await site.session.send("while you were away")
        carrier = await peer.attach("polling")
        assert await carrier.take(1) == ["while you were away"]
        await site.clock.advance(100)


async def test_s7_opening_with_expired_credentials_is_refused() -> None:
    async with open_users(seconds=-1) as (site, _):
        browser = Browser(site.client, cookie="user=alice")
        exchange = browser.get(PLAIN + "polling")
        assert await exchange.start() == 403
        assert "expired" in (await exchange.json())["message"]
        assert site.engine.session_count == 0


async def test_s7_request_that_is_judged_at_the_last_moment_is_not_undone_by_an_older_word() -> None:
    gates: list[anyio.Event] = []

    async def allow_request(handshake: Handshake) -> Allowed | bool:
        if handshake.headers["cookie"] == "user=alice" and gates:
            await gates[0].wait()
            return False
        return Allowed(principal="alice", expires_at=time.time() + 20)

    async with open_site(allow_request=allow_request, **QUIET) as site:
        peer = peer_of(site, "user=alice")
        carrier = await peer.open("websocket")
        gates.append(anyio.Event())
        await site.clock.advance(20.2)
        peer.client = Browser(site.client, cookie="user=alice; fresh")
        carrier = await peer.attach("websocket")
        await carrier.attached()
        gates[0].set()
        await site.clock.advance(15)
        await site.session.send("here")
        assert await carrier.take(1) == ["here"]


async def test_s7_end_of_a_session_ends_its_time() -> None:
    async with open_users(seconds=20) as (site, users):
        _, carrier = await opened(site, "websocket")
        asked = len(users.asked)
        site.session.close()
        carrier.cut()
        await site.clock.advance(200)
        assert len(users.asked) == asked
        assert site.session.reason is CloseReason.FORCED_SERVER_CLOSE


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), float("nan"), float("inf")])
def test_time_that_is_none_is_refused(at: Any) -> None:
    with pytest.raises(ValueError, match="expires_at"):
        Allowed(expires_at=at)


@pytest.mark.parametrize("at", ["2026-01-01", True, timedelta(1)])
def test_time_of_another_type_is_refused(at: Any) -> None:
    with pytest.raises(TypeError, match="expires_at"):
        Allowed(expires_at=at)


async def test_time_with_a_zone_is_as_good_as_seconds() -> None:
    later = datetime.now(UTC) + timedelta(seconds=20)

    async with open_site(allow_request=lambda handshake: Allowed(expires_at=later), **QUIET) as site:
        peer, carrier = await site.opened("websocket")
        await site.clock.advance(10)
        assert carrier.is_quiet()
        later -= timedelta(seconds=40)
        await site.clock.advance(11)
        assert await carrier.ended() == 4006
        assert (await (await peer.attach("websocket")).refusal()).status == 403
