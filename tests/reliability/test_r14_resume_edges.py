"""R14: each edge of a resume has one outcome, and says it."""

from __future__ import annotations

import pytest
from asgi_driver import settled
from counting_peer import CountingPeer, client_of, open_site

from holdfast import CloseReason, LocalProtocolError, Server, Socket

KINDS = ("websocket", "stream", "polling")


@pytest.mark.parametrize("kind", KINDS)
async def test_r14_before_anything_was_said(kind: str) -> None:
    async with open_site(kind) as site:
        peer, carrier = await site.opened()
        carrier.cut()
        carrier = await peer.attach(kind)
        await carrier.send("up")
        site.say("down")
        assert await carrier.take(1) == ["down"]
        assert site.received == ["up"]
        assert len(site.application.sessions) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_r14_after_an_absence_almost_as_long_as_the_grace_period(kind: str) -> None:
    async with open_site(kind, grace_period=120.0) as site:
        peer, carrier = await site.opened()
        await carrier.send("used")
        carrier.cut()
        await settled()
        site.say("meanwhile")
        await site.clock.advance(119)
        carrier = await peer.attach(kind)
        assert await carrier.take(1) == ["meanwhile"]
        assert site.session.is_open


@pytest.mark.parametrize("kind", KINDS)
async def test_r14_after_hours_without_an_event(kind: str) -> None:
    """Unlike an offset that the last event carries, a number does not grow old."""
    async with open_site(kind, grace_period=20_000.0) as site:
        peer, carrier = await site.opened()
        await site.session.send("first")
        assert await carrier.take(1) == ["first"]
        await carrier.send("used")
        for _ in range(3):
            carrier.cut()
            await site.clock.advance(10_000)
            carrier = await peer.attach(kind)
        site.say("second")
        assert await carrier.take(1) == ["second"]
        assert len(site.application.sessions) == 1


@pytest.mark.parametrize("last", ["7", "", "0", '42["event","1700000000000-0"]', "Ω\x1e\n"])
@pytest.mark.parametrize("kind", KINDS)
async def test_r14_what_was_said_last_is_never_taken_for_a_position(kind: str, last: str) -> None:
    async with open_site(kind) as site:
        peer, carrier = await site.opened()
        for message in ("one", last):
            await site.session.send(message)
        assert await carrier.take(2) == ["one", last]
        carrier.cut()
        await settled()
        site.say("three")
        carrier = await peer.attach(kind)
        assert await carrier.take(1) == ["three"]


@pytest.mark.parametrize("kind", KINDS)
async def test_r14_volatile_events_are_dropped_and_shift_nothing(kind: str) -> None:
    io = Server()
    sockets: list[Socket] = []

    @io.on("connect")
    def connected(socket: Socket, auth: object) -> None:
        sockets.append(socket)

    async with client_of(io) as client:
        peer = CountingPeer(client, "/socket.io/")
        carrier = await peer.open(kind)
        await carrier.send("0")
        await carrier.take(1)
        carrier.cut()
        await settled()
        (socket,) = sockets
        for number in range(3):
            await socket.emit("kept", number)
            await socket.volatile.emit("dropped", str(number))
        carrier = await peer.attach(kind)
        assert await carrier.take(3) == [f'2["kept",{number}]' for number in range(3)]
        await socket.emit("after")
        assert await carrier.take(1) == ['2["after"]']


@pytest.mark.parametrize("kind", KINDS)
async def test_r14_ten_cuts_without_traffic(kind: str) -> None:
    async with open_site(kind) as site:
        peer, carrier = await site.opened()
        await site.session.send("down 1")
        assert await carrier.take(1) == ["down 1"]
        await carrier.send("up 1")
        for _ in range(10):
            carrier.cut()
            await settled()
            carrier = await peer.attach(kind)
        await carrier.send("up 2")
        site.say("down 2")
        assert await carrier.take(1) == ["down 2"]
        assert site.received == ["up 1", "up 2"]


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
async def test_r14_of_two_resumes_at_once_the_higher_number_carries(first: str, second: str) -> None:
    async with open_site("websocket") as site:
        peer, carrier = await site.opened()
        await site.session.send("seen")
        assert await carrier.take(1) == ["seen"]
        carrier.cut()
        await settled()
        low, high = peer.new_number(), peer.new_number()
        newer = await peer.attach(second, number=high)
        older = await peer.attach(first, number=low)
        site.say("once")
        assert await newer.take(1) == ["once"]
        assert (await older.refusal()).code == 6
        assert site.session.is_open


@pytest.mark.parametrize("kind", KINDS)
async def test_r14_after_a_clean_close_the_session_is_over_and_says_what_it_took(kind: str) -> None:
    async with open_site(kind) as site:
        peer, _ = await site.opened()
        await peer.post("91", "4one", "4two", "1")
        assert site.application.ended == [CloseReason.TRANSPORT_CLOSE]
        refusal = await (await peer.attach(kind)).refusal()
        assert (refusal.code, refusal.received) == (1, 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_r14_more_than_is_kept_ends_the_session_and_says_so(kind: str) -> None:
    async with open_site(kind, buffer_limit=10_000, max_payload=5_000, when_full="disconnect") as site:
        peer, carrier = await site.opened()
        await carrier.send("up")
        carrier.cut()
        await settled()
        with pytest.raises(LocalProtocolError):
            await site.session.send("x" * 10_001)
        for _ in range(3):
            await site.session.send("x" * 4_000)
        await settled()
        assert site.application.ended == [CloseReason.BUFFER_FULL]
        refusal = await (await peer.attach(kind)).refusal()
        assert (refusal.code, refusal.received) == (1, 1)
