"""The published sockjs-client in Chromium, forced to each of its transports in turn, those in an iframe included."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import serve
from browsers import Chromium
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse
from starlette.routing import Mount, Route

from holdfast import SockJS, SockJSSession

pytestmark = [pytest.mark.browser, pytest.mark.servers]

SCRIPT = Path(__file__).parents[1] / "clients/node_modules/sockjs-client/dist/sockjs.min.js"
PAGE = """<!doctype html><title>sockjs</title><link rel="icon" href="data:,"><script src="/sockjs.min.js"></script>
<body><script>
const query = new URLSearchParams(location.search);
const t = window.t = { heard: [] };
window.begin = () => {
  const transports = [query.get("transport")];
  const sock = window.sock = new SockJS(query.get("server") + "/sockjs", null, { transports });
  sock.onopen = () => t.transport = sock.transport;
  sock.onmessage = ({ data }) => t.heard.push(data);
  sock.onclose = ({ code, reason }) => t.closed = [code, reason];
};
</script>"""
# What browsers and proxies of the past changed on their way, and what would end a script.
TEXTS = [
    "hello",
    "é漢😀",
    "\u0000\u200c\u2028\u2029\ufeff\ufffe\uffff",
    '</script>"\\\r\n\t ',
    "[]",
    "",
    "x" * 30_000,
]
LISTED_ALONE = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"]
IN_A_FRAME = ["iframe-eventsource", "iframe-htmlfile", "iframe-xhr-polling"]
AT_HOME = [*LISTED_ALONE, "htmlfile", "jsonp-polling"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


async def answer(session: SockJSSession) -> None:
    """Sends back what comes, tells what carries it, and closes when it is asked to."""
    async for message in session:
        if message == "close":
            session.close(3456, "as you wish")
        else:
            await session.send(session.transport if message == "by what?" else message)


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def script(request: Request) -> FileResponse:
    return FileResponse(SCRIPT)


PAGES = [Route("/", page), Route("/sockjs.min.js", script)]


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[str]:
    sockjs = SockJS(answer, response_limit=4096, old_transports=True, sockjs_url="/sockjs.min.js", **settings)
    async with serve(Starlette(routes=[*PAGES, Mount("/sockjs", app=sockjs)])) as port:
        yield f"http://127.0.0.1:{port}"


async def talk(browser: Chromium, pages: str, server: str, transport: str) -> None:
    tab = await browser.open(f"{pages}/?server={server}&transport={transport}")
    await tab.evaluate("begin()")
    await tab.until("t.transport || t.closed")
    assert await tab.evaluate("[t.transport, t.closed ?? null]") == [transport, None]
    await tab.evaluate(f"{json.dumps(TEXTS)}.forEach((text) => sock.send(text))")
    await tab.until(f"t.heard.length === {len(TEXTS)}")
    assert await tab.evaluate("t.heard") == TEXTS
    # More than a stream may carry: the next ones bring the rest.
    await tab.evaluate("for (let n = 0; n < 12; n++) sock.send(`${n} ${'x'.repeat(1000)}`)")
    await tab.until(f"t.heard.length === {len(TEXTS) + 12}")
    assert await tab.evaluate(f"t.heard.slice({len(TEXTS)}).map(parseFloat)") == list(range(12))
    await tab.evaluate("sock.send('by what?')")
    kind = "websocket" if transport == "websocket" else "polling" if "polling" in transport else "stream"
    await tab.until(f"t.heard.at(-1) === '{kind}'")
    await tab.evaluate("sock.send('close')")
    await tab.until("t.closed")
    assert await tab.evaluate("t.closed") == [3456, "as you wish"]
    assert tab.errors == []
    await tab.close()


@pytest.fixture(scope="module")
async def elsewhere(anyio_backend: str) -> AsyncIterator[str]:
    """The same pages, without an endpoint."""
    async with serve(Starlette(routes=PAGES)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
async def server(elsewhere: str) -> AsyncIterator[str]:
    """It lets in its own pages, and those from elsewhere."""
    async with served(origins=[elsewhere], jsessionid=True) as server:
        yield server


@pytest.mark.parametrize("transport", AT_HOME)
async def test_page_of_the_same_origin(real_chromium: Chromium, server: str, transport: str) -> None:
    await talk(real_chromium, server, server, transport)


@pytest.mark.parametrize("transport", [*LISTED_ALONE, *IN_A_FRAME])
async def test_page_of_a_listed_origin(
    real_chromium: Chromium, elsewhere: str, server: str, transport: str
) -> None:
    await talk(real_chromium, elsewhere, server, transport)


async def test_page_of_any_origin_by_jsonp(real_chromium: Chromium, elsewhere: str) -> None:
    async with served(origins="*") as server:
        await talk(real_chromium, elsewhere, server, "jsonp-polling")


async def test_page_of_another_origin_gets_nothing_and_no_frame(
    real_chromium: Chromium, elsewhere: str
) -> None:
    async with served(origins=["https://other.example"]) as server:
        tab = await real_chromium.open(f"{elsewhere}/?server={server}&transport=xhr-polling")
        await tab.evaluate("begin()")
        await tab.until("t.closed")
        assert await tab.evaluate("t.closed[0]") == 1002
        await tab.evaluate(
            "new Promise((done) => { const frame = document.createElement('iframe');"
            f" frame.onload = done; frame.src = '{server}/sockjs/iframe.html'; document.body.append(frame); }})"
        )
        assert [frame.url for frame in tab.page.frames[1:]] == ["chrome-error://chromewebdata/"]
        await tab.evaluate(
            f"new Promise((done) => {{ const script = document.createElement('script'); window.cb = () => t.run = true;"
            f" script.onload = script.onerror = done; script.src = '{server}/sockjs/0/0/jsonp?c=cb';"
            " document.body.append(script); })"
        )
        assert not await tab.evaluate("t.run")
        await tab.close()
