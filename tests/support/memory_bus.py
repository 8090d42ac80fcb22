"""A bus between adapters of one process that carries bytes, so that nothing but plain values gets through."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

import msgpack
from anyio import sleep_forever
from anyio.lowlevel import checkpoint

from holdfast.engine.adapters import ClusterAdapter, ClusterMessage, Node, Receiver
from holdfast.engine.errors import LocalProtocolError
from holdfast.engine.host import Host

__all__ = ["MemoryBus", "MemoryWire"]


class MemoryWire:
    """Where the buses meet: ``Events(adapter=wire.node("a"))``.

    Attributes:
        said: Every message, by who said it, as it went.
        heard: Every message, by who heard it, when it had been taken over.
        deaf: Nodes that hear nothing and are still there.
        lost: Nodes that cannot learn who is there, however long they try.
        blind: Nodes that know of nobody, and know that they cannot learn it.
    """

    def __init__(self) -> None:
        self.buses: dict[str, list[MemoryBus]] = {}
        self.said: list[ClusterMessage] = []
        self.heard: list[tuple[str, ClusterMessage]] = []
        self.deaf: set[str] = set()
        self.lost: set[str] = set()
        self.blind: set[str] = set()

    def node(self, uid: str) -> Callable[[Node], ClusterAdapter]:
        """The adapter factory of one node."""
        return lambda node: ClusterAdapter(node, MemoryBus(self, uid, node.name), request_seconds=0.05)

    def others(self, bus: MemoryBus) -> list[MemoryBus]:
        return [other for other in self.buses.get(bus.namespace, []) if other is not bus]

    def answered(self, uid: str, type: int) -> int:
        """How many messages of a type a node has taken over."""
        return sum(node == uid and message["type"] == type for node, message in self.heard)

    def leave(self, uid: str) -> None:
        """A node dies without a word."""
        for bus in [bus for buses in self.buses.values() for bus in buses if bus.uid == uid]:
            bus.close()


class MemoryBus:
    """See `Bus`."""

    def __init__(self, wire: MemoryWire, uid: str, namespace: str) -> None:
        self.uid = uid
        self.namespace = namespace
        self._wire = wire
        self._host = Host()
        self._receiver: Receiver | None = None
        self._inbox: deque[bytes] = deque()

    @property
    def is_alone(self) -> bool:
        return not self._wire.others(self)

    def nodes(self) -> list[str]:
        return [] if self.uid in self._wire.blind else [bus.uid for bus in self._wire.others(self)]

    async def refresh(self) -> bool:
        await (sleep_forever() if self.uid in self._wire.lost else checkpoint())
        return self.uid not in self._wire.blind

    def publish(self, message: ClusterMessage) -> None:
        self._send(self._wire.others(self), message)

    def answer(self, node: str, message: ClusterMessage) -> None:
        self._send([bus for bus in self._wire.others(self) if bus.uid == node], message)

    def _send(self, buses: Iterable[MemoryBus], message: ClusterMessage) -> None:
        try:
            data = cast("bytes", msgpack.packb(message, datetime=True))
        except TypeError as error:
            raise LocalProtocolError(str(error)) from error
        self._wire.said.append(message)
        for bus in buses:
            if bus.uid not in self._wire.deaf:
                bus.take(data)

    def take(self, data: bytes) -> None:
        self._inbox.append(data)
        if len(self._inbox) == 1:
            self._host.spawn(self._pump)

    async def _pump(self) -> None:
        while self._inbox and self._receiver is not None:
            message = msgpack.unpackb(self._inbox[0], timestamp=3)
            await self._receiver.receive(message)
            self._wire.heard.append((self.uid, message))
            self._inbox.popleft()
        self._inbox.clear()

    async def flush(self) -> None:
        await checkpoint()

    def open(self, receiver: Receiver) -> None:
        buses = self._wire.buses.setdefault(self.namespace, [])
        if self not in buses:
            buses.append(self)
        self._receiver = receiver

    def close(self) -> None:
        others = self._wire.others(self)
        self._wire.buses[self.namespace] = others
        self._receiver = None
        for bus in others:
            if bus._receiver is not None:
                bus._receiver.node_left(self.uid)
