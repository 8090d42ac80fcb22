"""Sends much to whoever asks for it, and says what became of that."""

from __future__ import annotations

import json
import os

from starlette.types import Receive, Scope, Send

from holdfast import Disconnected, Server, Socket
from holdfast.fast import FastLane

COUNT, SIZE = 2_000, 10_000

sent: dict[str, int] = {}
ended: list[str] = []


async def report(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    body = json.dumps(
        {"pid": os.getpid(), "sent": sent, "ended": ended, "sessions": app.session_count}
    ).encode()
    headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# A reader that has stalled is given up after two seconds, not after fifteen and more.
app = Server(
    app=report,
    ping_interval=1.0,
    ping_timeout=1.0,
    counting_ping_interval=1.0,
    counting_ping_timeout=1.0,
    grace_period=1.0,
)


lane = FastLane(app)


@app.on("go", concurrent=True)
async def go(socket: Socket, name: str) -> None:
    sent[name] = 0
    try:
        for _ in range(COUNT):
            await socket.emit("big", "x" * SIZE)
            sent[name] += 1
    except Disconnected:
        ended.append(name)
