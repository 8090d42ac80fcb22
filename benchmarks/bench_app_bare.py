"""The least that an ASGI application can do in `make bench`: raw texts, and what is done with them says the path."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

__all__ = ["app"]

# Any: an ASGI message is a dict of anything.
members: set[Any] = set()
sessions = 0


async def app(scope: Any, receive: Any, send: Any) -> None:
    global sessions
    if scope["type"] == "http":
        await state(send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        sessions += 1
        await WORK[scope["path"]](receive, send)
        sessions -= 1


async def echo(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def cast(receive: Any, send: Any) -> None:
    members.add(send)
    while (message := await receive())["type"] == "websocket.receive":
        news = {"type": "websocket.send", "text": message["text"]}
        for member in list(members):
            await member(news)
    members.discard(send)


async def up(receive: Any, send: Any) -> None:
    seen = 0
    while (message := await receive())["type"] == "websocket.receive":
        text = message["text"]
        if text == "count":
            await send({"type": "websocket.send", "text": str(seen)})
        elif int(text[:8]) == seen:
            seen += 1


async def state(send: Any) -> None:
    """For `idle.py`, as in `load_app.py`."""
    gc.collect()
    data = json.dumps({"sessions": sessions, "tasks": len(asyncio.all_tasks())}).encode()
    headers = [(b"content-length", str(len(data)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


WORK = {"/echo": echo, "/cast": cast, "/up": up}
