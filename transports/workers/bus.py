"""The `Bus` of a namespace between workers of one host."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from enum import IntEnum
from typing import Any, cast

import anyio.lowlevel

from ...engine.adapters import ClusterAdapter, ClusterMessage, Node, Receiver
from ...engine.errors import RemoteProtocolError
from ...engine.host import Host
from ..values import pack, unpack
from .link import Link
from .mesh import BUS, Mesh

__all__ = ["MeshBus", "Switchboard"]

# Messages of one worker that may wait to be carried out before no more is read of it.
_MOST_WAITING = 1_000


# What came, by namespace; None where the worker has left that.
_Inbox = deque[tuple[str, ClusterMessage | None]]


class _Kind(IntEnum):
    """``[ENTER, names of namespaces]``, ``[LEAVE, name]``, ``[SAY, name, message]``."""

    ENTER = 0
    LEAVE = 1
    SAY = 2


class Switchboard:
    """What all namespaces of one worker say to the other workers, and hear of them (a `Channel`)."""

    def __init__(self, mesh: Mesh, host: Host) -> None:
        self.mesh = mesh
        self._host = host
        self._receivers: dict[str, Receiver] = {}
        self._inboxes: dict[Link, _Inbox] = {}
        mesh.add(BUS, self)

    def adapter(self, node: Node) -> ClusterAdapter:
        """The adapter of a namespace of this worker."""
        return ClusterAdapter(node, MeshBus(self, node.name))

    def enter(self, name: str, receiver: Receiver) -> None:
        """This worker has a namespace; idempotent."""
        if name not in self._receivers:
            self._say_all([_Kind.ENTER.value, [name]])
        self._receivers[name] = receiver

    def leave(self, name: str) -> None:
        """It has it no more; idempotent."""
        if self._receivers.pop(name, None) is not None:
            self._say_all([_Kind.LEAVE.value, name])

    def _say_all(self, value: object) -> None:
        if self.mesh.links:
            data = pack(value)
            for link in list(self.mesh.links.values()):
                link.send(BUS, data)

    def links(self, name: str) -> list[Link]:
        """To the workers that have a namespace."""
        return [link for link in self.mesh.links.values() if name in link.spaces]

    # -- a `Channel`

    def linked(self, link: Link) -> None:
        link.send(BUS, pack([_Kind.ENTER.value, list(self._receivers)]))

    def frame(self, link: Link, data: bytes) -> None:
        # Any: what can be said is checked here.
        content = cast("list[Any]", unpack(data))
        kind, name = content[:2] if content.__class__ is list and len(content) >= 2 else (None, None)
        if kind == _Kind.SAY and isinstance(name, str) and isinstance(content[-1], dict):
            self._take(link, name, cast("ClusterMessage", content[-1]))
        elif kind == _Kind.ENTER and isinstance(name, list):
            link.spaces.update(cast("list[str]", name))
        elif kind == _Kind.LEAVE and isinstance(name, str):
            link.spaces.discard(name)
            self._take(link, name, None)
        else:
            raise RemoteProtocolError("it says something unknown to rooms")

    def _take(self, link: Link, name: str, message: ClusterMessage | None) -> None:
        inbox = self._inboxes.get(link)
        if inbox is None:
            self._inboxes[link] = inbox = deque(((name, message),))
            # Most are carried out at once; only what takes turns lets others wait.
            self._host.begin_aside(self._carry_out, link, inbox)
            return
        inbox.append((name, message))
        if len(inbox) > _MOST_WAITING:
            link.pause()

    async def _carry_out(self, link: Link, inbox: _Inbox) -> None:
        try:
            while inbox:
                name, message = inbox[0]
                receiver = self._receivers.get(name)
                if receiver is not None and message is None:
                    receiver.node_left(link.name)
                elif receiver is not None and message is not None:
                    await receiver.receive(message)
                inbox.popleft()
        finally:
            if self._inboxes.get(link) is inbox:
                del self._inboxes[link]
            link.go_on()

    def unlinked(self, link: Link) -> None:
        # After what it has said before.
        for name in list(link.spaces):
            self._take(link, name, None)
        link.spaces.clear()


class MeshBus:
    """See `Bus`."""

    def __init__(self, switchboard: Switchboard, namespace: str) -> None:
        self._switchboard = switchboard
        self._mesh = switchboard.mesh
        self._namespace = namespace

    @property
    def uid(self) -> str:
        return self._mesh.node

    @property
    def is_alone(self) -> bool:
        # Most servers have one namespace or two.
        return not self._mesh.links

    def nodes(self) -> Collection[str]:
        return [link.name for link in self._switchboard.links(self._namespace)]

    async def refresh(self) -> bool:
        """Who is linked is known at all times."""
        return True

    def publish(self, message: ClusterMessage) -> None:
        self._send(self._switchboard.links(self._namespace), message)

    def answer(self, node: str, message: ClusterMessage) -> None:
        link = self._mesh.links.get(node)
        if link is not None:
            self._send([link], message)

    def _send(self, links: list[Link], message: ClusterMessage) -> None:
        # Even if nobody is there: what cannot be sent must not depend on that.
        data = pack([_Kind.SAY.value, self._namespace, message])
        for link in links:
            link.send(BUS, data)

    async def flush(self) -> None:
        for link in self._switchboard.links(self._namespace):
            if not link.has_room:
                await link.wait_for_room()
        await anyio.lowlevel.checkpoint()

    def open(self, receiver: Receiver) -> None:
        self._switchboard.enter(self._namespace, receiver)

    def close(self) -> None:
        self._switchboard.leave(self._namespace)
