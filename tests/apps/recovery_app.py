"""A server with connection state recovery; tests/clients/recovery/node_server.js is the same for Node.

``SKIP_MIDDLEWARES`` is 0 or 1. ``POST /control`` does what its JSON body asks. Its clock can be put forward, in steps
that leave connected clients the time for their pongs.
"""

from __future__ import annotations

import base64
import os
from time import monotonic
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from holdfast import HoldfastError, Server, Socket


class MovableClock:
    """Real time, and what it was put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._moved = anyio.Event()

    def now(self) -> float:
        return monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
        self._moved.set()
        self._moved = anyio.Event()

    async def sleep_until(self, when: float, changed: anyio.Event) -> None:
        async def end_with(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        with anyio.move_on_after(when - self.now()):
            async with anyio.create_task_group() as group:
                group.start_soon(end_with, changed)
                group.start_soon(end_with, self._moved)


log: list[list[object]] = []
live: list[Socket] = []
# Also those that are gone: what a task of the application may still hold.
ever_seen: dict[str, Socket] = {}
clock = MovableClock()


def decode(value: Any) -> Any:
    return base64.b64decode(value["$bytes"]) if isinstance(value, dict) and "$bytes" in value else value


def found(id: str) -> Socket:
    return next(socket for socket in live if socket.id == id)


async def emit(
    namespace: str, args: list[Any], rooms: list[str], except_: list[str], volatile: bool = False
) -> None:
    target = io.of(namespace).except_(*except_)
    if rooms:
        target = target.to(*rooms)
    if volatile:
        target = target.volatile
    await target.emit("event", *map(decode, args))


async def emit_by_socket(id: str, args: list[Any]) -> None:
    await ever_seen[id].emit("event", *map(decode, args))


async def count(namespace: str, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await io.of(namespace).emit("event", number)


async def question(id: str) -> None:
    log.append(["answer", id, await found(id).emit_with_ack("question", "a string")])


async def keep(id: str, rooms: list[str], data: dict[str, object]) -> None:
    found(id).join(*rooms)
    found(id).data.update(data)


async def disconnect(id: str, close: bool) -> None:
    found(id).disconnect(close)


async def who_lives() -> list[dict[str, object]]:
    return [
        {
            "id": socket.id,
            "attached": socket.session.attached,
            "rooms": sorted(socket.rooms - {socket.id}),
            "data": socket.data,
            "recovered": socket.recovered,
        }
        for socket in live
    ]


async def whole_log() -> list[list[object]]:
    return log


async def advance(seconds: float) -> None:
    clock.advance(seconds)


COMMANDS = {
    "emit": emit,
    "emitBySocket": emit_by_socket,
    "count": count,
    "question": question,
    "keep": keep,
    "disconnect": disconnect,
    "live": who_lives,
    "log": whole_log,
    "advance": advance,
}


async def control(request: Request) -> JSONResponse:
    command = await request.json()
    if "except" in command:
        command["except_"] = command.pop("except")
    try:
        return JSONResponse(await COMMANDS[command.pop("do")](**command))
    except HoldfastError as error:
        return JSONResponse(repr(error), status_code=409)


app = io = Server(
    app=Starlette(routes=[Route("/control", control, methods=["POST"])]),
    clock=clock,
    connection_state_recovery=True,
    max_disconnection_duration=120.0,
    skip_middlewares=os.environ.get("SKIP_MIDDLEWARES") != "0",
)


async def middleware(socket: Socket) -> None:
    log.append(["middleware", socket.handshake.auth.get("name", "")])


async def connected(socket: Socket, auth: dict[str, object]) -> None:
    live.append(socket)
    ever_seen[socket.id] = socket
    log.append(["connect", socket.id, socket.recovered])
    if not auth.get("quiet"):
        await socket.emit("event", "hello")


async def said(socket: Socket, *args: object) -> None:
    log.append(["say", socket.id, args])


async def asked(socket: Socket, *args: object) -> object:
    return list(args)


async def disconnected(socket: Socket, reason: str) -> None:
    # It takes its time: whoever comes back has to wait for it.
    for _ in range(10):
        await checkpoint()
    live.remove(socket)
    log.append(["disconnect", socket.id, reason])


for each in (io, io.of("/other")):
    each.use(middleware)
    each.on("connect", connected)
    each.on("say", said)
    each.on("ask", asked)
    each.on("disconnect", disconnected)
