"""The entry that goes by WebSocket alone, cut again and again, it loses nothing and uses no HTTP."""

from __future__ import annotations

import pytest
from browser import eventually, serve, with_page
from browsers import Chromium
from request_log import RequestLog

from holdfast import Server, Socket
from holdfast.demo.proxy import Kind, MisbehavingProxy

pytestmark = [pytest.mark.browser, pytest.mark.servers]

PAGE = """<!doctype html><title>websocket</title><link rel="icon" href="data:,"><script type="module">
import { io } from "/socket.io/holdfast.websocket.esm.min.js";
const t = window.t = { sent: 0, heard: [], changes: [], disconnects: 0 };
const socket = window.socket = io();
socket.on("disconnect", () => t.disconnects++);
socket.io.on("transport", ({ to, reason }) => t.changes.push([to, reason]));
socket.on("down", (n) => t.heard.push(n));
setInterval(() => { if (t.changes.length && !t.stop) socket.emit("up", ++t.sent); }, 10);
</script>"""
CUTS = 6


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


async def test_cut_again_and_again_it_loses_nothing(real_chromium: Chromium) -> None:
    io = Server()
    heard: list[int] = []
    sockets: list[Socket] = []
    gone: list[str] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        sockets.append(socket)

    @io.on("up")
    async def up(socket: Socket, number: int) -> None:
        heard.append(number)
        await socket.emit("down", number)

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        gone.append(reason)

    log = RequestLog(with_page(io, PAGE))
    async with serve(log) as port, MisbehavingProxy("127.0.0.1", port) as proxy:
        tab = await real_chromium.open(proxy.url)
        for cut in range(CUTS):
            await tab.until(f"window.t?.changes.length > {cut} && t.heard.length > {20 * cut}")
            # What has only fallen silent is found out by what is said.
            assert proxy.silence() if cut == 2 else proxy.cut(Kind.WEBSOCKET)
        await tab.until(f"t.changes.length > {CUTS} && t.heard.length > {20 * CUTS}")
        await tab.evaluate("t.stop = true")
        sent = await tab.evaluate("t.sent")
        await eventually(lambda: len(heard) >= sent)
        await tab.until(f"t.heard.length >= {sent}")
        assert heard == list(range(1, sent + 1))
        assert await tab.evaluate("t.heard") == heard
        assert {to for to, _ in await tab.evaluate("t.changes")} == {"websocket"}
        assert (await tab.evaluate("t.disconnects"), gone, len(sockets)) == (0, [], 1)
        await tab.close()
        # Closed, the page has said good-bye on the WebSocket.
        await eventually(lambda: gone and log.all_over)
        assert set(log.what()) == {
            "GET /",
            "GET /socket.io/holdfast.websocket.esm.min.js",
            "WEBSOCKET /socket.io/",
        }
        assert tab.errors == []
