"""Drives an ASGI application in-process, message by message, streaming bodies included.

Starlette's TestClient and httpx's ASGITransport hold a streaming body back until it ends; this one hands out each chunk
as the application sends it, and disconnects when the test says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import sniffio
from anyio.abc import TaskGroup

__all__ = ["Client", "Exchange", "ManualClock", "WebSocketExchange", "drive", "settled"]

App = Callable[..., Awaitable[None]]
Headers = dict[str, str] | Sequence[tuple[str, str]]
"""Pairs where one comes twice; the host is added if there is none."""


async def settled() -> None:
    """Let every task run until it waits."""
    if sniffio.current_async_library() == "trio":
        await anyio.wait_all_tasks_blocked()
        return
    # On asyncio anyio's own function looks only every tenth of a second.
    this, calm = asyncio.current_task(), 0
    while calm < 3:
        await asyncio.sleep(0)
        calm = calm + 1 if all(task is this or _waits(task) for task in asyncio.all_tasks()) else 0


def _waits(task: asyncio.Task[Any]) -> bool:
    waits_for = getattr(task, "_fut_waiter", None)
    return waits_for is not None and not waits_for.done()


class ManualClock:
    """A clock that moves only when the test says so.

    Attributes:
        late: How many seconds after its time a timer fires.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        self.late = 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def now(self) -> float:
        return self._now

    async def sleep_until(self, when: float, changed: anyio.Event) -> None:
        self._sleepers.append((when, changed))
        await changed.wait()

    def jump(self, seconds: float) -> None:
        """Time passes while nobody else has a turn."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Move time on and let everything happen that is due, in order."""
        end = self._now + seconds
        await settled()
        while True:
            due = [
                sleeper
                for sleeper in self._sleepers
                if sleeper[0] + self.late <= end and not sleeper[1].is_set()
            ]
            if not due:
                break
            first = min(due, key=lambda sleeper: sleeper[0])
            self._now = max(self._now, first[0] + self.late)
            self._sleepers.remove(first)
            first[1].set()
            await settled()
        self._now = end
        await settled()


# A machine that is busy with others is no failure.
_PATIENCE = 20
_STARTS = ("http.response.start", "websocket.accept")


class _Side:
    """What an application sends, in order, and what it receives."""

    def __init__(self) -> None:
        self._sent, self._to_test = anyio.create_memory_object_stream[MutableMapping[str, Any]](float("inf"))
        self._given, self._to_app = anyio.create_memory_object_stream[MutableMapping[str, Any]](float("inf"))
        self.finished = anyio.Event()
        self.hung = False
        self.left: Exception | None = None
        self.stalled = False
        self.turns: anyio.Semaphore | None = None
        self.end_gate: anyio.Event | None = None
        self.end_error: OSError | None = None

    async def receive(self) -> MutableMapping[str, Any]:
        if sniffio.current_async_library() == "asyncio" and self.untaken():
            # As uvicorn does it: what is there is had without waiting.
            return self._to_app.receive_nowait()
        return await self._to_app.receive()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.hung or (self.stalled and message["type"] not in _STARTS):
            await anyio.sleep_forever()
        if self.turns is not None:
            await self.turns.acquire()
        if self.left is not None:
            raise self.left
        self._sent.send_nowait(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            if self.end_gate is not None:
                await self.end_gate.wait()
            if self.end_error is not None:
                raise self.end_error

    def give(self, message: MutableMapping[str, Any]) -> None:
        self._given.send_nowait(message)

    def waiting(self) -> int:
        return self._to_test.statistics().current_buffer_used

    def untaken(self) -> int:
        return self._given.statistics().current_buffer_used

    async def next(self) -> MutableMapping[str, Any]:
        with anyio.fail_after(_PATIENCE):
            return await self._to_test.receive()

    async def over(self) -> None:
        """Wait until the application has returned."""
        with anyio.fail_after(_PATIENCE):
            await self.finished.wait()

    def close(self) -> None:
        for stream in (self._sent, self._to_test, self._given, self._to_app):
            stream.close()


class Exchange:
    """One HTTP request and its response."""

    def __init__(self, side: _Side) -> None:
        self._side = side
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self.ended = False

    async def start(self) -> int:
        """The status, once the response has begun."""
        message = await self._side.next()
        assert message["type"] == "http.response.start", message
        self.status = message["status"]
        self.raw_headers = list(message["headers"])
        self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return message["status"]

    async def chunk(self) -> bytes:
        """The next piece of the body; empty at its end."""
        message = await self._side.next()
        assert message["type"] == "http.response.body", message
        self.ended = not message.get("more_body", False)
        return message.get("body", b"")

    async def body(self) -> bytes:
        """The whole response."""
        if self.status is None:
            await self.start()
        body = b""
        while not self.ended:
            body += await self.chunk()
        return body

    async def text(self) -> str:
        return (await self.body()).decode()

    async def json(self) -> Any:
        return json.loads(await self.body())

    def answered(self) -> bool:
        """Whether anything of the response is there."""
        return self._side.waiting() > 0

    def disconnect(self) -> None:
        self._side.give({"type": "http.disconnect"})

    def hang(self) -> None:
        """From now on the peer takes nothing: a send of the application waits for ever."""
        self._side.hung = True

    def slow(self) -> anyio.Semaphore:
        """From now on the peer takes one piece for each release."""
        self._side.turns = anyio.Semaphore(0)
        return self._side.turns

    def hold_end(self) -> anyio.Event:
        """The application's last `send` puts its bytes out and returns only when the event is set."""
        self._side.end_gate = anyio.Event()
        return self._side.end_gate

    def fail_end(self) -> None:
        """The application's last `send` raises."""
        self._side.end_error = OSError("the peer has left")

    def give(self, body: bytes, *, more: bool) -> None:
        """Send a further piece of the request's body."""
        self._side.give({"type": "http.request", "body": body, "more_body": more})

    async def finished(self) -> None:
        """Wait until the application's coroutine has returned."""
        await self._side.over()


class WebSocketExchange:
    """One WebSocket."""

    def __init__(self, side: _Side) -> None:
        self._side = side

    async def accept(self) -> None:
        message = await self._side.next()
        assert message["type"] == "websocket.accept", message

    async def next(self) -> MutableMapping[str, Any]:
        return await self._side.next()

    async def receive(self) -> str | bytes:
        message = await self._side.next()
        assert message["type"] == "websocket.send", message
        text = message.get("text")
        return message["bytes"] if text is None else text

    async def closed(self) -> int:
        """The close code, whatever is sent before it."""
        while True:
            message = await self._side.next()
            if message["type"] == "websocket.close":
                return message["code"]

    async def closed_at_once(self) -> int:
        message = await self._side.next()
        assert message["type"] == "websocket.close", message
        return message["code"]

    def quiet(self) -> bool:
        return self._side.waiting() == 0

    def untaken(self) -> int:
        """How many messages of the peer the application has not taken."""
        return self._side.untaken()

    def send(self, data: str | bytes) -> None:
        key = "text" if isinstance(data, str) else "bytes"
        self._side.give({"type": "websocket.receive", key: data})

    def close(self, code: int = 1005) -> None:
        self._side.give({"type": "websocket.disconnect", "code": code})

    def leave(self) -> None:
        """`close`, and as with uvicorn, a send of the application fails from now on."""
        self.fail(OSError("the peer has left"))
        self.close()

    def fail(self, error: Exception) -> None:
        """A send of the application raises this from now on."""
        self._side.left = error

    def hang(self) -> None:
        """From now on the peer takes nothing: a send of the application waits for ever."""
        self._side.hung = True

    def slow(self) -> anyio.Semaphore:
        """From now on the peer takes one frame for each release."""
        self._side.turns = anyio.Semaphore(0)
        return self._side.turns

    def is_over(self) -> bool:
        """Whether the application has returned."""
        return self._side.finished.is_set()

    async def finished(self) -> None:
        await self._side.over()


class Client:
    """Makes requests to an application; `tasks` is the test's own task group.

    Attributes:
        stalled: Whether those who ask from now on take nothing but the head of the answer.
    """

    def __init__(self, app: App, tasks: TaskGroup, *, root_path: str = "", denial: bool = True) -> None:
        self.app = app
        self.tasks = tasks
        self.root_path = root_path
        self.denial = denial
        self.stalled = False
        self._sides: list[_Side] = []

    def _start(self, scope: dict[str, Any], first: MutableMapping[str, Any]) -> _Side:
        side = _Side()
        side.stalled = self.stalled
        self._sides.append(side)
        side.give(first)

        async def run() -> None:
            try:
                await self.app(scope, side.receive, side.send)
            finally:
                side.finished.set()

        self.tasks.start_soon(run)
        return side

    def _scope(self, kind: str, url: str, headers: Headers | None) -> dict[str, Any]:
        path, _, query = url.partition("?")
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or ())
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("host", "testserver"))
        return {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http" if kind == "http" else "ws",
            "path": path,
            "raw_path": path.encode(),
            "root_path": self.root_path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in pairs],
            "client": ("127.0.0.1", 50000),
            "server": ("testserver", 80),
        }

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | str = b"",
        headers: Headers | None = None,
        more_body: bool = False,
    ) -> Exchange:
        scope = {**self._scope("http", url, headers), "method": method}
        data = body.encode() if isinstance(body, str) else body
        return Exchange(self._start(scope, {"type": "http.request", "body": data, "more_body": more_body}))

    def get(self, url: str, *, headers: Headers | None = None) -> Exchange:
        return self.request("GET", url, headers=headers)

    def post(self, url: str, body: bytes | str, *, headers: Headers | None = None) -> Exchange:
        return self.request("POST", url, body=body, headers=headers)

    def websocket(
        self, url: str, *, headers: Headers | None = None, subprotocols: Sequence[str] = ()
    ) -> WebSocketExchange:
        scope = {**self._scope("websocket", url, headers), "subprotocols": list(subprotocols)}
        if self.denial:
            scope["extensions"] = {"websocket.http.response": {}}
        return WebSocketExchange(self._start(scope, {"type": "websocket.connect"}))

    def close(self) -> None:
        for side in self._sides:
            side.close()


@asynccontextmanager
async def drive(app: App) -> AsyncIterator[Client]:
    """A client of an application for the length of a test; what still runs then is cancelled."""
    client: Client | None = None
    try:
        async with anyio.create_task_group() as tasks:
            client = Client(app, tasks)
            yield client
            tasks.cancel_scope.cancel()
    finally:
        if client is not None:
            client.close()
