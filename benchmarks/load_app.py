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

from load_numbers import Numbers
from starlette.types import Receive, Scope, Send

from holdfast import Disconnected, Server, Socket

__all__ = ["app"]

sent: dict[str, int] = {}
ended: dict[str, float] = {}


def task_count() -> int:
    try:
        return len(asyncio.all_tasks()) - app.table.host.idle_tasks
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
        **numbers.state(),
    }
    if tracemalloc.is_tracing():
        body["heap"] = tracemalloc.get_traced_memory()[0]
        body["lines"] = [
            str(line)
            for line in tracemalloc.take_snapshot().statistics(os.environ.get("TRACE_BY", "lineno"))[:40]
        ]
    if scope["path"] == "/stop":
        numbers.stop()
    data = json.dumps(body).encode()
    status = 200 if scope["path"] in ("/state", "/stop") else 404
    headers = [(b"content-length", str(len(data)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


app = Server(app=state, **json.loads(os.environ.get("SETTINGS", "{}")))
numbers = Numbers(lambda id, number: app.to(f"id {id}").emit("down", number))


@app.on("connect")
async def connect(socket: Socket, auth: dict[str, object]) -> None:
    numbers.counts["connects"] += 1
    if numbers.wants(auth.get("id")):
        socket.join(f"id {auth['id']}")


@app.on("disconnect")
async def disconnect(socket: Socket) -> None:
    numbers.counts["disconnects"] += 1


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
    numbers.take(id, number)


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
