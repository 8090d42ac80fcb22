"""The event layer of one session: what its messages mean, and the sockets of its peer."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..errors import SessionClosed
from ..host import Timer
from ..live import LiveSession
from ..session.reason import CloseReason
from ..settings import Settings
from ..subprotocols.socketio import AckReceived, ConnectRequested, EventReceived, SocketIOState
from ..wire.codec import Codec
from ..wire.message import Message
from ..wire.socketio import SocketPacket, SocketPacketType
from .membership import Life, Membership
from .registry import Registry

__all__ = ["EventSession"]

logger = logging.getLogger("holdfast.dispatch")


class EventSession:
    """What a server puts above a session that speaks Socket.IO (a `SessionHandler`).

    Args:
        registries: The server's namespaces; looked at when a peer asks for one.
        codecs: By name.
    """

    __slots__ = (
        "_closed",
        "_incoming_bytes",
        "_members",
        "_registries",
        "_timer",
        "_waiting",
        "_waiting_bytes",
        "live",
        "protocol",
        "settings",
    )

    def __init__(
        self,
        live: LiveSession,
        registries: Mapping[str, Registry],
        codecs: Mapping[str, Codec],
        settings: Settings,
    ) -> None:
        self.live = live
        self.settings = settings
        self.protocol = SocketIOState(
            codecs[live.codec] if live.codec is not None else None,
            codecs=codecs,
            max_bytes=settings.max_payload,
            max_namespaces=settings.max_namespaces_per_session,
        )
        self._registries = registries
        self._members: dict[str, Membership] = {}
        self._closed = False
        self._waiting = 0
        self._waiting_bytes = 0
        self._incoming_bytes = 0
        self._timer: Timer | None = None
        self._start_timer()

    def message_received(self, data: str | bytes) -> None:
        """One message of the peer.

        Raises:
            RemoteProtocolError: the session has to end.
        """
        if self._closed:
            return
        self._incoming_bytes += len(data)
        received = self.protocol.receive(data)
        if received is None:
            return
        size, self._incoming_bytes = self._incoming_bytes, 0
        if isinstance(received, EventReceived):
            self._event(received, size)
        elif isinstance(received, AckReceived):
            self._members[received.namespace].resolve(received.id, received.args)
        elif isinstance(received, ConnectRequested):
            self._connect(received)
        else:
            self._members[received.namespace].leave(CloseReason.CLIENT_NAMESPACE)

    def _event(self, event: EventReceived, size_bytes: int) -> None:
        member = self._members[event.namespace]
        handler = member.registry.handler_or_any(event.name)
        if handler is None:
            return
        self._waiting += 1
        self._waiting_bytes += size_bytes
        settings = self.settings
        if (
            self._waiting > settings.max_pending_events
            or self._waiting_bytes > settings.max_pending_event_bytes
        ):
            logger.warning("session %s closed: too many events wait for their handlers", self.live.name)
            self.live.fail(CloseReason.BUFFER_FULL, message="too many events wait for their handlers")
            return
        member.push_event(handler, event, size_bytes)

    def event_taken(self, size_bytes: int) -> None:
        """A handler begins with an event that waited."""
        was_behind = self.is_behind
        self.live.message_taken()
        self._waiting -= 1
        self._waiting_bytes -= size_bytes
        if was_behind and not self.is_behind:
            self.live.caught_up()

    @property
    def is_behind(self) -> bool:
        """See `SessionHandler`."""
        settings = self.settings
        return (
            self._waiting * 10 > settings.max_pending_events
            or self._waiting_bytes * 2 > settings.max_pending_event_bytes
        )

    def _connect(self, request: ConnectRequested) -> None:
        codec = self.protocol.codec
        assert codec is not None
        registry = self._registries.get(request.namespace)
        if registry is None:
            self.protocol.refuse(request.namespace)
            content = {"message": "Invalid namespace"}
            packet = SocketPacket(SocketPacketType.CONNECT_ERROR, request.namespace, content)
            self.send_nowait(codec.encode(packet))
            return
        member = Membership(self, registry, codec, request.auth)
        self._members[request.namespace] = member
        handler = registry.handler("connect")
        if handler is None:
            member.accept()
        else:
            member.push_connect(handler)

    def send_nowait(self, messages: list[Message]) -> None:
        """Send what belongs to no membership."""
        try:
            self.live.send_nowait(*messages)
        except SessionClosed:
            # Its end is announced to us separately.
            return

    def forget(self, member: Membership) -> None:
        """A membership is gone."""
        if self._members.get(member.registry.name) is member:
            del self._members[member.registry.name]

    def disconnect(self) -> None:
        """Put the peer out of every namespace and end the session."""
        for member in list(self._members.values()):
            member.put_out()
        self.live.close(CloseReason.FORCED_SERVER_CLOSE)

    def session_closed(self, reason: CloseReason) -> None:
        """The session is over."""
        self._closed = True
        self.live.caught_up()
        self.settled()
        self.protocol.clear()
        for member in list(self._members.values()):
            member.leave(reason)

    # -- a session has to connect somewhere, soon

    def settled(self) -> None:
        """It has connected, or it is over: there is nothing left to wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        self._timer = self.live.host.call_later(self.settings.connect_timeout, self._check_connected)

    def _check_connected(self) -> None:
        if any(member.life is Life.PENDING for member in self._members.values()):
            # Our own handler is what takes its time.
            self._start_timer()
        else:
            self.live.close(CloseReason.CONNECT_TIMEOUT)
