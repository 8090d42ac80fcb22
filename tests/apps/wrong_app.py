"""The events of `benchmarks/bench_app.py` with answers that are a little wrong, which its clients must see."""

from __future__ import annotations

from holdfast import Server, Socket

__all__ = ["app"]

app = Server()

# Of many right answers one is wrong.
NUMBER = "00000003"


@app.on("echo")
async def echo(socket: Socket, text: str) -> str:
    return text.replace(NUMBER, "00000004").replace("over WebSocket", "over polling")


@app.on("cast")
async def cast(socket: Socket, text: str) -> None:
    await app.emit("news", text)
    if text.startswith(NUMBER):
        # Twice to one of many.
        await socket.emit("news", text)


@app.on("up")
async def up(socket: Socket, text: str) -> None:
    """Forgets it."""


@app.on("count")
async def count(socket: Socket) -> int:
    return 0
