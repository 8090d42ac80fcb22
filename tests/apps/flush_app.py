"""Counts the numbers that each client sends."""

from __future__ import annotations

from holdfast import Server, Socket

io = Server()
app = io


@io.on("number")
async def number(socket: Socket, number: int) -> None:
    seen = socket.data.setdefault("seen", {"count": 0, "in order": True})
    seen["in order"] = seen["in order"] and number == seen["count"]
    seen["count"] += 1


@io.on("sum")
async def total(socket: Socket) -> tuple[int, bool]:
    seen = socket.data["seen"]
    return seen["count"], seen["in order"]
