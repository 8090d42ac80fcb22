"""A page written for socket.io-client, with its script tag changed and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from browser import launch, open_page, serve, until, with_page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from holdfast import Server, Settings, Socket

pytestmark = [pytest.mark.browser, pytest.mark.servers]

PAGE = """<!doctype html><title>chat</title><script src="/socket.io/holdfast.compat.min.js"></script><script>
const t = window.t = { heard: [], out: [], upgrades: [], replies: [] };
const socket = window.socket = io({ transports: ["polling", "websocket"], retries: 3, ackTimeout: 10000 });
socket.onAnyOutgoing((name) => t.out.push(name));
socket.on("bytes", function (data) {
  t.heard.push([this === socket, data instanceof ArrayBuffer, ...new Uint8Array(data)]);
});
socket.on("connect", () => {
  const { engine } = socket.io;
  t.first = engine.transport.name;
  engine.on("upgrade", () => t.upgrades.push(engine.transport.name));
});
socket.emit("upload", new File(["ab"], "a.txt"), (error, reply) => t.replies.push([error, reply]));
socket.emit("after", (error, reply) => t.replies.push([error, reply]));
</script>"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_page_of_socketio_client_runs_with_another_script_tag(anyio_backend: str) -> None:
    io = Server()
    got: list[tuple[Any, ...]] = []

    @io.on("upload")
    async def upload(socket: Socket, data: bytes) -> int:
        got.append(("upload", data))
        await socket.emit("bytes", data)
        return len(data)

    @io.on("after")
    async def after(socket: Socket) -> str:
        got.append(("after",))
        return "done"

    async with serve(with_page(io, PAGE)) as port, launch() as browser:
        page, errors = await open_page(browser, f"http://127.0.0.1:{port}")
        await until(page, "window.t && t.replies.length == 2 && t.heard.length")
        assert got == [("upload", b"ab"), ("after",)]
        assert await page.evaluate("[t.replies, t.heard, t.out]") == [
            [[None, 2], [None, "done"]],
            [[True, True, 97, 98]],
            ["upload", "after"],
        ]
        assert await page.evaluate("[io.protocol, io.Manager.name !== '', socket instanceof io.Socket]") == [
            5,
            True,
            True,
        ]
        await until(page, "socket.io.engine.transport.name == 'websocket'")
        assert errors == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_cookies_cross_origins_only_with_credentials(anyio_backend: str, transport: str) -> None:
    async def empty(request: Request) -> HTMLResponse:
        return HTMLResponse("<!doctype html><title>other</title>")

    async with serve(Starlette(routes=[Route("/", empty)])) as other:
        io = Server(settings=Settings(origins=[f"http://127.0.0.1:{other}"], credentials=True))

        @io.on("cookie")
        async def cookie(socket: Socket) -> str:
            return socket.handshake.headers.get("cookie", "")

        async with serve(with_page(io, "")) as port, launch() as browser:
            page, errors = await open_page(browser, f"http://127.0.0.1:{other}")
            answers = await page.evaluate(
                """async ([origin, transport]) => {
                    document.cookie = "who=me";
                    const { io } = await import(`${origin}/socket.io/holdfast.compat.esm.min.js`);
                    const answers = [];
                    for (const withCredentials of [true, false]) {
                        const socket = io(origin, { transports: [transport], withCredentials, forceNew: true });
                        answers.push(await socket.emitWithAck("cookie"));
                        socket.disconnect();
                    }
                    return answers;
                }""",
                [f"http://127.0.0.1:{port}", transport],
            )
            # A WebSocket has no such choice.
            assert answers == ["who=me", "who=me" if transport == "websocket" else ""]
            assert errors == []
