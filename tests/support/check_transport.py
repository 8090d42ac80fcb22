"""What every transport of a counting session must do, whatever it is made of.

`check_transport(make)` runs all of it; `CHECKS` holds the single ones. ``make(**settings)`` opens a `Site` whose
`transport` is the one to be checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from asgi_driver import Exchange, WebSocketExchange, settled
from counting_peer import Carrier, CountingPeer, Data, Site, client_of

from holdfast import CloseReason

__all__ = ["CHECKS", "TRANSPORTS", "Check", "Make", "check_transport"]

TRANSPORTS = ("websocket", "stream", "polling")

Make = Callable[..., AbstractAsyncContextManager[Site]]
Check = Callable[[Make], Awaitable[None]]
CHECKS: list[Check] = []

ANY_TEXT = [
    "",
    "plain",
    "\x1e",
    "a\x1eb\x1e",
    "line\nfeed",
    "carriage\rreturn",
    "both\r\n\r\n",
    "\0",
    "\ufeffmark",
    "\u2028\u2029\x85",
    "data: x\n\nid: 99",
    '"quoted" \\ \\u001e',
    "4",
    "jb0123456789",
    "Grüße, 世界 \U0001f388",
]
ANY_BYTES = [b"", b"\0", bytes(range(256)), b"\xff" * 1000]


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


async def check_transport(make: Make) -> None:
    """Run every check."""
    for function in CHECKS:
        await function(make)


# -- messages


@check
async def messages_arrive_both_ways_in_order(make: Make) -> None:
    async with make() as site:
        _, carrier = await site.opened()
        for start in range(0, 200, 20):
            numbers = [str(number) for number in range(start, start + 20)]
            await carrier.send(*numbers)
            for number in numbers:
                await site.session.send(number)
            assert await carrier.take(20) == numbers
        await settled()
        assert site.received == [str(number) for number in range(200)]


@check
async def any_text_and_any_bytes_arrive_as_they_were_sent(make: Make) -> None:
    async with make() as site:
        _, carrier = await site.opened()
        everything: list[Data] = [*ANY_TEXT, *ANY_BYTES, *reversed(ANY_TEXT)]
        for message in everything:
            await site.session.send(message)
        await carrier.send(*everything)
        assert await carrier.take(len(everything)) == everything
        await settled()
        assert site.received == everything


@check
async def what_waits_is_written_together_within_the_order(make: Make) -> None:
    async with make() as site:
        _, carrier = await site.opened()
        expected: list[Data] = []
        for number in range(50):
            message = bytes([number]) if number % 3 == 0 else str(number)
            expected.append(message)
            await site.session.send(message)
        assert await carrier.take(50) == expected


# -- carriers come and go


@check
async def a_cut_carrier_is_resumed_at_the_position_reached(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        await carrier.send("one")
        await site.session.send("a")
        assert await carrier.take(1) == ["a"]
        carrier.cut()
        await settled()
        await site.session.send("b")
        await site.session.send("c")
        resumed = await peer.attach(site.transport)
        answer = await resumed.attached()
        assert answer.received == 1
        assert resumed.next == 2 + len(resumed.messages)
        assert await resumed.take(2) == ["b", "c"]
        await resumed.send("two")
        await settled()
        assert site.received == ["one", "two"]
        assert site.session.is_open


@check
async def what_a_cut_carrier_had_written_but_nobody_read_comes_again(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        await site.session.send("a")
        await site.session.send(b"b")
        await settled()
        assert not carrier.is_quiet()
        carrier.cut()
        await settled()
        resumed = await peer.attach(site.transport)
        assert await resumed.take(2) == ["a", b"b"]


@check
async def transports_may_follow_one_another_in_any_order(make: Make) -> None:
    orders = [(first, second) for first in TRANSPORTS for second in TRANSPORTS]
    for cut in (True, False):
        for order in orders:
            async with make() as site:
                peer, carrier = await site.opened()
                expected: list[Data] = []
                for step, transport in enumerate((*order, site.transport)):
                    await site.session.send(f"{step} to the old carrier")
                    await carrier.send(f"{step} from the old carrier")
                    if cut:
                        carrier.cut()
                        await settled()
                    await site.session.send(f"{step} between")
                    carrier = await peer.attach(transport)
                    await site.session.send(f"{step} to the new carrier")
                    expected += [
                        f"{step} to the old carrier",
                        f"{step} between",
                        f"{step} to the new carrier",
                    ]
                    assert await _heard(peer, carrier, len(expected)) == expected[-3:]
                    await carrier.send(f"{step} from the new carrier")
                    assert site.session.transport == transport
                await settled()
                assert site.received == [
                    f"{step} from the {which} carrier" for step in range(3) for which in ("old", "new")
                ]
                assert peer.received == len(expected)


async def _heard(peer: CountingPeer, carrier: Carrier, position: int) -> list[Data]:
    messages: list[Data] = []
    while peer.received < position:
        await carrier.read()
    messages.extend(carrier.messages)
    carrier.messages.clear()
    return messages


@check
async def a_replaced_carrier_ends_and_writes_no_more(make: Make) -> None:
    for transport in TRANSPORTS:
        async with make() as site:
            peer, old = await site.opened()
            await site.session.send("before")
            assert await old.take(1) == ["before"]
            if site.transport == "polling":
                old = await peer.attach("polling")
            new = await peer.attach(transport)
            await site.session.send("after")
            assert await new.take(1) == ["after"]
            if isinstance(code := await _ended(site, old), int) and site.transport == "websocket":
                assert code == 4006
            assert not old.messages
            assert site.session.is_open


async def _ended(site: Site, carrier: Carrier) -> int:
    # A replaced WebSocket is still read for some seconds.
    await site.clock.advance(5)
    return await carrier.ended()


@check
async def the_late_end_of_a_replaced_carrier_changes_nothing(make: Make) -> None:
    async with make(grace_period=30.0) as site:
        peer, old = await site.opened()
        new = await peer.attach("websocket")
        await new.attached()
        old.cut()
        await settled()
        for _ in range(12):
            # The new carrier is alive all the time, far beyond the grace period.
            await site.clock.advance(10)
            await new.packet("2")
            new.socket.send("3")  # type: ignore[attr-defined]
            await settled()
        await site.session.send("still here")
        assert await new.take(1) == ["still here"]


@check
async def a_stale_attach_is_refused_and_the_session_unharmed(make: Make) -> None:
    async with make() as site:
        peer, _ = await site.opened()
        current = await peer.attach("websocket", number=9)
        await current.attached()
        for number in (1, 5, 8):
            stale = await peer.attach(site.transport, number=number)
            refusal = await stale.refusal()
            assert (refusal.status, refusal.code) == (409, 6)
        await site.session.send("unharmed")
        assert await current.take(1) == ["unharmed"]
        await current.send("both ways")
        await settled()
        assert site.received == ["both ways"]


@check
async def a_stale_attach_still_acknowledges(make: Make) -> None:
    async with make(buffer_limit=1000) as site:
        peer, carrier = await site.opened("websocket")
        await peer.attach("websocket", number=9)
        await settled()
        await site.session.send("x" * 400)
        await settled()
        await peer.attach(site.transport, number=2, received=1)
        assert site.engine.table.sessions[peer.sid].buffered_bytes == 0
        assert not carrier.is_over


@check
async def a_wrong_key_is_refused_and_the_session_unharmed(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        right = peer.key
        for key in ("", "guess", right[:-1], right + "x", "\ud800"):
            refusal = await (await peer.attach(site.transport, number=50, key=key)).refusal()
            assert (refusal.status, refusal.code, refusal.received) == (403, 4, None)
        await site.session.send("unharmed")
        assert await carrier.take(1) == ["unharmed"]


@check
async def an_acknowledgement_of_the_future_ends_the_session(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        await site.session.send("a")
        assert await carrier.take(1) == ["a"]
        attached = await peer.attach(site.transport, received=7)
        refusal = await attached.refusal()
        assert (refusal.status, refusal.code) == (400, 3)
        await settled()
        assert not site.session.is_open
        assert site.application.ended == [CloseReason.PARSE_ERROR]


@check
async def a_gap_ends_the_carrier_and_not_the_session(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        await carrier.send("one")
        if site.transport == "websocket":
            carrier.socket.send("95\x1e4five")  # type: ignore[attr-defined]
            assert await carrier.ended() == 4007
        else:
            refusal = await peer.post("95", "4five")
            assert (refusal.status, refusal.code, refusal.received) == (409, 7, 1)
        resumed = await peer.attach(site.transport)
        await resumed.send("two")
        await settled()
        assert site.received == ["one", "two"]


@check
async def a_broken_packet_ends_the_session_with_code_3(make: Make) -> None:
    for broken in (
        "x",
        "",
        "8-1",
        "9007",
        "90",
        "8" + "9" * 17,
        "j{}",
        "b!",
        "4no number was stated",
        "7{}",
        "5",
    ):
        async with make() as site:
            peer, carrier = await site.opened()
            if site.transport == "websocket":
                carrier = await peer.attach("websocket")
                await carrier.attached()
                carrier.socket.send(broken)  # type: ignore[attr-defined]
                assert (await carrier.closing()).code == 3
                await carrier.ended()
            else:
                refusal = await peer.post(broken)
                assert (refusal.status, refusal.code) == (400, 3)
                assert (await carrier.closing()).code == 3
            await settled()
            assert site.application.ended == [CloseReason.PARSE_ERROR]


@check
async def a_request_that_its_server_cancels_detaches(make: Make) -> None:
    async with make() as site:
        async with client_of(site.engine) as client:
            peer = CountingPeer(client)
            await peer.open(site.transport)
            live = site.engine.table.sessions[peer.sid]
            assert live.attached
        assert not live.attached
        assert live.is_open


# -- ends


@check
async def a_session_without_a_carrier_is_kept_for_the_grace_period(make: Make) -> None:
    async with make(grace_period=60.0) as site:
        peer, carrier = await site.opened()
        await carrier.send("one")
        carrier.cut()
        await site.clock.advance(59.9)
        assert site.session.is_open
        resumed = await peer.attach(site.transport)
        await site.session.send("in time")
        assert await resumed.take(1) == ["in time"]
        resumed.cut()
        await site.clock.advance(60.1)
        assert site.application.ended == [CloseReason.TRANSPORT_CLOSE]
        assert not site.engine.table.sessions


@check
async def after_its_end_the_right_key_learns_how_far_the_server_had_got(make: Make) -> None:
    async with make(grace_period=60.0, tombstone_period=600.0) as site:
        peer, carrier = await site.opened()
        await carrier.send("one", "two", "three")
        carrier.cut()
        await site.clock.advance(61)
        refusal = await (await peer.attach(site.transport)).refusal()
        assert (refusal.status, refusal.code, refusal.received) == (400, 1, 3)
        refusal = await (await peer.attach(site.transport, key="guess")).refusal()
        assert (refusal.status, refusal.code, refusal.received) == (400, 1, None)
        await site.clock.advance(600)
        refusal = await (await peer.attach(site.transport)).refusal()
        assert (refusal.status, refusal.code, refusal.received) == (400, 1, None)


@check
async def a_session_over_its_byte_bound_is_closed_with_a_reason(make: Make) -> None:
    async with make(buffer_limit=13_000) as site:
        peer, carrier = await site.opened()
        carrier.cut()
        await settled()
        live = site.engine.table.sessions[peer.sid]
        for _ in range(10):
            await site.session.send("x" * 500)
        assert live.is_open
        live.send_nowait(*[_message("y" * 3500)] * 2)
        assert not live.is_open
        await settled()
        assert site.application.ended == [CloseReason.BUFFER_FULL]
        refusal = await (await peer.attach(site.transport)).refusal()
        assert (refusal.code, refusal.received) == (1, 0)


def _message(text: str) -> object:
    from holdfast.engine.wire.message import Message

    return Message(text)


@check
async def the_bound_counts_what_is_not_acknowledged_yet(make: Make) -> None:
    async with make(buffer_limit=10_000) as site:
        peer, carrier = await site.opened()
        live = site.engine.table.sessions[peer.sid]
        for _ in range(20):
            await site.session.send("x" * 2000)
            await carrier.take(1)
            if site.transport == "websocket":
                carrier.socket.send(f"8{peer.received}")  # type: ignore[attr-defined]
            elif site.transport == "stream":
                await peer.post("3")
            await settled()
        assert live.is_open
        assert live.buffered_bytes <= 2150


@check
async def what_was_sent_before_the_servers_close_goes_out_first(make: Make) -> None:
    async with make() as site:
        _, carrier = await site.opened()
        await carrier.send("one", "two")
        await site.session.send("last words")
        site.session.close()
        assert await carrier.take(1) == ["last words"]
        closing = await carrier.closing()
        assert (closing.code, closing.received) == (None, 2)
        await carrier.ended()
        await settled()
        assert site.application.ended == [CloseReason.FORCED_SERVER_CLOSE]


@check
async def a_close_while_no_carrier_is_there_waits_for_one(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        carrier.cut()
        await settled()
        await site.session.send("last words")
        site.session.close()
        await settled()
        resumed = await peer.attach(site.transport)
        assert await resumed.take(1) == ["last words"]
        assert (await resumed.closing()).received == 0


@check
async def the_clients_close_ends_the_session_after_the_messages_before_it(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        if site.transport == "websocket":
            carrier.socket.send("4bye\x1e1\x1e4too late")  # type: ignore[attr-defined]
            await carrier.ended()
        else:
            await peer.post("91", "4bye", "1", "4too late")
            await carrier.ended()
        await settled()
        assert site.received == ["bye"]
        assert site.application.ended == [CloseReason.TRANSPORT_CLOSE]


# -- acknowledgements and heartbeats


@check
async def what_was_received_is_acknowledged_within_a_second(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        if site.transport == "websocket":
            await carrier.send("one", "two")
            assert carrier.is_quiet()
            await site.clock.advance(1.0)
            assert await carrier.packet("8") == "82"
        else:
            await carrier.send("one", "two")
        assert peer.acknowledged == 2
        await site.clock.advance(1.0)
        assert carrier.is_quiet()


@check
async def a_repeated_message_counts_once(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        if site.transport == "websocket":
            carrier.socket.send("4one\x1e4two")  # type: ignore[attr-defined]
            carrier.socket.send("91\x1e4one\x1e4two\x1e4three")  # type: ignore[attr-defined]
        else:
            for _ in range(3):
                answer = await peer.post("91", "4one", "4two")
                assert answer.received == 2
            answer = await peer.post("92", "4two", "4three")
            assert answer.received == 3
        await settled()
        assert site.received == ["one", "two", "three"]


@check
async def a_silent_carrier_is_cut_by_the_heartbeat_and_the_session_lives(make: Make) -> None:
    async with make(counting_ping_interval=10.0, counting_ping_timeout=5.0) as site:
        if site.transport == "polling":
            return  # A poll is held for no longer than the interval: the next one is the sign of life.
        peer, carrier = await site.opened()
        await site.clock.advance(10)
        assert await carrier.packet("2") == "2"
        await site.clock.advance(4.9)
        assert carrier.is_quiet()
        await site.clock.advance(0.2)
        await carrier.ended()
        assert site.session.is_open
        await site.session.send("meanwhile")
        resumed = await peer.attach(site.transport)
        assert await resumed.take(1) == ["meanwhile"]


@check
async def a_carrier_that_answers_lives_on(make: Make) -> None:
    async with make(counting_ping_interval=10.0, counting_ping_timeout=5.0) as site:
        if site.transport == "polling":
            return
        peer, carrier = await site.opened()
        for _ in range(10):
            await site.clock.advance(10)
            await carrier.packet("2")
            if site.transport == "websocket":
                carrier.socket.send("3")  # type: ignore[attr-defined]
            else:
                await peer.post("3")
            await settled()
        await site.session.send("alive")
        assert await carrier.take(1) == ["alive"]


@check
async def a_write_to_a_dead_peer_is_cut_and_the_session_lives(make: Make) -> None:
    async with make(grace_period=60.0) as site:
        peer, carrier = await site.opened()
        hang(carrier)
        site.say("into the void")
        await settled()
        site.say("and more")
        await settled()
        # The heartbeat cuts a WebSocket and a stream; the next poll replaces the one before.
        await site.clock.advance(15)
        assert site.session.is_open
        resumed = await peer.attach(site.transport)
        assert await resumed.take(2) == ["into the void", "and more"]


@check
async def a_dead_peer_that_never_comes_back_loses_its_session(make: Make) -> None:
    async with make(grace_period=1.0) as site:
        _, carrier = await site.opened()
        hang(carrier)
        site.say("into the void")
        await site.clock.advance(16)
        await site.clock.advance(1.1)
        assert site.application.ended[0] in (CloseReason.PING_TIMEOUT, CloseReason.TRANSPORT_CLOSE)


@check
async def a_dead_peer_keeps_no_request_of_a_session_that_is_over(make: Make) -> None:
    async with make() as site:
        peer, carrier = await site.opened()
        hang(carrier)
        site.say("into the void")
        await settled()
        live = site.engine.table.sessions.get(peer.sid)
        assert live is not None
        live.fail(CloseReason.BUFFER_FULL)
        await site.clock.advance(3.1)
        await exchange_of(carrier).finished()


def exchange_of(carrier: Carrier) -> Exchange | WebSocketExchange:
    return getattr(carrier, "socket", None) or carrier.exchange  # type: ignore[attr-defined]


def hang(carrier: Carrier) -> None:
    """From now on the peer takes nothing: whoever writes to it waits for ever."""
    exchange_of(carrier).hang()
