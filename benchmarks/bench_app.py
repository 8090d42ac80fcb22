"""Our server in `make bench`: ``uvicorn bench_app:app``; by the fast lane it is `bench_app_lane.py`.

The others answer the same events: `bench_app_peer.py`, `bench_server.mjs`, and without a protocol `bench_app_bare.py`.
Those of `bench_growth.py` are here alone.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time

from holdfast import RedisAdapter, RedisStreamsAdapter, Server, Socket

__all__ = ["app"]

ADAPTERS = {"pubsub": RedisAdapter, "streams": RedisStreamsAdapter}
# Of `cluster.py` alone.
kind = ADAPTERS.get(os.environ.get("CLUSTER", ""))
app = Server() if kind is None else Server(adapter=kind(os.environ["REDIS_URL"]))

# Of `bench_growth.py --gc`.
if thresholds := os.environ.get("BENCH_GC"):
    gc.set_threshold(*map(int, thresholds.split(",")))

# How many events of each socket have come, in order.
seen: dict[str, int] = {}


@app.on("disconnect")
async def disconnect(socket: Socket) -> None:
    seen.pop(socket.id, None)


@app.on("echo")
async def echo(socket: Socket, text: str) -> str:
    return text


@app.on("cast")
async def cast(socket: Socket, text: str) -> None:
    await app.emit("news", text)


@app.on("up")
async def up(socket: Socket, text: str) -> None:
    count = seen.get(socket.id, 0)
    if int(text[:8]) == count:
        seen[socket.id] = count + 1


@app.on("count")
async def count(socket: Socket) -> int:
    return seen.get(socket.id, 0)


# --- growth


class Watch:
    """How long the loop was busy with one thing at most: the CPU time between two turns of a task that only waits.

    By the clock of the thread, so that it does not count when another process has the core.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._is_on = True
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        before = time.thread_time()
        while self._is_on:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - before)
            before = now

    def stop(self) -> float:
        """The longest, in seconds."""
        self._is_on = False
        return self.longest


watches: list[Watch] = []


@app.on("watch")
async def watch(socket: Socket) -> None:
    watches.append(Watch())


@app.on("watched")
async def watched(socket: Socket) -> float:
    return watches.pop().stop()


@app.on("join")
async def join(socket: Socket, room: str) -> None:
    socket.join(room)


@app.on("join and leave")
async def join_and_leave(socket: Socket, room: str, times: int) -> None:
    for _ in range(times):
        socket.join(room)
        socket.leave(room)


@app.on("cast to")
async def cast_to(socket: Socket, room: str, text: str) -> bool:
    await app.to(room).emit("news", text)
    return True
