"""Our server in `make bench`, below ASGI too where `FastLane` is there: ``uvicorn bench_app:app [--http
bench_app:lane.http]``.

The others answer the same events: `bench_app_peer.py`, `bench_server.mjs`, and without a protocol `bench_app_bare.py`.
"""

from __future__ import annotations

import os

from holdfast import Server, Socket

__all__ = ["app", "lane"]

app = Server()
lane = None
if os.environ.get("BENCH_LANE"):
    from holdfast.fast import FastLane  # type: ignore[import-not-found]

    lane = FastLane(app, path="/socket.io")

# How many events of each socket have come, in order.
seen: dict[str, int] = {}


@app.on("disconnect")
async def disconnect(socket: Socket) -> None:
    seen.pop(socket.id, None)


@app.on("echo")
async def echo(socket: Socket, text: str) -> str:
    return text


@app.on("cast")
async def cast(socket: Socket, text: str) -> None:
    await app.emit("news", text)


@app.on("up")
async def up(socket: Socket, text: str) -> None:
    count = seen.get(socket.id, 0)
    if int(text[:8]) == count:
        seen[socket.id] = count + 1


@app.on("count")
async def count(socket: Socket) -> int:
    return seen.get(socket.id, 0)
