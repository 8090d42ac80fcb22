"""What handlers receive: one peer in one namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, overload

from ..adapters import Target
from ..errors import LocalProtocolError
from ..live import SocketHandshake
from ..wire.socketio import check_event_name
from .acks import AckWaiter
from .broadcast import BroadcastOperator
from .delivery import current_delivery
from .handlers import Function
from .listeners import CONNECT_EVENTS, Listeners
from .names import check_name, check_rooms
from .reauthentication import Judge, reauthenticate
from .socket_operator import SocketOperator

if TYPE_CHECKING:
    from ..live import LiveSession
    from .membership import Membership

__all__ = ["Socket"]

F = TypeVar("F", bound=Function)


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
        """With its leading slash."""
        return self._membership.registry.name

    @property
    def connected(self) -> bool:
        """Whether the client's connect has been accepted and neither side has ended it."""
        return self._membership.as_socket is not None

    @property
    def recovered(self) -> bool:
        """Whether an official client has come back to it (setting ``connection_state_recovery``).

        Its id, rooms and data are those of before, and the client gets what it missed. A client of holdfast needs none
        of that: its session, and with it the socket, survives the loss of a connection. Its socket is recovered when
        another node goes on with it (``durable=True``).
        """
        return self._membership.recovered

    @property
    def replayed(self) -> bool:
        """Whether the event that is being handled may have been handled before, by a node that has died since.

        Only on servers with ``durable=True``: see docs/durable.md. `event_number` is the same each time.
        """
        delivery = current_delivery()
        return delivery is not None and delivery.replayed

    @property
    def event_number(self) -> int | None:
        """The number of the event that is being handled: grows, and with `id` is never given twice.

        None outside of a handler, and where sessions are not durable.
        """
        delivery = current_delivery()
        return None if delivery is None else delivery.number

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms it is in, among them its own, named by its id. In a `disconnect` handler: those it was in."""
        return self._membership.rooms

    @property
    def handshake(self) -> SocketHandshake:
        """How the peer came."""
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
                scope=request.scope,
                principal=request.principal,
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
        """Enter rooms; it stays in them until it leaves or is disconnected.

        Raises:
            LocalProtocolError: more than the setting ``max_rooms_per_socket``; it has entered none of them.
        """
        check_rooms(rooms)
        member = self._membership
        before = member.rooms if len(rooms) > 1 else frozenset[str]()
        try:
            for room in rooms:
                member.join(room)
        except LocalProtocolError:
            for room in set(rooms[:-1]) - before:
                member.leave_room(room)
            raise

    def leave(self, *rooms: str) -> None:
        """Leave rooms."""
        check_rooms(rooms)
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
        await self._membership.emit(event, args)

    async def send(self, *args: object) -> None:
        """`emit` an event named "message"."""
        await self._membership.emit("message", args)

    async def emit_with_ack(self, event: str, *args: object, timeout: float | None = None) -> object:
        """Send an event and wait for the peer's acknowledgement.

        Whoever awaits this goes on before what the peer has sent after that is handled; not, if another task stands
        between, as with `asyncio.wait_for` before Python 3.12.

        Args:
            timeout: Seconds; None for the server's ``ack_timeout``.

        Returns:
            Its argument; a tuple of several, None for none.

        Raises:
            AckTimeout: none came in time.
            Disconnected: the socket left before it came.
            EventError: the peer answered with an error (docs/protocol.md, section 10).
            LocalProtocolError: as `emit`; or the `connect` handler, whose end the client waits for, still runs; or the
                client owes as many acknowledgements as the setting ``max_pending_acks`` allows.
        """
        check_event_name(event)
        membership = self._membership
        if membership.is_pending:
            raise LocalProtocolError("in a connect handler the client cannot acknowledge anything yet")
        id = next(membership.registry.ids)
        waiter = AckWaiter(self.session)
        if timeout is None:
            timeout = membership.registry.ack_timeout
        membership.expect(id, waiter)
        timer = None if timeout is None else self.session.host.call_later(timeout, waiter.expire)
        try:
            messages = membership.encode_event(event, args, id)
            if timeout is not None:
                await membership.wait_for_room(messages, timeout)
                if waiter.is_settled:
                    return await waiter.wait()
            await membership.emit_encoded(messages, event, args)
            return await waiter.wait()
        finally:
            waiter.end()
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
        return BroadcastOperator(
            self._membership.registry, self.session.host, Target(except_=frozenset((self.id,)))
        )

    @property
    def local(self) -> BroadcastOperator:
        """Everybody on this server, without this socket."""
        return self.broadcast.local

    @property
    def volatile(self) -> SocketOperator:
        """This socket, if it can be reached at once: what it would get late is dropped."""
        return SocketOperator(self, self._membership, is_volatile=True)

    def timeout(self, seconds: float) -> SocketOperator:
        """This socket, with a time limit for `emit_with_ack`."""
        return SocketOperator(self, self._membership, timeout_seconds=seconds)

    # -- who it is, asked again

    async def reauthenticate(
        self, *, timeout: float = 30.0, check: Function | None = None
    ) -> dict[str, object]:
        """Ask the client for a fresh ``auth``, and disconnect it from this namespace if none is accepted.

        Our client calls its ``auth`` again; others have a listener: ``socket.on("reauthenticate", (answer) =>
        answer({ token }))``. What comes is judged by the namespace's connection middleware (`Namespace.use`), as when
        it connected; each is given a `Socket` whose handshake has the fresh ``auth``. Everybody else sees that only
        when all have accepted it.

        Args:
            timeout: Seconds for the client to answer, outages included.
            check: ``socket`` or ``socket, auth``, judges instead of the middleware: returning False or raising
                `ConnectionRefusedError` refuses it.

        Returns:
            The fresh ``auth``, now also in `handshake`.

        Raises:
            AuthenticationFailed: none came in time, or it was refused. The socket is disconnected, with the reason
                "authentication expired"; its session lives.
            Disconnected: the socket left meanwhile.
            LocalProtocolError: there is neither middleware nor a ``check``; or as `emit_with_ack`.
        """
        member = self._membership
        return await reauthenticate(member, Judge(member, check), timeout)

    def reauthenticate_after(
        self, seconds: float | None, *, timeout: float = 30.0, check: Function | None = None
    ) -> None:
        """`reauthenticate` when ``auth`` is good for so many seconds more; the application need not wait for it.

        A later call replaces an earlier one; None cancels. Called by the middleware or the ``check`` that accepts an
        ``auth``, it goes on as long as the socket lives.

        Raises:
            LocalProtocolError: the ``check`` could never be called.
        """
        member = self._membership
        if seconds is None:
            member.expiry.cancel()
        else:
            member.expiry.set(seconds, Judge(member, check), timeout)

    def _with(self, auth: dict[str, object]) -> Socket:
        """The same peer, seen with another auth."""
        other = Socket(self._membership, auth)
        other.data = self.data
        return other

    def _accept(self, auth: dict[str, object]) -> None:
        self._auth = auth
        self._handshake = None

    def disconnect(self, close: bool = False) -> None:
        """Put the peer out of this namespace; idempotent. In a `connect` handler it is a refusal.

        Events of the peer whose handlers have not begun are not handled any more; `disconnect` is.

        Args:
            close: Out of every namespace, and end the session.
        """
        if close:
            self._membership.session.disconnect()
        else:
            self._membership.put_out()

    # -- listeners of this socket alone

    @overload
    def on(self, event: str, *, concurrent: bool = False) -> Callable[[F], F]: ...

    @overload
    def on(self, event: str, handler: F, *, concurrent: bool = False) -> F: ...

    def on(self, event: str, handler: F | None = None, *, concurrent: bool = False) -> F | Callable[[F], F]:
        """Handle an event of this socket; before its namespace's handler, which then does not run.

        The handlers of "disconnecting" and "disconnect" run beside those of the namespace. All else is as in
        `Namespace.on`, the arguments too: the socket comes first.

        Raises:
            LocalProtocolError: as `Namespace.on`.
        """

        def register(function: F) -> F:
            self._listeners_for(event).register(event, function, concurrent=concurrent)
            return function

        check_name(event)
        return register if handler is None else register(handler)

    def once(self, event: str, handler: Function) -> None:
        """`on`, for the next event of this name only."""
        check_name(event)
        self._listeners_for(event).register(event, handler, once=True)

    def _listeners_for(self, event: str) -> Listeners:
        if event in CONNECT_EVENTS:
            raise LocalProtocolError(
                f"{event!r} is handled in a namespace: a socket's own would come too late"
            )
        return self._membership.own_listeners

    def off(self, event: str, handler: Function | None = None) -> None:
        """Remove the handler that `on` or `once` has set; idempotent."""
        self._membership.own_listeners.remove(event, handler)

    def use(self, middleware: F) -> F:
        """Let a function run before the handlers of this socket's events: see `Namespace.use_event`."""
        self._membership.own_listeners.add_middleware("event", middleware)
        return middleware

    def on_any(self, listener: F) -> F:
        """Let a function hear every event that comes from this socket: see `Namespace.on_any`."""
        self._membership.own_listeners.add_any(listener)
        return listener

    def prepend_any(self, listener: F) -> F:
        """`on_any`, before the others."""
        self._membership.own_listeners.add_any(listener, first=True)
        return listener

    def off_any(self, listener: Function | None = None) -> None:
        """Remove a listener of any event of this socket, or all; idempotent."""
        self._membership.own_listeners.remove_any(listener)

    def on_any_outgoing(self, listener: F) -> F:
        """Let a function hear every event that is sent to this socket: see `Namespace.on_any_outgoing`."""
        self._membership.own_listeners.add_outgoing(listener)
        return listener

    def prepend_any_outgoing(self, listener: F) -> F:
        """`on_any_outgoing`, before the others."""
        self._membership.own_listeners.add_outgoing(listener, first=True)
        return listener

    def off_any_outgoing(self, listener: Function | None = None) -> None:
        """Remove a listener of outgoing events of this socket, or all; idempotent."""
        self._membership.own_listeners.remove_outgoing(listener)
