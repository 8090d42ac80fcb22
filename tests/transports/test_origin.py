"""Who may connect from a browser."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgi_driver import Headers, settled
from counting_peer import Site, open_site

POLLING = "/engine.io/?EIO=4&transport=polling"
STREAM = "/engine.io/?EIO=4&transport=stream&holdfast=1"
WEBSOCKET = "/engine.io/?EIO=4&transport=websocket"

SAME = [
    (None, "app.example"),
    ("http://app.example", "app.example"),
    ("https://app.example", "app.example"),
    ("https://APP.example", "app.EXAMPLE"),
    ("HTTPS://app.example", "app.example"),
    ("http://app.example:80", "app.example"),
    ("http://app.example", "app.example:80"),
    ("https://app.example", "app.example:443"),
    ("https://app.example:443", "app.example"),
    ("http://app.example:8080", "app.example:8080"),
    ("http://127.0.0.1:8000", "127.0.0.1:8000"),
    ("http://[::1]:8000", "[::1]:8000"),
]

OTHER = [
    ("https://other.example", "app.example"),
    ("null", "app.example"),
    ("null", "null"),
    ("", "app.example"),
    ("", ""),
    ("https://app.example.evil.example", "app.example"),
    ("https://evilapp.example", "app.example"),
    ("https://evil.example/app.example", "app.example"),
    ("https://evil.example#app.example", "app.example"),
    ("https://evil.example?app.example", "app.example"),
    ("https://app.example@evil.example", "app.example"),
    ("https://evil@app.example", "app.example"),
    ("https://app.example:8443", "app.example"),
    ("https://app.example", "app.example:8443"),
    ("https://app.example:80", "app.example"),
    ("http://app.example", "app.example:443"),
    ("http://[::1", "[::1"),
    ("file://app.example", "app.example"),
    ("chrome-extension://app.example", "app.example"),
    ("app.example", "app.example"),
    ("//app.example", "app.example"),
]

LISTED = "https://pages.example"


async def statuses(site: Site, headers: Headers) -> dict[str, int]:
    """What each kind of request is answered with; 101 for a WebSocket that was accepted."""
    client = site.client
    found = {
        "GET": await client.get(POLLING, headers=headers).start(),
        "stream": await client.get(STREAM, headers=headers).start(),
        "preflight": await client.request("OPTIONS", POLLING, headers=headers).start(),
    }
    sid = json.loads((await client.get(POLLING).text())[1:])["sid"]
    found["POST"] = await client.post(f"{POLLING}&sid={sid}", "4hello", headers=headers).start()
    first = await client.websocket(WEBSOCKET, headers=headers).next()
    found["WebSocket"] = 101 if first["type"] == "websocket.accept" else first["status"]
    if found["POST"] != 200:
        await settled()
        assert site.received == []
    return found


ALLOWED = {"GET": 200, "stream": 200, "preflight": 200, "POST": 200, "WebSocket": 101}
REFUSED = dict.fromkeys(ALLOWED, 403)


@pytest.mark.parametrize(("origin", "host"), SAME)
async def test_same_host_and_no_origin_may(origin: str | None, host: str) -> None:
    async with open_site() as site:
        headers = {"host": host} if origin is None else {"host": host, "origin": origin}
        assert await statuses(site, headers) == ALLOWED


@pytest.mark.parametrize(("origin", "host"), OTHER)
async def test_other_host_may_not(origin: str, host: str) -> None:
    async with open_site(origins=[LISTED]) as site:
        assert await statuses(site, {"host": host, "origin": origin}) == REFUSED


@pytest.mark.parametrize(
    "origins",
    [LISTED, [LISTED], LISTED.upper() + "/", ("https://more.example", LISTED), re.compile("https://.*"), "*"],
)
async def test_listed_origin_may(origins: Any) -> None:
    async with open_site(origins=origins) as site:
        assert await statuses(site, {"origin": LISTED}) == ALLOWED


@pytest.mark.parametrize(
    "origin", [LISTED + ":8443", "http://pages.example", "https://sub.pages.example", "https://p"]
)
async def test_origin_that_is_only_similar_to_a_listed_one_may_not(origin: str) -> None:
    async with open_site(origins=LISTED) as site:
        assert await statuses(site, {"origin": origin}) == REFUSED


async def test_null_is_no_origin_unless_it_is_listed() -> None:
    async with open_site(origins=[LISTED, "null"]) as site:
        assert await statuses(site, {"origin": "null"}) == ALLOWED


async def test_star_lets_everybody_in() -> None:
    async with open_site(origins="*") as site:
        for origin in ("https://other.example", "null", "https://evil.example"):
            assert await statuses(site, {"origin": origin}) == ALLOWED


@pytest.mark.parametrize(
    "pairs",
    [
        [("origin", LISTED), ("origin", "https://evil.example")],
        [("origin", LISTED), ("origin", LISTED)],
        [("host", "testserver"), ("host", "evil.example")],
        [("origin", LISTED), ("host", "testserver"), ("host", "evil.example")],
    ],
)
async def test_header_that_comes_twice_is_refused(pairs: list[tuple[str, str]]) -> None:
    async with open_site(origins=[LISTED]) as site:
        assert await statuses(site, pairs) == dict.fromkeys(ALLOWED, 400)


async def test_host_may_be_said_twice_as_http_2_does() -> None:
    async with open_site() as site:
        pairs = [("host", "app.example"), ("host", "app.example"), ("origin", "https://app.example")]
        assert await statuses(site, pairs) == ALLOWED


@pytest.mark.parametrize("kind", ["cross-site", "same-site"])
async def test_image_of_another_page_has_no_origin_and_may_not(kind: str) -> None:
    headers = {"sec-fetch-site": kind}
    async with open_site(origins=[LISTED]) as site:
        assert await statuses(site, headers) == REFUSED
        assert await statuses(site, {**headers, "origin": LISTED}) == ALLOWED
    async with open_site(origins="*") as site:
        assert await statuses(site, headers) == ALLOWED


@pytest.mark.parametrize("kind", ["same-origin", "none"])
async def test_own_page_has_no_origin_either(kind: str) -> None:
    async with open_site() as site:
        assert await statuses(site, {"sec-fetch-site": kind}) == ALLOWED


@asynccontextmanager
async def answered(origin: str, **settings: Any) -> AsyncIterator[dict[str, dict[str, str]]]:
    """The response headers of each kind of request."""
    async with open_site(**settings) as site:
        found: dict[str, dict[str, str]] = {}
        for name, method, url in (
            ("GET", "GET", POLLING),
            ("stream", "GET", STREAM),
            ("preflight", "OPTIONS", POLLING),
            ("refusal", "GET", "/engine.io/?EIO=3&transport=polling"),
            ("unknown session", "POST", f"{POLLING}&sid=unknown"),
        ):
            exchange = site.client.request(method, url, headers={"origin": origin})
            await exchange.start()
            found[name] = exchange.headers
        yield found


async def test_listed_origin_may_read_every_answer() -> None:
    async with answered(LISTED, origins=[LISTED]) as found:
        for headers in found.values():
            assert headers["access-control-allow-origin"] == LISTED
            assert headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in headers


async def test_preflight_allows_what_the_client_sends_and_may_be_cached() -> None:
    async with answered(LISTED, origins=[LISTED]) as found:
        headers = found["preflight"]
        assert headers["access-control-allow-methods"] == "GET, POST"
        assert headers["access-control-allow-headers"] == "content-type, holdfast-attach"
        assert int(headers["access-control-max-age"]) >= 600


async def test_credentials_are_allowed_to_listed_origins_only_if_asked_for() -> None:
    async with answered(LISTED, origins=[LISTED], credentials=True) as found:
        assert {headers["access-control-allow-credentials"] for headers in found.values()} == {"true"}
    async with answered(LISTED, origins="*") as found:
        assert all("access-control-allow-credentials" not in headers for headers in found.values())


async def test_same_host_needs_no_cors_headers() -> None:
    async with answered("http://testserver", origins=[LISTED]) as found:
        for headers in found.values():
            assert not [name for name in headers if name.startswith("access-control-allow-origin")]


async def test_refused_page_may_read_nothing_and_the_log_names_the_remedy_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with answered("https://other.example", origins=[LISTED], credentials=True) as found:
        for headers in found.values():
            assert not [name for name in headers if name.startswith("access-control-")]
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert 'origins=["https://other.example"]' in warning


async def test_not_more_than_ten_origins_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with open_site() as site:
        for number in range(20):
            await site.client.get(POLLING, headers={"origin": f"https://{number}.example"}).start()
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 10


async def test_refusal_names_both_remedies() -> None:
    async with open_site() as site:
        exchange = site.client.get(
            POLLING, headers={"origin": "https://app.example", "host": "127.0.0.1:8000"}
        )
        assert await exchange.start() == 403
        refusal = await exchange.json()
        assert refusal["code"] == 4
        message = refusal["message"]
        assert "https://app.example" in message
        assert "127.0.0.1:8000" in message
        assert "proxy_set_header Host $http_host;" in message
        assert 'origins=["https://app.example"]' in message


async def test_page_without_an_origin_of_its_own_is_told_so() -> None:
    async with open_site() as site:
        exchange = site.client.get(POLLING, headers={"origin": "null"})
        assert await exchange.start() == 403
        message = (await exchange.json())["message"]
        assert message.startswith("Forbidden: the page has no origin of its own")
        assert 'add "null" to the setting origins' in message


async def test_refusal_of_a_websocket_says_the_same() -> None:
    async with open_site() as site:
        socket = site.client.websocket(WEBSOCKET, headers={"origin": "https://app.example"})
        start, body = await socket.next(), await socket.next()
        assert start["status"] == 403
        refusal = json.loads(body["body"])
        assert refusal["code"] == 4
        assert "proxy_set_header Host $http_host;" in refusal["message"]
