"""Bare non-blocking sockets under anyio, and a line that delays what goes through it.

anyio's own socket streams shut down politely when they are closed, and asyncio's transports keep a write buffer. A
proxy that wants to reset a connection in the middle of a response needs the socket itself.
"""

from __future__ import annotations

import socket
import struct
from collections import deque

import anyio
import anyio.lowlevel

__all__ = ["DelayLine", "Wire", "listen"]

CHUNK_BYTES = 65536
LINE_LIMIT_BYTES = 4 * CHUNK_BYTES


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        OSError: The port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class Wire:
    """One TCP connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._writing = anyio.Lock()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    async def connect(cls, host: str, port: int) -> Wire:
        """Connect, trying each address of the host.

        Raises:
            OSError: Nobody answers.
        """
        error: OSError = ConnectionRefusedError(f"{host} has no address")
        addresses = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in addresses:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                if sock.connect_ex(address) != 0:
                    await anyio.wait_writable(sock)
                if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(code, f"cannot connect to {host}:{port}")
                return cls(sock)
            except OSError as refused:
                sock.close()
                error = refused
            except BaseException:
                sock.close()
                raise
        raise error

    async def receive(self) -> bytes:
        """The next bytes; b"" when the peer has said its last.

        Raises:
            OSError: The connection was reset.
        """
        while True:
            try:
                data = self._socket.recv(CHUNK_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
            else:
                await anyio.lowlevel.checkpoint()
                return data

    async def send(self, data: bytes | bytearray) -> None:
        """Send everything; waits while the peer does not read.

        Raises:
            OSError: The connection was reset.
        """
        view = memoryview(bytes(data))
        async with self._writing:
            while view:
                try:
                    view = view[self._socket.send(view) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)

    def shut_down(self) -> None:
        """Say that nothing more will be sent (FIN). What the peer still sends can be received."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The peer reset the connection meanwhile, which the reader reports.

    def close(self, *, reset: bool) -> None:
        """Close with RST, which throws away what is still on its way, or with FIN. No task may be using the wire."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.shut_down()
        self._socket.close()


class DelayLine:
    """Chunks in their order, each with the time at which it may leave. Holds a bounded number of bytes."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._size_bytes = 0
        self._last_due = 0.0
        self._changed = anyio.Event()

    async def put(self, chunk: bytes, due: float, *, takes: float = 0.0) -> None:
        """Append a chunk; waits while the line is full. b"" marks the end.

        Args:
            due: When it may leave.
            takes: Seconds that it takes after the one ahead of it has left.
        """
        while self._size_bytes >= LINE_LIMIT_BYTES:
            await self._changed.wait()
        # A shorter delay than before must not let a chunk overtake the one ahead of it.
        self._last_due = max(self._last_due, due) + takes
        self._chunks.append((self._last_due, chunk))
        self._size_bytes += len(chunk)
        self._wake()

    async def get(self) -> bytes:
        """The next chunk, at its time."""
        while not self._chunks:
            await self._changed.wait()
        due, chunk = self._chunks[0]
        if due > anyio.current_time():
            await anyio.sleep_until(due)
        self._chunks.popleft()
        self._size_bytes -= len(chunk)
        self._wake()
        return chunk

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
