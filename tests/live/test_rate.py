"""Who sends more messages than are taken in a second is read no faster; of other packets it is ended."""

from __future__ import annotations

import pytest
from asgi_driver import settled
from counting_peer import SEPARATOR, CountingPeer, Site, open_site

from holdfast.engine.errors import LimitExceeded
from holdfast.engine.live.rate import Rate

pytestmark = pytest.mark.anyio

PLAIN = "/engine.io/?EIO=4&transport="


async def heard(site: Site, seconds: int) -> list[int]:
    """How much the application has after each second."""
    counts: list[int] = []
    for _ in range(seconds):
        counts.append(len(site.received))
        for _ in range(50):
            await site.clock.advance(0.02)
    return counts


@pytest.mark.parametrize("size", [1, 7, 250], ids=["each alone", "a few together", "many together"])
async def test_messages_of_a_websocket_are_taken_at_the_pace_that_is_set(size: int) -> None:
    async with open_site(max_events_per_second=100) as site:
        _, carrier = await site.opened()
        numbers = [str(number) for number in range(500)]
        for start in range(0, 500, size):
            frame = SEPARATOR.join(f"4{number}" for number in numbers[start : start + size])
            carrier.socket.send(frame)  # type: ignore[attr-defined]
        await settled()
        counts = await heard(site, 6)
        # A turn is 100 packets.
        assert counts[0] <= 100 + (100 if size > 100 else size)
        for second, count in enumerate(counts[:4]):
            assert count >= min(500, 100 * (second + 1) - size)
            assert count <= 100 * (second + 1) + (250 if size > 100 else size + 2)
        assert site.received == numbers
        assert site.session.is_open


async def test_messages_of_a_plain_websocket_are_taken_at_that_pace_and_none_of_them_after_the_end() -> None:
    async with open_site(max_events_per_second=100) as site:
        socket = site.client.websocket(f"{PLAIN}websocket")
        await socket.accept()
        numbers = [str(number) for number in range(500)]
        for number in numbers:
            socket.send(f"4{number}")
        await settled()
        counts = await heard(site, 2)
        for second, count in enumerate(counts, 1):
            assert 100 * second <= count <= 100 * second + 2
        assert site.received == numbers[: len(site.received)]
        site.session.close()
        await heard(site, 2)
        assert len(site.received) < 500


@pytest.mark.parametrize("kind", ["plain", "counting"])
async def test_payload_of_a_post_is_taken_at_that_pace_and_then_answered(kind: str) -> None:
    async with open_site("polling", max_events_per_second=100) as site:
        peer, _ = await site.opened()
        numbers = [str(number) for number in range(450)]
        messages = SEPARATOR.join(f"4{number}" for number in numbers)
        if kind == "counting":
            post = peer.post_exchange("91", messages)
        else:
            text = await site.client.get(f"{PLAIN}polling").text()
            sid = text.partition('"sid":"')[2].partition('"')[0]
            post = site.client.post(f"{PLAIN}polling&sid={sid}", messages)
        await settled()
        assert not post.answered()
        assert 100 <= len(site.received) <= 300
        await heard(site, 5)
        assert await post.start() == 200
        assert site.received == numbers


async def test_who_leaves_while_it_is_paced_is_soon_forgotten() -> None:
    async with open_site(max_events_per_second=100) as site:
        _, carrier = await site.opened()
        for number in range(300):
            carrier.socket.send(f"4{number}")  # type: ignore[attr-defined]
        carrier.socket.close(1006)  # type: ignore[attr-defined]
        await heard(site, 4)
        assert site.engine.stats().detached == 1
        assert len(site.received) == 300


async def test_others_are_not_paced() -> None:
    async with open_site(max_events_per_second=100) as site:
        _, quick = await site.opened()
        other, slow = await site.opened()
        for number in range(300):
            quick.socket.send(f"4{number}")  # type: ignore[attr-defined]
        await settled()
        slow.socket.send("4other")  # type: ignore[attr-defined]
        await settled()
        assert "other" in site.received
        assert isinstance(other, CountingPeer)


@pytest.mark.parametrize("packet", ["3", "6", "80"])
async def test_more_of_what_carries_no_message_ends_the_session(packet: str) -> None:
    async with open_site(max_events_per_second=100) as site:
        _, carrier = await site.opened()
        for _ in range(101):
            carrier.socket.send(packet)  # type: ignore[attr-defined]
        assert await carrier.ended() == 4003
        closing = await carrier.closing()
        assert "max_events_per_second" in closing.value["message"]


async def test_what_carries_no_message_may_come_for_ever_in_its_time() -> None:
    async with open_site(max_events_per_second=100) as site:
        _, carrier = await site.opened()
        for _ in range(20):
            for _ in range(50):
                carrier.socket.send("3")  # type: ignore[attr-defined]
            await site.clock.advance(0.51)
        assert site.session.is_open


def test_rate_loses_nothing_of_many_short_times() -> None:
    rate = Rate(100, now=0.0)
    rate.left = 0
    for step in range(1, 1001):
        rate.renew(step * 0.003)
    assert 99 <= rate.left <= 100
    rate.left = -100
    now = 3.0
    for step in range(1, 1001):
        rate.renew(now + step * 0.0005)
    assert -51 <= rate.left <= -49


def test_rate_keeps_a_second_s_worth_and_no_more() -> None:
    rate = Rate(100, now=0.0)
    rate.left = rate.spare = -150
    rate.spare = 0
    rate.renew(1000.0)
    assert (rate.left, rate.spare) == (-50, 100)
    assert rate.pause() == 0.5
    rate.left = -0.5  # type: ignore[assignment]
    assert rate.pause() == 0.0
    rate.spare = -101
    with pytest.raises(LimitExceeded, match="max_events_per_second"):
        rate.renew(1000.0)
