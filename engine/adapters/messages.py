"""What the servers of a cluster say to each other: the messages of Socket.IO's ClusterAdapter, as plain values.

Numbers, names of fields and meanings are those of the package ``socket.io-adapter``, so that a server in Node.js
understands them; how they become bytes is the business of a `Bus`. What is not in that package has a number from 64,
which it ignores.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import cast

from ..errors import RemoteProtocolError
from ..live import SocketHandshake
from ..wire.socketio import SocketPacket, SocketPacketType
from .base import SocketInfo, Target

__all__ = [
    "ClusterMessage",
    "MessageType",
    "Received",
    "decode_info",
    "decode_packet",
    "decode_target",
    "encode_info",
    "encode_packet",
    "encode_target",
    "items_of",
    "text_of",
]

ClusterMessage = dict[str, object]
"""``{"uid": of the node that says it, "nsp": name of the namespace, "type": number, "data": map}``. In what comes of
a stream, ``"entry"`` is its id there and ``"number"`` its number, which is ``"own"`` in what this node has said itself
(see `Chronicle`)."""


class MessageType(IntEnum):
    """Kinds of messages. The first two and ADAPTER_CLOSE belong to the bus: by them it knows who is there."""

    INITIAL_HEARTBEAT = 1
    HEARTBEAT = 2
    BROADCAST = 3
    SOCKETS_JOIN = 4
    SOCKETS_LEAVE = 5
    DISCONNECT_SOCKETS = 6
    FETCH_SOCKETS = 7
    FETCH_SOCKETS_RESPONSE = 8
    SERVER_SIDE_EMIT = 9
    SERVER_SIDE_EMIT_RESPONSE = 10
    BROADCAST_CLIENT_COUNT = 11
    BROADCAST_ACK = 12
    ADAPTER_CLOSE = 13
    NO_ANSWER = 64
    """``{requestId}``: one that was asked will not answer: a socket has left, a server has no handler or it failed."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of another node, its outside checked."""

    uid: str
    type: int
    data: Mapping[str, object]
    entry: str = ""
    number: int = 0

    @classmethod
    def of(cls, message: Mapping[str, object]) -> Received:
        """Raises:
        RemoteProtocolError: it is none.
        """
        uid, type, data = message.get("uid"), message.get("type"), message.get("data")
        if not isinstance(uid, str) or not isinstance(type, int):
            raise RemoteProtocolError("a message of another node does not say whose or what it is")
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise RemoteProtocolError("the data of a message of another node is no map")
        entry = message.get("entry")
        if not isinstance(entry, str):
            return cls(uid, type, cast("dict[str, object]", data))
        number = cast("int", message.get("number") or 0)
        return cls(uid, type, cast("dict[str, object]", data), entry, number)

    @property
    def request(self) -> str:
        """The id of the request that it answers."""
        return text_of(self.data.get("requestId"))


def text_of(value: object) -> str:
    """Raises:
    RemoteProtocolError: it is no text.
    """
    if not isinstance(value, str):
        raise RemoteProtocolError("something else came where a text belongs")
    return value


def items_of(value: object) -> list[object]:
    """Raises:
    RemoteProtocolError: it is no list.
    """
    if not isinstance(value, list):
        raise RemoteProtocolError("something else came where a list belongs")
    return cast("list[object]", value)


def encode_target(target: Target, *, seconds: float | None = None) -> dict[str, object]:
    """Of one that means somebody: no rooms are everybody here.

    Args:
        seconds: How long acknowledgements are waited for.
    """
    flags: dict[str, object] = {}
    if target.volatile:
        flags["volatile"] = True
    if seconds is not None:
        flags["timeout"] = round(seconds * 1000)
    return {"rooms": _sorted(target.rooms or ()), "except": _sorted(target.except_), "flags": flags}


def _sorted(rooms: Collection[str]) -> list[str]:
    return sorted(rooms) if len(rooms) > 1 else list(rooms)


def decode_target(value: object) -> tuple[Target, float | None]:
    """Who of this node is meant, and for how many seconds acknowledgements are waited for.

    Raises:
        RemoteProtocolError: it is none.
    """
    options = _map_of(value)
    flags = _map_of(options.get("flags") or {})
    timeout = flags.get("timeout")
    target = Target(
        rooms=_names(options.get("rooms")) or None,
        except_=_names(options.get("except")),
        volatile=bool(flags.get("volatile")),
        local=True,
    )
    return target, timeout / 1000 if isinstance(timeout, int | float) else None


def encode_packet(packet: SocketPacket) -> dict[str, object]:
    """One without an id: each node has its own."""
    return {"type": packet.type.value, "data": packet.data, "nsp": packet.namespace}


def decode_packet(value: object, namespace: str) -> SocketPacket:
    """An event for sockets.

    Raises:
        RemoteProtocolError: it is none.
    """
    packet = _map_of(value)
    data = items_of(packet.get("data"))
    if packet.get("type") not in (SocketPacketType.EVENT, SocketPacketType.BINARY_EVENT) or not data:
        raise RemoteProtocolError("something else came where an event belongs")
    text_of(data[0])
    return SocketPacket(SocketPacketType.EVENT, namespace, data)


def encode_info(info: SocketInfo) -> dict[str, object]:
    """A socket as Node.js describes it; what of the principal is no plain value stays here."""
    handshake = info.handshake
    host, port = handshake.address or ("", 0)
    principal = handshake.principal
    return {
        "id": info.id,
        "handshake": {
            "headers": dict(handshake.headers),
            "query": dict(handshake.query),
            "auth": handshake.auth,
            "address": host,
            "port": port,
            "secure": handshake.secure,
            "xdomain": "origin" in handshake.headers,
            "url": handshake.url,
            "time": handshake.time.isoformat(),
            "issued": handshake.issued,
            "principal": principal if isinstance(principal, str | int | float) else None,
        },
        "rooms": sorted(info.rooms),
        "data": info.data,
    }


def decode_info(value: object, namespace: str) -> SocketInfo:
    """Raises:
    RemoteProtocolError: it describes no socket.
    """
    socket = _map_of(value)
    handshake = _map_of(socket.get("handshake") or {})
    host, port, issued = (handshake.get(name) for name in ("address", "port", "issued"))
    data = socket.get("data")
    return SocketInfo(
        id=text_of(socket.get("id")),
        namespace=namespace,
        handshake=SocketHandshake(
            headers=_texts_of(handshake.get("headers")),
            query=_texts_of(handshake.get("query")),
            auth=_map_of(handshake.get("auth") or {}),
            address=(host, port if isinstance(port, int) else 0) if isinstance(host, str) and host else None,
            secure=bool(handshake.get("secure")),
            url=str(handshake.get("url", "/")),
            time=datetime.fromtimestamp(issued / 1000 if isinstance(issued, int | float) else 0, UTC),
            principal=handshake.get("principal"),
        ),
        rooms=_names(socket.get("rooms")),
        data=cast("dict[str, object]", data) if isinstance(data, dict) else {},
    )


def _map_of(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise RemoteProtocolError("something else came where a map belongs")
    return cast("dict[str, object]", value)


def _names(value: object) -> frozenset[str]:
    # A room in Node.js may be a number.
    return frozenset() if value is None else frozenset(map(str, items_of(value)))


def _texts_of(value: object) -> dict[str, str]:
    return {} if value is None else {name: _last(item) for name, item in _map_of(value).items()}


def _last(value: object) -> str:
    # Of a repeated field of a query or header Node.js has a list.
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return str(items[-1]) if items else ""
