"""S4: who may ask from a browser, and who may read the answer: eight origins by six kinds of request."""

from __future__ import annotations

import json
from itertools import product
from typing import NamedTuple

import pytest
from asgi_driver import Client, settled
from counting_peer import open_site

LISTED = "https://pages.example"


class Origin(NamedTuple):
    """What a request says, whether it may ask, and whether its page may read the answer."""

    value: str | None
    may_ask: bool
    may_read: bool


ORIGINS = {
    "missing": Origin(None, may_ask=True, may_read=False),
    "same host": Origin("https://testserver", may_ask=True, may_read=False),
    "listed": Origin(LISTED, may_ask=True, may_read=True),
    "listed, in capitals": Origin(LISTED.upper(), may_ask=True, may_read=True),
    "foreign": Origin("https://other.example", may_ask=False, may_read=False),
    "null": Origin("null", may_ask=False, may_read=False),
    "another host with the same end": Origin("https://evilpages.example", may_ask=False, may_read=False),
    "another port": Origin(f"{LISTED}:8443", may_ask=False, may_read=False),
}
KINDS = {
    "poll": ("GET", "polling"),
    "stream": ("GET", "stream&holdfast=1"),
    "POST": ("POST", "polling"),
    "counting POST": ("POST", "polling&holdfast=1"),
    "preflight": ("OPTIONS", "polling"),
    "WebSocket": ("WEBSOCKET", "websocket"),
}
CELLS = list(product(ORIGINS, KINDS))


async def asked(client: Client, kind: str, origin: str | None) -> tuple[int, dict[str, str]]:
    """Status (101 for a WebSocket that was accepted) and headers."""
    method, transport = KINDS[kind]
    url = f"/engine.io/?EIO=4&transport={transport}"
    headers = {} if origin is None else {"origin": origin}
    if method == "WEBSOCKET":
        start = await client.websocket(url, headers=headers).next()
        accepted = start["type"] == "websocket.accept"
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return 101 if accepted else start["status"], found
    body = ""
    if method == "POST":
        opened = json.loads((await client.get(url).text()).removeprefix("0"))
        key = opened.get("holdfast", {}).get("key")
        attach = json.dumps({"key": key, "received": 0})
        body = "4hello" if key is None else f"7{attach}\x1e91\x1e4hello"
        url += f"&sid={opened['sid']}"
    exchange = client.request(method, url, body=body, headers=headers)
    return await exchange.start(), exchange.headers


def test_there_are_48_cells() -> None:
    assert len(CELLS) == 48


@pytest.mark.parametrize(("who", "kind"), CELLS)
async def test_s4(who: str, kind: str) -> None:
    origin = ORIGINS[who]
    async with open_site(origins=[LISTED], credentials=True) as site:
        status, headers = await asked(site.client, kind, origin.value)
        await settled()
        assert status == ((101 if kind == "WebSocket" else 200) if origin.may_ask else 403)
        heard = "POST" in kind and origin.may_ask
        assert site.received == (["hello"] if heard else [])
    allowed = {name: value for name, value in headers.items() if name.startswith("access-control-allow-")}
    # CORS is not for WebSockets: what keeps a stranger's page out there is the status.
    if origin.may_read and kind != "WebSocket":
        assert allowed["access-control-allow-origin"] == origin.value
        assert allowed["access-control-allow-credentials"] == "true"
        assert headers["vary"] == "Origin"
    else:
        assert "access-control-allow-origin" not in headers
        assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("kind", KINDS)
async def test_s4_nobody_is_listed_unless_somebody_lists_him(kind: str) -> None:
    async with open_site() as site:
        status, headers = await asked(site.client, kind, LISTED)
        assert status == 403
        assert [name for name in headers if name.startswith("access-control-")] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_s4_star_never_comes_with_credentials(kind: str) -> None:
    async with open_site(origins="*") as site:
        for origin in (LISTED, "null"):
            _, headers = await asked(site.client, kind, origin)
            assert "access-control-allow-credentials" not in headers
    with pytest.raises(ValueError, match="credentials"):
        async with open_site(origins="*", credentials=True):
            pass
