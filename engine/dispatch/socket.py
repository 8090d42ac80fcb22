"""What handlers receive: one peer in one namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import LocalProtocolError
from ..wire.socketio import check_event_name
from .acks import AckWaiter
from .broadcast import BroadcastOperator

if TYPE_CHECKING:
    from ..live import LiveSession
    from .membership import Membership

__all__ = ["Socket", "SocketHandshake"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketHandshake:
    """How the peer came.

    Attributes:
        headers: Of the request that opened the session, in lower case.
        query: Its query string.
        auth: What the client sent along when it connected to this namespace; its ``auth`` option.
        address: Host and port of the TCP peer.
        secure: Whether it came by TLS, as far as the server knows.
        url: Path and query of the request.
        time: When it came.
    """

    headers: Mapping[str, str]
    query: Mapping[str, str]
    auth: dict[str, object]
    address: tuple[str, int] | None
    secure: bool
    url: str
    time: datetime

    @property
    def issued(self) -> int:
        """The time in milliseconds since 1970."""
        return int(self.time.timestamp() * 1000)


class Socket:
    """One peer in one namespace. It lives as long as the session, whatever carries it.

    What never waits is a plain method; what may wait for room or for the peer is a coroutine.

    Attributes:
        data: For the application: whatever it wants to keep with the socket.
    """

    __slots__ = ("__weakref__", "_auth", "_handshake", "_membership", "data")

    def __init__(self, membership: Membership, auth: dict[str, object]) -> None:
        self._membership = membership
        self._auth = auth
        self._handshake: SocketHandshake | None = None
        self.data: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"<Socket {self.id} in {self.namespace!r}>"

    @property
    def id(self) -> str:
        """Public: other peers may know it. Random, and not the session's."""
        return self._membership.id

    @property
    def namespace(self) -> str:
        return self._membership.registry.name

    @property
    def connected(self) -> bool:
        return self._membership.id in self._membership.registry.members

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms it is in, among them its own, named by its id. In a `disconnect` handler: those it was in."""
        return self._membership.rooms

    @property
    def handshake(self) -> SocketHandshake:
        if self._handshake is None:
            request = self.session.request
            self._handshake = SocketHandshake(
                headers=request.headers,
                query=request.query,
                auth=self._auth,
                address=request.address,
                secure=request.secure,
                url=request.url,
                time=request.time,
            )
        return self._handshake

    @property
    def session(self) -> LiveSession:
        """The session that it is part of."""
        return self._membership.session.live

    @property
    def transport(self) -> str:
        """What carries it now, or carried it last: "websocket", "stream" or "polling"."""
        return self.session.transport

    def join(self, *rooms: str) -> None:
        """Enter rooms."""
        for room in rooms:
            self._membership.join(room)

    def leave(self, *rooms: str) -> None:
        """Leave rooms."""
        for room in rooms:
            self._membership.leave_room(room)

    async def emit(self, event: str, *args: object) -> None:
        """Send an event; wait first while too much is kept for a slow peer.

        In a `connect` handler it follows the answer to the client's connect.

        Raises:
            Disconnected: the socket is not connected any more.
            LocalProtocolError: a reserved name, or a value that the codec cannot carry.
        """
        check_event_name(event)
        await self._membership.send(self._membership.encode_event(event, args))

    async def emit_with_ack(self, event: str, *args: object, timeout: float | None = None) -> object:
        """Send an event and wait for the peer's acknowledgement.

        Args:
            timeout: Seconds; None for the server's ``ack_timeout``.

        Returns:
            Its argument; a tuple of several, None for none.

        Raises:
            AckTimeout: none came in time.
            Disconnected: the socket left before it came.
            EventError: the peer answered with an error (docs/protocol.md, section 10).
            LocalProtocolError: as `emit`; or the `connect` handler, whose end the client waits for, still runs.
        """
        check_event_name(event)
        membership = self._membership
        if membership.is_pending:
            raise LocalProtocolError("in a connect handler the client cannot acknowledge anything yet")
        id = next(membership.registry.ids)
        messages = membership.encode_event(event, args, id)
        waiter = AckWaiter()
        if timeout is None:
            timeout = membership.registry.ack_timeout
        timer = None if timeout is None else self.session.host.call_later(timeout, waiter.expire)
        membership.expect(id, waiter)
        try:
            await membership.send(messages)
            return await waiter.wait()
        finally:
            membership.forget(id)
            if timer is not None:
                timer.cancel()

    def to(self, *rooms: str) -> BroadcastOperator:
        """Everybody in any of these rooms, without this socket."""
        return self.broadcast.to(*rooms)

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Everybody who is in none of these rooms, without this socket."""
        return self.broadcast.except_(*rooms)

    @property
    def broadcast(self) -> BroadcastOperator:
        """Everybody in the namespace, without this socket."""
        return BroadcastOperator(self._membership.registry, excluded=frozenset((self.id,)))

    @property
    def volatile(self) -> BroadcastOperator:
        """This socket, if it has a carrier at this moment: what it would get late is dropped."""
        return BroadcastOperator(self._membership.registry, rooms=frozenset((self.id,)), is_volatile=True)

    def disconnect(self, close: bool = False) -> None:
        """Put the peer out of this namespace; idempotent. In a `connect` handler it is a refusal.

        Args:
            close: Out of every namespace, and end the session.
        """
        if close:
            self._membership.session.disconnect()
        else:
            self._membership.put_out()
