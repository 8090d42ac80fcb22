"""A way for bytes of any protocol that can be closed and opened again, for tests that have no event loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio.abc import SocketStream
from anyio.from_thread import BlockingPortal
from real_server import HOST

__all__ = ["Way", "way_to"]


class Way:
    """Carries connections to one port.

    Attributes:
        port: Where it begins.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._ends: set[SocketStream] = set()
        self._is_open = True
        self.port = 0

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        listener = await anyio.create_tcp_listener(local_host=HOST, local_port=0)
        self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener:
            task_status.started()
            await listener.serve(self._carry)

    async def _carry(self, near: SocketStream) -> None:
        async with near:
            if not self._is_open:
                return
            async with await anyio.connect_tcp(HOST, self._target) as far, anyio.create_task_group() as tasks:
                self._ends |= {near, far}
                tasks.start_soon(self._pump, near, far)
                await self._pump(far, near)
                tasks.cancel_scope.cancel()

    async def _pump(self, source: SocketStream, target: SocketStream) -> None:
        try:
            async for data in source:
                await target.send(data)
            await target.send_eof()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    async def close(self) -> None:
        """End all connections, and each new one."""
        self._is_open = False
        ends, self._ends = self._ends, set()
        for end in ends:
            await anyio.aclose_forcefully(end)

    async def open(self) -> None:
        self._is_open = True


@contextmanager
def way_to(target: int, portal: BlockingPortal) -> Iterator[Way]:
    """The way to a port; the portal's event loop carries it."""
    way = Way(target)
    carried, _ = portal.start_task(way.run)
    try:
        yield way
    finally:
        carried.cancel()
