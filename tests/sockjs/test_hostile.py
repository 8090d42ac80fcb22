"""Whatever is asked for in whatever way, the answer is one that somebody has thought of."""

from __future__ import annotations

import json

import pytest
from asgi_driver import settled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sockjs_site import open_site

WAYS = [
    "xhr",
    "xhr_streaming",
    "xhr_send",
    "eventsource",
    "htmlfile",
    "jsonp",
    "jsonp_send",
    "websocket",
    "info",
]
WORDS = st.one_of(st.sampled_from(["000", "id", "", ".", "%", "iframe.html", *WAYS]), st.text(max_size=5))
# Most name a session; the others anything.
ROUTES = st.one_of(
    st.sampled_from([f"/000/id/{way}" for way in WAYS]), st.lists(WORDS, max_size=5).map("/".join)
)
QUERIES = st.sampled_from(["", "?c=x", "?c=", "?c=<", "?t=1&t=2", "?" + "&" * 200])
METHODS = st.sampled_from(["GET", "POST", "OPTIONS", "HEAD", "DELETE", "X"])
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "origin",
            "cookie",
            "content-type",
            "access-control-request-headers",
            "if-none-match",
            "content-length",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
)
BODIES = st.one_of(
    st.binary(max_size=30), st.lists(st.text(max_size=3)).map(lambda texts: json.dumps(texts).encode())
)
# 499: nobody is there any more.
THOUGHT_OF = {200, 204, 304, 400, 403, 404, 405, 408, 413, 429, 431, 499, 500, 503}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(METHODS, ROUTES, QUERIES, HEADERS, BODIES), min_size=1, max_size=6))
async def test_any_requests(
    anyio_backend: str, requests: list[tuple[str, str, str, dict[str, str], bytes]]
) -> None:
    async with open_site(origins="*", old_transports=True, sockjs_url="/s.js", jsessionid=True) as site:
        for method, route, query, headers, body in requests:
            url = f"/sockjs{route}{query}".replace("\x00", "")
            answer = site.client.request(method, url, headers=headers, body=body)
            await settled()
            answer.disconnect()
            assert await answer.start() in THOUGHT_OF
            await site.clock.advance(1)
            await answer.finished()
        await site.clock.advance(30)
        assert site.app.session_count == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("url", ["/000/id/websocket", "/websocket"])
@settings(suppress_health_check=list(HealthCheck))
@given(
    messages=st.lists(
        st.one_of(st.text(max_size=10), st.binary(max_size=10), st.sampled_from(["[]", '["a"]']))
    )
)
async def test_any_messages(anyio_backend: str, url: str, messages: list[str | bytes]) -> None:
    async with open_site() as site:
        socket = await site.websocket(url)
        for message in messages:
            socket.send(message)
        await settled()
        socket.close()
        await socket.finished()
        assert site.app.session_count == 0
