"""The least that an ASGI application can do in `make bench`: raw texts, and what is done with them says the path."""

from __future__ import annotations

from typing import Any

__all__ = ["app"]

# Any: an ASGI message is a dict of anything.
members: set[Any] = set()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await WORK[scope["path"]](receive, send)


async def echo(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def cast(receive: Any, send: Any) -> None:
    members.add(send)
    while (message := await receive())["type"] == "websocket.receive":
        news = {"type": "websocket.send", "text": message["text"]}
        for member in list(members):
            await member(news)
    members.discard(send)


async def up(receive: Any, send: Any) -> None:
    seen = 0
    while (message := await receive())["type"] == "websocket.receive":
        text = message["text"]
        if text == "count":
            await send({"type": "websocket.send", "text": str(seen)})
        elif int(text[:8]) == seen:
            seen += 1


WORK = {"/echo": echo, "/cast": cast, "/up": up}
