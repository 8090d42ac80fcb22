"""A SockJS session, as an application sees it; and in rooms, where events reach it as text."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

from ..errors import LocalProtocolError, SessionClosed
from ..live import LiveSession, LiveSockJS, SessionHandler
from ..session import GO_AWAY, CloseReason
from ..settings import Settings
from ..wire.message import Message
from ..wire.socketio import SocketPacket, SocketPacketType, encode_socket_packet
from ..wire.sockjs import JsonText
from .backlog import Backlog
from .bare import Session
from .names import check_rooms
from .namespace import Namespace
from .registry import Registry

__all__ = ["SockJSFunction", "SockJSSession", "TextCodec", "sockjs_handler_maker"]


class TextCodec:
    """Events as SockJS clients get them: a text, JSON's ``["name", argument, …]``; bytes are base64 in it."""

    __slots__ = ()

    def encode(self, packet: SocketPacket) -> list[Message]:
        data = cast("list[object]", packet.data)
        text, attachments = encode_socket_packet(SocketPacket(SocketPacketType.EVENT, "/", data))
        if attachments:
            plain = cast("list[object]", _without_bytes(data))
            text, _ = encode_socket_packet(SocketPacket(SocketPacketType.EVENT, "/", plain))
        # What stands before the array is the type of the packet.
        return [Message(text[1:])]


_TEXT = TextCodec()


def _without_bytes(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(cast("bytes", value)).decode("ascii")
    if isinstance(value, Mapping):
        return {key: _without_bytes(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_without_bytes(item) for item in cast("Sequence[object]", value)]
    return value


class _Member:
    """A session in the rooms of a namespace (a `Recipient`). It gets what is sent there, and is no `Socket`."""

    __slots__ = ("_max_rooms", "id", "live", "registry")

    as_socket = None
    codec = _TEXT
    # One that this codec makes too large for its own session must not keep it from the others.
    limit_bytes = 2**53

    def __init__(self, live: LiveSession, registry: Registry, max_rooms: int) -> None:
        self.id = secrets.token_urlsafe(18)
        self.live = live
        self.registry = registry
        self._max_rooms = max_rooms
        registry.hold()
        registry.adapter.add(self, self.id)

    @property
    def writable(self) -> bool:
        return self.live.writable

    def deliver(self, messages: list[Message], packet: SocketPacket, *, volatile: bool = False) -> None:
        try:
            self.live.send_nowait(*messages)
        except SessionClosed:
            pass  # It is about to leave.
        except LocalProtocolError as error:
            self.live.fail(CloseReason.BUFFER_FULL, message=str(error), close_code=1008)

    def join(self, room: str) -> None:
        if not self.live.is_open:
            return
        adapter = self.registry.adapter
        if adapter.add(self, room) > self._max_rooms:
            adapter.remove(self, room)
            raise LocalProtocolError(
                "the session is in as many rooms as the setting max_rooms_per_socket allows"
            )

    def leave_room(self, room: str) -> None:
        self.registry.adapter.remove(self, room)

    def leave(self) -> None:
        """It is gone."""
        self.registry.adapter.remove_all(self)
        self.registry.release()


class SockJSSession(Session):
    """One SockJS client that sends and receives messages, whatever carries them.

    ``async for message in session`` ends when the session does. Messages are `str`; over a WebSocket without frames
    (``/websocket``) also `bytes`.
    """

    def __init__(self, live: LiveSession, namespace: Namespace | None = None, *, max_rooms: int = 0) -> None:
        super().__init__(live)
        self._member: _Member | None = None
        if namespace is not None:
            registry = namespace._bound()  # pyright: ignore[reportPrivateUsage]
            self._member = _Member(live, registry, max_rooms)

    async def send(self, data: str | bytes) -> None:
        """Send one message; waits while too much is kept for a slow peer.

        JavaScript can send half of a character, a lone surrogate: so can this, but for a WebSocket without frames.

        Raises:
            SessionClosed: the session is over; the message is not delivered.
            LocalProtocolError: bytes, which this peer does not take; or text that its WebSocket cannot carry.
        """
        try:
            message = Message(data)
        except LocalProtocolError:
            live = self._live
            if not isinstance(data, str) or not isinstance(live, LiveSockJS) or live.raw:
                raise
            message = JsonText(data)
        await self._live.send(message)

    def close(self, code: int = GO_AWAY[0], reason: str = GO_AWAY[1]) -> None:
        """End the session. What was sent before still goes out; then the client's `onclose` has this code and reason.

        Args:
            code: 1000, or from 3000 to 4999, as with a WebSocket.
            reason: At most 123 bytes of UTF-8.

        Raises:
            LocalProtocolError: another code, or a longer reason.
        """
        super().close(code, reason)

    # -- rooms

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms of the namespace that it is in; a room of its own is always among them."""
        member = self._of_rooms()
        return member.registry.adapter.rooms(member)

    def join(self, *rooms: str) -> None:
        """Enter rooms of the namespace that the endpoint was given: from now on, what is emitted there is a message to
        this session, the text ``["event", argument, …]``. Without any, it gets what is emitted to everybody.

        Raises:
            LocalProtocolError: the endpoint has no namespace; or the session is in as many rooms as it may.
        """
        check_rooms(rooms)
        for room in rooms:
            self._of_rooms().join(room)

    def leave(self, *rooms: str) -> None:
        """Leave rooms; idempotent.

        Raises:
            LocalProtocolError: the endpoint has no namespace.
        """
        check_rooms(rooms)
        for room in rooms:
            self._of_rooms().leave_room(room)

    def _of_rooms(self) -> _Member:
        if self._member is None:
            raise LocalProtocolError("this endpoint has no rooms: SockJS(function, namespace=io)")
        return self._member

    def session_closed(self, reason: CloseReason) -> None:
        """See `SessionHandler`."""
        if self._member is not None:
            self._member.leave()
        super().session_closed(reason)


SockJSFunction = Callable[[SockJSSession], Awaitable[None]]


def sockjs_handler_maker(
    function: SockJSFunction, namespace: Namespace | None, settings: Settings, *, max_rooms: int
) -> Callable[[LiveSession], SessionHandler]:
    """What a `SockJSTable` calls with each new session."""
    backlog = Backlog(settings.total_pending_event_bytes)

    def make(live: LiveSession) -> SessionHandler:
        session = SockJSSession(live, namespace, max_rooms=max_rooms)
        session.share(backlog)
        live.host.spawn(session.run, function)
        return session

    return make
