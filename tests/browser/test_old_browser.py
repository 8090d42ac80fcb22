"""A browser whose fetch cannot stream (as in React Native): the stream is read by XMLHttpRequest, if asked for."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from browser import launch, open_page, serve, until, with_page
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from holdfast import Server, Socket
from holdfast.demo.proxy import Kind, MisbehavingProxy

CLIENT = Path(__file__).parents[2] / "client_js"

pytestmark = [pytest.mark.browser, pytest.mark.servers]

PAGE = """<!doctype html><title>old</title><script>delete Response.prototype.body</script><script type="module">
import { io } from "/client/index.js";
import { readByXhr } from "/client/transports/xhr.js";
const t = window.t = { heard: [], carriers: [], disconnects: [] };
const socket = window.socket = io({ transports: ["stream", "polling"], laterMs: [200], readStream: readByXhr });
socket.on("disconnect", (reason) => t.disconnects.push(reason));
socket.io.on("transport", ({ to }) => t.carriers.push(to));
socket.on("down", (...args) => t.heard.push(args.map((arg) => (arg instanceof Uint8Array ? [...arg] : arg))));
</script>"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_stream_is_read_without_fetch(anyio_backend: str) -> None:
    io = Server()
    sockets: list[Socket] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        sockets.append(socket)

    app = with_page(io, PAGE)
    app.routes.append(Mount("/client", StaticFiles(directory=CLIENT)))
    said = [[n, "é\U0001f388\r\n\x1e" * n, bytes([n, 0, 255])] for n in range(100)]
    async with (
        serve(app) as port,
        MisbehavingProxy("127.0.0.1", port) as proxy,
        launch() as browser,
    ):
        page, errors = await open_page(browser, proxy.url)
        await until(page, "window.t && t.carriers.at(-1) == 'stream' && socket.connected")
        for n, args in enumerate(said):
            if n == 50:
                proxy.cut(Kind.STREAM)
            await sockets[0].emit("down", *args)
        await until(page, f"t.heard.length == {len(said)}")
        assert await page.evaluate("t.heard") == [[n, text, list(data)] for n, text, data in said]
        await until(page, "t.carriers.at(-1) == 'stream'")
        read_by = await page.evaluate(
            "performance.getEntriesByType('resource').filter(({ name }) => name.includes('transport=stream'))"
            ".map(({ initiatorType }) => initiatorType)"
        )
        assert set(read_by) == {"xmlhttprequest"}
        assert await page.evaluate("t.disconnects") == []
        sockets[0].disconnect()
        with anyio.fail_after(20):
            await until(page, "t.disconnects.length")
        assert await page.evaluate("t.disconnects") == ["io server disconnect"]
        assert errors == []
