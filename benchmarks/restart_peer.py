"""python-socketio in `restart.py`, with the event of `restart_app.py`."""

from __future__ import annotations

import os
from typing import Any

import socketio

__all__ = ["app"]

seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
# Any: python-socketio has no types.
_sio: Any = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
app = socketio.ASGIApp(_sio)


@_sio.event
async def up(sid: str, number: int) -> int:
    os.write(seen, b"%d\n" % number)
    await _sio.emit("down", number, to=sid)
    return number
