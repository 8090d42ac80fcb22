"""The examples as a program sees them: python-socketio's client, on both frameworks."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio
from example_pages import FRAMEWORKS, start_example

pytestmark = pytest.mark.servers

TIMEOUT = 10
STROKE = bytes((7, 10, 20, 30)) + struct.pack("<4h", 1, 2, 30, 40)


@asynccontextmanager
async def connected(
    url: str, auth: object = None
) -> AsyncIterator[tuple[socketio.AsyncClient, asyncio.Queue[Any]]]:
    client = socketio.AsyncClient(reconnection=False)
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def hear(*event: object) -> None:
        heard.put_nowait(event)

    client.on("*", hear)
    try:
        await client.connect(url, transports=["websocket"], auth=auth, wait_timeout=TIMEOUT)
        yield client, heard
    finally:
        await client.disconnect()
        if client.eio.http is not None:
            await client.eio.http.close()


async def next_of(heard: asyncio.Queue[Any], event: str) -> list[Any]:
    async with asyncio.timeout(TIMEOUT):
        while True:
            name, *args = await heard.get()
            if name == event:
                return args


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_programs_chat(framework: str) -> None:
    async def scenario(url: str) -> None:
        async with connected(url) as (ada, _), connected(url) as (grace, heard):
            answer = await ada.call("join", ("Ada", "ada-" * 5), timeout=TIMEOUT)
            assert answer == {"name": "Ada", "rooms": ["lobby"], "messages": []}
            refused = await grace.call("join", ("Ada", "grace-" * 4), timeout=TIMEOUT)
            assert refused["error"]["code"] == "NAME_TAKEN"
            await grace.call("join", ("Grace", "grace-" * 4), timeout=TIMEOUT)
            said = await ada.call("say", ("#lobby", "hello", "nonce-" * 3), timeout=TIMEOUT)
            assert await next_of(heard, "message") == [said]

    with start_example("chat", framework) as server:
        asyncio.run(scenario(server.url))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_programs_draw(framework: str) -> None:
    async def scenario(url: str) -> None:
        async with connected(url, {"key": "ada-" * 5}) as (ada, heard):
            [author, board] = await next_of(heard, "board")
            assert board == b""
            id = await ada.call("stroke", ("nonce-" * 3, STROKE), timeout=TIMEOUT)
            item = struct.pack("<III", id, author, 8) + STROKE
            assert await next_of(heard, "item") == [item]
            async with connected(url, {"key": "grace-" * 4}) as (_, late):
                assert (await next_of(late, "board"))[1] == item
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with connected(url):
                pass

    with start_example("whiteboard", framework) as server:
        asyncio.run(scenario(server.url))
