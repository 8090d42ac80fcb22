"""Socket.IO above a session: which namespaces the peer is in, and binary packets that are still incomplete.

Socket.IO 5, "Packet types". No I/O and no clock; values out, never callbacks in.

A namespace is in one of four states. ``X`` ends the session:

============ =========== =========== =========== ===========
cause        ABSENT      PENDING     CONNECTED   LEFT
============ =========== =========== =========== ===========
CONNECT      PENDING     X           X           PENDING
EVENT, ACK   X           X           value       ignored
DISCONNECT   X           ABSENT      ABSENT      ignored
`accept`     -           CONNECTED   -           -
`refuse`     -           LEFT        -           -
`leave`      -           ABSENT      LEFT        -
============ =========== =========== =========== ===========

1. The peer may speak in a namespace once it has our answer to its CONNECT; speaking earlier ends the session.
2. LEFT is what we ended and the peer may not have heard of yet: what was on its way is dropped, not punished.
3. A binary packet is checked when its header comes, not when its last attachment does: nothing is kept for a packet
   that will be refused.
4. A plain peer's codec is the first that recognises its first message: text is JSON, bytes are msgpack.

Which acknowledgements are awaited is known where they are awaited: one that nobody awaits is no error (it may be late).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, cast

from ..errors import LimitExceeded, RemoteProtocolError
from ..wire.codec import Codec, JsonCodec
from ..wire.socketio import BinaryHeader, EventFields, EventReceived, SocketPacket, SocketPacketType

__all__ = [
    "AckReceived",
    "ConnectRequested",
    "DisconnectReceived",
    "EventReceived",
    "Received",
    "SocketIOState",
]


class ConnectRequested(NamedTuple):
    """The peer asks to enter a namespace. Answer with `SocketIOState.accept` or `SocketIOState.refuse`."""

    namespace: str
    auth: dict[str, object]


class AckReceived(NamedTuple):
    """The peer's acknowledgement of an event of ours, awaited or not."""

    namespace: str
    id: int
    args: list[object]


class DisconnectReceived(NamedTuple):
    """The peer has left a namespace; the session goes on."""

    namespace: str


Received = ConnectRequested | EventReceived | AckReceived | DisconnectReceived


class _State(Enum):
    ABSENT = "absent"
    PENDING = "pending"
    CONNECTED = "connected"
    LEFT = "left"


class _Cause(Enum):
    CONNECT = "connect"
    SPEAK = "speak"
    DISCONNECT = "disconnect"


_CAUSES = {
    SocketPacketType.CONNECT: _Cause.CONNECT,
    SocketPacketType.DISCONNECT: _Cause.DISCONNECT,
    SocketPacketType.EVENT: _Cause.SPEAK,
    SocketPacketType.ACK: _Cause.SPEAK,
}

# In the module, because an enum's members take long to look up.
_EVENT, _ACK, _CONNECTED = SocketPacketType.EVENT, SocketPacketType.ACK, _State.CONNECTED

# What is not here ends the session.
_TRANSITIONS = {
    (_State.ABSENT, _Cause.CONNECT): _State.PENDING,
    (_State.LEFT, _Cause.CONNECT): _State.PENDING,
    (_State.PENDING, _Cause.DISCONNECT): _State.ABSENT,
    (_State.CONNECTED, _Cause.DISCONNECT): _State.ABSENT,
    (_State.CONNECTED, _Cause.SPEAK): _State.CONNECTED,
    (_State.LEFT, _Cause.SPEAK): _State.LEFT,
    (_State.LEFT, _Cause.DISCONNECT): _State.LEFT,
}


class SocketIOState:
    """The Socket.IO half of one session.

    Args:
        codec: The negotiated codec; None to recognise it by the peer's first message.
        codecs: What a peer's first message chooses from, by name; asked in their order.
        max_bytes: Attachments of one packet, together.
        max_namespaces: Namespaces that the peer is in, asks for or was put out of.
    """

    __slots__ = (
        "_attachments",
        "_codecs",
        "_header",
        "_max_bytes",
        "_max_namespaces",
        "_quick",
        "_size",
        "_states",
        "codec",
    )

    def __init__(
        self,
        codec: Codec | None,
        *,
        codecs: Mapping[str, Codec],
        max_bytes: int = 1_000_000,
        max_namespaces: int = 100,
    ) -> None:
        self.codec = codec
        self._codecs = codecs
        self._max_bytes = max_bytes
        self._max_namespaces = max_namespaces
        self._states: dict[str, _State] = {}
        self._header: BinaryHeader | None = None
        self._attachments: list[bytes] | None = None
        self._size = 0
        # What reads `receive_event`: nothing has changed since it last did.
        self._quick: JsonCodec | None = None

    @property
    def pending_bytes(self) -> int:
        """Attachments kept for a packet that is not complete."""
        return self._size

    @property
    def is_incomplete(self) -> bool:
        """Whether a packet waits for attachments."""
        return self._header is not None

    def receive(self, data: str | bytes) -> Received | None:
        """Take one message.

        Returns:
            What it means; None for an attachment or a header of a packet still incomplete, and for what is dropped.

        Raises:
            RemoteProtocolError: the session has to end. Nothing else, whatever the input is.
        """
        if self._header is not None:
            return self._take_attachment(self._header, data)
        codec = self.codec
        if codec is None:
            codec = next((codec for codec in self._codecs.values() if codec.recognises(data)), None)
            if codec is None:
                raise RemoteProtocolError("no codec of this server recognises the first message")
            self.codec = codec
        packet = codec.decode(data)
        if (
            isinstance(packet, SocketPacket)
            and packet.type is _EVENT
            and self._states.get(packet.namespace) is _CONNECTED
        ):
            # What most are, without a look at the table.
            return self._value(packet, _CONNECTED)
        state = self._next_state(packet.namespace, packet.type)
        if isinstance(packet, BinaryHeader):
            self._header, self._quick = packet, None
            return None
        return self._value(packet, state)

    def receive_event(self, data: str | bytes) -> EventFields | None:
        """`receive` of what most messages are, an event of the namespace ``/`` without bytes. None where it may be
        something else; then nothing has changed.

        Raises:
            RemoteProtocolError: as `receive`.
        """
        if not isinstance(data, str):
            return None
        quick = self._quick
        if quick is None:
            codec = self.codec
            if (
                not isinstance(codec, JsonCodec)
                or self._header is not None
                or self._states.get("/") is not _CONNECTED
            ):
                return None
            self._quick = quick = codec
        return quick.decode_event(data)

    def _take_attachment(self, header: BinaryHeader, data: str | bytes) -> Received | None:
        if isinstance(data, str):
            raise RemoteProtocolError("text came where an attachment was announced")
        self._size += len(data)
        if self._size > self._max_bytes:
            raise LimitExceeded(
                "the attachments of a packet are too large together (setting max_payload)", close_code=1009
            )
        if self._attachments is None:
            self._attachments = []
        attachments = self._attachments
        attachments.append(data)
        if len(attachments) < header.attachments:
            return None
        packet = header.complete(attachments)
        self.clear()
        # The namespace may have been left since the header came (rule 2).
        return self._value(packet, self._states.get(packet.namespace, _State.ABSENT))

    def clear(self) -> None:
        """Forget an incomplete packet: the session is over."""
        self._header, self._attachments, self._size = None, None, 0

    def _next_state(self, namespace: str, type: SocketPacketType) -> _State:
        state = self._states.get(namespace, _State.ABSENT)
        cause = _CAUSES.get(type)
        following = _TRANSITIONS.get((state, cause)) if cause is not None else None
        if following is None:
            raise RemoteProtocolError(f"a {type.name} packet in a namespace that is {state.value}")
        if following is not state:
            self._move(namespace, following)
        return following

    def _move(self, namespace: str, state: _State) -> None:
        self._quick = None
        if state is _State.ABSENT:
            del self._states[namespace]
            return
        if namespace not in self._states and len(self._states) >= self._max_namespaces:
            raise LimitExceeded("too many namespaces (setting max_namespaces_per_session)")
        self._states[namespace] = state

    def _value(self, packet: SocketPacket, state: _State) -> Received | None:
        if state is _State.LEFT:
            return None
        type, namespace, content, id = packet
        if type is _ACK:
            return AckReceived(namespace, cast("int", id), cast("list[object]", content))
        if type is _EVENT:
            name, *args = cast("list[object]", content)
            return EventReceived(namespace, cast("str", name), args, id)
        if type is SocketPacketType.CONNECT:
            return ConnectRequested(namespace, cast("dict[str, object]", content or {}))
        return DisconnectReceived(namespace)

    def accept(self, namespace: str) -> None:
        """We answer the peer's CONNECT with ours: it may speak now (rule 1)."""
        assert self._states.get(namespace) is _State.PENDING
        self._states[namespace] = _State.CONNECTED

    def restore(self, namespace: str) -> None:
        """The peer is in there since before this state was made."""
        self._states[namespace] = _State.CONNECTED

    def refuse(self, namespace: str) -> None:
        """We answer the peer's CONNECT with CONNECT_ERROR."""
        assert self._states.get(namespace) is _State.PENDING
        self._states[namespace] = _State.LEFT

    def leave(self, namespace: str) -> None:
        """We put the peer out of a namespace (rule 2)."""
        self._quick = None
        if self._states.get(namespace) is _State.CONNECTED:
            self._states[namespace] = _State.LEFT
        else:
            self._states.pop(namespace, None)
