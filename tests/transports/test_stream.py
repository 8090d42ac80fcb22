from __future__ import annotations

import json

import pytest
from asgi_driver import settled
from counting_peer import CountingPeer, StreamCarrier, open_site

from holdfast.engine.wire.eventstream import PRELUDE, EventStreamDecoder


async def probing(peer: CountingPeer) -> StreamCarrier:
    candidate = await peer.attach("stream", probe=True)
    assert isinstance(candidate, StreamCarrier)
    return candidate


async def test_response_is_one_that_intermediaries_do_not_hold_back() -> None:
    async with open_site("stream") as site:
        _, carrier = await site.opened()
        headers = carrier.exchange.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert headers["content-encoding"] == "identity"
        assert headers["x-content-type-options"] == "nosniff"
        assert "content-length" not in headers


async def test_prelude_comes_alone_and_first() -> None:
    async with open_site("stream") as site:
        peer = site.peer()
        exchange = site.client.get(peer.url("stream", sid=False))
        assert await exchange.start() == 200
        assert await exchange.chunk() == PRELUDE
        assert len(PRELUDE) == 2049
        assert (await exchange.chunk()).startswith(b"id: 0\ndata: 0{")


async def test_id_of_an_event_is_the_position_after_it() -> None:
    async with open_site("stream") as site:
        _, carrier = await site.opened()
        for message in ("a", "b", b"c"):
            await site.session.send(message)
            await carrier.take(1)
        assert carrier.ids == [0, 1, 2, 3]


async def test_every_chunk_is_whole_events_that_the_decoder_takes() -> None:
    async with open_site("stream") as site:
        peer = site.peer()
        exchange = site.client.get(peer.url("stream", sid=False))
        await exchange.start()
        await settled()
        await site.session.send("a\n\nb\x1e")
        decoder = EventStreamDecoder(100_000)
        payloads: list[str] = []
        while len(payloads) < 2:
            chunk = await exchange.chunk()
            assert chunk.endswith(b"\n\n")
            payloads += [event.payload for event in decoder.feed(chunk)]
        assert json.loads(payloads[1][1:]) == "a\n\nb\x1e"


async def test_answer_to_an_attach_has_both_positions_in_the_first_event() -> None:
    async with open_site("stream") as site:
        peer, carrier = await site.opened()
        await carrier.send("one", "two")
        await site.session.send("a")
        await carrier.take(1)
        carrier.cut()
        await settled()
        await site.session.send("b")
        resumed = await peer.attach("stream")
        await resumed.read()
        await resumed.read()
        assert (await resumed.attached()).value == {"carrier": 2, "received": 2}
        assert list(resumed.messages) == ["b"]


async def test_stream_is_ended_when_it_is_long_enough_and_nothing_is_lost() -> None:
    async with open_site("stream", stream_limit=5_000) as site:
        peer, carrier = await site.opened()
        expected = [f"{number} {'x' * 1000}" for number in range(20)]
        heard: list[str | bytes] = []
        streams = 1
        for message in expected:
            await site.session.send(message)
            await settled()
            while peer.received < len(heard) + 1:
                await carrier.read()
                if carrier.is_over and peer.received < len(heard) + 1:
                    carrier = await peer.attach("stream")
                    streams += 1
            heard += await carrier.take(1)
        assert heard == expected
        assert streams == 4
        assert site.session.is_open


async def test_get_without_an_attach_is_refused_and_the_session_unharmed() -> None:
    async with open_site("stream") as site:
        peer, carrier = await site.opened()
        for headers in (
            {},
            {"holdfast-attach": "no json"},
            {"holdfast-attach": "[]"},
            {"holdfast-attach": '{"received":0}'},
            peer.attach_header(),
            peer.attach_header(carrier=0),
            peer.attach_header(carrier=2.5),
            peer.attach_header(carrier=2, received=-1),
        ):
            exchange = site.client.get(peer.url("stream"), headers=headers)
            assert await exchange.start() == 400
            assert (await exchange.json())["code"] == 3
        await site.session.send("unharmed")
        assert await carrier.take(1) == ["unharmed"]


async def test_repeated_get_of_the_current_number_replaces_it() -> None:
    async with open_site("stream") as site:
        peer, carrier = await site.opened()
        again = await peer.attach("stream", number=1)
        await carrier.ended()
        await site.session.send("once")
        assert await again.take(1) == ["once"]


# -- probes (docs/protocol.md, section 7)


async def test_candidate_gets_the_prelude_and_pongs_and_nothing_else() -> None:
    async with open_site("websocket") as site:
        peer, carrier = await site.opened()
        candidate = await probing(peer)
        assert await candidate.exchange.start() == 200
        assert await candidate.exchange.chunk() == PRELUDE
        await site.session.send("not there")
        await settled()
        assert candidate.is_quiet()
        assert await carrier.take(1) == ["not there"]
        assert (await peer.post(f"2{candidate.number}")).status == 200
        assert await candidate.packet("3") == f"3{candidate.number}"
        assert candidate.is_quiet()


async def test_pong_is_an_event_of_its_own() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        candidate = await probing(peer)
        await candidate.exchange.start()
        await candidate.exchange.chunk()
        await site.session.send("elsewhere")
        await peer.post(f"2{candidate.number}")
        assert await candidate.exchange.chunk() == f"id: 0\ndata: 3{candidate.number}\n\n".encode()
        assert await poll.take(1) == ["elsewhere"]


@pytest.mark.parametrize("old", ["websocket", "stream", "polling"])
async def test_candidate_is_attached_by_a_post_at_the_position_reached(old: str) -> None:
    async with open_site(old) as site:
        peer, carrier = await site.opened()
        await carrier.send("one")
        await site.session.send("a")
        await carrier.take(1)
        if old == "polling":
            carrier = await peer.attach("polling")
        candidate = await probing(peer)
        answer = await peer.post(carrier=candidate.number)
        assert answer.value == {"received": 1, "sent": 1}
        await site.session.send("b")
        assert await candidate.take(1) == ["b"]
        assert candidate.answer is not None
        assert candidate.answer.value == {"carrier": candidate.number, "received": 1}
        assert site.session.transport == "stream"
        await site.clock.advance(5)
        await carrier.ended()


async def test_attach_that_comes_twice_is_acknowledged_and_not_run_again() -> None:
    async with open_site("websocket") as site:
        peer, _ = await site.opened()
        candidate = await probing(peer)
        await peer.post(carrier=candidate.number)
        await candidate.attached()
        answer = await peer.post("91", "4one", carrier=candidate.number)
        assert (answer.status, answer.received) == (200, 1)
        await settled()
        assert candidate.is_quiet()
        await site.session.send("still here")
        assert await candidate.take(1) == ["still here"]
        assert site.received == ["one"]


async def test_messages_and_acknowledgement_of_a_stale_attach_count() -> None:
    async with open_site("websocket") as site:
        peer, carrier = await site.opened()
        await site.session.send("a")
        await carrier.take(1)
        refusal = await peer.post("91", "4one", carrier=40)
        assert (refusal.status, refusal.code) == (409, 6)
        await settled()
        assert site.received == ["one"]
        assert site.engine.table.sessions[peer.sid].buffered_bytes == 0


async def test_candidate_older_than_the_current_carrier_is_not_attached() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        candidate = await probing(peer)
        current = await peer.attach("websocket")
        await current.attached()
        refusal = await peer.post(carrier=candidate.number)
        assert (refusal.status, refusal.code) == (409, 6)
        await site.session.send("a")
        assert await current.take(1) == ["a"]


async def test_failed_candidate_leaves_no_trace() -> None:
    async with open_site("websocket", upgrade_timeout=10.0) as site:
        peer, carrier = await site.opened()
        lost = await probing(peer)
        lost.cut()
        await settled()
        refusal = await peer.post(carrier=lost.number)
        assert (refusal.status, refusal.code) == (409, 6)
        stalled = await probing(peer)
        await site.clock.advance(9.9)
        assert not stalled.exchange.ended
        await site.clock.advance(0.2)
        await stalled.ended()
        await carrier.send("3")
        next_one = await probing(peer)
        await peer.post(carrier=next_one.number)
        await site.session.send("a")
        assert await next_one.take(1) == ["a"]


async def test_attached_candidate_outlives_the_time_for_probes() -> None:
    async with open_site("websocket", upgrade_timeout=3.0) as site:
        peer, _ = await site.opened()
        candidate = await probing(peer)
        await peer.post(carrier=candidate.number)
        await site.clock.advance(9)
        await site.session.send("a")
        assert await candidate.take(1) == ["a"]


async def test_candidates_are_limited_and_the_oldest_goes() -> None:
    async with open_site("websocket") as site:
        peer, _ = await site.opened()
        candidates = [await probing(peer) for _ in range(6)]
        await settled()
        for gone in candidates[:2]:
            await gone.ended()
        for waiting in candidates[2:]:
            await peer.post(f"2{waiting.number}")
            assert await waiting.packet("3") == f"3{waiting.number}"


async def test_attached_candidate_is_not_ended_by_later_ones() -> None:
    async with open_site("websocket") as site:
        peer, _ = await site.opened()
        attached = await probing(peer)
        await peer.post(carrier=attached.number)
        for _ in range(8):
            await probing(peer)
        await site.session.send("a")
        assert await attached.take(1) == ["a"]
        assert not attached.is_over


async def test_candidate_of_a_session_that_ends_is_ended() -> None:
    async with open_site("websocket") as site:
        peer, _ = await site.opened()
        candidate = await probing(peer)
        await peer.post("1")
        await candidate.ended()


@pytest.mark.parametrize("was_probed", [True, False])
async def test_ping_in_a_post_is_answered_on_the_stream_of_that_number(was_probed: bool) -> None:
    async with open_site("stream") as site:
        peer, carrier = await site.opened()
        if was_probed:
            carrier = await probing(peer)
            await peer.post(carrier=carrier.number)
            await carrier.attached()
        await peer.post(f"2{carrier.number}")
        assert await carrier.packet("3") == f"3{carrier.number}"
        await peer.post("2999")
        await peer.post("2x")
        assert carrier.is_quiet()


async def test_post_names_the_highest_number_written_on_any_carrier() -> None:
    async with open_site("stream") as site:
        peer, _ = await site.opened()
        await site.session.send("a")
        await site.session.send("b")
        await settled()
        answer = await peer.post("3")
        assert answer.value == {"received": 0, "sent": 2}


async def test_abandoned_stream_ends_its_request() -> None:
    async with open_site("stream") as site:
        peer, carrier = await site.opened()
        assert isinstance(carrier, StreamCarrier)
        carrier.exchange.disconnect()
        await carrier.exchange.finished()
        assert not site.engine.table.sessions[peer.sid].attached


async def test_what_waits_comes_in_several_events() -> None:
    """Of an event that was cut off nothing counts."""
    async with open_site("stream") as site:
        peer, carrier = await site.opened()
        carrier.cut()
        await settled()
        texts = [f"{number:03}" + "x" * 997 for number in range(100)]
        for text in texts:
            await site.session.send(text)
        resumed = await peer.attach("stream")
        assert isinstance(resumed, StreamCarrier)
        assert await resumed.take(100) == texts
        assert resumed.ids == [32, 64, 96, 100]
