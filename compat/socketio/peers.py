"""Who is connected, by namespace and sid: what the methods of a server that take a ``sid`` look into."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ... import Socket

__all__ = ["Peer", "PeerTable", "Stage", "as_rooms"]


def as_rooms(room: object) -> tuple[Hashable, ...]:
    """One room or several: a list or a tuple is several, a text is one."""
    if isinstance(room, str) or not hasattr(room, "__len__"):
        return (cast("Hashable", room),)
    return tuple(cast("list[Hashable]", room))


class Stage(Enum):
    """How far a peer's `connect` handler is: it runs, it has disconnected the peer, it has let it in."""

    CONNECTING = "connecting"
    REFUSED = "refused"
    CONNECTED = "connected"


class Peer:
    """A socket, and what only python-socketio's interface needs to know of it.

    Attributes:
        environ: Of the request that opened its session; one dict for all its namespaces.
        stage: How far its `connect` handler is.
        later: What is done when that handler has let it in.
    """

    __slots__ = ("environ", "later", "socket", "stage")

    def __init__(self, socket: Socket, environ: dict[str, object]) -> None:
        self.socket = socket
        self.environ = environ
        self.stage = Stage.CONNECTING
        self.later: list[Callable[[], Coroutine[Any, Any, None]]] = []


class PeerTable:
    """From the beginning of a peer's `connect` handler to the end of its `disconnect` handler.

    It is also the ``manager`` of a server, as far as programs look into it.
    """

    def __init__(self) -> None:
        self._peers: dict[str, dict[str, Peer]] = {}

    def add(self, peer: Peer) -> None:
        self._peers.setdefault(peer.socket.namespace, {})[peer.socket.id] = peer

    def remove(self, socket: Socket) -> None:
        """Idempotent; one that has come back in its place stays."""
        peers = self._peers.get(socket.namespace, {})
        found = peers.get(socket.id)
        if found is not None and found.socket is socket:
            del peers[socket.id]
            if not peers:
                del self._peers[socket.namespace]

    def get(self, sid: object, namespace: str) -> Peer | None:
        """Whom a sid names."""
        return self._peers.get(namespace, {}).get(sid) if isinstance(sid, str) else None

    def any(self, namespace: str) -> Peer | None:
        """Somebody who is in this namespace."""
        return next(iter(self._peers.get(namespace, {}).values()), None)

    # -- what programs ask a manager

    def get_namespaces(self) -> list[str]:
        """Those that somebody is in."""
        return list(self._peers)

    def is_connected(self, sid: str, namespace: str) -> bool:
        """Whether it has been let in and has not left."""
        peer = self.get(sid, namespace)
        return peer is not None and peer.socket.connected

    def get_participants(self, namespace: str, room: object) -> Iterator[tuple[str, str]]:
        """The ``(sid, engine's sid)`` of everybody in a room, or in any of several; None for the whole namespace."""
        rooms = None if room is None else frozenset(as_rooms(room))
        for sid, peer in list(self._peers.get(namespace, {}).items()):
            if rooms is None or not rooms.isdisjoint(peer.socket.rooms):
                yield sid, peer.socket.session.sid

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        """The rooms that a client is in, among them its own."""
        peer = self.get(sid, namespace)
        return [] if peer is None else list(peer.socket.rooms)

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        """The sid of a session in a namespace."""
        return next((sid for sid, eio in self.get_participants(namespace, None) if eio == eio_sid), None)

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        """The engine's sid of a client: half of a secret, never to be shown to others."""
        peer = self.get(sid, namespace)
        return None if peer is None else peer.socket.session.sid

    @property
    def rooms(self) -> dict[str, dict[str | None, dict[str, str]]]:
        """Namespace, room, sid, engine's sid: a copy. The room None is everybody in the namespace."""
        found: dict[str, dict[str | None, dict[str, str]]] = {}
        for namespace in self._peers:
            rooms = found[namespace] = {None: dict(self.get_participants(namespace, None))}
            for peer in self._peers[namespace].values():
                for room in peer.socket.rooms:
                    rooms.setdefault(room, {})[peer.socket.id] = peer.socket.session.sid
        return found
