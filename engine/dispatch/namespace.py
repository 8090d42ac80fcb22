"""A namespace, as an application sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, overload

from ..adapters import RoomChange
from ..errors import LocalProtocolError
from ..host import Host
from .broadcast import BroadcastOperator, FetchedSockets
from .handlers import Function
from .listeners import Listeners
from .names import check_name
from .registry import ParentRegistry, Registry
from .socket import Socket

__all__ = ["Namespace", "ParentNamespace"]

F = TypeVar("F", bound=Function)
_HANDLER = "on_"


class _Sockets(Mapping[str, Socket]):
    """Who is connected, by id: a view."""

    __slots__ = ("_registry",)

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __getitem__(self, id: str) -> Socket:
        return self._registry.members[id].socket

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry.members)

    def __len__(self) -> int:
        return len(self._registry.members)


class Audience:
    """Handlers of a namespace, or of the namespaces of a pattern, and ways to reach their sockets."""

    _source: Registry | ParentRegistry | None = None
    _host: Host

    def _bound(self) -> Registry | ParentRegistry:
        if self._source is None:
            raise LocalProtocolError(
                "this namespace belongs to no server yet: call `server.register_namespace`"
            )
        return self._source

    @overload
    def on(self, event: str, *, concurrent: bool = False) -> Callable[[F], F]: ...

    @overload
    def on(self, event: str, handler: F, *, concurrent: bool = False) -> F: ...

    def on(self, event: str, handler: F | None = None, *, concurrent: bool = False) -> F | Callable[[F], F]:
        """Handle an event: ``@io.on("chat")``, or ``io.on("chat", function)``.

        A handler is called with the socket and the event's arguments, one event of a socket after the other. What it
        returns is the acknowledgement, if the peer asked for one: None is no argument, a tuple is several, `Ack.of`
        says it exactly. A handler with a parameter annotated `Ack` acknowledges by itself, now, later or never. What
        it raises is the peer's answer (`EventError`), or "internal error" there and a traceback in the log.

        Special names: "connect" or "connection" (``socket`` or ``socket, auth``; returning False or raising
        `ConnectionRefusedError` refuses), "disconnecting" and "disconnect" (``socket`` or ``socket, reason``), "*"
        (``socket, event, *args``: every event that has no handler of its own).

        A handler is ``async def``; or ``def``, and then runs in a worker thread, from where it reaches sockets with
        ``anyio.from_thread.run(socket.emit, "event")`` and ``anyio.from_thread.run_sync(socket.join, "room")``.

        Args:
            concurrent: Do not let the socket's next event wait until the handler is done. It may run several times at
                once for one socket, and may still run when `disconnect` does.

        Raises:
            LocalProtocolError: the event has a handler already, or is reserved; or the handler could never be called.
        """

        def register(function: F) -> F:
            self._bound().listeners.register(event, function, concurrent=concurrent)
            return function

        check_name(event)
        return register if handler is None else register(handler)

    def event(self, handler: F) -> F:
        """`on` with the function's name as event: ``@io.event``."""
        return self.on(handler.__name__, handler)

    def off(self, event: str, handler: Function | None = None) -> None:
        """Remove the handler of an event; idempotent."""
        self._bound().listeners.remove(event, handler)

    def use(self, middleware: F) -> F:
        """Let a function run for each peer that connects, before `connect`: ``@io.use``.

        It takes ``socket`` or ``socket, auth``; returning False or raising `ConnectionRefusedError` refuses the peer,
        and then nothing behind it runs. In the order of registration.

        Raises:
            LocalProtocolError: it could never be called.
        """
        self._bound().listeners.add_middleware("connect", middleware)
        return middleware

    def use_event(self, middleware: F) -> F:
        """Let a function run for each event that comes, before its handler: ``@io.use_event``.

        One that takes ``socket, event, args`` checks: what it raises is the peer's answer, and the handler does not
        run. ``args`` is a list, which it may change. One that takes ``socket, event, args, next`` stands around the
        handler: ``await next()`` runs what is behind it and gives what the handler returned; what it returns itself is
        the acknowledgement. It is ``async def``. In the order of registration.

        Raises:
            LocalProtocolError: it could never be called.
        """
        self._bound().listeners.add_middleware("event", middleware)
        return middleware

    def on_any(self, listener: F) -> F:
        """Let a function hear every event that comes, before its handler: ``socket, event, *args``."""
        self._bound().listeners.add_any(listener)
        return listener

    def off_any(self, listener: Function | None = None) -> None:
        """Remove a listener of any event, or all; idempotent."""
        self._bound().listeners.remove_any(listener)

    def on_any_outgoing(self, listener: F) -> F:
        """Let a function hear every event that is sent, once for each socket: ``socket, event, *args``.

        It is a plain ``def`` that does not wait: it is called while the event is sent.
        """
        self._bound().listeners.add_outgoing(listener)
        return listener

    def off_any_outgoing(self, listener: Function | None = None) -> None:
        """Remove a listener of outgoing events, or all; idempotent."""
        self._bound().listeners.remove_outgoing(listener)

    # -- whom it reaches

    @property
    def _everybody(self) -> BroadcastOperator:
        return BroadcastOperator(self._bound(), self._host)

    async def emit(self, event: str, *args: object) -> None:
        """Send an event to everybody. See `BroadcastOperator.emit`."""
        await self._everybody.emit(event, *args)

    async def send(self, *args: object) -> None:
        """`emit` an event named "message"."""
        await self._everybody.emit("message", *args)

    async def emit_with_ack(self, event: str, *args: object) -> list[object]:
        """Send an event to everybody and collect the acknowledgements. See `BroadcastOperator.emit_with_ack`."""
        return await self._everybody.emit_with_ack(event, *args)

    def to(self, *rooms: str) -> BroadcastOperator:
        """Who is in any of these rooms. A socket's id is the name of a room with that socket alone."""
        return self._everybody.to(*rooms)

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Who is in none of these rooms."""
        return self._everybody.except_(*rooms)

    @property
    def volatile(self) -> BroadcastOperator:
        """Whom it reaches at once: what somebody would get late is dropped."""
        return self._everybody.volatile

    @property
    def local(self) -> BroadcastOperator:
        """Who is connected to this server."""
        return self._everybody.local

    def timeout(self, seconds: float) -> BroadcastOperator:
        """Everybody, with a time limit for `BroadcastOperator.emit_with_ack`."""
        return self._everybody.timeout(seconds)

    async def fetch_sockets(self) -> FetchedSockets:
        """Everybody."""
        return await self._everybody.fetch_sockets()

    async def sockets_join(self, *rooms: str) -> None:
        """Let everybody enter rooms. See `BroadcastOperator.sockets_join`."""
        await self._everybody.sockets_join(*rooms)

    async def sockets_leave(self, *rooms: str) -> None:
        """Let everybody leave rooms."""
        await self._everybody.sockets_leave(*rooms)

    async def disconnect_sockets(self, close: bool = False) -> None:
        """Put everybody out; with ``close``, end their sessions."""
        await self._everybody.disconnect_sockets(close)


class Namespace(Audience):
    """Handlers and sockets under one name. Made by `Server.of`; or a class of handlers::

        class Chat(Namespace):
            async def on_connect(self, socket: Socket) -> None: ...

            async def on_message(self, socket: Socket, text: str) -> None:
                await self.emit("message", text)

        io.register_namespace(Chat("/chat"))

    Each method whose name begins with ``on_`` handles the event of the rest of its name.

    Args:
        name: A leading slash is added where it is missing.
    """

    # For classes that forget to call our constructor.
    _name = "/"
    _registry: Registry | None = None

    def __init__(self, name: str = "/") -> None:
        self._name = name if name.startswith("/") else "/" + name

    def _own_handlers(self) -> Listeners:
        """Its methods, checked, before anything changes."""
        if self._registry is not None:
            raise LocalProtocolError("this namespace belongs to a server already")
        found = Listeners(repr(self._name))
        for name in dir(type(self)):
            method = getattr(type(self), name) if name.startswith(_HANDLER) else None
            if not callable(method):
                continue
            if not hasattr(Namespace, name):
                found.register(name.removeprefix(_HANDLER), getattr(self, name))
            elif method is not getattr(Namespace, name):
                raise LocalProtocolError(f"{name!r} is a method of Namespace: handle that event with `on`")
        return found

    def _bind(self, registry: Registry, host: Host, handlers: Listeners) -> None:
        """It belongs to a server now: its methods become handlers."""
        registry.listeners.adopt(handlers)
        self._registry = registry
        self._host = host

    def _bound(self) -> Registry:
        if self._registry is None:
            raise LocalProtocolError(
                "this namespace belongs to no server yet: call `server.register_namespace`"
            )
        if self._registry.after is not None:
            self._registry = self._registry.after()
        return self._registry

    @property
    def name(self) -> str:
        """With its leading slash."""
        return self._name

    @property
    def sockets(self) -> Mapping[str, Socket]:
        """Who is connected to this server, by `Socket.id`: a view."""
        return _Sockets(self._bound())

    @property
    def rooms(self) -> Mapping[str, frozenset[str]]:
        """The ids of this server's sockets by room: a copy. Each socket is alone in the room of its id."""
        return self._bound().adapter.all_rooms()

    @overload
    def on_room(self, change: RoomChange) -> Callable[[F], F]: ...

    @overload
    def on_room(self, change: RoomChange, listener: F) -> F: ...

    def on_room(self, change: RoomChange, listener: F | None = None) -> F | Callable[[F], F]:
        """Let a function hear of what becomes of this server's rooms: ``@io.on_room("create-room")``.

        It takes ``room`` or ``room, id``, and is a plain `def` that does not wait: it is called while the socket enters
        or leaves. The room that bears a socket's id is one of them. A socket that may be recovered is in its rooms
        until it is too late.

        Args:
            change: "join-room" and "leave-room" are about each socket; "create-room" comes before the first one's, and
                "delete-room" after the last one's.

        Raises:
            LocalProtocolError: there is no such change, or the function could never be called.
        """

        def register(function: F) -> F:
            self._bound().listeners.add_room(change, function)
            return function

        return register if listener is None else register(listener)

    def off_room(self, change: RoomChange, listener: Function | None = None) -> None:
        """Remove a listener of this change, or all; idempotent."""
        self._bound().listeners.remove_room(change, listener)

    # -- the other servers

    @overload
    def on_server_side(self, event: str) -> Callable[[F], F]: ...

    @overload
    def on_server_side(self, event: str, handler: F) -> F: ...

    def on_server_side(self, event: str, handler: F | None = None) -> F | Callable[[F], F]:
        """Handle an event that another server sends by `server_side_emit`: called with its arguments, no socket.

        What it returns is the answer to `server_side_emit_with_ack`.

        Raises:
            LocalProtocolError: the event has a handler already, or is reserved.
        """

        def register(function: F) -> F:
            self._bound().listeners.register_server_side(event, function)
            return function

        check_name(event)
        return register if handler is None else register(handler)

    async def server_side_emit(self, event: str, *args: object) -> None:
        """Send an event to the other servers that share this one's adapter; this one does not get it."""
        await self._bound().adapter.server_side_emit(event, args)

    async def server_side_emit_with_ack(
        self, event: str, *args: object, timeout: float | None = None
    ) -> list[object]:
        """Send an event to the other servers and collect their answers.

        Args:
            timeout: Seconds; None for the server's ``ack_timeout``.

        Returns:
            One answer per server that has a handler which did not fail.

        Raises:
            AckTimeout: not all came in time; its ``answers`` are those that did, ``missing`` names the servers that
                said nothing, where they have names.
        """
        registry = self._bound()
        seconds = registry.ack_timeout if timeout is None else timeout
        return await registry.adapter.server_side_ask(event, args, seconds)


class ParentNamespace(Audience):
    """The namespaces of a pattern or a function. Made by `Server.of`.

    Its handlers count for each of them, and what it sends reaches all of them.
    """

    def __init__(self, registry: ParentRegistry, host: Host) -> None:
        self._parent = registry
        self._host = host

    def _bound(self) -> ParentRegistry:
        return self._parent

    @property
    def children(self) -> frozenset[str]:
        """The names of those that exist at this moment: somebody is connected, or the application has named them."""
        return frozenset(self._parent.children)
