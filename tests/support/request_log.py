"""What a server is asked, as an ASGI wrapper sees it: every request and every WebSocket, whoever answers it."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

__all__ = ["RequestLog", "Seen"]

# The number is the carrier's; a WebSocket that wants to take over says "2probe".
PROBE = re.compile(r"2\d+")
SEPARATOR = "\x1e"

ASGI = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(eq=False)
class Seen:
    """One request.

    Attributes:
        what: ``GET /path``, or ``WEBSOCKET /path``.
        transport: The query parameter of that name.
        at: When it came, in seconds since the epoch, the clock that a page has too.
        over: Whether it is done with.
        said: The packets that the client sent in it, in the order in which they came.
        heard: The packets that the server sent on it, if it is a WebSocket.
    """

    what: str
    transport: str
    at: float = field(default_factory=time.time)
    over: bool = False
    said: list[str] = field(default_factory=list[str])
    heard: list[str] = field(default_factory=list[str])


class RequestLog:
    """An ASGI application that passes all on to another and notes what came."""

    def __init__(self, app: ASGI) -> None:
        self._app = app
        self.seen: list[Seen] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        query = parse_qs(scope["query_string"].decode())
        verb = scope.get("method", "WEBSOCKET")
        seen = Seen(f"{verb} {scope['path']}", query.get("transport", [""])[0])
        self.seen.append(seen)

        async def noted_receive() -> Any:
            message = await receive()
            text = message.get("text") or message.get("body", b"").decode(errors="replace")
            seen.said += text.split(SEPARATOR) if text else []
            return message

        async def noted_send(message: Any) -> None:
            if message["type"] == "websocket.send":
                seen.heard += (message.get("text") or "").split(SEPARATOR)
            await send(message)

        try:
            await self._app(scope, noted_receive, noted_send)
        finally:
            seen.over = True

    def probes(self) -> int:
        """How often the client has asked what carries to prove itself."""
        return sum(bool(PROBE.fullmatch(packet)) for seen in self.seen for packet in seen.said)

    @property
    def all_over(self) -> bool:
        """Whether nothing is under way."""
        return all(seen.over for seen in self.seen)

    def what(self) -> list[str]:
        """All of it, in the order in which it came."""
        return [seen.what for seen in self.seen]
