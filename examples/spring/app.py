"""A server of Spring's STOMP over SockJS, moved. In the repository's folder: `uvicorn examples.spring.app:app`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from holdfast import EventError, Stomp, StompClient, StompMessage

__all__ = ["app", "stomp"]

HERE = Path(__file__).resolve().parent
MODULES = HERE.parent / "node_modules"

# registry.addEndpoint("/greetings").withSockJS()
stomp = Stomp(sockjs=True)
greeted = 0


@stomp.handle("/app/hello")  # @MessageMapping("/hello")
async def greet(message: StompMessage) -> dict[str, str]:
    """What it returns goes to `/topic/hello`, as in Spring."""
    global greeted
    match message.json():
        case {"name": str(name)} if name.strip():
            greeted += 1
            # The page shows it as text.
            return {"content": f"Hello, {name[:100]}!"}
        case _:
            raise EventError("a greeting needs a name")  # to the sender's /user/queue/errors


@stomp.on_subscribe("/app/count")  # @SubscribeMapping("/count")
async def count(message: StompMessage) -> int:
    return greeted


@stomp.handle("/app/whoami", send_to="/user/queue/replies")
async def who_am_i(message: StompMessage) -> str:
    """@SendToUser(destinations = "/queue/replies", broadcast = false)"""
    return message.client.id


@stomp.authorize  # a ChannelInterceptor
async def may(client: StompClient, action: Literal["send", "subscribe"], destination: str) -> bool:
    return action == "subscribe" or destination.startswith("/app/")


app = Starlette(
    routes=[
        Mount("/greetings", app=stomp),
        Mount("/sockjs-client", StaticFiles(directory=MODULES / "sockjs-client" / "dist", check_dir=False)),
        Mount("/stompjs", StaticFiles(directory=MODULES / "@stomp" / "stompjs" / "bundles", check_dir=False)),
        Mount("/", StaticFiles(directory=HERE / "static", html=True)),
    ],
    lifespan=stomp.lifespan,
)
