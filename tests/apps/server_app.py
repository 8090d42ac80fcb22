"""What the tests with real servers and official clients run: `/engine.io/` echoes, `/socket.io/` does what they ask.

`/reasons?name=` lists the reasons of the disconnects of those who connected with this name.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from holdfast import Ack, ConnectionRefusedError, Engine, EventError, Server, Session, Settings, Socket
from holdfast.fast import FastLane

SETTINGS = Settings(
    ping_interval=float(os.environ.get("PING_INTERVAL", "25")),
    ping_timeout=float(os.environ.get("PING_TIMEOUT", "20")),
    counting_ping_interval=5.0,
    upgrade_timeout=20.0,
    grace_period=float(os.environ.get("GRACE_PERIOD", "120")),
)

reasons: dict[str, list[str]] = {}


async def echo(session: Session) -> None:
    async for message in session:
        if message == "close":
            return
        await session.send(message)


async def answer_reasons(request: Request) -> JSONResponse:
    return JSONResponse(reasons.get(request.query_params.get("name", ""), []))


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>test</title><script src=/socket.io/holdfast.min.js></script>")


io = Server(
    settings=SETTINGS, app=Starlette(routes=[Route("/reasons", answer_reasons), Route("/page", page)])
)
app = Engine(echo, settings=SETTINGS, app=io)

lane = FastLane(io)
lane.add(app, "/engine.io")

for namespace in (io, io.of("/custom"), io.of("/other")):

    @namespace.on("connect")
    async def connect(socket: Socket, auth: dict[str, object]) -> None:
        await socket.emit("welcome", socket.namespace, auth)

    @namespace.on("echo")
    async def echo_event(socket: Socket, *args: object) -> tuple[object, ...]:
        await socket.emit("echo", *args)
        return args

    @namespace.on("ask me")
    async def ask(socket: Socket, *args: object) -> object:
        return ["asked", await socket.emit_with_ack("question", *args, timeout=5)]

    @namespace.on("make")
    async def make(socket: Socket, size: int) -> bytes:
        await socket.emit("made", b"\7" * size)
        return b"\10" * size

    @namespace.on("join")
    async def join(socket: Socket, *rooms: str) -> None:
        socket.join(*rooms)

    @namespace.on("leave")
    async def leave(socket: Socket, room: str) -> None:
        socket.leave(room)

    @namespace.on("tell")
    async def tell(socket: Socket, rooms: list[str], excluded: list[str], text: str) -> None:
        await io.of(socket.namespace).to(*rooms).except_(*excluded).emit("told", text)

    @namespace.on("tell others")
    async def tell_others(socket: Socket, rooms: list[str], text: str) -> None:
        await socket.broadcast.to(*rooms).emit("told", text)

    @namespace.on("nothing")
    async def nothing(socket: Socket) -> None:
        return None

    @namespace.on("null")
    async def null(socket: Socket) -> object:
        return Ack.of(None)

    @namespace.on("later")
    async def later(socket: Socket, ack: Ack) -> None:
        await socket.emit("first")
        await ack("and", "then")

    @namespace.on("prove")
    async def prove(socket: Socket, good: list[object]) -> object:
        async def check(socket: Socket, auth: dict[str, object]) -> bool:
            return auth.get("token") in good

        await socket.reauthenticate(timeout=5, check=check)
        return socket.handshake.auth["token"]

    @namespace.on("fail")
    async def fail(socket: Socket) -> None:
        raise EventError("not today", code="E_TODAY", data={"until": "tomorrow"})

    @namespace.on("put me out")
    async def put_out(socket: Socket) -> None:
        socket.disconnect()

    @namespace.on("close me")
    async def close(socket: Socket) -> None:
        socket.disconnect(close=True)

    @namespace.on("disconnect")
    async def disconnected(socket: Socket, reason: str) -> None:
        reasons.setdefault(str(socket.handshake.auth.get("name", "")), []).append(str(reason))


@io.of("/closed").on("connect")
async def refuse(socket: Socket, auth: dict[str, object]) -> None:
    raise ConnectionRefusedError("not you", {"you": auth.get("name")})
