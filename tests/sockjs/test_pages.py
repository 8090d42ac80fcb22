"""What an endpoint answers beside its sessions: its addresses, what it can do, the page for an iframe."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from asgi_driver import Exchange
from sockjs_site import open_site

from holdfast import Settings, SockJS, SockJSSession, SockJSSettings
from holdfast.engine.settings.names import SOCKJS_NODE, Renamed

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
LISTED = "https://pages.example"
IFRAME = {"old_transports": True, "sockjs_url": "/static/sockjs.min.js"}


async def nothing(session: SockJSSession) -> None:
    """Takes no message."""


def kind(exchange: Exchange) -> str:
    return exchange.headers["content-type"].replace(" ", "")


@pytest.mark.parametrize("url", ["", "/"])
async def test_greeting(url: str) -> None:
    async with open_site() as site:
        answer = site.get(url)
        assert await answer.text() == "Welcome to SockJS!\n"
        assert answer.status == 200
        assert kind(answer) == "text/plain;charset=UTF-8"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "url", ["//", "///", "/a", "/a.html", "/a/a", "/a/a/", "/a/a/a", "/info/", "/a/a/xhr/", "/iframe.html"]
)
async def test_anything_else_is_not_found(url: str) -> None:
    async with open_site() as site:
        assert await site.get(url).start() == 404


@pytest.mark.parametrize("names", ["//", "/a./a", "/a/a.", "/./.", "/", "///", f"/a/{'a' * 257}", "/a/a\n"])
async def test_session_is_named_by_two_words_without_dots(names: str) -> None:
    async with open_site() as site:
        assert await site.post(f"{names}/xhr").start() == 404
        assert await site.get(f"{names}/xhr").start() == 404
        assert not site.sessions


@pytest.mark.parametrize("names", ["/a/a", "/_/_", "/1/1", "/abcdefgh_i-j /abcdefg_i-j ", f"/é/{'a' * 256}"])
async def test_any_such_words_do(names: str) -> None:
    async with open_site() as site:
        assert await site.post(f"{names}/xhr").text() == "o\n"


async def test_info() -> None:
    async with open_site() as site:
        answers = [site.get("/info?t=1") for _ in range(2)]
        infos = [json.loads(await answer.text()) for answer in answers]
        assert infos[0].keys() == {"websocket", "origins", "cookie_needed", "entropy"}
        assert (infos[0]["websocket"], infos[0]["origins"], infos[0]["cookie_needed"]) == (
            True,
            ["*:*"],
            False,
        )
        assert infos[0]["entropy"] != infos[1]["entropy"]
        assert all(0 <= info["entropy"] < 2**32 for info in infos)
        assert kind(answers[0]) == "application/json;charset=UTF-8"
        assert answers[0].headers["cache-control"] == NOT_CACHED
        assert "set-cookie" not in answers[0].headers


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        ({"transports": ["stream", "polling"]}, "websocket", False),
        ({"jsessionid": True}, "cookie_needed", True),
    ],
)
async def test_info_says_what_the_settings_say(settings: dict[str, Any], key: str, value: bool) -> None:
    async with open_site(**settings) as site:
        answer = site.get("/info")
        assert (await answer.json())[key] is value
        assert "set-cookie" not in answer.headers


# -- other origins


@pytest.mark.parametrize(
    ("url", "methods"), [("/info", "GET"), ("/a/b/xhr", "POST"), ("/a/b/xhr_streaming", "POST")]
)
@pytest.mark.parametrize("origin", ["https://any.example", "null"])
async def test_browser_that_asks_first_may_and_need_not_ask_again(
    url: str, methods: str, origin: str
) -> None:
    async with open_site(origins="*") as site:
        answer = site.options(
            url, headers={"origin": origin, "access-control-request-headers": "content-type, x-a"}
        )
        assert await answer.text() == ""
        headers = answer.headers
        assert answer.status == 204
        assert headers["access-control-allow-origin"] == origin
        assert headers["access-control-allow-credentials"] == "true"
        assert headers["access-control-allow-methods"] == f"OPTIONS, {methods}"
        assert headers["access-control-allow-headers"] == "content-type, x-a"
        assert re.search(r"public, max-age=\d{7,}", headers["cache-control"])
        assert int(headers["access-control-max-age"]) > 1_000_000
        assert "expires" in headers
        assert "content-length" not in headers
        assert not site.sessions


@pytest.mark.parametrize("names", ["", "a\r\nb: c", "é", "a" * 1025])
async def test_headers_that_cannot_be_named_are_not_allowed(names: str) -> None:
    async with open_site(origins="*") as site:
        answer = site.options("/a/b/xhr", headers={"origin": LISTED, "access-control-request-headers": names})
        assert await answer.start() == 204
        assert "access-control-allow-headers" not in answer.headers


@pytest.mark.parametrize("url", ["/info", "/a/b/xhr", "/a/b/xhr_send", "/a/b/eventsource", "/a/b/jsonp?c=x"])
async def test_page_of_an_origin_that_is_not_listed_is_refused(url: str) -> None:
    async with open_site(origins=[LISTED], old_transports=True) as site:
        for method in ("GET", "POST", "OPTIONS"):
            answer = site.client.request(method, f"/sockjs{url}", headers={"origin": "https://evil.example"})
            assert await answer.start() == 403
            assert "access-control-allow-origin" not in answer.headers
        assert await site.get(url, headers={"sec-fetch-site": "cross-site"}).start() == 403
        assert not site.sessions
        assert site.app.stats().refused["forbidden"] == 4


async def test_websocket_of_such_a_page_is_refused() -> None:
    async with open_site(origins=[LISTED]) as site:
        for url in ("/a/b/websocket", "/websocket"):
            socket = site.client.websocket(f"/sockjs{url}", headers={"origin": "https://evil.example"})
            assert (await socket.next())["status"] == 403
        assert not site.sessions


async def test_page_of_a_listed_origin_comes_with_its_cookies() -> None:
    async with open_site(origins=[LISTED]) as site:
        for answer in (
            site.get("/info", headers={"origin": LISTED}),
            site.post("/000/id/xhr", headers={"origin": LISTED}),
            site.post("/000/id/xhr_send", '["a"]', headers={"origin": LISTED}),
            site.post("/000/id/xhr_streaming", headers={"origin": LISTED}),
            site.post("/000/none/xhr_send", '["a"]', headers={"origin": LISTED}),
        ):
            await answer.start()
            assert answer.headers["access-control-allow-origin"] == LISTED
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert answer.headers["vary"] == "Origin"


async def test_middleware_of_the_application_may_write_these_headers() -> None:
    async with open_site(origins="*", cors="app") as site:
        answer = site.get("/info", headers={"origin": LISTED})
        await answer.start()
        assert "access-control-allow-origin" not in answer.headers


# -- the page for an iframe


@pytest.mark.parametrize(
    "name", ["iframe", "iframe-a", "iframe-", "iframe-0.1.2", "iframe-0.1.2abc-dirty.2144"]
)
async def test_iframe_page(name: str) -> None:
    async with open_site(origins="*", **IFRAME) as site:
        answer = site.get(f"/{name}.html?t=1")
        page = await answer.text()
        assert answer.status == 200
        assert kind(answer) == "text/html;charset=UTF-8"
        assert '<script src="/static/sockjs.min.js"></script>' in page
        assert "SockJS.bootstrap_iframe();" in page
        assert re.search(r"public, max-age=\d{7,}", answer.headers["cache-control"])
        assert answer.headers["expires"]
        assert "last-modified" not in answer.headers
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "name",
    ["iframe.htm", "iframe", "IFRAME.HTML", "iframe.HTML", "iframe.xml", "iframe-/.html", "iframe<.html"],
)
async def test_no_other_name_is_that_page(name: str) -> None:
    async with open_site(origins="*", **IFRAME) as site:
        assert await site.get(f"/{name}").start() == 404


async def test_iframe_page_is_not_sent_to_whom_has_it() -> None:
    async with open_site(**IFRAME) as site:
        first, again = site.get("/iframe.html"), site.get("/iframe-1.html")
        await first.start()
        await again.start()
        mark = first.headers["etag"]
        assert again.headers["etag"] == mark
        for known in (mark, f"W/{mark}", f'"other", {mark}', "*"):
            answer = site.get("/iframe.html", headers={"if-none-match": known})
            assert await answer.text() == ""
            assert answer.status == 304
            assert answer.headers["etag"] == mark
            assert "content-type" not in answer.headers
        assert await site.get("/iframe.html", headers={"if-none-match": '"other"'}).start() == 200


@pytest.mark.parametrize(
    ("origins", "policy"),
    [
        (None, "frame-ancestors 'self'"),
        ([LISTED, "null", re.compile("https://.*")], f"frame-ancestors 'self' {LISTED}"),
        ("*", None),
    ],
)
async def test_only_pages_that_may_connect_may_embed_it(origins: Any, policy: str | None) -> None:
    async with open_site(origins=origins, **IFRAME) as site:
        # A browser asks for a frame of another site without saying whose page it is in.
        answer = site.get("/iframe.html", headers={"sec-fetch-site": "cross-site"})
        assert await answer.start() == 200
        assert answer.headers.get("content-security-policy") == policy


async def test_address_of_the_script_cannot_leave_its_place() -> None:
    for wrong in ('"></script>', "javascript:alert(1)", "/a b", "", "ftp://a/", "http:///a", "/'"):
        with pytest.raises(ValueError, match="sockjs_url"):
            SockJS(nothing, sockjs_url=wrong)
    with pytest.raises(TypeError, match="sockjs_url"):
        SockJS(nothing, sockjs_url=1)
    async with open_site(old_transports=True, sockjs_url="https://cdn.example/s.js?a=1&b=2") as site:
        assert 'src="https://cdn.example/s.js?a=1&amp;b=2"' in await site.get("/iframe.html").text()


@pytest.mark.parametrize("settings", [{}, {"old_transports": True}, {"sockjs_url": "/s.js"}])
async def test_without_both_settings_there_is_no_such_page(settings: dict[str, Any]) -> None:
    async with open_site(**settings) as site:
        assert await site.get("/iframe.html").start() == 404


@pytest.mark.parametrize("way", ["htmlfile?c=x", "jsonp?c=x", "jsonp_send"])
async def test_transports_of_the_past_are_off(way: str) -> None:
    async with open_site() as site:
        for method in ("GET", "POST", "OPTIONS"):
            assert await site.client.request(method, f"/sockjs/000/id/{way}").start() == 404
        assert not site.sessions


# -- which ways there are


@pytest.mark.parametrize(
    ("transports", "there"),
    [
        (["websocket"], ["websocket"]),
        (["polling"], ["xhr", "xhr_send", "jsonp", "jsonp_send"]),
        (["stream"], ["xhr_streaming", "xhr_send", "eventsource", "htmlfile"]),
    ],
)
async def test_transports_can_be_left_out(transports: list[str], there: list[str]) -> None:
    ways = ("websocket", "xhr", "xhr_send", "xhr_streaming", "eventsource", "htmlfile", "jsonp", "jsonp_send")
    async with open_site(transports=transports, old_transports=True) as site:
        found = [way for way in ways if await site.client.request("PUT", f"/sockjs/0/0/{way}").start() == 405]
        assert sorted(found) == sorted(there)


async def test_wrong_method_is_told_the_right_one() -> None:
    async with open_site() as site:
        for method, way, allow in (
            ("POST", "websocket", "OPTIONS, GET"),
            ("GET", "xhr", "OPTIONS, POST"),
            ("DELETE", "eventsource", "OPTIONS, GET"),
        ):
            answer = site.client.request(method, f"/sockjs/0/0/{way}")
            assert await answer.text() == ""
            assert (answer.status, answer.headers["allow"]) == (405, allow)
            assert "content-type" not in answer.headers


@pytest.mark.parametrize("url", ["/0/0/websocket", "/websocket"])
async def test_websocket_address_needs_a_websocket(url: str) -> None:
    async with open_site() as site:
        answer = site.get(url)
        assert await answer.text() == 'Can "Upgrade" only to "WebSocket".\n'
        assert answer.status == 400


async def test_websocket_to_another_address_is_refused() -> None:
    async with open_site() as site:
        for url in ("/0/0/xhr", "/a", "", "/info"):
            assert await site.client.websocket(f"/sockjs{url}").closed_at_once() == 1000


async def test_mounted_every_path_is_its_own() -> None:
    async with open_site(mounted="/a/b") as site:
        assert await site.client.get("/a/b/").text() == "Welcome to SockJS!\n"
        assert await site.client.post("/a/b/000/id/xhr", "").text() == "o\n"
        assert await site.client.get("/a/b/none").start() == 404


async def test_round_another_application_only_its_path_is() -> None:
    inner = SockJS(nothing, path="/inner")
    async with open_site(app=inner, path="/outer/") as site:
        assert await site.client.get("/outer").start() == 200
        assert await site.client.get("/inner").start() == 200
        assert await site.client.get("/outer2").start() == 404
        assert "/inner" in await site.client.get("/outer2").text()


@pytest.mark.parametrize("name", SOCKJS_NODE)
def test_option_of_sockjs_node_is_here_or_has_its_reason(name: str) -> None:
    answer = SOCKJS_NODE[name]
    if isinstance(answer, Renamed):
        assert answer.here in SockJSSettings.__dataclass_fields__
        if answer.here == name:
            return
    with pytest.raises(TypeError, match=f"unknown setting '{name}': ") as caught:
        SockJS(nothing, **{name: 1})
    assert (answer.here if isinstance(answer, Renamed) else answer.reason) in str(caught.value)


def test_settings_of_any_server_do_and_a_wrong_name_is_explained() -> None:
    app = SockJS(nothing, settings=Settings(max_payload=5), response_limit=7)
    assert (app.table.sockjs.max_payload, app.table.sockjs.response_limit) == (5, 7)
    own = SockJSSettings(disconnect_delay=2)
    assert SockJS(nothing, settings=own).table.sockjs.disconnect_delay == 2
    with pytest.raises(ValueError, match="is that milliseconds"):
        SockJS(nothing, disconnect_delay=5000)
    with pytest.raises(TypeError, match="async def"):
        SockJS(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="settings must be Settings"):
        SockJS(nothing, settings={"response_limit": 1})  # type: ignore[arg-type]
