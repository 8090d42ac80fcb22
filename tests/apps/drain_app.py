"""A server that drains when it is told to end.

`/go` lets the handlers that wait come to their end, `/stats` says how it stands.

As a program it serves itself by hypercorn's function, which asks `SignalDrain.wait` when to end.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import asdict

import anyio
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from holdfast import Server, Socket


class Gate:
    """An event of the loop that runs."""

    event: anyio.Event | None = None

    def of_now(self) -> anyio.Event:
        self.event = self.event or anyio.Event()
        return self.event


gate = Gate()


async def go(request: Request) -> JSONResponse:
    gate.of_now().set()
    return JSONResponse(None)


async def stats(request: Request) -> JSONResponse:
    return JSONResponse(asdict(io.stats()))


io = Server(
    app=Starlette(routes=[Route("/go", go), Route("/stats", stats)]), max_unused_sessions_per_address=5000
)
signals = io.drain_on_signal(
    timeout=float(os.environ.get("DRAIN_TIMEOUT", "20")),
    period=float(os.environ.get("DRAIN_PERIOD", "0")),
    retry_after=1,
)
app = io


@io.on("wait")
async def wait(socket: Socket) -> str:
    await gate.of_now().wait()
    return "done"


@io.on("disconnect")
async def gone(socket: Socket, reason: str) -> None:
    print("gone:", reason, flush=True)


if __name__ == "__main__":
    from hypercorn.config import Config

    config = Config()
    config.bind = [sys.argv[2]]
    if sys.argv[1] == "asyncio":
        from hypercorn.asyncio import serve

        asyncio.run(serve(app, config, shutdown_trigger=signals.wait))
    else:
        from hypercorn.trio import serve

        trio.run(lambda: serve(app, config, shutdown_trigger=signals.wait))
