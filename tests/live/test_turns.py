"""Who has much waiting in the server itself is taken in turns: others have theirs between."""

from __future__ import annotations

from collections import deque
from collections.abc import MutableMapping
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from asgi_driver import App, drive
from counting_peer import Lane, open_site

from holdfast import Engine, Server, Session, Socket

pytestmark = pytest.mark.anyio

URL = "&transport=websocket"
# A turn is 100 messages. Trio goes through those who are ready in any order: two turns of one may meet.
MOST = 202


class Queued:
    """An ASGI server that has parsed all frames of a chunk: what is in its queue is taken without a pause, as from
    `asyncio.Queue`."""

    def __init__(self, app: App, frames: list[str | bytes]) -> None:
        self._app = app
        self._frames = frames
        # The longest row of messages that was taken before another task had a turn, and how many in all.
        self.longest = self.taken = 0
        self._row = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        queue = deque(self._frames)
        connected = False

        async def take() -> MutableMapping[str, Any]:
            nonlocal connected
            if not connected:
                connected = True
                return await receive()
            if not queue:
                return await receive()
            self._row += 1
            self.taken += 1
            self.longest = max(self.longest, self._row)
            frame = queue.popleft()
            return {"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame}

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            await self._app(scope, take, send)
            tasks.cancel_scope.cancel()

    async def _watch(self) -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            self._row = 0


async def nothing(session: Session) -> None:
    async for _ in session:
        pass


async def longest(app: App, path: str, frames: list[str | bytes]) -> int:
    """The longest row of a WebSocket's messages without a turn for others."""
    queued = Queued(app, frames)
    async with drive(queued) as client:
        socket = client.websocket(path)
        await socket.accept()
        with anyio.fail_after(20):
            while queued.taken < len(frames):
                await anyio.lowlevel.checkpoint()
        socket.close(1000)
        await socket.finished()
    return queued.longest


@pytest.mark.parametrize("kind", ["", "&holdfast=1"], ids=["plain", "counting"])
async def test_small_messages_that_wait_in_the_server_are_taken_in_turns(kind: str) -> None:
    frames: list[str | bytes] = [*(["91"] if kind else []), *[f"4{number}" for number in range(1_000)]]
    assert await longest(Engine(nothing), f"/engine.io/?EIO=4{URL}{kind}", frames) <= MOST


async def test_comings_and_goings_are_taken_in_turns() -> None:
    io = Server()

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        del socket

    assert await longest(io, f"/socket.io/?EIO=4{URL}", ["40", "41"] * 500) <= MOST


async def test_after_a_large_message_others_have_their_turn() -> None:
    assert await longest(Engine(nothing), f"/engine.io/?EIO=4{URL}", ["4" + "x" * 110_000] * 20) <= 2
    assert await longest(Engine(nothing), f"/engine.io/?EIO=4{URL}", [bytes(11_000)] * 50) <= 20


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_fast_lane_reads_no_more_before_others_had_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lane, "is_fast", True)
    async with open_site() as site:
        socket = site.client.websocket("/engine.io/?EIO=4&transport=websocket")
        await socket.accept()
        await socket.receive()
        wire = socket._side.wire  # pyright: ignore
        socket.send("4small")
        assert wire._is_reading
        # libuv reads up to 32 times in a row, unless it is stopped.
        socket.send("4" + "x" * 200_000)
        assert not wire._is_reading
        socket.send("4last")
        with anyio.fail_after(5):
            while len(site.received) < 3:
                await anyio.lowlevel.checkpoint()
        assert (wire._is_reading, site.received[2]) == (True, "last")
