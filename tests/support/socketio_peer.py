"""python-socketio's client, and what it has heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import socketio

__all__ = ["Peer", "connected", "refusal"]

TIMEOUT = 10
HEADERS = {"X-Test": "tested"}


class Peer:
    """A client that answers the event "question" with its arguments turned round, and keeps all others."""

    def __init__(self, client: socketio.AsyncClient, namespaces: list[str]) -> None:
        self.client = client
        self.heard: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        for namespace in namespaces:
            client.on("*", self._handler(namespace), namespace=namespace)
            client.on("question", self._answer, namespace=namespace)
            client.on("no answer", self._never, namespace=namespace)
            client.on("disconnect", self._disconnected(namespace), namespace=namespace)

    def _handler(self, namespace: str) -> Callable[..., Awaitable[None]]:
        async def handle(event: str, *args: object) -> None:
            self.heard.put_nowait((namespace, event, *args))

        return handle

    def _disconnected(self, namespace: str) -> Callable[[str], Awaitable[None]]:
        async def handle(reason: str) -> None:
            self.heard.put_nowait((namespace, "disconnect"))

        return handle

    async def _answer(self, *args: object) -> tuple[object, ...]:
        return args[::-1]

    async def _never(self) -> None:
        await asyncio.Event().wait()

    async def next(self) -> tuple[Any, ...]:
        """The next event: namespace, name, arguments."""
        async with asyncio.timeout(TIMEOUT):
            return await self.heard.get()

    async def several(self, number: int) -> list[tuple[Any, ...]]:
        """The next events."""
        return [await self.next() for _ in range(number)]

    async def ask(self, event: str, *args: object, namespace: str = "/") -> Any:
        """Send an event and wait for its acknowledgement."""
        return await self.client.call(event, args, namespace=namespace, timeout=TIMEOUT)

    async def settle(self) -> None:
        """Hear everything that was sent before this: the server answers in order."""
        await self.ask("echo", "settled")

    def sid(self, namespace: str = "/") -> str:
        return self.client.get_sid(namespace)


async def _open(url: str, transports: list[str] | None, auth: object, namespaces: list[str]) -> Peer:
    client = socketio.AsyncClient(reconnection=False)
    peer = Peer(client, namespaces)
    try:
        await client.connect(
            url,
            headers=HEADERS,
            transports=transports,
            auth=auth,
            namespaces=namespaces,
            wait_timeout=TIMEOUT,
        )
    except BaseException:
        await _close(client)
        raise
    return peer


async def _close(client: socketio.AsyncClient) -> None:
    await client.disconnect()
    if client.eio.http is not None:
        await client.eio.http.close()


@asynccontextmanager
async def connected(
    url: str,
    transports: list[str] | None = None,
    *,
    auth: object = None,
    namespaces: tuple[str, ...] = ("/",),
) -> AsyncIterator[Peer]:
    """A client for the length of a block."""
    peer = await _open(url, transports, auth, list(namespaces))
    try:
        yield peer
    finally:
        await _close(peer.client)


async def refusal(url: str, transports: list[str] | None, *, auth: object, namespace: str = "/") -> object:
    """What a client is told that is not let in."""
    client = socketio.AsyncClient(reconnection=False)
    errors: list[object] = []

    async def refused(data: object) -> None:
        errors.append(data)

    client.on("connect_error", refused, namespace=namespace)
    try:
        await client.connect(
            url,
            headers=HEADERS,
            transports=transports,
            auth=auth,
            namespaces=[namespace],
            wait_timeout=TIMEOUT,
        )
    except socketio.exceptions.ConnectionError:
        [error] = errors
        return error
    finally:
        await _close(client)
    raise AssertionError("it was let in")
