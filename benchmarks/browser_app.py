"""The server of our client in `browser.py`: an event for everyone who connects, an answer to who asks, and numbers.

``TICK_MS=50 uvicorn browser_app:app --app-dir benchmarks``; without TICK_MS there are no numbers. `browser_server.mjs`
is the same for the others.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse
from starlette.routing import Mount, Route

from holdfast import Server, Socket

__all__ = ["app"]

HERE = Path(__file__).resolve().parent
TICK_SECONDS = float(os.environ.get("TICK_MS", "0")) / 1000
PAGE = """<!doctype html><title>benchmark</title><link rel="icon" href="data:,">
<script type="module">import { io } from "/socket.io/holdfast.esm.min.js"; window.io = io;</script>
<script type="module" src="/page.js"></script>"""

io = Server()


def now_ms() -> float:
    return time.time() * 1000


STARTED = now_ms()


@io.on("connect")
async def connect(socket: Socket) -> None:
    await socket.emit("first", now_ms())


@io.on("ask")
async def ask(socket: Socket) -> None:
    await socket.emit("answer", now_ms())


@io.on("up")
async def up(socket: Socket, number: int) -> None:
    """What a page says is received, and that is all."""


async def _count() -> None:
    number = 0
    while TICK_SECONDS:
        await asyncio.sleep(TICK_SECONDS)
        number += 1
        await io.emit("tick", now_ms(), number, STARTED)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with io.lifespan(app):
        counting = asyncio.create_task(_count())
        yield
        counting.cancel()


async def _page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def _script(request: Request) -> FileResponse:
    return FileResponse(HERE / "browser_page.js", media_type="text/javascript")


app = Starlette(
    routes=[Route("/", _page), Route("/page.js", _script), Mount("/socket.io", app=io)], lifespan=_lifespan
)
