from __future__ import annotations

import json

import pytest
from asgi_driver import settled
from counting_peer import CountingPeer, PollingCarrier, open_site

SEPARATOR = "\x1e"


async def polling(peer: CountingPeer, **value: object) -> PollingCarrier:
    carrier = await peer.attach("polling", **value)
    assert isinstance(carrier, PollingCarrier)
    return carrier


async def test_opening_response_holds_the_open_packet_and_detaches() -> None:
    async with open_site("polling") as site:
        peer = site.peer()
        exchange = site.client.get(peer.url("polling", sid=False))
        text = await exchange.text()
        assert exchange.headers["content-type"] == "text/plain; charset=UTF-8"
        assert exchange.headers["cache-control"] == "no-store"
        assert text.startswith('0{"sid":')
        assert SEPARATOR not in text
        assert not site.engine.table.sessions[json.loads(text[1:])["sid"]].attached


async def test_poll_is_held_until_there_is_a_message() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        await site.clock.advance(9)
        assert poll.is_quiet()
        await peer.post("3")
        await poll.send("ours")
        assert poll.is_quiet()
        await site.session.send("a")
        assert await poll.exchange.text() == '7{"carrier":2,"received":0}\x1e91\x1e4a'


async def test_poll_is_let_go_when_its_time_is_over() -> None:
    async with open_site("polling", counting_ping_interval=10.0) as site:
        peer, poll = await site.opened()
        await site.clock.advance(9.9)
        assert poll.is_quiet()
        await site.clock.advance(0.2)
        assert await poll.exchange.text() == '7{"carrier":2,"received":0}\x1e91\x1e6'
        shorter = await polling(peer, wait=2500)
        await site.clock.advance(2.4)
        assert shorter.is_quiet()
        await site.clock.advance(0.2)
        assert (await shorter.exchange.text()).endswith("\x1e6")


async def test_client_cannot_have_a_poll_held_for_longer_than_the_interval() -> None:
    async with open_site("polling", counting_ping_interval=10.0) as site:
        peer, _ = await site.opened()
        longer = await polling(peer, wait=3_600_000)
        await site.clock.advance(10.1)
        assert (await longer.exchange.text()).endswith("\x1e6")


async def test_short_poll_never_waits() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        short = await polling(peer, wait=0)
        await site.clock.advance(0)
        assert (await short.exchange.text()).endswith("\x1e6")


async def test_second_poll_supersedes_the_first() -> None:
    async with open_site("polling") as site:
        peer, first = await site.opened()
        second = await polling(peer)
        assert await first.exchange.text() == "6"
        await site.session.send("a")
        assert await second.take(1) == ["a"]


async def test_late_disconnect_of_a_superseded_poll_changes_nothing() -> None:
    async with open_site("polling") as site:
        peer, first = await site.opened()
        second = await polling(peer)
        first.cut()
        await settled()
        await site.session.send("a")
        assert await second.take(1) == ["a"]


async def test_lost_response_loses_nothing() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        for message in ("a", b"b", "c"):
            await site.session.send(message)
        await settled()
        assert poll.exchange.answered()  # … and nobody reads it
        again = await polling(peer)
        assert await again.take(3) == ["a", b"b", "c"]
        more = await polling(peer)
        await settled()
        assert more.is_quiet()


async def test_answer_that_fails_in_its_last_send_loses_nothing() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        poll.exchange.fail_end()
        await site.session.send("a")
        await poll.exchange.finished()
        assert site.session.is_open
        assert await (await polling(peer)).take(1) == ["a"]


async def test_poll_repeats_until_it_is_acknowledged_by_a_post() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        await site.session.send("a")
        await poll.take(1)
        assert (
            await (await polling(peer, received=0)).exchange.text()
            == '7{"carrier":3,"received":0}\x1e91\x1e4a'
        )
        await peer.post("3")
        assert site.engine.table.sessions[peer.sid].buffered_bytes == 0


async def test_same_number_again_replaces_the_poll() -> None:
    async with open_site("polling") as site:
        peer, first = await site.opened()
        again = await polling(peer, number=first.number)
        assert await first.exchange.text() == "6"
        await site.session.send("a")
        assert await again.take(1) == ["a"]


async def test_number_of_packets_in_a_payload_is_not_limited() -> None:
    async with open_site("polling", buffer_limit=2_000_000) as site:
        peer, poll = await site.opened()
        many = [str(number) for number in range(5000)]
        await poll.send(*many)
        poll.cut()
        await settled()
        for message in many:
            await site.session.send(message)
        assert await (await polling(peer)).take(5000) == many
        await settled()
        assert site.received == many


async def test_response_has_at_most_max_payload_bytes() -> None:
    async with open_site("polling", max_payload=1000) as site:
        peer, poll = await site.opened()
        poll.cut()
        await settled()
        messages: list[str | bytes] = ["ü" * 150, "x" * 300, b"y" * 300, "z" * 300, "w" * 900]
        for message in messages:
            await site.session.send(message)
        heard: list[str | bytes] = []
        bodies = 0
        while len(heard) < len(messages):
            poll = await polling(peer)
            body = await poll.exchange.body()
            assert len(body) <= 1000
            bodies += 1
            for packet in body.decode().split(SEPARATOR):
                poll._take(packet)
            heard += poll.messages
        assert heard == messages
        assert bodies == 3


async def test_message_larger_than_max_payload_travels_alone() -> None:
    async with open_site("polling", max_payload=1000) as site:
        _, poll = await site.opened()
        await site.session.send("x" * 5000)
        assert await poll.take(1) == ["x" * 5000]


@pytest.mark.asgi
async def test_abort_of_a_poll_detaches_and_the_session_waits() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        live = site.engine.table.sessions[peer.sid]
        assert live.attached
        poll.cut()
        await poll.exchange.finished()
        assert not live.attached
        assert live.is_open
        assert (await poll.exchange.start(), await poll.exchange.body()) == (499, b"")


async def test_abort_of_a_poll_whose_server_raises_at_a_send_to_it_is_no_failure() -> None:
    async with open_site("polling") as site:
        _, poll = await site.opened()
        poll.exchange.fail_end()
        poll.cut()
        await poll.exchange.finished()
        assert site.session.is_open


# -- POST


async def test_answer_to_a_post_has_both_positions() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        await site.session.send("a")
        await settled()
        exchange = peer.post_exchange("91", "4one")
        assert await exchange.text() == '7{"received":1,"sent":1}'
        assert exchange.headers["cache-control"] == "no-store"


async def test_repeated_post_repeats_nothing() -> None:
    async with open_site("websocket") as site:
        peer, _ = await site.opened()
        for _ in range(3):
            assert (await peer.post("91", "4one", "b" + "AAEC")).received == 2
        await settled()
        assert site.received == ["one", b"\0\1\2"]


async def test_posts_that_overtake_one_another_keep_the_order() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        late = await peer.post("92", "4two")
        assert (late.status, late.code, late.received) == (409, 7, 0)
        await peer.post("91", "4one")
        await peer.post("92", "4two")
        await settled()
        assert site.received == ["one", "two"]


async def test_body_is_read_however_it_is_cut() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        hello = json.dumps({"key": peer.key, "received": 0})
        body = f"7{hello}\x1e91\x1e4Grüße \U0001f388".encode()
        exchange = site.client.request("POST", peer.url("polling"), body=body[:1], more_body=True)
        for byte in body[1:-1]:
            exchange.give(bytes([byte]), more=True)
        exchange.give(body[-1:], more=False)
        assert await exchange.start() == 200
        await settled()
        assert site.received == ["Grüße \U0001f388"]


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
async def test_post_cut_in_its_middle_takes_nothing_and_harms_nothing(cut: int) -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        body = f"7{json.dumps({'key': peer.key, 'received': 0})}\x1e91\x1e4one".encode()
        exchange = site.client.request("POST", peer.url("polling"), body=body[:cut], more_body=True)
        await settled()
        exchange.disconnect()
        await exchange.finished()
        assert site.received == []
        await poll.send("one")
        await settled()
        assert site.received == ["one"]


async def test_post_to_the_url_of_another_transport_is_refused() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        exchange = site.client.post(peer.url("stream"), "3")
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 2


@pytest.mark.parametrize("body", ["", "3", "4message", "7", "7{}", "7[]", '7{"key":1,"received":0}'])
async def test_post_that_does_not_begin_with_an_attach_is_refused(body: str) -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        exchange = site.client.post(peer.url("polling"), body)
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 3
        await poll.send("unharmed")
        await settled()
        assert site.received == ["unharmed"]


async def test_post_with_a_wrong_key_takes_nothing() -> None:
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        refusal = await peer.post("91", "4one", key="guess")
        assert (refusal.status, refusal.code) == (403, 4)
        await settled()
        assert site.received == []


async def test_post_to_an_ended_session_says_how_far_it_had_got() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        await poll.send("one", "two")
        site.session.close()
        await poll.closing()
        refusal = await peer.post("93", "4three")
        assert (refusal.status, refusal.code, refusal.received) == (400, 1, 2)


async def test_post_that_is_too_large_is_refused_and_the_session_unharmed() -> None:
    async with open_site("polling", max_payload=1000) as site:
        peer, poll = await site.opened()
        refusal = await peer.post("91", "4" + "x" * 1000)
        assert (refusal.status, refusal.code) == (413, 3)
        assert "max_payload" in refusal.value["message"]
        await poll.send("unharmed")
        await settled()
        assert site.received == ["unharmed"]


async def test_post_that_does_not_arrive_in_time_is_refused_and_the_session_unharmed() -> None:
    async with open_site("polling", body_timeout=0.01) as site:
        peer, poll = await site.opened()
        exchange = site.client.request("POST", peer.url("polling"), body=b"7{", more_body=True)
        assert await exchange.start() == 408
        assert (await exchange.json())["code"] == 3
        await poll.send("unharmed")
        await settled()
        assert site.received == ["unharmed"]


async def test_post_that_is_not_utf8_is_refused_and_the_session_unharmed() -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        exchange = site.client.post(peer.url("polling"), b"\xff\xfe")
        assert await exchange.start() == 400
        assert (await exchange.json()) == {"code": 3, "message": "Bad request: the body is not UTF-8"}
        await poll.send("unharmed")
        await settled()
        assert site.received == ["unharmed"]
