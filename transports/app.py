"""The two applications that users mount: events, and bare sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp

from ..engine.adapters import (
    AdapterFactory,
    RedisAdapter,
    RedisAdapterBase,
    RedisCourier,
    RedisStreamsAdapter,
)
from ..engine.dispatch.bare import SessionFunction, handler_maker
from ..engine.dispatch.events import Events
from ..engine.durable import DurableTable
from ..engine.host import Clock, Host
from ..engine.live import AllowRequest
from ..engine.live.records import Records
from ..engine.node import NodeName
from ..engine.server import SessionTable
from ..engine.settings import Settings
from ..engine.wire.codec import Codec
from .endpoint import Endpoint
from .workers import siblings_of

__all__ = ["Engine", "Server"]


class Server(Events, Endpoint):
    """Socket.IO events on sessions that outlive their transports; an ASGI application.

    Args:
        path: Where it answers when it is not mounted; clients use ``/socket.io`` unless told otherwise.
        app: Another ASGI application that gets every other request.
        adapter: Makes the rooms of each namespace, for servers that share them; None for a single server.
        durable: Whether sessions of holdfast's clients outlive this process (docs/durable.md): another server of the
            same adapter goes on with them when it dies, or is drained. Needs an adapter that keeps their records.
        codecs: What peers may speak; a plain peer's is the first that recognises its first message. None for JSON and
            msgpack.
        clock: Where time comes from; for tests.
        allow_request: Called with the `Handshake` of each request that would open a session, before anything of it
            exists: True or None lets it in, False refuses it with status 403, and a `ConnectionRefusedError` does so
            with its message. An `Allowed` lets it in and says whose the session is; then it is called for later
            requests of the session, too. May be `async def`; a `def` runs in a worker thread.
        settings: Whole settings…
        **options: …and single ones by name, which go over them; see `Settings`.

    Raises:
        TypeError: a setting of that name does not exist (the text suggests the right one), or a value is of another
            type.
        ValueError: a setting's value is not allowed; the text names what is. Or ``durable`` with an adapter that keeps
            no records.
    """

    def __init__(
        self,
        *,
        path: str = "/socket.io",
        app: ASGIApp | None = None,
        adapter: AdapterFactory | None = None,
        durable: bool = False,
        codecs: Sequence[Codec] | None = None,
        clock: Clock | None = None,
        allow_request: AllowRequest | None = None,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        if adapter is not None:
            _check_adapter(adapter)
        settings = Settings.of(options, base=settings)
        host, node = Host(clock), NodeName()
        siblings = siblings_of(settings, kind=type(self), path=path, name=node, host=host)
        if adapter is None and siblings is not None:
            adapter = siblings.rooms.adapter
        # Two bases with different arguments, so each is told its own.
        Events.__init__(self, settings, adapter=adapter, codecs=codecs, host=host, durable=durable)
        if durable:
            table: SessionTable = DurableTable(
                settings,
                host,
                self.session_opened,
                records=_records(adapter, host, settings),
                open_durable=self.durable_session_opened,
                catch_up=self.catch_up,
                codecs=self.codec_names,
                node=node,
            )
        else:
            table = SessionTable(settings, host, self.session_opened, codecs=self.codec_names, node=node)
        Endpoint.__init__(self, table, path=path, app=app, allow_request=allow_request, siblings=siblings)
        self._courier: RedisCourier | None = None
        self._redis = adapter if isinstance(adapter, RedisAdapterBase) else None
        if isinstance(adapter, RedisAdapterBase):
            self._courier = adapter.courier(node)
            self.carry_by(self._courier)
            self._courier.open()

    def start(self) -> None:
        """See `Endpoint.start`."""
        super().start()
        self.join_adapters()
        if self._courier is not None:
            self._courier.open()

    async def shutdown(self) -> None:
        """See `Endpoint.shutdown`. Other servers that share its adapter do not ask this one any more. With Redis it
        returns when what was said last is published and the connections there have ended, within two seconds more."""
        await super().shutdown()
        self.leave_adapters()
        if self._courier is not None:
            self._courier.close()
        if self._redis is not None:
            # The event loop may end now, and with it what is still to be said.
            await self._redis.over()


def _check_adapter(adapter: object) -> None:
    if not callable(adapter) or adapter in (RedisAdapter, RedisStreamsAdapter):
        # Not the value itself: an address may have a password in it.
        raise TypeError('adapter is what makes the rooms, such as RedisAdapter("redis://…") or a MemoryHub()')


def _records(adapter: AdapterFactory | None, host: Host, settings: Settings) -> Records:
    """Where the sessions of a durable server are kept.

    Raises:
        ValueError: its adapter keeps none.
    """
    make = getattr(adapter, "records", None)
    if make is None:
        kind = "none" if adapter is None else type(adapter).__name__
        raise ValueError(
            f"durable=True needs an adapter that keeps the records of sessions, such as RedisAdapter; this is {kind}"
        )
    return make(host, seconds=settings.grace_period, tombstone_seconds=settings.tombstone_period)


class Engine(Endpoint):
    """Bare sessions, for applications that only want a WebSocket that always gets through.

    Args:
        function: Called with each `Session`; when it returns, the session is closed.
        path: Where it answers when it is not mounted.
        app: Another ASGI application that gets every other request.
        clock: Where time comes from; for tests.
        allow_request: Called with the `Handshake` of each request that would open a session, before anything of it
            exists: True or None lets it in, False refuses it with status 403, and a `ConnectionRefusedError` does so
            with its message. An `Allowed` lets it in and says whose the session is; then it is called for later
            requests of the session, too. May be `async def`; a `def` runs in a worker thread.
        settings: Whole settings…
        **options: …and single ones by name, which go over them; see `Settings`.

    Raises:
        TypeError: a setting of that name does not exist (the text suggests the right one), or a value is of another
            type.
        ValueError: a setting's value is not allowed; the text names what is.
    """

    def __init__(
        self,
        function: SessionFunction,
        *,
        path: str = "/engine.io",
        app: ASGIApp | None = None,
        clock: Clock | None = None,
        allow_request: AllowRequest | None = None,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        settings = Settings.of(options, base=settings)
        host = Host(clock)
        table = SessionTable(settings, host, handler_maker(function, settings))
        super().__init__(table, path=path, app=app, allow_request=allow_request)
