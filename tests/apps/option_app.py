"""What the checks of the client's options (client_js/test/option_checks.js) run against: servers at three paths."""

from __future__ import annotations

from typing import Any

from holdfast import Ack, Server, Socket

__all__ = ["app"]


async def echo(socket: Socket, *args: object) -> Ack | tuple[object, ...]:
    return args


async def never(socket: Socket, ack: Ack) -> None:
    """The acknowledgement is taken over by the handler, and never sent."""


async def handshake(socket: Socket) -> dict[str, Any]:
    seen = socket.handshake
    return {"query": dict(seen.query), "headers": dict(seen.headers), "auth": seen.auth, "url": seen.url}


def server(path: str, app: Any = None) -> Server:
    io = Server(path=path, app=app)
    for name in ("/", "/chat", "/other"):
        namespace = io.of(name)
        namespace.on("echo", echo)
        namespace.on("never", never)
        namespace.on("handshake", handshake)
    return io


app = server("/socket.io", server("/elsewhere", server("/bare")))
