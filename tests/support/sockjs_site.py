"""A SockJS endpoint with its clock and a client, in the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgi_driver import Client, Exchange, Headers, ManualClock, WebSocketExchange, settled
from counting_peer import client_of

from holdfast import SockJS, SockJSSession

__all__ = ["GO_AWAY", "INTERRUPTED", "Site", "echo", "open_site", "rest_of"]

GO_AWAY = 'c[3000,"Go away!"]'
INTERRUPTED = 'c[1002,"Connection interrupted"]'


async def echo(session: SockJSSession) -> None:
    """Sends back what comes."""
    async for message in session:
        await session.send(message)


class Site:
    """An endpoint at ``/sockjs``, and the session ``/000/id`` in it.

    Attributes:
        sessions: Those that were opened, in order.
    """

    def __init__(
        self, app: SockJS, client: Client, clock: ManualClock, sessions: list[SockJSSession]
    ) -> None:
        self.app = app
        self.client = client
        self.clock = clock
        self.sessions = sessions

    def get(self, url: str, *, headers: Headers | None = None) -> Exchange:
        return self.client.get(f"/sockjs{url}", headers=headers)

    def post(self, url: str, body: str | bytes = "", *, headers: Headers | None = None) -> Exchange:
        return self.client.post(f"/sockjs{url}", body, headers=headers)

    def options(self, url: str, *, headers: Headers) -> Exchange:
        return self.client.request("OPTIONS", f"/sockjs{url}", headers=headers)

    async def poll(self, id: str = "id") -> str:
        """What a poll is answered with."""
        return await self.post(f"/000/{id}/xhr").text()

    async def bring(self, body: str, id: str = "id") -> int:
        """The status of a POST that brings messages."""
        return await self.post(f"/000/{id}/xhr_send", body).start()

    async def open(self, id: str = "id") -> SockJSSession:
        """A session, opened by a poll."""
        assert await self.poll(id) == "o\n"
        await settled()
        return self.sessions[-1]

    async def stream(self, kind: str = "xhr_streaming", id: str = "id") -> Exchange:
        """A stream whose prelude has been read."""
        url = f"/000/{id}/{kind}"
        exchange = self.post(url) if kind == "xhr_streaming" else self.get(url)
        assert await exchange.start() == 200
        await exchange.chunk()
        await settled()
        return exchange

    async def websocket(self, url: str = "/000/id/websocket", **more: Any) -> WebSocketExchange:
        """An accepted WebSocket; its first frame has been read, if it has frames."""
        socket = self.client.websocket(f"/sockjs{url}", **more)
        await socket.accept()
        if url != "/websocket":
            assert await socket.receive() == "o"
        await settled()
        return socket


async def rest_of(exchange: Exchange) -> str:
    """What is left of a response."""
    text = ""
    while not exchange.ended:
        text += (await exchange.chunk()).decode()
    return text


@asynccontextmanager
async def open_site(function: Any = echo, *, mounted: str = "", **options: Any) -> AsyncIterator[Site]:
    """An endpoint with these settings."""
    clock = ManualClock()
    sessions: list[SockJSSession] = []

    async def remember(session: SockJSSession) -> None:
        sessions.append(session)
        await function(session)

    app = SockJS(remember, clock=clock, **options)
    async with client_of(app, mounted) as client:
        yield Site(app, client, clock, sessions)
        await settled()
