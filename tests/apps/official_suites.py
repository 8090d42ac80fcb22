"""The application that the official protocol suites ask for: `/engine.io/` echoes, `/socket.io/` answers events.

Run it with ``uvicorn official_suites:app --app-dir tests/apps --port 3000``; PING_INTERVAL and PING_TIMEOUT are
seconds.
"""

from __future__ import annotations

import os
from typing import Any

from holdfast import Ack, Engine, Server, Session, Socket

INTERVALS: dict[str, Any] = {
    "ping_interval": float(os.environ.get("PING_INTERVAL", "0.3")),
    "ping_timeout": float(os.environ.get("PING_TIMEOUT", "0.2")),
    "max_payload": 1_000_000,
}


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


io = Server(connect_timeout=1.0, **INTERVALS)
app = Engine(echo, app=io, **INTERVALS)


async def connect(socket: Socket, auth: object) -> None:
    await socket.emit("auth", socket.handshake.auth)


async def message(socket: Socket, *args: object) -> None:
    await socket.emit("message-back", *args)


async def message_with_ack(socket: Socket, *args: object) -> object:
    return args


for namespace in (io.of("/"), io.of("/custom")):
    namespace.on("connect", connect)
    namespace.on("message", message)
    namespace.on("message-with-ack", message_with_ack)

__all__ = ["Ack", "app"]
