"""What reaches the members of rooms, in this process or beyond it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..live import SocketHandshake
from ..wire.codec import Encoder
from ..wire.message import Message
from ..wire.socketio import SocketPacket

__all__ = [
    "EVERYBODY",
    "Adapter",
    "AdapterFactory",
    "Answers",
    "Fetched",
    "LocalSocket",
    "NoHandler",
    "Node",
    "Recipient",
    "RoomChange",
    "SocketInfo",
    "Target",
]


RoomChange = Literal["create-room", "join-room", "leave-room", "delete-room"]
"""What becomes of a room, in Socket.IO's words."""


class NoHandler(LookupError):
    """A server has no handler of a server-side event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who is meant.

    Attributes:
        rooms: Who is in any of them; None for everybody, an empty set for nobody.
        except_: Who is in any of these is left out.
        volatile: Whom it would not reach at once is left out.
        local: Who is not in this process is left out.
    """

    rooms: frozenset[str] | None = None
    except_: frozenset[str] = frozenset()
    volatile: bool = False
    local: bool = False


EVERYBODY = Target()


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketInfo:
    """A socket as its process describes it to others: values, read at one moment."""

    id: str
    namespace: str
    handshake: SocketHandshake
    rooms: frozenset[str]
    data: dict[str, object] = field(default_factory=dict[str, object])


class Recipient(Protocol):
    """Who gets what is sent to rooms: a socket of this process, or who is none."""

    @property
    def id(self) -> str: ...

    @property
    def codec(self) -> Encoder: ...

    @property
    def limit_bytes(self) -> int:
        """What is larger is not sent."""
        ...

    @property
    def writable(self) -> bool:
        """Whether what is sent to it now leaves now: a carrier is attached and takes it."""
        ...

    @property
    def as_socket(self) -> LocalSocket | None:
        """The socket that it is now. One that was lost and may be recovered only gets what is sent meanwhile."""
        ...

    def deliver(self, messages: list[Message], packet: SocketPacket, *, volatile: bool = False) -> None:
        """Send without waiting. Never raises: who is gone misses it, who is over its bound is closed."""
        ...


class LocalSocket(Recipient, Protocol):
    """A socket of this process, as an adapter sees it."""

    def info(self) -> SocketInfo: ...

    def join(self, room: str) -> None: ...

    def leave_room(self, room: str) -> None: ...

    def disconnect(self, close: bool) -> None: ...


class Fetched(list[SocketInfo]):
    """The sockets that were found.

    Attributes:
        missing: The nodes that did not answer in time, whose sockets are therefore not among them.
    """

    def __init__(self, found: Iterable[SocketInfo] = (), *, missing: Iterable[str] = ()) -> None:
        super().__init__(found)
        self.missing = frozenset(missing)


class Answers(Protocol):
    """Who waits for the acknowledgements of a broadcast.

    Attributes:
        silent: The other nodes that have not yet said how many sockets they ask, each of which counts as one that is
            expected. The adapter puts them in and takes them out.
    """

    silent: set[str]

    def expect(self, number: int) -> None:
        """So many more will be asked. Before the first of them answers."""
        ...

    def resolve(self, args: list[object]) -> None:
        """One has answered."""
        ...

    def fail(self, error: Exception) -> None:
        """One has left without an answer."""
        ...


class Node(Protocol):
    """One namespace of one server, as its adapter sees it."""

    @property
    def name(self) -> str:
        """Of the namespace."""
        ...

    def ask(
        self, name: str, args: tuple[object, ...], sockets: Iterable[LocalSocket], answers: Answers
    ) -> Callable[[], None]:
        """Send an event to sockets of this process and let them answer; the result ends the waiting."""
        ...

    def server_event(self, name: str, args: tuple[object, ...]) -> Awaitable[object]:
        """Run the handler of an event that another server sent.

        Raises:
            NoHandler: there is none.
        """
        ...

    def room_changed(self, change: RoomChange, room: str, id: str) -> None:
        """A socket of this process has entered a room or left it: first "create-room" if it is the first one there,
        last "delete-room" if it was the last. Each time when it is done. Never raises.
        """
        ...


class Adapter(Protocol):
    """Rooms of one namespace. Every socket is a member of the room that has its id as name.

    The plain methods are about sockets of this process; the coroutines reach every process, unless the target is local.
    It tells its `Node` of what changes in the rooms of this process.
    """

    def add(self, recipient: Recipient, room: str) -> int:
        """Let a socket of this process join a room; idempotent. Another recipient of the same id takes the place.

        Returns:
            The number of rooms that it is in now.
        """
        ...

    def remove(self, recipient: Recipient, room: str) -> None:
        """Let it leave; idempotent."""
        ...

    def remove_all(self, recipient: Recipient) -> None:
        """Let it leave every room: it is gone."""
        ...

    def overhear(self, guest: Recipient, room: str) -> Callable[[], None]:
        """Let who is no socket have what is sent to a room; the result ends it and is idempotent.

        A guest is no member: nobody asks it, and what is sent to everybody is not for it. Of the same id there is one
        in a room.
        """
        ...

    def rooms(self, recipient: Recipient) -> frozenset[str]:
        """The rooms that a socket of this process is in."""
        ...

    def all_rooms(self) -> Mapping[str, frozenset[str]]:
        """The ids of this process by room: a copy."""
        ...

    def members(self, target: Target) -> list[Recipient]:
        """Who is meant, of this process."""
        ...

    async def broadcast(self, packet: SocketPacket, target: Target) -> None:
        """Send one packet to every member, wherever it is. Waits for no member.

        Raises:
            LocalProtocolError: the packet cannot be encoded; nobody got it.
        """
        ...

    async def ask(
        self,
        name: str,
        args: tuple[object, ...],
        target: Target,
        answers: Answers,
        *,
        seconds: float | None = None,
    ) -> Callable[[], None]:
        """Send an event to every member and let their acknowledgements come in; the result ends the waiting.

        Args:
            seconds: How long the caller will wait, for the other nodes to know.

        Raises:
            LocalProtocolError: it cannot be encoded; nobody got it.
        """
        ...

    async def fetch(self, target: Target) -> Fetched:
        """Describe every member, wherever it is, as far as its node answers in time."""
        ...

    async def join(self, target: Target, rooms: Iterable[str]) -> None:
        """Let every member enter rooms.

        Raises:
            LocalProtocolError: one of this process is in as many as it may; the others have entered.
        """
        ...

    async def leave(self, target: Target, rooms: Iterable[str]) -> None:
        """Let every member leave rooms."""
        ...

    async def disconnect(self, target: Target, *, close: bool) -> None:
        """Put every member out; with ``close``, end their sessions."""
        ...

    async def server_side_emit(self, name: str, args: tuple[object, ...]) -> None:
        """Send an event to the other servers."""
        ...

    async def server_side_ask(
        self, name: str, args: tuple[object, ...], seconds: float | None
    ) -> list[object]:
        """Send an event to the other servers and collect what their handlers return.

        Returns:
            One answer per server that has a handler which did not fail.

        Raises:
            AckTimeout: not all came in time.
        """
        ...

    def open(self) -> None:
        """The server starts again after `close`; idempotent. A new adapter is open."""
        ...

    def close(self) -> None:
        """The namespace is no more: leave the other servers."""
        ...


AdapterFactory = Callable[[Node], Adapter]
"""Makes the adapter of each namespace: what ``Server(adapter=…)`` takes."""
