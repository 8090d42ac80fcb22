"""One node in `cluster_faults.py`: sends numbers, and writes down what comes, and "-" for each disconnect.

In the environment: REDIS, DURABLE ("1" or "0"), SEEN (a file), PER_SECOND, ADAPTER ("pubsub" or "streams").
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from holdfast import Disconnected, RedisAdapter, RedisStreamsAdapter, Server, Socket

__all__ = ["app"]

PAUSE = 1 / float(os.environ.get("PER_SECOND", "20"))
seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
kind = RedisStreamsAdapter if os.environ.get("ADAPTER") == "streams" else RedisAdapter
io = Server(
    adapter=kind(os.environ["REDIS"]),
    durable=os.environ["DURABLE"] == "1",
    max_unused_sessions_per_address=100_000,
)
tasks: set[asyncio.Task[None]] = set()


@io.on("connect")
async def connect(socket: Socket) -> None:
    socket.data.setdefault("next", 1)
    if not socket.recovered:
        socket.join("everybody")
    task = asyncio.create_task(count(socket))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def count(socket: Socket) -> None:
    """Number after number: that one was sent, and which is next, is in the record together."""
    while True:
        number = socket.data["next"]
        assert isinstance(number, int)
        try:
            await socket.emit("down", number)
        except Disconnected:
            return
        socket.data["next"] = number + 1
        await asyncio.sleep(PAUSE)


@io.on("disconnect")
async def disconnect(socket: Socket, reason: str) -> None:
    os.write(seen, b"-\n")


@io.on("up")
async def up(socket: Socket, number: int) -> int:
    os.write(seen, f"{number} {int(socket.replayed)} {socket.event_number}\n".encode())
    return number


async def speak() -> None:
    """Say to everybody, on all nodes, number after number."""
    me = os.getpid()
    for number in range(1, 1_000_000):
        await io.to("everybody").emit("all", me, number)
        await asyncio.sleep(PAUSE)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with io.lifespan():
        speaker = asyncio.create_task(speak())
        yield
        speaker.cancel()


app = Starlette(routes=[Mount("/socket.io", app=io)], lifespan=lifespan)
