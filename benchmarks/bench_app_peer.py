"""python-socketio in `make bench`, with the events of `bench_app.py`."""

from __future__ import annotations

import os
from typing import Any

import socketio

__all__ = ["app"]

# Any: it has no types.
_manager: Any = socketio.AsyncRedisManager(os.environ["REDIS_URL"]) if os.environ.get("CLUSTER") else None
_sio: Any = socketio.AsyncServer(
    async_mode="asgi", cors_allowed_origins=[], http_compression=False, client_manager=_manager
)
app = socketio.ASGIApp(_sio)

seen: dict[str, int] = {}


@_sio.event
async def disconnect(sid: str) -> None:
    seen.pop(sid, None)


@_sio.event
async def echo(sid: str, text: str) -> str:
    return text


@_sio.event
async def cast(sid: str, text: str) -> None:
    await _sio.emit("news", text)


@_sio.event
async def up(sid: str, text: str) -> None:
    count = seen.get(sid, 0)
    if int(text[:8]) == count:
        seen[sid] = count + 1


@_sio.event
async def count(sid: str) -> int:
    return seen.get(sid, 0)
