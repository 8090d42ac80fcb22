"""A server of which every request is carried: what opens a session reaches it, all others come to another node."""

from __future__ import annotations

from collections import deque
from typing import Any, NoReturn

from holdfast.engine.host import Host
from holdfast.engine.live import LiveSession
from holdfast.engine.server import SessionTable
from holdfast.transports.endpoint import Endpoint
from holdfast.transports.forwarding import Frames

__all__ = ["Carried", "MemoryCourier"]


class MemoryCourier:
    """Between nodes of one process. What is said arrives a little later.

    Attributes:
        others: By the names of their nodes.
        frames: How many it has brought, by their direction.
    """

    def __init__(self, node: str, others: dict[str, MemoryCourier]) -> None:
        self.node = node
        self.others = others
        others[node] = self
        self.said = 0
        self._host = Host()
        self._frames: Frames | None = None
        self._inbox: deque[tuple[str, bytes]] = deque()

    def join(self, frames: Frames) -> None:
        self._frames = frames

    async def begin(self) -> None:
        """Others find it at once."""

    async def finds(self, node: str) -> bool:
        return node in self.others

    async def is_over(self, node: str) -> bool:
        return True

    def send(self, node: str, frame: bytes) -> None:
        self.said += 1
        other = self.others.get(node)
        if other is not None:
            other.take(self.node, frame)

    def take(self, node: str, frame: bytes) -> None:
        self._inbox.append((node, frame))
        if len(self._inbox) == 1:
            self._host.spawn_aside(self._pump)

    async def _pump(self) -> None:
        while self._inbox:
            node, frame = self._inbox[0]
            assert self._frames is not None
            self._frames.frame(self, node, frame)
            self._inbox.popleft()

    def lose(self, node: str) -> None:
        """A node is gone, for this one."""
        self.others.pop(node, None)
        assert self._frames is not None
        self._frames.node_left(self, node)


def _never(session: LiveSession) -> NoReturn:
    raise AssertionError("the other node opens no session")


class Carried:
    """An application: the server, seen through another node.

    Attributes:
        edge: That one.
        couriers: Of the server and of the edge.
    """

    def __init__(self, server: Endpoint) -> None:
        self.server = server
        table = SessionTable(server.table.settings, server.table.host, _never)
        self.edge = Endpoint(table, path=server.path, app=server.app, allow_request=None)
        others: dict[str, MemoryCourier] = {}
        self.couriers = tuple(
            MemoryCourier(str(endpoint.table.node), others) for endpoint in (server, self.edge)
        )
        for endpoint, courier in zip((server, self.edge), self.couriers, strict=True):
            endpoint.carry_by(courier)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        carried = b"sid=" in scope.get("query_string", b"")
        await (self.edge if carried else self.server)(scope, receive, send)
