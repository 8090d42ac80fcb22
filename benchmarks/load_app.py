"""Our server in the load benchmarks: ``uvicorn load_app:app --app-dir benchmarks``. SETTINGS in the environment is
JSON.

Events: "echo" is answered; "up" brings a number that is checked; "go" asks for so many events of such a size. With
TICK_MS, everyone is sent numbers in the room named by the ``id`` of its auth. ``/state`` says what became of all that.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import time
import tracemalloc
from typing import Any

from numbers_seen import Seen
from starlette.types import Receive, Scope, Send

from holdfast import Disconnected, Server, Socket

__all__ = ["app"]

TICK_SECONDS = float(os.environ.get("TICK_MS", "0")) / 1000

sent: dict[str, int] = {}
ended: dict[str, float] = {}
seen: dict[str, Seen] = {}
ticks: dict[str, int] = {}
ticking: set[asyncio.Task[None]] = set()
counts = {"connects": 0, "disconnects": 0, "tick": 1}


def task_count() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        import trio

        return trio.lowlevel.current_statistics().tasks_living


async def state(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``/state``, and 404 for the rest."""
    assert scope["type"] in ("http", "websocket")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    gc.collect()
    body: dict[str, Any] = {
        "sessions": app.session_count,
        "tasks": task_count(),
        "sent": sent,
        "ended": ended,
        "up": {id: found.as_dict() for id, found in seen.items()},
        "down": ticks,
        **counts,
    }
    if tracemalloc.is_tracing():
        body["heap"] = tracemalloc.get_traced_memory()[0]
        body["lines"] = [
            str(line)
            for line in tracemalloc.take_snapshot().statistics(os.environ.get("TRACE_BY", "lineno"))[:40]
        ]
    if scope["path"] == "/stop":
        counts["tick"] = 0
    data = json.dumps(body).encode()
    status = 200 if scope["path"] in ("/state", "/stop") else 404
    headers = [(b"content-length", str(len(data)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


app = Server(app=state, **json.loads(os.environ.get("SETTINGS", "{}")))


@app.on("connect")
async def connect(socket: Socket, auth: dict[str, object]) -> None:
    counts["connects"] += 1
    id = auth.get("id")
    if isinstance(id, str) and TICK_SECONDS:
        socket.join(f"id {id}")
        seen.setdefault(id, Seen())
        ticks.setdefault(id, 0)
        if not ticking:
            ticking.add(asyncio.create_task(tick()))


@app.on("disconnect")
async def disconnect(socket: Socket) -> None:
    counts["disconnects"] += 1


async def tick() -> None:
    """Send numbers to all, one after the other, so that each gets one in a period."""
    while True:
        began = time.monotonic()
        for id in list(ticks):
            if counts["tick"]:
                ticks[id] += 1
                await app.to(f"id {id}").emit("down", ticks[id])
        await asyncio.sleep(max(0.0, TICK_SECONDS - (time.monotonic() - began)))


@app.on("echo")
async def echo(socket: Socket, *args: object) -> object:
    return args[0] if args else None


@app.on("join")
async def join(socket: Socket, room: str) -> None:
    socket.join(room)
    await app.to(room).emit("joined", room)


@app.on("none")
async def none(socket: Socket) -> None:
    """Takes no arguments."""


@app.of("/chat").on("echo")
async def chat(socket: Socket, *args: object) -> None:
    await app.of("/chat").emit("echo", *args)


@app.on("up")
async def up(socket: Socket, id: str, number: int) -> None:
    seen[id].take(number)


@app.on("go", concurrent=True)
async def go(socket: Socket, name: str, count: int, size: int) -> None:
    sent[name] = 0
    text = "x" * size
    try:
        for number in range(count):
            # A text of its own for each, as applications have it.
            await socket.emit("big", f"{number:08}{text}")
            sent[name] += 1
    except Disconnected:
        pass
    ended[name] = time.time()


# What ends a session early stands there.
logging.basicConfig(level=os.environ.get("LOG_LEVEL", "WARNING"))
if os.environ.get("TRACE_MEMORY"):
    tracemalloc.start()
