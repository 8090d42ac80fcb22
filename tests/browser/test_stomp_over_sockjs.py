"""The published clients as Spring's pages have them: @stomp/stompjs over sockjs-client, in Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from browser import serve
from browsers import Chromium
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from holdfast import Stomp, StompMessage

pytestmark = [pytest.mark.browser, pytest.mark.servers]

MODULES = Path(__file__).parents[1] / "clients/node_modules"
PAGE = """<!doctype html><title>stomp</title><link rel="icon" href="data:,">
<script src="/modules/sockjs-client/dist/sockjs.min.js"></script>
<script src="/modules/@stomp/stompjs/bundles/stomp.umd.min.js"></script>
<body><script>
window.talk = async (server, transport, size) => {
  const t = {};
  const client = new StompJs.Client({
    heartbeatIncoming: 100,
    heartbeatOutgoing: 100,
    webSocketFactory: () => {
      const sock = new SockJS(server + "/stomp", null, { transports: transport });
      sock.addEventListener("open", () => t.transport = sock.transport);
      const { send } = sock;
      sock.send = (data) => send.call(sock, typeof data == "string" ? data : `${new Uint8Array(data)}`);
      return sock;
    },
  });
  const frame = await new Promise((done) => { client.onConnect = done; client.activate(); });
  const failed = new Promise((_, fail) => client.onStompError = ({ headers }) => fail(new Error(headers.message)));
  t.beat = frame.headers["heart-beat"];
  const talk = async () => {
    const said = (body) => new Promise((done) => {
      client.subscribe("/topic/a", done, { id: "a" });
      client.publish({ destination: "/topic/a", [typeof body == "string" ? "body" : "binaryBody"]: body });
    }).finally(() => client.unsubscribe("a"));
    const text = "é".repeat(size / 2);
    t.text = (await said(text)).body == text;
    const bytes = Uint8Array.from({ length: size }, (_, n) => (n * 7) % 251);
    const { binaryBody } = await said(bytes);
    t.bytes = binaryBody.length == size && binaryBody.every((byte, n) => byte == bytes[n]);
    t.echo = await new Promise((done) => {
      client.subscribe("/user/queue/echo", ({ body }) => done(body));
      client.publish({ destination: "/app/echo", body: "hello" });
    });
    const receipt = new Promise((done) => client.watchForReceipt("r", done));
    client.publish({ destination: "/topic/b", headers: { receipt: "r" } });
    await receipt;
  };
  await Promise.race([talk(), failed]);
  await client.deactivate();
  return t;
};
</script>"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


PAGES = [Route("/", page), Mount("/modules", StaticFiles(directory=MODULES))]


async def echo(message: StompMessage) -> bytes:
    return message.body


@pytest.fixture(scope="module")
async def places(anyio_backend: str) -> AsyncIterator[tuple[str, str]]:
    """Where the pages are, and where a server for them is that is also one."""
    async with serve(Starlette(routes=PAGES)) as pages:
        elsewhere = f"http://127.0.0.1:{pages}"
        old = {"old_transports": True, "sockjs_url": "/modules/sockjs-client/dist/sockjs.min.js"}
        stomp = Stomp(origins=[elsewhere], sockjs=old)
        stomp.handle("/app/echo", send_to="/user/queue/echo")(echo)
        async with serve(Starlette(routes=[*PAGES, Mount("/stomp", app=stomp)])) as port:
            yield elsewhere, f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "transport", ["websocket", "xhr-streaming", "eventsource", "xhr-polling", "iframe-htmlfile"]
)
async def test_all_of_it_by_each_transport(
    real_chromium: Chromium, places: tuple[str, str], transport: str
) -> None:
    elsewhere, server = places
    tab = await real_chromium.open(elsewhere if transport.startswith("iframe") else server)
    # Script by script, a page takes its time.
    size = 100_000 if "htmlfile" in transport else 1_000_000
    told: Any = await tab.evaluate(f"talk('{server}', '{transport}', {size})")
    assert told == {
        "transport": transport,
        "beat": "10000,10000",
        "text": True,
        "bytes": True,
        "echo": "hello",
    }
    assert tab.errors == []
    await tab.close()
