"""What `shutdown.py` ends: a server whose sockets have a `disconnect` handler, and which drains if asked to."""

from __future__ import annotations

import os

from holdfast import Server, Socket

io = Server(max_unused_sessions_per_address=100_000)
app = io
if "DRAIN" in os.environ:
    period, timeout = map(float, os.environ["DRAIN"].split())
    io.drain_on_signal(period=period, timeout=timeout)


@io.on("disconnect")
async def gone(socket: Socket, reason: str) -> None:
    pass
