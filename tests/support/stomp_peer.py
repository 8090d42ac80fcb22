"""A client of STOMP in process, over a bare WebSocket or a session: the test says each frame."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgi_driver import Client, ManualClock, WebSocketExchange, drive, settled

from holdfast import Settings, Stomp, StompSettings
from holdfast.engine.settings import StompSettings as Limits
from holdfast.engine.subprotocols.stomp_frames import Frame, FrameDecoder

__all__ = ["Site", "StompPeer", "open_stomp"]


class StompPeer:
    """One client; what it has heard is in `frames` after `settled`."""

    def __init__(self, socket: WebSocketExchange, *, in_session: bool) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.beats = 0
        self.kinds: list[type] = []
        self.closed: tuple[int, str] | None = None
        self._prefix = "4" if in_session else ""
        self._decoder = FrameDecoder(Limits(max_frame_bytes=10_000_000))
        self._decoder.version = None

    def send(self, command: str, body: str | bytes = b"", **headers: object) -> None:
        lines = [f"{name.replace('_', '-')}:{value}" for name, value in headers.items()]
        head = "\n".join([command, *lines]) + "\n\n"
        self.raw(head + body + "\0" if isinstance(body, str) else head.encode() + body + b"\0")

    def raw(self, data: str | bytes) -> None:
        self.socket.send(self._prefix + data if isinstance(data, str) else data)

    async def take(self) -> list[Frame]:
        """What has come since the last time."""
        await settled()
        found: list[Frame] = []
        while not self.socket.quiet():
            message = await self.socket.next()
            if message["type"] == "websocket.close":
                self.closed = (message["code"], message.get("reason", ""))
                continue
            if message["type"] != "websocket.send":
                continue
            data: Any = message.get("text")
            if data is None:
                data = message["bytes"]
            elif self._prefix:
                if not data.startswith("4"):
                    continue
                data = data[1:]
            if data in ("\n", ""):
                self.beats += 1
                continue
            self.kinds.append(type(data))
            for frame in self._decoder.feed(data):
                if frame.command == "CONNECTED":
                    self._decoder.version = frame.headers["version"]  # type: ignore[assignment]
                found.append(frame)
        self.frames += found
        return found

    async def one(self) -> Frame:
        """The only frame that has come."""
        [frame] = await self.take()
        return frame

    async def error(self) -> str:
        """The message of the ERROR that has come, after which the connection is closed."""
        frame = (await self.take())[-1]
        assert frame.command == "ERROR", frame
        assert self.closed is not None or self._prefix
        return frame.headers["message"]

    async def connect(self, version: str = "1.2", **headers: object) -> Frame:
        self.send("CONNECT", accept_version=version, host="h", **headers)
        frame = await self.one()
        assert frame.command == "CONNECTED", frame
        return frame


class Site:
    """A STOMP endpoint, its clock, and clients."""

    def __init__(self, stomp: Stomp, clock: ManualClock, client: Client) -> None:
        self.stomp, self.clock, self.client = stomp, clock, client

    async def peer(self, *, in_session: bool = False, **headers: str) -> StompPeer:
        """A client that has not said anything."""
        query = "?EIO=4&transport=websocket" if in_session else ""
        socket = self.client.websocket(f"/stomp/{query}", subprotocols=["v12.stomp"], headers=headers or None)
        await socket.accept()
        if in_session:
            await socket.receive()
        return StompPeer(socket, in_session=in_session)

    async def connected(self, *, in_session: bool = False, **headers: object) -> StompPeer:
        peer = await self.peer(in_session=in_session)
        await peer.connect(**headers)
        return peer


@asynccontextmanager
async def open_stomp(
    register: Callable[[Stomp], object] | None = None, settings: Settings | None = None, **limits: Any
) -> AsyncIterator[Site]:
    clock = ManualClock()
    more: dict[str, Any] = {} if settings is None else {"settings": settings}
    stomp = Stomp(clock=clock, limits=StompSettings(**limits), **more)
    if register is not None:
        register(stomp)
    async with drive(stomp) as client:
        yield Site(stomp, clock, client)
