"""python-socketio in the load benchmarks, with the events and the ``/state`` of `load_app.py`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from typing import Any

import socketio
from numbers_seen import Seen

__all__ = ["app"]

TICK_SECONDS = float(os.environ.get("TICK_MS", "0")) / 1000

sent: dict[str, int] = {}
ended: dict[str, float] = {}
seen: dict[str, Seen] = {}
ticks: dict[str, int] = {}
ticking: set[asyncio.Task[None]] = set()
counts = {"connects": 0, "disconnects": 0, "tick": 1}

# Any: python-socketio has no types.
_ping: Any = {"ping_interval": float(os.environ["PING_SECONDS"])} if "PING_SECONDS" in os.environ else {}
_sio: Any = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[], **_ping)


async def state(scope: Any, receive: Any, send: Any) -> None:
    """Answer ``/state``."""
    if scope["type"] != "http":
        return
    gc.collect()
    if scope["path"] == "/stop":
        counts["tick"] = 0
    body = {
        "sessions": len(_sio.eio.sockets),
        "tasks": len(asyncio.all_tasks()),
        "sent": sent,
        "ended": ended,
        "up": {id: found.as_dict() for id, found in seen.items()},
        "down": ticks,
        **counts,
    }
    data = json.dumps(body).encode()
    headers = [(b"content-length", str(len(data)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


app = socketio.ASGIApp(_sio, state)


@_sio.event
async def connect(sid: str, environ: Any, auth: Any) -> None:
    counts["connects"] += 1
    id = (auth or {}).get("id")
    if isinstance(id, str) and TICK_SECONDS:
        await _sio.enter_room(sid, f"id {id}")
        seen.setdefault(id, Seen())
        ticks.setdefault(id, 0)
        if not ticking:
            ticking.add(asyncio.create_task(tick()))


@_sio.event
async def disconnect(sid: str) -> None:
    counts["disconnects"] += 1


async def tick() -> None:
    while True:
        began = time.monotonic()
        for id in list(ticks):
            if counts["tick"]:
                ticks[id] += 1
                await _sio.emit("down", ticks[id], to=f"id {id}")
        await asyncio.sleep(max(0.0, TICK_SECONDS - (time.monotonic() - began)))


@_sio.event
async def echo(sid: str, *args: object) -> object:
    return args[0] if args else None


@_sio.event
async def up(sid: str, id: str, number: int) -> None:
    seen[id].take(number)


@_sio.event
async def go(sid: str, name: str, count: int, size: int) -> None:
    sent[name] = 0
    text = "x" * size
    for number in range(count):
        await _sio.emit("big", f"{number:08}{text}", to=sid)
        sent[name] += 1
        await asyncio.sleep(0)
    ended[name] = time.time()
