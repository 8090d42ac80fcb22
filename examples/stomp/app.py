"""A conversation of both protocols. In the repository's folder: `uvicorn examples.stomp.app:app`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from holdfast import Server, Socket, Stomp, StompClient, StompMessage

__all__ = ["app", "io", "stomp"]

HERE = Path(__file__).resolve().parent
STOMPJS = HERE.parent / "node_modules" / "@stomp" / "stompjs" / "bundles"

io = Server()
rest = Starlette(
    routes=[
        Mount("/socket.io", app=io),
        Mount("/stompjs", StaticFiles(directory=STOMPJS, check_dir=False)),
        Mount("/", StaticFiles(directory=HERE / "static", html=True)),
    ]
)
app = stomp = Stomp(app=rest)
# Who is in the room and who subscribes to /topic/lobby get the same; what is sent there by STOMP is the event "said".
stomp.join_rooms(io, ["lobby"], event="said")


@io.on("connect")
async def connect(socket: Socket) -> None:
    socket.join("lobby")


@io.on("say")
async def say_event(socket: Socket, text: str) -> None:
    await io.to("lobby").emit("said", {"by": "Socket.IO", "text": str(text)[:500]})


@stomp.authorize
async def may(client: StompClient, action: Literal["send", "subscribe"], destination: str) -> bool:
    """Clients speak to the function alone, which checks what they say."""
    return destination == ("/app/lobby" if action == "send" else "/topic/lobby")


@stomp.handle("/app/lobby", send_to="/topic/lobby")
async def say(message: StompMessage) -> dict[str, object]:
    return {"by": "STOMP", "text": message.text[:500]}
