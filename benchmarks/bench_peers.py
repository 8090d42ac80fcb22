"""The clients of `make bench`: a WebSocket, an HTTP connection, an event stream. What a run does with them stands in
`bench_workloads.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar, cast

from bench_wire import (
    CLOSE,
    PING,
    PONG,
    SEPARATOR,
    TEXT,
    Frames,
    Responses,
    Stream,
    WrongAnswer,
    client_frame,
    masked_frame,
)

__all__ = ["EventStream", "Http", "Link", "Peer", "dial", "hang_up"]

HEARTBEAT = client_frame("3")
GOODBYE = masked_frame(CLOSE, b"")

_open: set[Link] = set()


class Link(asyncio.Protocol):
    """One TCP connection. What comes is given to ``on_item`` as soon as it is whole, or else kept for `next`.

    Attributes:
        partner: Another that fails when this one fails.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.on_item: Callable[[str], None] = self._keep
        self.partner: Link | None = None
        self._kept: deque[str] = deque()
        loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._changed: asyncio.Future[None] = loop.create_future()
        self._error: BaseException | None = None
        self._is_finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is not of the class.
        self.transport = cast(asyncio.Transport, transport)
        _open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(WrongAnswer("the server has closed the connection"))
        _open.discard(self)
        self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self.read(data)
        except Exception as error:
            self.fail(error if isinstance(error, WrongAnswer) else WrongAnswer(f"{error!r}: {data[:500]!r}"))

    def read(self, data: bytes) -> None:
        """Make items of it."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """Whoever waits for this connection hears of it; the first error counts."""
        self._error = self._error or error
        self._wake()
        if self.partner is not None:
            self.partner.fail(error)

    def finish(self) -> None:
        """End `finished`."""
        self._is_finished = True
        self._wake()

    def keep(self) -> None:
        """Keep items for `next` from now on."""
        self.on_item = self._keep

    async def next(self) -> str:
        """The item that comes next."""
        while not self._kept:
            await self._change()
        return self._kept.popleft()

    async def finished(self) -> None:
        """Wait until an ``on_item`` has called `finish`."""
        while not self._is_finished:
            await self._change()
        self._is_finished = False

    async def lost(self) -> None:
        """Wait until the other end has closed the connection."""
        await self._lost

    async def _change(self) -> None:
        if self._error is not None:
            raise self._error
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    def _keep(self, item: str) -> None:
        self._kept.append(item)
        self._wake()

    def _wake(self) -> None:
        if not self._changed.done():
            self._changed.set_result(None)


class Peer(Link):
    """A WebSocket; an item is one packet, heartbeats are answered.

    Attributes:
        expected: The bytes that come next if all is well and nothing is joined or cut; instead of reading them,
            ``on_expected`` is called.
        on_batch: Is called when all that came at once has been taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.expected = b""
        self.on_expected: Callable[[], None] = self.finish
        self.on_batch: Callable[[], None] = _nothing
        self._head: bytes | None = b""
        self._frames = Frames()
        self._is_closing = False

    def data_received(self, data: bytes) -> None:
        if data == self.expected and self._frames.is_empty:
            self.on_expected()
        else:
            super().data_received(data)

    def read(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            head, separator, data = self._head.partition(b"\r\n\r\n")
            if not separator:
                return
            if not head.startswith(b"HTTP/1.1 101") or b"sec-websocket-extensions" in head.lower():
                raise WrongAnswer(f"no plain WebSocket: {self._head[:500]!r}")
            self._head = None
            self._keep("")
        for opcode, body in self._frames.take(data):
            if opcode == TEXT:
                for packet in body.decode().split(SEPARATOR):
                    self._take(packet)
            elif opcode == PING:
                self.transport.write(masked_frame(PONG, body))
            elif opcode == CLOSE and not self._is_closing:
                raise WrongAnswer(f"the server has closed the WebSocket: {body!r}")
        self.on_batch()

    def _take(self, packet: str) -> None:
        if packet == "2":
            self.transport.write(HEARTBEAT)
        # What a counting peer is told of positions.
        elif packet[:1] not in ("8", "9") or not packet[1:].isdecimal():
            self.on_item(packet)

    def send(self, *packets: str) -> None:
        """Each in a frame of its own."""
        self.transport.write(b"".join(map(client_frame, packets)))

    async def close(self, *last: str) -> None:
        """Say goodbye, and wait until the server has closed the connection. It has nothing to say any more."""
        late: list[str] = []
        self._is_closing = True
        self.partner = None
        self.expected = b""
        self.on_item, self.on_batch = late.append, _nothing
        self.transport.write(b"".join(map(client_frame, last)) + GOODBYE)
        await self.lost()
        if late or self._kept:
            raise WrongAnswer(f"more than was asked for: {[*self._kept, *late][0]!r}")


class Http(Link):
    """A connection that is kept alive; an item is the body of a response."""

    def __init__(self) -> None:
        super().__init__()
        self._responses = Responses()

    def read(self, data: bytes) -> None:
        for body in self._responses.take(data):
            self.on_item(body)

    async def ask(self, request: bytes) -> str:
        """The answer to one request."""
        self.keep()
        self.transport.write(request)
        return await self.next()


class EventStream(Link):
    """One streaming response; an item is one packet."""

    def __init__(self) -> None:
        super().__init__()
        self._stream = Stream()

    def read(self, data: bytes) -> None:
        for payload in self._stream.take(data):
            for packet in payload.split(SEPARATOR):
                if packet[:1] not in ("8", "9"):
                    self.on_item(packet)


def _nothing() -> None:
    pass


async def hang_up() -> None:
    """Cut all connections that a run that failed has left."""
    for link in (left := list(_open)):
        link.transport.abort()
    await asyncio.gather(*(link.lost() for link in left))


L = TypeVar("L", bound=Link)


async def dial(kind: type[L], host: str) -> L:
    """Connect."""
    address, _, port = host.partition(":")
    _, link = await asyncio.get_running_loop().create_connection(kind, address, int(port))
    return link
