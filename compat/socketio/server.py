"""`AsyncServer`: python-socketio's methods on a `holdfast.Server`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, cast, overload

import anyio
from starlette.types import Receive, Scope, Send

from ... import BroadcastOperator, Disconnected, LocalProtocolError
from . import exceptions
from .answers import CallbackAnswers, FirstAnswer, ask
from .dispatch import Dispatcher, arguments, full_name
from .handlers import RESERVED, Function
from .namespace import AsyncNamespace
from .native import Native
from .options import follow_logger, read_options
from .peers import Peer, PeerTable, Stage, as_rooms

__all__ = ["AsyncServer", "SessionContext"]

F = TypeVar("F", bound=Function)


class SessionContext:
    """``async with sio.session(sid) as session``: what is changed inside is kept."""

    def __init__(self, server: AsyncServer, sid: str, namespace: str | None) -> None:
        self._server = server
        self._sid = sid
        self._namespace = namespace
        self._session: dict[str, object] = {}

    async def __aenter__(self) -> dict[str, object]:
        self._session = await self._server.get_session(self._sid, self._namespace)
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.save_session(self._sid, self._session, self._namespace)


class AsyncServer:
    """python-socketio's server, as far as its programs see it.

    Args:
        client_manager: None; servers share rooms with ``adapter=holdfast.RedisAdapter(url)``.
        logger: True to show holdfast's log, a logger to get it.
        json: A module whose ``dumps`` knows more types.
        async_handlers: Whether the next event of a client is handled before the handler of the one before has come to
            its end. Otherwise a client's events are handled in their order.
        namespaces: Those that clients may connect to without a handler; ``"*"`` for all. ``/`` if not given.
        **kwargs: python-socketio's other options, and holdfast's `Settings`; see docs/moving-from-python-socketio.md.

    Attributes:
        native: The server that does the work; all of holdfast's interface is there.
        manager: Who is connected.
        handlers: Functions by namespace and event.
        namespace_handlers: `AsyncNamespace` objects by namespace.

    Raises:
        TypeError: an option that cannot be honoured, or does not exist; the text says what to do.
    """

    reserved_events = RESERVED
    async_mode = "asgi"

    class reason:  # noqa: N801 - its users' name
        """Why a client has been disconnected. Beside these: "buffer full", "parse error", "forced close"."""

        SERVER_DISCONNECT = "server disconnect"
        CLIENT_DISCONNECT = "client disconnect"
        PING_TIMEOUT = "ping timeout"
        TRANSPORT_CLOSE = "transport close"
        TRANSPORT_ERROR = "transport error"

    def __init__(
        self,
        client_manager: object = None,
        logger: object = False,
        json: object = None,
        async_handlers: bool = False,
        namespaces: Sequence[str] | str | None = None,
        **kwargs: object,
    ) -> None:
        follow_logger(logger)
        follow_logger(kwargs.pop("engineio_logger", False))
        options = read_options({**kwargs, "client_manager": client_manager, "json": json})
        self.native = Native(**options.others, **options.settings)
        self.manager = PeerTable()
        self.async_handlers = async_handlers
        self.namespaces = [namespaces] if isinstance(namespaces, str) else namespaces or ["/"]
        self._dispatcher = Dispatcher(self.native, self.manager, self.namespaces, concurrent=async_handlers)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def handlers(self) -> dict[str, dict[str, Function]]:
        return self._dispatcher.table.functions

    @property
    def namespace_handlers(self) -> dict[str, AsyncNamespace]:
        return self._dispatcher.table.objects

    @property
    def environ(self) -> dict[str, dict[str, object]]:
        """By the engine's sid: a copy."""
        return {session.sid: environ for session, environ in self.native.environs.items()}

    def is_asyncio_based(self) -> bool:
        """True."""
        return True

    # -- what handles events

    @overload
    def on(self, event: str, handler: None = None, namespace: str | None = None) -> Callable[[F], F]: ...

    @overload
    def on(self, event: str, handler: F, namespace: str | None = None) -> F: ...

    def on(self, event: str, handler: F | None = None, namespace: str | None = None) -> F | Callable[[F], F]:
        """Handle an event: ``@sio.on("chat", namespace="/room")``, or with the function. A later one replaces it.

        "connect" gets ``(sid, environ)`` or ``(sid, environ, auth)``, "disconnect" ``(sid)`` or ``(sid, reason)``,
        other events ``(sid, *args)``. The event ``"*"`` is every other one, called with its name first; the namespace
        ``"*"`` every other one, called with its name before the sid.
        """

        def register(function: F) -> F:
            name = self._dispatcher.name(namespace)
            self._dispatcher.table.functions.setdefault(name, {})[event] = function
            return function

        return register if handler is None else register(handler)

    def event(self, *args: Any, **kwargs: Any) -> Any:
        """`on` with the function's name as event: ``@sio.event``, or ``@sio.event(namespace="/room")``."""
        # Any: one of the two forms, told apart by what is there.
        if len(args) == 1 and not kwargs and callable(args[0]):
            return self.on(args[0].__name__, args[0])
        return lambda function: self.on(function.__name__, function, *args, **kwargs)  # pyright: ignore

    def register_namespace(self, namespace_handler: AsyncNamespace) -> None:
        """Let the methods of an object handle the events of its namespace.

        Raises:
            ValueError: not an `AsyncNamespace`.
        """
        if not isinstance(cast("object", namespace_handler), AsyncNamespace):
            raise ValueError("register_namespace takes an object of a class made of AsyncNamespace")
        namespace_handler.set_server(self)
        self._dispatcher.table.objects[self._dispatcher.name(namespace_handler.namespace)] = namespace_handler

    # -- sending

    async def emit(
        self,
        event: str,
        data: object = None,
        to: Hashable | Sequence[Hashable] | None = None,
        room: Hashable | Sequence[Hashable] | None = None,
        skip_sid: str | Sequence[str] | None = None,
        namespace: str | None = None,
        callback: Function | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Send an event; to nobody, if nobody is there.

        Args:
            data: None is no argument, a tuple is several.
            to: A sid, a room or a list of rooms; everybody in the namespace if it is not given, nobody for an empty
                list.
            room: The same.
            skip_sid: Who is left out, one or several.
            callback: Called with the arguments of the acknowledgement, or of each.
            ignore_queue: Only for clients of this server, where several share an adapter.

        Raises:
            LocalProtocolError: a reserved name, or a value that cannot be sent; nobody got it.
        """
        name, whom = full_name(namespace), _chosen(to, room)
        peer = self.manager.get(whom, name)
        if peer is not None and skip_sid is None and callback is None:
            try:
                await peer.socket.emit(event, *arguments(data))
            except Disconnected:
                # As if nobody were there: the handler of its disconnect is what tells the application.
                return
            return
        if peer is not None and peer.stage is Stage.CONNECTING and callback is not None:
            peer.later.append(
                partial(self.emit, event, data, to, room, skip_sid, namespace, callback, ignore_queue)
            )
            return
        target = self._target(name, whom, skip_sid, local=ignore_queue)
        if target is None:
            return
        if callback is None:
            await target.emit(event, *arguments(data))
        else:
            await ask(target, event, arguments(data), CallbackAnswers(target, callback))

    async def send(
        self,
        data: object,
        to: Hashable | Sequence[Hashable] | None = None,
        room: Hashable | Sequence[Hashable] | None = None,
        skip_sid: str | Sequence[str] | None = None,
        namespace: str | None = None,
        callback: Function | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """`emit` an event named "message"."""
        await self.emit("message", data, to, room, skip_sid, namespace, callback, ignore_queue)

    async def call(
        self,
        event: str,
        data: object = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = 60,
        ignore_queue: bool = False,
    ) -> object:
        """Send an event to a client and wait for its acknowledgement.

        Returns:
            Its argument; a tuple of several, None for none.

        Raises:
            TimeoutError: the client did not answer in time; or it has left, and this is raised at once.
            ValueError: neither ``to`` nor ``sid`` is given.
            LocalProtocolError: as `emit`; or its `connect` handler, whose end the client waits for, still runs.
        """
        whom, name = to or sid, full_name(namespace)
        if whom is None:
            raise ValueError("call() asks one client: give it `to`")
        peer = self.manager.get(whom, name)
        if peer is not None and peer.stage is Stage.CONNECTING:
            raise LocalProtocolError("in a connect handler the client cannot acknowledge anything yet")
        answer = FirstAnswer()
        target = self._target(name, whom, None, local=ignore_queue)
        if target is not None:
            try:
                with anyio.move_on_after(timeout):
                    await ask(target, event, arguments(data), answer, seconds=timeout)
                    await answer.wait()
            finally:
                answer.end()
        if answer.args is None:
            raise exceptions.TimeoutError
        return answer.args[0] if len(answer.args) == 1 else tuple(answer.args) or None

    def _target(
        self, namespace: str, whom: object, skip_sid: object, *, local: bool
    ) -> BroadcastOperator | None:
        """Who is meant; None where there is no such namespace."""
        target = self._dispatcher.everybody(namespace)
        if target is None:
            return None
        if local:
            target = target.local
        if whom is not None:
            # A room may be named by anything hashable, as long as one process has them all.
            target = target.to(*cast("Iterable[str]", as_rooms(whom)))
        if skip_sid is not None:
            target = target.except_(*cast("Iterable[str]", as_rooms(skip_sid)))
        return target

    # -- rooms

    async def enter_room(self, sid: str, room: Hashable, namespace: str | None = None) -> None:
        """Let a client enter a room.

        Raises:
            ValueError: nobody of this sid is in the namespace, or the room is the one of another client.
        """
        peer = self.manager.get(sid, full_name(namespace))
        if peer is None:
            raise ValueError("nobody of this sid is connected to this namespace")
        if room != sid and self.manager.get(room, full_name(namespace)) is not None:
            raise ValueError("this room is the one of another client")
        peer.socket.join(cast("str", room))

    async def leave_room(self, sid: str, room: Hashable, namespace: str | None = None) -> None:
        """Let it leave; idempotent."""
        peer = self.manager.get(sid, full_name(namespace))
        if peer is not None:
            peer.socket.leave(cast("str", room))

    async def close_room(self, room: Hashable, namespace: str | None = None) -> None:
        """Let everybody leave a room.

        Raises:
            ValueError: the room is the one of a client.
        """
        if self.manager.get(room, full_name(namespace)) is not None:
            raise ValueError("this room is the one of a client")
        target = self._target(full_name(namespace), (room,), None, local=False)
        if target is not None:
            await target.sockets_leave(cast("str", room))

    def rooms(self, sid: str, namespace: str | None = None) -> list[str]:
        """The rooms that a client is in, among them its own."""
        return self.manager.get_rooms(sid, full_name(namespace))

    # -- one client

    def _peer(self, sid: str, namespace: str | None) -> Peer:
        peer = self.manager.get(sid, full_name(namespace))
        if peer is None:
            raise KeyError("nobody of this sid is connected to this namespace")
        return peer

    async def get_session(self, sid: str, namespace: str | None = None) -> dict[str, object]:
        """What is kept for a client: `Socket.data`.

        Raises:
            KeyError: nobody of this sid is in the namespace.
        """
        return self._peer(sid, namespace).socket.data

    async def save_session(self, sid: str, session: dict[str, object], namespace: str | None = None) -> None:
        """Keep something else.

        Raises:
            KeyError: as `get_session`.
        """
        self._peer(sid, namespace).socket.data = session

    def session(self, sid: str, namespace: str | None = None) -> SessionContext:
        """``async with sio.session(sid) as session``."""
        return SessionContext(self, sid, namespace)

    def get_environ(self, sid: str, namespace: str | None = None) -> dict[str, object] | None:
        """The request that opened a client's session, as `connect` got it; None if there is no such client."""
        peer = self.manager.get(sid, full_name(namespace))
        return None if peer is None else peer.environ

    def transport(self, sid: str, namespace: str | None = None) -> str:
        """What carries a client: "websocket", "polling", or "stream" for a client of holdfast.

        Raises:
            KeyError: as `get_session`.
        """
        return self._peer(sid, namespace).socket.transport

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        """Put a client out of the namespace; in its `connect` handler that is a refusal. Idempotent.

        The handler of its disconnect runs after those of its events that run now.
        """
        peer = self.manager.get(sid, full_name(namespace))
        if peer is not None:
            if peer.stage is Stage.CONNECTING:
                peer.stage = Stage.REFUSED
            peer.socket.disconnect()
        elif not ignore_queue:
            target = self._target(full_name(namespace), (sid,), None, local=False)
            if target is not None:
                await target.disconnect_sockets()

    # -- the program around it

    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of ASGI, whatever its path is."""
        await self.native({**scope, "root_path": scope["path"].rstrip("/")}, receive, send)

    async def shutdown(self) -> None:
        """End all sessions and take no new ones."""
        await self.native.shutdown()

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: object, **kwargs: object
    ) -> asyncio.Task[Any]:
        """Run a coroutine function beside everything else, on asyncio."""
        task = asyncio.ensure_future(target(*args, **kwargs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def sleep(self, seconds: float = 0) -> None:
        """Wait."""
        await anyio.sleep(seconds)

    def attach(self, app: object, socketio_path: str = "socket.io") -> None:
        """Not here: it is for frameworks that are not ASGI."""
        raise NotImplementedError(
            "attach: wrap the ASGI application instead, ASGIApp(sio, app), or mount ASGIApp(sio)"
        )

    def instrument(
        self,
        auth: object = None,
        mode: str = "development",
        read_only: bool = False,
        server_id: str | None = None,
        namespace: str = "/admin",
        server_stats_interval: float = 2,
    ) -> None:
        """Not here yet."""
        raise NotImplementedError("instrument: the admin interface of Socket.IO is not supported")


def _chosen(to: object, room: object) -> object:
    """What is addressed; None for everybody. An empty text is everybody too, an empty list is nobody."""
    chosen = room if to is None or to == "" else to
    return None if chosen == "" else chosen
