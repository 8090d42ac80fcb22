"""The cookie is set once, on the answer that opens a session, by whatever transport."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgi_driver import settled
from counting_peer import CountingPeer, Site, open_site

from holdfast import Cookie

URL = "/engine.io/?EIO=4&transport="


def cookies(headers: list[tuple[bytes, bytes]]) -> list[str]:
    return [value.decode() for name, value in headers if name.lower() == b"set-cookie"]


async def opened(site: Site, transport: str, *, counting: bool) -> tuple[str, list[str]]:
    """The sid of a new session, and the cookies that came with it."""
    url = f"{URL}{transport}{'&holdfast=1' if counting else ''}"
    if transport == "websocket":
        socket = site.client.websocket(url)
        accept = await socket.next()
        text = str(await socket.receive())
        return json.loads(text[1:])["sid"], cookies(list(accept["headers"]))
    exchange = site.client.get(url)
    await exchange.start()
    body = b""
    while b"}" not in body:
        body += await exchange.chunk()
    sid = json.loads(body[body.index(b"{") :].splitlines()[0])["sid"]
    return sid, cookies(exchange.raw_headers)


OPENINGS = [
    ("polling", False),
    ("websocket", False),
    ("polling", True),
    ("websocket", True),
    ("stream", True),
]


@pytest.mark.parametrize(("transport", "counting"), OPENINGS)
@pytest.mark.parametrize(
    ("cookie", "written"),
    [
        ("io", "io={sid}; Path=/; HttpOnly; SameSite=Lax"),
        (
            Cookie(name="r", path="/live", max_age=60),
            "r={sid}; Max-Age=60; Path=/live; HttpOnly; SameSite=Lax",
        ),
        (None, None),
    ],
)
async def test_handshake_sets_the_cookie_to_the_sid(
    transport: str, counting: bool, cookie: Any, written: str | None
) -> None:
    async with open_site(cookie=cookie) as site:
        sid, found = await opened(site, transport, counting=counting)
        assert found == ([] if written is None else [written.format(sid=sid)])


async def test_later_answers_and_refusals_set_none() -> None:
    async with open_site(cookie="io") as site:
        sid, _ = await opened(site, "polling", counting=False)
        url = f"{URL}polling&sid={sid}"
        post = site.client.post(url, "4hello")
        assert await post.start() == 200
        poll = site.client.get(url)
        await settled()
        site.say("hello")
        assert await poll.start() == 200
        refused = site.client.get(f"{URL}polling&sid=unknown")
        assert await refused.start() == 400
        old = site.client.get("/engine.io/?EIO=3&transport=polling")
        assert await old.start() == 400
        upgrade = await site.client.websocket(f"{URL}websocket&sid={sid}").next()
        assert upgrade["type"] == "websocket.accept"
        for headers in (post.raw_headers, poll.raw_headers, refused.raw_headers, old.raw_headers):
            assert cookies(headers) == []
        assert cookies(list(upgrade["headers"])) == []


async def test_attaching_another_carrier_sets_none() -> None:
    async with open_site(cookie="io") as site:
        peer = CountingPeer(site.client)
        await peer.open("websocket")
        for transport in ("stream", "polling"):
            exchange = peer.attach_exchange(transport, peer.new_number(), wait=0)
            assert await exchange.start() == 200
            assert cookies(exchange.raw_headers) == []
        answer = peer.post_exchange()
        assert await answer.start() == 200
        assert cookies(answer.raw_headers) == []
        accept = await site.client.websocket(peer.url("websocket")).next()
        assert cookies(list(accept["headers"])) == []
