"""S5: session ids cannot be guessed, chosen by a client, or used without the key of a session that has one."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections import Counter
from itertools import pairwise

import pytest
from asgi_driver import ManualClock, settled
from counting_peer import check_unharmed, open_site

from holdfast import CloseReason, Handshake, Settings
from holdfast.engine.dispatch.bare import handler_maker
from holdfast.engine.host import Host
from holdfast.engine.server import SessionTable, new_id, new_key

PLAIN = "/engine.io/?EIO=4&transport="


async def _leave(session: object) -> None:
    """An application that wants nothing of its sessions."""


def check_ids(ids: list[str], *, shared: int) -> None:
    assert len(set(ids)) == len(ids)
    raw = [urlsafe_b64decode(sid) for sid in ids]
    assert {len(value) for value in raw} == {18}
    # Neighbours in the order of the alphabet begin alike only as far as chance would have it.
    in_order = sorted(ids)
    assert not [one for one, two in pairwise(in_order) if one[:shared] == two[:shared]]
    # Each character at each place is as frequent as any other: 63 degrees of freedom, and 10^-9 to be above 150.
    mean = len(ids) / 64
    for place in range(24):
        counts = Counter(sid[place] for sid in ids)
        assert len(counts) == 64
        assert sum((count - mean) ** 2 / mean for count in counts.values()) < 150
    # From one to the next, half of the 144 bits change.
    changes = sum((int.from_bytes(one) ^ int.from_bytes(two)).bit_count() for one, two in pairwise(raw))
    assert abs(changes / (len(raw) - 1) - 72) < 6 * 6 / len(raw) ** 0.5


def test_cve_2017_16031_cve_2026_41838_hundred_thousand_ids_show_no_pattern() -> None:
    check_ids([new_id() for _ in range(100_000)], shared=9)
    keys = [new_key() for _ in range(1000)]
    assert len({key[:8] for key in keys}) == len(keys)
    assert {len(urlsafe_b64decode(key)) for key in keys} == {24}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cve_2017_16031_cve_2026_41838_neither_do_those_of_sessions(anyio_backend: str) -> None:
    table = SessionTable(Settings(), Host(ManualClock()), handler_maker(_leave))
    sessions = [table.open("polling", Handshake(), counting=False) for _ in range(5000)]
    # Whose they are is no secret; what stands behind that is.
    node = str(table.node)
    assert all(session.sid.startswith(node) for session in sessions)
    check_ids([session.sid.removeprefix(node) for session in sessions], shared=9)
    assert len({session.key for session in sessions}) == len(sessions)
    assert not [session for session in sessions if session.key[:8] in session.sid]
    for session in sessions:
        session.fail(CloseReason.TRANSPORT_CLOSE)
    await settled()


@pytest.mark.parametrize("sid", ["mine", "A" * 24, "", "__proto__", "../../etc/passwd", "\x00"])
@pytest.mark.parametrize("transport", ["polling", "stream&holdfast=1", "polling&holdfast=1"])
async def test_session_is_never_opened_under_an_id_that_the_client_has_chosen(
    sid: str, transport: str
) -> None:
    async with open_site() as site:
        exchange = site.client.get(
            f"{PLAIN}{transport}&sid={sid}",
            headers={"holdfast-attach": json.dumps({"key": "k", "received": 0, "carrier": 2})},
        )
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 1
        assert site.engine.session_count == 0


async def test_cookie_or_header_with_an_id_chooses_nothing() -> None:
    async with open_site(cookie="io") as site:
        first = json.loads((await site.client.get(f"{PLAIN}polling").text())[1:])["sid"]
        headers = {"cookie": f"io={first}", "x-sid": first, "last-event-id": first}
        second = json.loads((await site.client.get(f"{PLAIN}polling", headers=headers).text())[1:])["sid"]
        assert second != first
        assert site.engine.session_count == 2


async def test_id_of_a_session_that_is_over_is_not_used_again() -> None:
    async with open_site() as site:
        sid = json.loads((await site.client.get(f"{PLAIN}polling").text())[1:])["sid"]
        assert await site.client.post(f"{PLAIN}polling&sid={sid}", "1").start() == 200
        # One poll may be on its way since before; it is told of the end.
        assert await site.client.get(f"{PLAIN}polling&sid={sid}").text() == "6"
        for method, transport in (("GET", "polling"), ("POST", "polling"), ("GET", "polling&holdfast=1")):
            exchange = site.client.request(method, f"{PLAIN}{transport}&sid={sid}")
            assert await exchange.start() == 400
        assert site.engine.session_count == 0


KEYS = ["", "k", "\ud800", "A" * 32]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("transport", ["polling", "stream", "websocket"])
async def test_hijack_by_resuming_without_the_key_is_refused(transport: str, key: str) -> None:
    async with open_site() as site:
        victim, carrier = await site.opened("websocket")
        refusal = await (await victim.attach(transport, key=key, number=9)).refusal()
        assert refusal.code == 4
        assert refusal.received is None
        carrier.cut()
        await settled()
        await check_unharmed(site, victim)


@pytest.mark.parametrize("key", KEYS)
async def test_hijack_by_a_post_without_the_key_is_refused(key: str) -> None:
    async with open_site() as site:
        victim, _ = await site.opened("polling")
        attach = json.dumps({"key": key, "received": 0})
        url = f"{PLAIN}polling&holdfast=1&sid={victim.sid}"
        exchange = site.client.post(url, f"7{attach}\x1e91\x1e4stolen")
        assert await exchange.start() == 403
        await check_unharmed(site, victim)


async def test_hijack_of_a_session_with_a_key_by_a_client_that_knows_no_keys_is_refused() -> None:
    """By poll, by POST and by upgrade, as a standard client does them."""
    async with open_site() as site:
        victim, _ = await site.opened("polling")
        url = f"{PLAIN}polling&sid={victim.sid}"
        assert await site.client.get(url).start() == 403
        assert await site.client.post(url, "4stolen").start() == 403
        assert await site.client.post(url, "1").start() == 403
        start = await site.client.websocket(f"{PLAIN}websocket&sid={victim.sid}").next()
        assert start["status"] == 403
        await check_unharmed(site, victim)


async def test_end_of_a_session_is_told_only_to_who_has_its_key() -> None:
    """How far it had got, that is; to others it is as unknown as any."""
    async with open_site() as site:
        victim, carrier = await site.opened("websocket")
        await carrier.send("one")
        carrier.cut()
        await settled()
        await site.clock.advance(200)
        assert site.engine.session_count == 0
        mine = await (await victim.attach("polling")).refusal()
        theirs = await (await victim.attach("polling", key="k")).refusal()
        assert (mine.code, mine.received) == (1, 1)
        assert (theirs.code, theirs.received) == (1, None)


async def test_plain_session_is_its_id_and_a_second_poll_ends_it_rather_than_share_it() -> None:
    """Engine.IO has no key: docs/security.md says that such an id is a secret."""
    async with open_site() as site:
        sid = json.loads((await site.client.get(f"{PLAIN}polling").text())[1:])["sid"]
        url = f"{PLAIN}polling&sid={sid}"
        victim = site.client.get(url)
        await settled()
        assert await site.client.get(url).start() == 400
        assert await victim.text() == "1"
        await settled()
        assert site.engine.session_count == 0


async def test_plain_session_does_not_become_one_with_a_key() -> None:
    async with open_site() as site:
        sid = json.loads((await site.client.get(f"{PLAIN}polling").text())[1:])["sid"]
        attach = json.dumps({"key": "k", "received": 0, "carrier": 2})
        url = f"{PLAIN}polling&holdfast=1&sid={sid}"
        assert await site.client.get(url, headers={"holdfast-attach": attach}).start() == 403
        assert await site.client.post(f"{PLAIN}polling&sid={sid}", "4mine").start() == 200
        await settled()
        assert site.received == ["mine"]
