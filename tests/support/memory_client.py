"""A Socket.IO client in memory: text packets on a WebSocket of `asgi_driver`."""

from __future__ import annotations

import json
from typing import Any

from asgi_driver import Client, WebSocketExchange

__all__ = ["MemoryClient", "join"]


class MemoryClient:
    """One client in one namespace.

    Attributes:
        sid: Of its socket; empty if it was refused.
        answer: What the server said to its connect.
    """

    def __init__(self, exchange: WebSocketExchange, namespace: str) -> None:
        self.exchange = exchange
        self.prefix = "" if namespace == "/" else f"{namespace},"
        self.sid = ""
        self.answer: tuple[str, Any] = ("", None)
        self._next_id = 0

    async def packet(self) -> tuple[str, Any]:
        """The next packet: its head (type and id, such as "2", "35"), and its data."""
        text = await self.exchange.receive()
        assert isinstance(text, str)
        assert text[0] == "4", text
        kind, rest = text[1], text[2:].removeprefix(self.prefix)
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        body = rest[len(digits) :]
        return kind + digits, json.loads(body) if body else None

    def send(self, head: str, *args: object) -> None:
        """A packet: head "2" for an event, "3" and an id for an acknowledgement."""
        self.exchange.send(f"4{head[0]}{self.prefix}{head[1:]}{json.dumps(list(args))}")

    async def event(self) -> list[Any]:
        """The next packet, which is an event without acknowledgement."""
        head, data = await self.packet()
        assert head == "2", (head, data)
        return data

    async def ask(self, *args: object) -> list[Any]:
        """Send an event and give the acknowledgement, which comes next."""
        self._next_id += 1
        self.send(f"2{self._next_id}", *args)
        head, data = await self.packet()
        assert head == f"3{self._next_id}", (head, data)
        return data

    def quiet(self) -> bool:
        return self.exchange.quiet()

    def leave(self) -> None:
        """Disconnect from the namespace."""
        self.exchange.send(f"41{self.prefix}")


async def join(
    client: Client,
    namespace: str = "/",
    *,
    auth: dict[str, object] | None = None,
    path: str = "/socket.io/",
    headers: dict[str, str] | None = None,
) -> MemoryClient:
    """Open a session and connect to a namespace."""
    exchange = client.websocket(f"{path}?EIO=4&transport=websocket", headers=headers)
    await exchange.accept()
    opening = await exchange.receive()
    assert isinstance(opening, str)
    assert opening[0] == "0"
    peer = MemoryClient(exchange, namespace)
    exchange.send(f"40{peer.prefix}{json.dumps(auth) if auth is not None else ''}")
    peer.answer = await peer.packet()
    if peer.answer[0] == "0":
        peer.sid = peer.answer[1]["sid"]
    return peer
