"""A way between two workers: frames in order, both ways, over a Unix socket.

What is said is written by whoever says it, and only what the socket does not take at once waits. A frame is its length
in four bytes, and then itself.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable

import anyio

from ...engine.host import Event, Host, Timer, make_event

__all__ = ["LIMIT_BYTES", "Link"]

logger = logging.getLogger("holdfast.workers")

LIMIT_BYTES = 64_000_000
"""What may wait for a worker that does not read; one that lets more wait is given up."""

_ROOM = 4_000_000
_PIECE = 262_144
_STALLED = 10.0
_LENGTH = 4


class Link:
    """One connection. On asyncio its event loop calls when there is something to read, or room to write; a task that
    was sent for each time would take as long as what is to be done then. On Trio there is a task for each of both.

    Args:
        sock: Connected, not blocking.
        host: Runs what writes on.

    Attributes:
        hear: Called with each frame, and does not wait.
        name: Of who is at the other end, once that is known.
        spaces: The namespaces that there are at the other end.
    """

    def __init__(self, sock: socket.socket, host: Host, hear: Callable[[Link, bytes], None]) -> None:
        self.hear = hear
        self.name = ""
        self.spaces: set[str] = set()
        self._socket = sock
        self._host = host
        self._buffer = bytearray()
        self._waiting: deque[bytes | memoryview] = deque()
        self._waiting_bytes = 0
        self._room: Event | None = None
        self._pause: Event | None = None
        self._ended: Event = make_event()
        self._patience: Timer | None = None
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            pass  # Trio.

    @property
    def is_open(self) -> bool:
        return not self._closed

    # -- writing

    def send(self, *parts: bytes) -> None:
        """Say a frame. What cannot be said, because the other end is gone, is not."""
        if self._closed:
            return
        size = sum(map(len, parts))
        data = b"".join((size.to_bytes(_LENGTH, "big"), *parts))
        if self._waiting:
            self._wait(data)
            return
        sent = self._send(data)
        if sent is not None and sent < len(data):
            self._wait(memoryview(data)[sent:])
            self._write_later()

    def _send(self, data: bytes) -> int | None:
        """How much of it the socket has taken; None if it is closed."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self.close()
            return None

    def _wait(self, data: bytes | memoryview) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > LIMIT_BYTES:
            self._give_up(f"{self._waiting_bytes:,} bytes wait for it")

    def _write_later(self) -> None:
        if self._closed:
            return
        self._be_patient()
        if self._loop is None:
            self._host.spawn_aside(self._write_on_trio)
        else:
            self._loop.add_writer(self._socket, self._write_on_asyncio)

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        why = f"it has taken nothing for {_STALLED:g} s"
        self._patience = self._host.call_later(_STALLED, lambda: self._give_up(why))

    def _write_on_asyncio(self) -> None:
        self._write_some()
        if not self._waiting and self._loop is not None:
            self._loop.remove_writer(self._socket)

    async def _write_on_trio(self) -> None:
        try:
            while self._waiting:
                await anyio.wait_writable(self._socket)
                self._write_some()
        except (OSError, anyio.ClosedResourceError):
            self.close()

    def _write_some(self) -> None:
        waiting, size = self._waiting, 0
        pieces: list[bytes | memoryview] = []
        while waiting and size < _PIECE:
            pieces.append(waiting.popleft())
            size += len(pieces[-1])
        data = b"".join(pieces)
        sent = self._send(data)
        if sent is None:
            return
        self._waiting_bytes -= sent
        if sent < size:
            waiting.appendleft(memoryview(data)[sent:])
        if sent:
            self._be_patient()
        if not waiting and self._patience is not None:
            self._patience.cancel()
        if self.has_room:
            self._let_on()

    def _let_on(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.set()

    def _give_up(self, why: str) -> None:
        if not self._closed:
            logger.warning("the link to worker %s is given up: %s", self.name, why)
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

    # -- reading

    def pause(self) -> None:
        """Read no more until `go_on`; idempotent."""
        if self._pause is None and not self._closed:
            self._pause = make_event()
            if self._loop is not None:
                self._loop.remove_reader(self._socket)

    def go_on(self) -> None:
        """Read again; idempotent."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.set()
            if self._loop is not None and not self._closed:
                self._loop.add_reader(self._socket, self._read_some)

    async def read(self) -> None:
        """Hear what comes, until it is closed at either end."""
        try:
            if self._loop is None:
                await self._read_on_trio()
            elif not self._closed:
                self._loop.add_reader(self._socket, self._read_some)
                await self._ended.wait()
        finally:
            self.close()

    async def _read_on_trio(self) -> None:
        try:
            while not self._closed:
                if self._pause is not None:
                    await self._pause.wait()
                else:
                    await anyio.wait_readable(self._socket)
                    if self._pause is None:
                        self._read_some()
        except (OSError, anyio.ClosedResourceError):
            pass  # Closed meanwhile.

    def _read_some(self) -> None:
        try:
            data = self._socket.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._buffer += data
        self._take(self._buffer)

    def _take(self, buffer: bytearray) -> None:
        at, end = 0, len(buffer)
        while end - at >= _LENGTH and not self._closed:
            size = int.from_bytes(buffer[at : at + _LENGTH], "big")
            if size > LIMIT_BYTES:
                self._give_up("it says more at once than fits")
                return
            if end - at - _LENGTH < size:
                break
            frame = bytes(buffer[at + _LENGTH : at + _LENGTH + size])
            at += _LENGTH + size
            try:
                self.hear(self, frame)
            except Exception:
                # What is said next must not be taken for what was said now.
                logger.exception("what worker %s said led to a failure", self.name)
        del buffer[:at]

    def close(self) -> None:
        """End it; idempotent. Whoever reads it hears of that."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._patience is not None:
            self._patience.cancel()
        self._let_on()
        self.go_on()
        self._ended.set()
        if self._loop is None:
            anyio.notify_closing(self._socket)
        elif not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        self._socket.close()
