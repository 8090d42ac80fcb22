"""On a network that lets everything through, nothing is worse than a bare WebSocket: the server sees one handshake."""

from __future__ import annotations

import pytest
from browser import eventually, serve, with_page
from browsers import Browser
from request_log import RequestLog

from holdfast import Server, Socket
from holdfast.demo.proxy import MisbehavingProxy

pytestmark = [pytest.mark.browser, pytest.mark.servers]

PAGE = """<!doctype html><title>open</title><link rel="icon" href="data:,"><script type="module">
import { io } from "/socket.io/holdfast.esm.min.js";
const t = window.t = { began: performance.now(), carriers: [], disconnects: 0 };
const socket = window.socket = io();
socket.on("disconnect", () => t.disconnects++);
socket.io.on("transport", ({ to }) => {
  t.tookMs ??= performance.now() - t.began;
  t.carriers.push(to);
});
</script>"""

TWENTY_ROUND_TRIPS = """(async () => {
    for (let n = 0; n < 20; n++) if ((await socket.emitWithAck("echo", n)) != n) throw Error("not " + n);
    return true;
})()"""

# A network counts as open when the first round trip takes less; a busy machine is not always one.
OPEN_MS = 250
TRIES = 8


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("delay", [0.0, 0.05])
async def test_one_handshake_and_not_one_request_more(each_browser: Browser, delay: float) -> None:
    io = Server()
    gone: list[str] = []

    @io.on("echo")
    async def echo(socket: Socket, number: int) -> int:
        return number

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        gone.append(reason)

    log = RequestLog(with_page(io, PAGE))
    async with serve(log) as port, MisbehavingProxy("127.0.0.1", port) as proxy:
        proxy.set(delay_up=delay, delay_down=delay)
        for _ in range(TRIES):
            tab = await each_browser.open(proxy.url)
            await tab.until("window.socket?.connected")
            if await tab.evaluate("t.tookMs") < OPEN_MS:
                break
            await tab.evaluate("socket.disconnect()")
            await tab.close()
            await eventually(lambda: gone and log.all_over)
            log.seen.clear()
            gone.clear()
        else:
            pytest.fail(f"in {TRIES} tries nothing carried within {OPEN_MS} ms")
        assert await tab.evaluate(TWENTY_ROUND_TRIPS)
        assert gone == []
        await tab.evaluate("socket.disconnect()")
        # What the page sent before this has come before this.
        await tab.evaluate("fetch('/last').then(() => true)")
        assert log.what() == [
            "GET /",
            "GET /socket.io/holdfast.esm.min.js",
            "WEBSOCKET /socket.io/",
            "GET /last",
        ]
        await eventually(lambda: gone and log.all_over)
        assert len(gone) == 1
        assert await tab.evaluate("[t.carriers, t.disconnects]") == [["websocket"], 1]
        assert tab.errors == []
        await tab.close()
