"""Servers with several workers: Socket.IO events that tell which worker handles them."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from holdfast import Engine, Server, Session, Socket
from holdfast.fast import FastLane

# All clients of a test have one address.
io = Server(max_unused_sessions_per_address=1_000)
if "DRAIN" in os.environ:
    io.drain_on_signal(timeout=1.0, period=0.0)


@io.on("where")
async def where(socket: Socket) -> int:
    return os.getpid()


@io.on("echo")
async def echo(socket: Socket, value: object) -> object:
    return value


@io.on("join")
async def join(socket: Socket, room: str) -> None:
    socket.join(room)


@io.on("say")
async def say(socket: Socket, room: str, value: object) -> None:
    await io.to(room).emit("said", value)


@io.on("flood")
async def flood(socket: Socket, number: int, size: int) -> None:
    for each in range(number):
        await socket.emit("drop", each, "x" * size)


@io.on("count")
async def count(socket: Socket) -> int:
    return len(await io.fetch_sockets())


@io.on("workers")
async def workers(socket: Socket) -> list[object]:
    return [os.getpid(), *await io.server_side_emit_with_ack("worker", timeout=10)]


@io.on_server_side("worker")
async def worker() -> int:
    return os.getpid()


async def echo_all(session: Session) -> None:
    async for message in session:
        await session.send(message)


engine = Engine(echo_all)


async def pid(request: Request) -> JSONResponse:
    return JSONResponse(os.getpid())


@io.on("number")
async def number(socket: Socket, value: int) -> None:
    socket.data.setdefault("numbers", []).append(value)


@io.on("numbers")
async def numbers(socket: Socket) -> list[int]:
    return socket.data.get("numbers", [])


site = Starlette(
    routes=[Mount("/socket.io", app=io), Mount("/engine.io", app=engine), Route("/pid", pid)],
    lifespan=io.lifespan,
)

lane = FastLane(io)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The site; if it is told so, each request needs a TCP connection of its own, which any worker may take."""
    if scope["type"] != "http" or "CLOSE" not in os.environ:
        await site(scope, receive, send)
        return

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    await site(scope, receive, closing)
