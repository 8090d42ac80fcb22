"""Class-based namespaces."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partialmethod
from typing import TYPE_CHECKING

from .handlers import RESERVED, Function, call

if TYPE_CHECKING:
    from .server import AsyncServer, SessionContext

__all__ = ["AsyncNamespace"]


class AsyncNamespace:
    """A class whose methods handle the events of a namespace: ``on_connect``, ``on_disconnect``, ``on_my_event``.

    Its other methods are those of `AsyncServer`, with this namespace where none is given.

    Args:
        namespace: None for ``/``; ``"*"`` for those that have none of their own.

    Attributes:
        server: Where it is registered.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace = namespace or "/"
        self._server: AsyncServer | None = None

    @property
    def server(self) -> AsyncServer:
        if self._server is None:
            raise RuntimeError("this namespace belongs to no server yet: call `register_namespace`")
        return self._server

    def set_server(self, server: AsyncServer) -> None:
        """Called by `AsyncServer.register_namespace`."""
        self._server = server

    def is_asyncio_based(self) -> bool:
        """True."""
        return True

    async def trigger_event(self, event: str, *args: object) -> object:
        """Call the method that handles an event; override it to route events otherwise."""
        method = self._method(f"on_{event}")
        if method is None:
            return None
        return await call(method, args, last_is_optional=event in RESERVED)

    def _method(self, name: str) -> Function | None:
        """A method of the class, or a function that the object was given.

        The name is the peer's. It is looked up in tables: no property runs by it, and no `__getattr__`.
        """
        found = next(
            (vars(owner)[name] for owner in (self, *type(self).__mro__) if name in vars(owner)), None
        )
        is_method = isinstance(found, (classmethod, partialmethod)) or callable(found)
        return getattr(self, name) if is_method and not isinstance(found, type) else None

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
        """See `AsyncServer.emit`."""
        await self.server.emit(
            event, data, to, room, skip_sid, namespace or self.namespace, callback, ignore_queue
        )

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
        """See `AsyncServer.send`."""
        await self.server.send(data, to, room, skip_sid, namespace or self.namespace, callback, ignore_queue)

    async def call(
        self,
        event: str,
        data: object = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = None,
        ignore_queue: bool = False,
    ) -> object:
        """See `AsyncServer.call`; without ``timeout`` it waits as long as the client is there."""
        return await self.server.call(
            event, data, to, sid, namespace or self.namespace, timeout, ignore_queue
        )

    async def enter_room(self, sid: str, room: Hashable, namespace: str | None = None) -> None:
        """See `AsyncServer.enter_room`."""
        await self.server.enter_room(sid, room, namespace or self.namespace)

    async def leave_room(self, sid: str, room: Hashable, namespace: str | None = None) -> None:
        """See `AsyncServer.leave_room`."""
        await self.server.leave_room(sid, room, namespace or self.namespace)

    async def close_room(self, room: Hashable, namespace: str | None = None) -> None:
        """See `AsyncServer.close_room`."""
        await self.server.close_room(room, namespace or self.namespace)

    def rooms(self, sid: str, namespace: str | None = None) -> list[str]:
        """See `AsyncServer.rooms`."""
        return self.server.rooms(sid, namespace or self.namespace)

    async def get_session(self, sid: str, namespace: str | None = None) -> dict[str, object]:
        """See `AsyncServer.get_session`."""
        return await self.server.get_session(sid, namespace or self.namespace)

    async def save_session(self, sid: str, session: dict[str, object], namespace: str | None = None) -> None:
        """See `AsyncServer.save_session`."""
        await self.server.save_session(sid, session, namespace or self.namespace)

    def session(self, sid: str, namespace: str | None = None) -> SessionContext:
        """See `AsyncServer.session`."""
        return self.server.session(sid, namespace or self.namespace)

    async def disconnect(self, sid: str, namespace: str | None = None) -> None:
        """See `AsyncServer.disconnect`."""
        await self.server.disconnect(sid, namespace or self.namespace)
