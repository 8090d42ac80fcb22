"""python-socketio in the load benchmarks, with the events and the ``/state`` of `load_app.py`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from typing import Any

import socketio
from load_numbers import Numbers

__all__ = ["app"]

sent: dict[str, int] = {}
ended: dict[str, float] = {}

# Any: python-socketio has no types.
_ping: Any = {"ping_interval": float(os.environ["PING_SECONDS"])} if "PING_SECONDS" in os.environ else {}
_sio: Any = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[], **_ping)
numbers = Numbers(lambda id, number: _sio.emit("down", number, to=f"id {id}"))


async def state(scope: Any, receive: Any, send: Any) -> None:
    """Answer ``/state``."""
    if scope["type"] != "http":
        return
    gc.collect()
    if scope["path"] == "/stop":
        numbers.stop()
    body = {
        "sessions": len(_sio.eio.sockets),
        "tasks": len(asyncio.all_tasks()),
        "sent": sent,
        "ended": ended,
        **numbers.state(),
    }
    data = json.dumps(body).encode()
    headers = [(b"content-length", str(len(data)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


app = socketio.ASGIApp(_sio, state)


@_sio.event
async def connect(sid: str, environ: Any, auth: Any) -> None:
    numbers.counts["connects"] += 1
    if numbers.wants((auth or {}).get("id")):
        await _sio.enter_room(sid, f"id {auth['id']}")


@_sio.event
async def disconnect(sid: str) -> None:
    numbers.counts["disconnects"] += 1


@_sio.event
async def echo(sid: str, *args: object) -> object:
    return args[0] if args else None


@_sio.event
async def up(sid: str, id: str, number: int) -> None:
    numbers.take(id, number)


@_sio.event
async def go(sid: str, name: str, count: int, size: int) -> None:
    sent[name] = 0
    text = "x" * size
    for number in range(count):
        await _sio.emit("big", f"{number:08}{text}", to=sid)
        sent[name] += 1
        await asyncio.sleep(0)
    ended[name] = time.time()
