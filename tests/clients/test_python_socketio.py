"""python-socketio's client, over each transport and by upgrade."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio
from real_peer import http_client
from real_server import Running, until

pytestmark = pytest.mark.servers

WAYS: dict[str, list[str] | None] = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}
TIMEOUT = 10


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


class Peer:
    """A client, and what it has heard."""

    def __init__(self, client: socketio.AsyncClient) -> None:
        self.client = client
        self.heard: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        for namespace in ("/", "/custom"):
            client.on("*", self._handler(namespace), namespace=namespace)
            client.on("question", self._answer, namespace=namespace)
            client.on("disconnect", self._disconnected(namespace), namespace=namespace)

    def _handler(self, namespace: str) -> Callable[..., Awaitable[None]]:
        async def handle(event: str, *args: object) -> None:
            self.heard.put_nowait((namespace, event, *args))

        return handle

    def _disconnected(self, namespace: str) -> Callable[[str], Awaitable[None]]:
        async def handle(reason: str) -> None:
            self.heard.put_nowait((namespace, "disconnect", reason))

        return handle

    async def _answer(self, *args: object) -> tuple[object, ...]:
        return args[::-1]

    async def next(self) -> tuple[Any, ...]:
        async with asyncio.timeout(TIMEOUT):
            return await self.heard.get()

    async def ask(self, event: str, *args: object, namespace: str = "/") -> Any:
        return await self.client.call(event, args, namespace=namespace, timeout=TIMEOUT)


@asynccontextmanager
async def connected(
    server: Running, way: str, *, namespaces: tuple[str, ...] = ("/",), auth: object = None
) -> AsyncIterator[Peer]:
    client = socketio.AsyncClient(reconnection=False)
    peer = Peer(client)
    options = {"namespaces": list(namespaces), "auth": auth, "wait_timeout": TIMEOUT}
    await client.connect(server.url, transports=WAYS[way], **options)
    try:
        yield peer
    finally:
        await client.disconnect()
        if client.eio.http is not None:
            await client.eio.http.close()


def test_connects_with_auth_and_ends_on_the_transport_asked_for(server: Running, way: str) -> None:
    async def scenario() -> None:
        async with connected(server, way, auth={"token": "123"}) as peer:
            assert await peer.next() == ("/", "welcome", "/", {"token": "123"})
            assert peer.client.transport() == ("polling" if way == "polling" else "websocket")

    asyncio.run(scenario())


def test_polls_a_server_on_trio(trio_server: Running) -> None:
    async def scenario() -> None:
        async with connected(trio_server, "polling") as peer:
            await peer.next()
            for number in range(30):
                assert await peer.ask("echo", number) == number
                assert await peer.next() == ("/", "echo", number)

    asyncio.run(scenario())


def test_events_and_acknowledgements_both_ways(server: Running, way: str) -> None:
    args = (1, "zwei", None, True, {"three": [3.5, {}]}, [], "\x1b\u2028 \U0001f388")

    async def scenario() -> None:
        async with connected(server, way) as peer:
            await peer.next()
            assert await peer.ask("echo", *args) == args
            assert await peer.next() == ("/", "echo", *args)
            assert await peer.ask("ask me", "a", "b") == ["asked", ["b", "a"]]

    asyncio.run(scenario())


def test_binary_both_ways(server: Running, way: str) -> None:
    args = (bytes(range(256)), {"deep": [b"", "text", b"\xff" * 100_000]})

    async def scenario() -> None:
        async with connected(server, way) as peer:
            await peer.next()
            assert await peer.ask("echo", *args) == args
            assert await peer.next() == ("/", "echo", *args)
            assert await peer.ask("ask me", *args) == ["asked", list(args[::-1])]

    asyncio.run(scenario())


def test_many_events_keep_their_order(server: Running, way: str) -> None:
    async def scenario() -> None:
        async with connected(server, way) as peer:
            await peer.next()
            for number in range(500):
                await peer.client.emit("echo", number)
            assert [await peer.next() for _ in range(500)] == [("/", "echo", number) for number in range(500)]

    asyncio.run(scenario())


def test_acknowledgements_of_handlers(server: Running, way: str) -> None:
    async def scenario() -> None:
        async with connected(server, way) as peer:
            await peer.next()
            assert await peer.ask("null") is None
            assert await peer.ask("later") == ("and", "then")
            error = {"message": "not today", "code": "E_TODAY", "data": {"until": "tomorrow"}}
            assert await peer.ask("fail") == {"error": error}

    asyncio.run(scenario())


def test_namespaces_share_a_session_and_stay_apart(server: Running, way: str) -> None:
    async def scenario() -> None:
        async with connected(server, way, namespaces=("/", "/custom")) as peer:
            welcomes = [await peer.next(), await peer.next()]
            assert sorted(welcome[0] for welcome in welcomes) == ["/", "/custom"]
            assert await peer.ask("echo", "to custom", namespace="/custom") == "to custom"
            assert await peer.next() == ("/custom", "echo", "to custom")
            assert await peer.ask("echo", "to main") == "to main"
            assert await peer.next() == ("/", "echo", "to main")

    asyncio.run(scenario())


def test_refusal_arrives(server: Running, way: str) -> None:
    async def scenario() -> None:
        client = socketio.AsyncClient(reconnection=False)
        errors: list[object] = []

        async def refused(data: object) -> None:
            errors.append(data)

        client.on("connect_error", refused, namespace="/closed")
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(
                server.url,
                transports=WAYS[way],
                namespaces=["/closed"],
                auth={"name": "Eve"},
                wait_timeout=TIMEOUT,
            )
        assert errors == [{"message": "not you", "data": {"you": "Eve"}}]
        if client.eio.http is not None:
            await client.eio.http.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("event", "there"),
    [
        # This client closes its WebSocket without waiting until what it said before has gone out.
        (None, {"client namespace disconnect", "transport close"}),
        ("put me out", {"server namespace disconnect"}),
    ],
    ids=["by the client", "by the server"],
)
def test_reasons_of_a_disconnect(server: Running, way: str, event: str | None, there: set[str]) -> None:
    name = secrets.token_hex(8)

    async def scenario() -> None:
        async with connected(server, way, auth={"name": name}) as peer:
            await peer.next()
            if event is not None:
                await peer.client.emit(event)
                assert (await peer.next())[:2] == ("/", "disconnect")

    asyncio.run(scenario())
    with http_client(server.url) as client:
        until(lambda: client.get(f"/reasons?name={name}").json() != [], "the handler of the disconnect")
        (reason,) = client.get(f"/reasons?name={name}").json()
        assert reason in there
