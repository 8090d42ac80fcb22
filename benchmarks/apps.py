"""The servers that are compared: each answers an event with its own argument, over WebSocket.

``uvicorn apps:holdfast_app --app-dir benchmarks`` and so on; the bare one echoes each text and speaks no protocol.
"""

from __future__ import annotations

from typing import Any

import socketio

from holdfast import Server, Socket

__all__ = ["bare_app", "holdfast_app", "socketio_app"]

holdfast_app = Server()


@holdfast_app.on("echo")
async def echo(socket: Socket, data: str) -> str:
    return data


_sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
socketio_app = socketio.ASGIApp(_sio)


@_sio.on("echo")
async def socketio_echo(sid: str, data: str) -> str:
    return data


async def bare_app(scope: Any, receive: Any, send: Any) -> None:
    """The least that an ASGI application can do for an echo."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"]})
