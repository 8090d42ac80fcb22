"""Rooms and topics are one thing seen from two sides: who is in the room and who has subscribed get the same messages.

1. A topic that somebody subscribes to has one guest in its room, who hands on what is sent there. It is no socket:
   nobody asks it, counts it or puts it out.
2. What a client of STOMP sends to a topic is an event to the room. The guest of this process hands it on as it was
   sent, headers and all; those of others make it of the event.
3. An event with one argument is a body with the argument; with more, their list, and the header ``arguments``.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from typing import cast

from ..adapters import Target
from ..dispatch.namespace import Namespace
from ..dispatch.registry import Registry
from ..errors import LocalProtocolError
from ..subprotocols.stomp import StompError
from ..wire.message import Message
from ..wire.socketio import SocketPacket, SocketPacketType, check_event_name
from .client import decode_json
from .message import BINARY, JSON, Published

__all__ = ["ARGUMENTS", "EVENT", "RoomFilter", "Rooms"]

EVENT = "event"
ARGUMENTS = "arguments"

RoomFilter = Collection[str] | re.Pattern[str] | Callable[[str], bool]
"""Which rooms are topics: names, a pattern for whole names, or a function."""


def _without_bytes(value: object) -> object:
    if isinstance(value, bytes | bytearray):
        return {"base64": b64encode(value).decode("ascii")}
    raise TypeError(f"{type(value).__name__} is not JSON")


class _Bodies:
    """Makes of an event the body of a MESSAGE. See `Encoder`."""

    def __init__(self) -> None:
        # What is sent at this moment and needs no other body, by the packet that stands for it.
        self.own: dict[int, Published] = {}

    def encode(self, packet: SocketPacket) -> list[Message]:
        if id(packet) in self.own:
            return []
        args = cast("list[object]", packet.data)[1:]
        value = args[0] if len(args) == 1 else args
        if isinstance(value, bytes | bytearray):
            return [Message(value)]
        try:
            text = json.dumps(
                value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_without_bytes
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise LocalProtocolError(f"subscribers of STOMP cannot be sent this: {error}") from error
        return [Message(text)]


class _Guest:
    """In one room, for the subscribers of one topic (rule 1). See `Recipient`."""

    as_socket = None
    writable = True

    def __init__(self, id: str, codec: _Bodies, limit_bytes: int, hear: Callable[[Published], None]) -> None:
        self.id = id
        self.codec = codec
        self.limit_bytes = limit_bytes
        self._hear = hear

    def deliver(self, messages: list[Message], packet: SocketPacket, *, volatile: bool = False) -> None:
        published = self.codec.own.get(id(packet))
        self._hear(_published(messages, packet) if published is None else published)


def _published(messages: list[Message], packet: SocketPacket) -> Published:
    event, *args = cast("list[object]", packet.data)
    data = messages[0].data
    headers = {EVENT: str(event), "content-type": JSON if isinstance(data, str) else BINARY}
    if len(args) != 1:
        headers[ARGUMENTS] = str(len(args))
    return Published(headers, data.encode() if isinstance(data, str) else data)


class Rooms:
    """The rooms of one namespace that are topics.

    Args:
        prefix: Of the topics: the rest of the destination is the room's name.
        rooms: Which rooms.
        event: The name of what is sent without the header ``event``.
        id: Unique among all processes.
        limit_bytes: The largest message.
    """

    def __init__(
        self,
        namespace: Namespace,
        *,
        prefix: str,
        rooms: RoomFilter,
        event: str,
        id: str,
        limit_bytes: int,
    ) -> None:
        check_event_name(event)
        self.prefix = prefix
        self._namespace = namespace
        self._rooms = rooms
        self._event = event
        self._id = id
        self._limit = limit_bytes
        self._codec = _Bodies()
        self._guests: dict[str, Callable[[], None]] = {}

    def room_of(self, destination: str) -> str | None:
        """The room that this topic is; None if it is none.

        Raises:
            StompError: it is somebody's own room.
        """
        if not destination.startswith(self.prefix):
            return None
        room = destination[len(self.prefix) :]
        if not self._includes(room):
            return None
        if room in self._registry.members:
            # What is sent to a socket alone is for nobody else.
            raise StompError("this room is a socket's own")
        return room

    def _includes(self, room: str) -> bool:
        rooms = self._rooms
        if isinstance(rooms, re.Pattern):
            return rooms.fullmatch(room) is not None
        return rooms(room) if callable(rooms) else room in rooms

    @property
    def _registry(self) -> Registry:
        return self._namespace._bound()  # pyright: ignore[reportPrivateUsage]

    def enter(self, room: str, hear: Callable[[Published], None]) -> None:
        """The topic has its first subscriber: let ``hear`` have what is sent to the room."""
        # The ids of sockets have no space.
        guest = _Guest(f"stomp {self._id}", self._codec, self._limit, hear)
        self._guests[room] = self._registry.adapter.overhear(guest, room)

    def leave(self, room: str) -> None:
        """It has none any more; idempotent."""
        end = self._guests.pop(room, None)
        if end is not None:
            end()

    def event_of(self, headers: Mapping[str, str], body: bytes) -> list[object]:
        """What a body means as an event: its name and its arguments (rule 3).

        Raises:
            StompError: it is not what its headers say.
        """
        name = headers.get(EVENT, self._event)
        try:
            check_event_name(name)
            return [name, *_arguments(headers, body)]
        except (LocalProtocolError, ValueError) as error:
            raise StompError(f"this cannot be an event: {error}") from error

    async def send(self, room: str, event: list[object], published: Published) -> None:
        """Send it to who is in the room and to who has subscribed, here and elsewhere (rule 2).

        Raises:
            LocalProtocolError: a codec cannot carry it; nobody got it.
        """
        registry = self._registry
        packet = SocketPacket(SocketPacketType.EVENT, registry.name, event)
        own = self._codec.own
        own[id(packet)] = published
        try:
            await registry.adapter.broadcast(packet, Target(rooms=frozenset((room,))))
        finally:
            del own[id(packet)]


def _arguments(headers: Mapping[str, str], body: bytes) -> list[object]:
    kind, _, _ = headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    number = headers.get(ARGUMENTS)
    if kind == JSON or kind.endswith("+json") or number is not None:
        value = decode_json(body.decode())
        if number is None:
            return [value]
        if not isinstance(value, list) or str(len(cast("list[object]", value))) != number:
            raise LocalProtocolError("the body is not a list of as many as the header arguments says")
        return cast("list[object]", value)
    if kind == BINARY:
        return [body]
    try:
        text = body.decode()
    except UnicodeDecodeError:
        if kind.startswith("text/"):
            raise
        return [body]
    if kind:
        return [text]
    # Many clients send JSON and do not say so.
    try:
        return [decode_json(text)]
    except LocalProtocolError:
        return [text]
