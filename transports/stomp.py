"""STOMP: its clients over bare WebSockets, and over sessions, at one address.

The registry of WebSocket subprotocols: v10.stomp, v11.stomp, v12.stomp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ..engine.dispatch.bare import Session, handler_maker
from ..engine.dispatch.namespace import Namespace
from ..engine.dispatch.sockjs import SockJSSession, sockjs_handler_maker
from ..engine.drain import Drained
from ..engine.errors import ErrorCode, LocalProtocolError, RequestRefused, SessionClosed
from ..engine.host import Clock, Host
from ..engine.live import AllowRequest, Attachment, Handshake, LiveSession
from ..engine.server import SessionTable
from ..engine.settings import Settings, SockJSSettings, StompSettings
from ..engine.sockjs import SockJSTable
from ..engine.stomp import Messages, StompBroker, StompClient
from ..engine.stomp.rooms import RoomFilter
from ..engine.stomp.session import Close, StompSession
from .endpoint import Endpoint
from .request import Head, Request, handshake_of
from .sockjs.app import SockJSEndpoint
from .stomp_relay import FORWARDED, Relay, RelaySession

__all__ = ["Stomp"]

_SUBPROTOCOLS = ("v12.stomp", "v11.stomp", "v10.stomp")
_BARE = "stomp"
_RESTART = 1012
# connect_timeout is one of sessions, too.
_LIMITS = {setting.name for setting in fields(StompSettings)} - {setting.name for setting in fields(Settings)}
# How much larger a message may be on its way than what it says: bytes are base64 in polls and streams, and
# a frame has line ends, so its text travels as JSON. By SockJS bytes are a list of numbers.
_LARGER = 2
_LARGER_BY_SOCKJS = 4


class _WebSocket:
    """A bare WebSocket as a session of messages. See `Messages`."""

    def __init__(self, request: Handshake, receive: Receive, send: Send) -> None:
        self.request = request
        self._receive = receive
        self._send = send

    async def receive(self) -> str | bytes:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise SessionClosed("the WebSocket is closed")
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def send(self, data: str | bytes) -> None:
        await self._say({"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data})

    async def end(self, code: int, reason: str) -> None:
        await self._say({"type": "websocket.close", "code": code, "reason": _cut(reason)})

    async def _say(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except Exception as error:
            if not _means_closed(error):
                raise
            raise SessionClosed("the WebSocket is closed") from error


def _means_closed(error: Exception) -> bool:
    if isinstance(error, RuntimeError):
        # uvicorn says of a WebSocket that it has closed by itself that we did.
        return "websocket.close" in str(error)
    return isinstance(error, OSError)


def _cut(reason: str) -> str:
    """A WebSocket's reason has at most 123 bytes."""
    return reason.encode(errors="replace")[:123].decode(errors="ignore")


class Stomp(StompBroker, Endpoint):
    """A STOMP endpoint with its broker; an ASGI application.

    A client comes by a bare WebSocket (``ws://host/stomp``), or by a session of ours through whatever gets through: in
    JavaScript by ``new HoldfastSocket("/stomp")``. On another session of messages, `serve` speaks it.

    Args:
        path: Where it answers when it is not mounted.
        app: Another ASGI application that gets every other request.
        limits: What clients of STOMP may ask for.
        sockjs: True for SockJS at the same address, as Spring has it ``withSockJS()``: ``new SockJS("/stomp")`` comes,
            and ``ws://host/stomp/websocket``. Or settings of it by name, which go over those of all; see
            `SockJSSettings`.
        relay: A real broker in place of our own, ``stomp://login:passcode@host:61613/virtual-host``: each client gets a
            connection of its own to it. Destinations that begin with ``/app/`` and ``/user/`` stay here.
        relay_destinations: How destinations begin that clients may reach at that broker; others are answered with an
            ERROR. ``["/"]`` for all that the relay's login may reach. The application's own `send` is not asked.
        clock: Where time comes from; for tests.
        allow_request: As of `Server`. Who a client is, it may also say itself: `authenticate`.
        settings: Whole settings of the sessions and requests…
        **options: …and single ones by name, which go over them; see `Settings`. Where there are no whole ones,
            ``max_payload`` and ``buffer_limit`` are as large as the largest frame needs.

    Raises:
        TypeError: a setting of that name does not exist (the text suggests the right one), or a value is of another
            type.
        ValueError: a setting's value is not allowed; the text names what is.
    """

    def __init__(
        self,
        *,
        path: str = "/stomp",
        app: ASGIApp | None = None,
        limits: StompSettings | None = None,
        sockjs: bool | Mapping[str, Any] = False,
        relay: str | None = None,
        relay_destinations: Iterable[str] = FORWARDED,
        clock: Clock | None = None,
        allow_request: AllowRequest | None = None,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        limits = StompSettings.given(limits)
        for name in options:
            if name in _LIMITS:
                raise TypeError(f"{name} is a limit of STOMP: Stomp(limits=StompSettings({name}=…))")
        if settings is None:
            larger = _LARGER if sockjs is False else _LARGER_BY_SOCKJS
            largest = larger * (limits.max_frame_bytes + limits.max_head_bytes)
            options = {"max_payload": largest, "buffer_limit": 4 * largest, **options}
        settings = Settings.of(options, base=settings)
        host = Host(clock)
        # Two bases with different arguments, so each is told its own.
        StompBroker.__init__(self, limits, host=host)
        table = SessionTable(settings, host, handler_maker(self._serve_session, settings))
        Endpoint.__init__(self, table, path=path, app=app, allow_request=allow_request)
        self._sockjs = None
        if sockjs is not False:
            own = {} if sockjs is True else dict(sockjs)
            chosen = SockJSSettings.of(own, base=SockJSSettings.over(settings))
            make = sockjs_handler_maker(self._serve_sockjs, None, chosen, max_rooms=0)
            other = SockJSTable(chosen, host, make, beside=table, bytes_as_numbers=True)
            self._sockjs = _SockJSWay(other, path=path, app=None, allow_request=allow_request)
        self._relay = None if relay is None else Relay(relay, limits, host, relay_destinations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._sockjs is not None and scope["type"] != "lifespan" and self._sockjs.serves(scope):
            await self._sockjs(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    @property
    def session_count(self) -> int:
        """See `Endpoint.session_count`. Bare WebSockets are among them."""
        return self.table.counters.open_sessions

    async def _serve_session(self, session: Session) -> None:
        # The session has a heartbeat of its own, and outlives what would be an outage here.
        await self.serve(session, heart_beat=0, close=session.end)

    async def _serve_sockjs(self, session: SockJSSession) -> None:
        await self.serve(session, close=session.end)

    def _new_session(self, peer: Messages, heart_beat: float, close: Close) -> StompSession:
        if self._relay is None:
            return super()._new_session(peer, heart_beat, close)
        return RelaySession(self._relay, self, peer, heart_beat=heart_beat, close=close)

    def _can_publish(self, destination: str) -> bool:
        if self._relay is None or destination.startswith(("/user/", "/app/")):
            return super()._can_publish(destination)
        # What there is besides, such as /exchange/…, is the broker's to say.
        return destination.startswith("/")

    async def _publish(
        self,
        destination: str,
        headers: Mapping[str, str],
        body: bytes,
        sender: str | None,
        *,
        only: StompClient | None = None,
    ) -> None:
        if self._relay is None or destination.startswith("/user/"):
            await super()._publish(destination, headers, body, sender, only=only)
        else:
            await self._relay.send(destination, headers, body)

    def join_rooms(
        self, namespace: Namespace, rooms: RoomFilter, *, prefix: str = "/topic/", event: str = "message"
    ) -> None:
        """See `StompBroker.join_rooms`.

        Raises:
            LocalProtocolError: a relay's topics are in its broker, and no rooms.
        """
        if self._relay is not None:
            raise LocalProtocolError("with a relay, topics are the broker's own: they cannot be rooms")
        super().join_rooms(namespace, rooms, prefix=prefix, event=event)

    async def drain(self, timeout: float = 20.0, *, period: float = 5.0, retry_after: float = 0.0) -> Drained:
        """See `Endpoint.drain`. Who came by a bare WebSocket or by SockJS is told at once."""
        self._end_at_once()
        return await super().drain(timeout, period=period, retry_after=retry_after)

    def start(self) -> None:
        """See `Endpoint.start`."""
        super().start()
        if self._sockjs is not None:
            self._sockjs.start()

    async def shutdown(self) -> None:
        """See `Endpoint.shutdown`."""
        self._end_at_once()
        await super().shutdown()
        if self._sockjs is not None:
            await self._sockjs.shutdown()
        if self._relay is not None:
            await self._relay.close()

    def _end_at_once(self) -> None:
        if self._sockjs is not None:
            self._sockjs.table.refuse_more()
        for session in self.sessions():
            if isinstance(session.peer, _WebSocket | SockJSSession):
                session.disconnect("server shutting down", _RESTART)

    def _parse(self, scope: Scope, head: Head) -> Request:
        query_text: bytes = scope.get("query_string", b"")
        if scope["type"] == "http" and scope["method"] == "GET" and not query_text:
            message = (
                "Transport unknown: this is a STOMP endpoint, and it is running; it is meant for clients, which come "
                "by a WebSocket, or by a session with a query such as ?EIO=4&transport=polling"
            )
            raise RequestRefused(ErrorCode.TRANSPORT_UNKNOWN, message)
        if scope["type"] != "websocket" or b"EIO=" in query_text:
            return super()._parse(scope, head)
        return Request(
            method="WEBSOCKET",
            transport=_BARE,
            sid=None,
            counting=False,
            codecs=(),
            subprotocol=_chosen(scope.get("subprotocols") or ()),
            head=head,
            scope=scope,
            query=dict(handshake_of(scope, self.table.settings).query),
            settings=self.table.settings,
        )

    async def _serve_websocket(
        self, request: Request, receive: Receive, send: Send
    ) -> tuple[LiveSession, Attachment] | None:
        if request.transport != _BARE:
            return await super()._serve_websocket(request, receive, send)
        # Others may have come while the application was asked.
        self.table.check_room(request.handshake)
        counters = self.table.counters
        counters.open("websocket", counting=False)
        try:
            await self._serve_bare(request, receive, send)
        finally:
            counters.forget("websocket", counting=False)
        return None

    async def _serve_bare(self, request: Request, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": request.subprotocol, "headers": []})
        socket = _WebSocket(request.handshake, receive, send)
        identity = request.identity
        if identity is not None:
            expired: Callable[[], None] = partial(self._expired, socket)
            identity.begin(self.table.host, _BARE, expired)
        try:
            await self.speak(socket, socket.end)
        finally:
            if identity is not None:
                identity.end()

    def _expired(self, socket: _WebSocket) -> None:
        for session in self.sessions():
            if session.peer is socket:
                session.disconnect("the credentials have expired", 1008)


class _SockJSWay(SockJSEndpoint):
    """SockJS's addresses below our own. Its WebSocket without frames is one for STOMP."""

    def serves(self, scope: Scope) -> bool:
        """See `SockJSEndpoint.serves`; and who looks by hand is greeted."""
        looks = scope["type"] == "http" and scope["method"] == "GET" and not scope.get("query_string")
        return super().serves(scope) or (looks and self._below(scope) in ("", "/"))

    def _subprotocol(self, offered: Iterable[str]) -> str | None:
        return _chosen(offered)


def _chosen(offered: Iterable[str]) -> str | None:
    """The newest version of STOMP that is offered."""
    offered = list(offered)
    return next((name for name in _SUBPROTOCOLS if name in offered), None)
