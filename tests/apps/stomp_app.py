"""What the tests with real clients of STOMP run: `/stomp` and `/socket.io/`, whose room ``news`` is a topic.

With ``RELAY`` in the environment, a real broker is behind it.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from holdfast import EventError, Server, Socket, Stomp, StompLogin, StompMessage, StompSettings


async def clients(request: Request) -> JSONResponse:
    return JSONResponse(len(stomp.clients))


io = Server()
rest = Starlette(routes=[Route("/clients", clients), Mount("/socket.io", app=io)])
RELAY = os.environ.get("RELAY")
app = stomp = Stomp(
    app=rest, limits=StompSettings(heart_beat=0.25), sockjs=True, relay=RELAY, grace_period=30.0
)
if RELAY is None:
    stomp.join_rooms(io, ["news"])


@io.on("connect")
async def connect(socket: Socket) -> None:
    socket.join("news")


@io.on("say")
async def say(socket: Socket, value: object) -> None:
    await io.to("news").emit("said", value)


@stomp.authenticate
async def who(login: StompLogin) -> str | bool | None:
    return False if login.passcode == "wrong" else login.login or None


@stomp.handle("/app/echo/{name}", send_to="/user/queue/echo")
async def echo(message: StompMessage) -> dict[str, object]:
    return {"name": message.params["name"], "body": message.text}


@stomp.handle("/app/count", send_to="/user/queue/count")
async def count(message: StompMessage) -> object:
    return message.json()


@stomp.handle("/app/fail")
async def fail(message: StompMessage) -> None:
    raise EventError("no", code="refused")


@stomp.handle("/app/announce")
async def announce(message: StompMessage) -> None:
    await stomp.send("/topic/announced", {"text": message.text})


@stomp.handle("/app/end")
async def end(message: StompMessage) -> None:
    message.client.disconnect("put out")
