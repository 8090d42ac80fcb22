"""Requests that are known at a glance: no more of them than those that are the same when they are looked at."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from asgi_driver import settled
from counting_peer import Site, open_site
from starlette.types import Scope

from holdfast.engine.live import LiveSession
from holdfast.transports import known
from holdfast.transports.known import Known

pytestmark = pytest.mark.anyio

POLLING = "/engine.io/?EIO=4&transport=polling"


async def opened(site: Site) -> LiveSession:
    sid = json.loads((await site.client.get(POLLING).text())[1:])["sid"]
    return site.engine.table.sessions[sid]


def request(session: LiveSession, query: str = "EIO=4&transport=polling&sid={sid}", **more: Any) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": "/engine.io/",
        "query_string": query.format(sid=session.sid).encode(),
        "headers": [(b"host", b"app.example")],
        "client": ("127.0.0.1", 1),
        **more,
    }


async def test_ordinary_poll_is_known() -> None:
    async with open_site() as site:
        session = await opened(site)
        visit = Known(site.engine.table).look(request(session))
        assert visit is not None
        assert (visit.session, visit.attach, visit.headers) == (session, "", {})


@pytest.mark.parametrize("more", [[], [[b"cookie", b"a=b"], [b"cookie", b"c=d"]]])
@pytest.mark.parametrize("settings", [{}, {"trusted_proxies": ["127.0.0.1"]}])
async def test_headers_may_be_lists(settings: dict[str, Any], more: list[list[bytes]]) -> None:
    async with open_site(**settings) as site:
        look = Known(site.engine.table).look
        session = await opened(site)
        headers = [[b"host", b"app.example"], [b"origin", b"http://app.example"], *more]
        for _ in range(2):
            visit = look(request(session, headers=headers))
            assert visit is not None
            assert visit.session is session


@pytest.mark.parametrize(
    "query",
    [
        "",
        "EIO=4&transport=polling",
        "EIO=3&transport=polling&sid={sid}",
        "transport=polling&sid={sid}",
        "EIO=4&transport=stream&sid={sid}",
        "EIO=4&transport=polling&sid={sid}&sid={sid}",
        "EIO=4&transport=polling&sid={sid}&transport=polling",
        "EIO=4&transport=polling&sid={sid}x",
        "EIO=4&transport=polling&sid={sid}&t=%41",
        "EIO=4&transport=polling&sid={sid}&t=+",
        "EIO=4&transport=polling&sid={sid}&holdfast=1",
        "EIO=4&transport=polling&sid=\xff",
    ],
)
async def test_unusual_query_is_looked_at(query: str) -> None:
    async with open_site() as site:
        session = await opened(site)
        assert Known(site.engine.table).look(request(session, query)) is None


UNUSUAL: list[dict[str, Any]] = [
    {"type": "websocket"},
    {"method": "OPTIONS"},
    {"method": "HEAD"},
    {"headers": iter([(b"host", b"app.example")])},
    {"headers": [(b"x", b"y" * 40_000)]},
    {"headers": [(b"x", b"")] * 1_100},
    {"headers": [(b"host", b"app.example"), (b"content-length", b"1000001")]},
    {"headers": [(b"host", b"app.example"), (b"origin", b"https://other.example")]},
    {"headers": [(b"host", b"app.example"), (b"host", b"other.example")]},
    {"headers": [(b"host", b"app.example"), (b"sec-fetch-site", b"cross-site")]},
]


@pytest.mark.parametrize("unusual", UNUSUAL, ids=lambda unusual: str(unusual)[:40])
async def test_unusual_request_is_looked_at(unusual: dict[str, Any]) -> None:
    async with open_site() as site:
        session = await opened(site)
        assert Known(site.engine.table).look(request(session, **unusual)) is None


async def test_server_that_drains_looks_at_every_request() -> None:
    async with open_site() as site:
        session = await opened(site)
        site.engine.table.refuse_more()
        assert Known(site.engine.table).look(request(session)) is None


async def test_what_is_found_of_one_page_is_not_anothers() -> None:
    async with open_site(origins=["https://pages.example"]) as site:
        session = await opened(site)
        url = f"{POLLING}&sid={session.sid}"
        for _ in range(2):
            for origin, status in (("https://pages.example", 200), ("https://other.example", 403)):
                headers = {"host": "app.example", "origin": origin}
                post = site.client.post(url, "4hello", headers=headers)
                assert await post.start() == status
                allowed = post.headers.get("access-control-allow-origin")
                assert allowed == (origin if status == 200 else None)
                await settled()


async def test_forwarded_host_counts_for_whoever_brings_it() -> None:
    async with open_site(trusted_proxies=["10.0.0.1"]) as site:
        session = await opened(site)
        pages = [
            (b"host", b"inner"),
            (b"origin", b"https://app.example"),
            (b"x-forwarded-host", b"app.example"),
        ]
        look = Known(site.engine.table).look
        for _ in range(2):
            assert look(request(session, headers=pages, client=("10.0.0.1", 1))) is not None
            assert look(request(session, headers=pages, client=("10.0.0.2", 1))) is None
            assert look(request(session, headers=pages[:2], client=("10.0.0.1", 1))) is None


async def test_what_was_found_is_forgotten_before_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_MOST_JUDGED", 3)
    async with open_site() as site:
        session = await opened(site)
        eye = Known(site.engine.table)
        for number in range(10):
            assert eye.look(request(session, headers=[(b"host", b"%d.example" % number)])) is not None
            assert len(eye._judged) <= 3


ORIGINS = (None, "https://pages.example", "https://other.example", "null", "https://app.example")
QUERIES = (
    "EIO=4&transport=polling&sid={sid}",
    "EIO=4&transport=polling&sid={sid}&t=abc",
    "sid={sid}&transport=polling&EIO=4",
    "EIO=4&transport=polling&sid={sid}&holdfast=1",
    "EIO=4&transport=polling&sid={sid}&sid=x",
    "EIO=4&transport=polling&sid={sid}%20",
    "EIO=3&transport=polling&sid={sid}",
    "EIO=4&transport=websocket&sid={sid}",
    "EIO=4&transport=stream&sid={sid}&holdfast=1",
    "EIO=4&&transport=polling&sid={sid}",
    "EIO=4&transport=polling&sid",
    "EIO=4&transport=polling&sid={sid}&=",
)
BODIES = (
    "4hello",
    "4one\x1e4two",
    "4",
    "",
    "3",
    "1",
    "5",
    "bAAEC",
    "b!",
    "9",
    "4\ud83d".encode("utf-16-le", "surrogatepass"),
    "4grüße",
    "4" + "x" * 1_000,
    "4" + "x" * 999,
    '9{"key":"?"}',
    "\x1e",
)


async def told(site: Site, session: LiveSession, chance: random.Random) -> tuple[object, ...]:
    """A request that chance has chosen, and all that became of it."""
    method = chance.choice(("GET", "POST", "POST", "PUT"))
    headers = {"host": chance.choice(("app.example", "app.example:80"))}
    if (origin := chance.choice(ORIGINS)) is not None:
        headers["origin"] = origin
    if chance.random() < 0.2:
        headers["sec-fetch-site"] = chance.choice(("same-origin", "cross-site"))
    if chance.random() < 0.2:
        headers["holdfast-attach"] = chance.choice(('{"key":"?","carrier":2}', "{", ""))
    query = chance.choice(QUERIES).format(sid=session.sid)
    body = chance.choice(BODIES)
    url = f"/engine.io/?{query}"
    exchange = site.client.request(method, url, body=body if method == "POST" else "", headers=headers)
    await site.clock.advance(0.2)
    if not exchange.answered():
        # A poll, until the next ping.
        await site.clock.advance(30)
    status = await exchange.start()
    return (status, sorted(exchange.headers.items()), await exchange.text(), session.is_open)


@pytest.mark.parametrize("seed", range(40))
async def test_what_is_known_at_a_glance_is_answered_as_what_is_looked_at(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[object]] = []
    for is_known in (True, False):
        chance = random.Random(seed)
        with monkeypatch.context() as patch:
            if not is_known:
                patch.setattr(Known, "look", lambda self, scope: None)
            asked: list[object] = []
            async with open_site(origins=["https://pages.example"], max_payload=1_000) as site:
                session = await opened(site)
                for _ in range(20):
                    if not session.is_open:
                        session = await opened(site)
                    answer = await told(site, session, chance)
                    asked.append([str(part).replace(session.sid, "SID") for part in answer])
            found.append(asked)
    assert found[0] == found[1]
