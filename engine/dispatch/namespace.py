"""A namespace, as an application sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, overload

from .broadcast import BroadcastOperator
from .handlers import Function
from .registry import Registry
from .socket import Socket

__all__ = ["Namespace"]

F = TypeVar("F", bound=Function)


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


class Namespace:
    """Handlers and sockets under one name. Made by `Events.of`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def name(self) -> str:
        """With its leading slash."""
        return self._registry.name

    @property
    def sockets(self) -> Mapping[str, Socket]:
        """Who is connected to this process, by `Socket.id`."""
        return _Sockets(self._registry)

    @overload
    def on(self, event: str) -> Callable[[F], F]: ...

    @overload
    def on(self, event: str, handler: F) -> F: ...

    def on(self, event: str, handler: F | None = None) -> F | Callable[[F], F]:
        """Handle an event: ``@io.on("chat")``, or ``io.on("chat", function)``.

        A handler is called with the socket and the event's arguments, one event of a socket after the other. What it
        returns is the acknowledgement, if the peer asked for one: None is no argument, a tuple is several, `Ack.of`
        says it exactly. A handler with a parameter annotated `Ack` acknowledges by itself, now, later or never. What
        it raises is the peer's answer (`EventError`), or "internal error" there and a traceback in the log.

        Special names: "connect" (``socket`` or ``socket, auth``; returning False or raising `ConnectionRefusedError`
        refuses), "disconnect" (``socket`` or ``socket, reason``), "*" (``socket, event, *args``: every event that has
        no handler of its own).

        A handler is ``async def``; or ``def``, and then runs in a worker thread, from where it reaches sockets with
        ``anyio.from_thread.run(socket.emit, "event")`` and ``anyio.from_thread.run_sync(socket.join, "room")``.

        Raises:
            LocalProtocolError: the event has a handler already, or is reserved; or the handler could never be called.
        """
        if handler is not None:
            self._registry.register(event, handler)
            return handler

        def register(function: F) -> F:
            self._registry.register(event, function)
            return function

        return register

    def event(self, handler: F) -> F:
        """`on` with the function's name as event: ``@io.event``."""
        return self.on(handler.__name__, handler)

    @property
    def _everybody(self) -> BroadcastOperator:
        return BroadcastOperator(self._registry)

    async def emit(self, event: str, *args: object) -> None:
        """Send an event to everybody. See `BroadcastOperator.emit`."""
        await self._everybody.emit(event, *args)

    def to(self, *rooms: str) -> BroadcastOperator:
        """Who is in any of these rooms. A socket's id is the name of a room with that socket alone."""
        return self._everybody.to(*rooms)

    in_ = to

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Who is in none of these rooms."""
        return self._everybody.except_(*rooms)

    @property
    def volatile(self) -> BroadcastOperator:
        """Who has a carrier at this moment."""
        return self._everybody.volatile

    def timeout(self, seconds: float) -> BroadcastOperator:
        """Everybody, with a time limit for `BroadcastOperator.emit_with_ack`."""
        return self._everybody.timeout(seconds)

    def fetch_sockets(self) -> list[Socket]:
        """Everybody."""
        return self._everybody.fetch_sockets()

    def disconnect_sockets(self, close: bool = False) -> None:
        """Put everybody out; with ``close``, end their sessions."""
        self._everybody.disconnect_sockets(close)
