"""A way between two workers: frames in order, both ways, over a Unix socket.

What is said is written by whoever says it, and only what the socket does not take at once waits. A frame is its length
in four bytes, and then itself.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable

import anyio

from ...engine.host import Event, Host, make_event

__all__ = ["LIMIT_BYTES", "Link"]

logger = logging.getLogger("holdfast.workers")

LIMIT_BYTES = 64_000_000
"""What may wait for a worker that does not read; one that lets more wait is given up."""

_ROOM = 4_000_000
_PIECE = 262_144
_STALLED = 10.0
_LENGTH = 4


class Link:
    """One connection.

    Args:
        sock: Connected, not blocking.
        host: Runs what writes on.

    Attributes:
        hear: Called with each frame, and does not wait.
        name: Of who is at the other end, once that is known.
        spaces: The namespaces that there are at the other end.
    """

    def __init__(self, sock: socket.socket, host: Host, hear: Callable[[Link, bytes], None]) -> None:
        self.name = ""
        self.spaces: set[str] = set()
        self._socket = sock
        self._host = host
        self.hear = hear
        self._waiting: deque[bytes | memoryview] = deque()
        self._waiting_bytes = 0
        self._room: Event | None = None
        self._pause: Event | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        return not self._closed

    def send(self, *parts: bytes) -> None:
        """Say a frame. What cannot be said, because the other end is gone, is not."""
        if self._closed:
            return
        size = sum(map(len, parts))
        data = b"".join((size.to_bytes(_LENGTH, "big"), *parts))
        if self._waiting:
            self._wait(data)
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._wait(memoryview(data)[sent:])
            self._host.spawn_aside(self._write)

    def _wait(self, data: bytes | memoryview) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > LIMIT_BYTES:
            self._give_up(f"{self._waiting_bytes:,} bytes wait for it")

    async def _write(self) -> None:
        while self._waiting and not self._closed:
            with anyio.move_on_after(_STALLED) as scope:
                try:
                    await anyio.wait_writable(self._socket)
                except (OSError, anyio.ClosedResourceError):
                    self.close()
                    return
            if scope.cancelled_caught:
                self._give_up(f"it has taken nothing for {_STALLED:g} s")
                return
            self._write_some()

    def _write_some(self) -> None:
        waiting, size = self._waiting, 0
        pieces: list[bytes | memoryview] = []
        while waiting and size < _PIECE:
            pieces.append(waiting.popleft())
            size += len(pieces[-1])
        data = b"".join(pieces)
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        self._waiting_bytes -= sent
        if sent < size:
            waiting.appendleft(memoryview(data)[sent:])
        if self._waiting_bytes < _ROOM:
            self._let_on()

    def _let_on(self) -> None:
        if self._room is not None:
            room, self._room = self._room, None
            room.set()

    def _give_up(self, why: str) -> None:
        logger.warning("worker %s is given up: %s", self.name, why)
        self.close()

    @property
    def has_room(self) -> bool:
        """Whether no more waits than should."""
        return self._waiting_bytes < _ROOM

    async def wait_for_room(self) -> None:
        """Return when that is so, or it is closed."""
        while not self.has_room and not self._closed:
            if self._room is None:
                self._room = make_event()
            await self._room.wait()

    def pause(self) -> None:
        """Read no more until `go_on`; idempotent."""
        if self._pause is None:
            self._pause = make_event()

    def go_on(self) -> None:
        """Read again; idempotent."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.set()

    async def read(self) -> None:
        """Hear what comes, until it is closed at either end."""
        buffer = bytearray()
        try:
            while not self._closed:
                if self._pause is not None:
                    await self._pause.wait()
                    continue
                await anyio.wait_readable(self._socket)
                try:
                    data = self._socket.recv(_PIECE)
                except (BlockingIOError, InterruptedError):
                    continue
                if not data:
                    return
                buffer += data
                self._take(buffer)
        except (OSError, anyio.ClosedResourceError):
            pass
        finally:
            self.close()

    def _take(self, buffer: bytearray) -> None:
        at, end = 0, len(buffer)
        while end - at >= _LENGTH and not self._closed:
            size = int.from_bytes(buffer[at : at + _LENGTH], "big")
            if size > LIMIT_BYTES:
                raise OSError("no frame is so long")
            if end - at - _LENGTH < size:
                break
            at += _LENGTH
            self.hear(self, bytes(buffer[at : at + size]))
            at += size
        del buffer[:at]

    def close(self) -> None:
        """End it; idempotent. Whoever reads it hears of that."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._let_on()
        self.go_on()
        anyio.notify_closing(self._socket)
        self._socket.close()
