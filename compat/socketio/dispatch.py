"""What comes: it goes from the native namespaces to the handlers of the table."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from ... import (
    Ack,
    BroadcastOperator,
    ConnectionRefusedError,  # noqa: A004 - the name that users know
    Namespace,
    ParentNamespace,
    Socket,
)
from ...engine.adapters import EVERYBODY
from . import exceptions
from .handlers import CATCH_ALL, NOT_HANDLED, HandlerTable
from .native import Native
from .peers import Peer, PeerTable, Stage

__all__ = ["Dispatcher", "arguments", "full_name"]

_REASONS = {
    "client namespace disconnect": "client disconnect",
    "server namespace disconnect": "server disconnect",
    "forced server close": "server disconnect",
    "server shutting down": "server disconnect",
}


class Dispatcher:
    """The namespaces that exist, and who handles what comes in them.

    Args:
        open_to: Namespaces that need no handler; the catch-all for every one.
        concurrent: Whether the next event of a client waits for nothing.

    Attributes:
        table: The handlers.
    """

    def __init__(self, native: Native, peers: PeerTable, open_to: Iterable[str], *, concurrent: bool) -> None:
        self.table = HandlerTable()
        self._native = native
        self._peers = peers
        self._concurrent = concurrent
        self._named: dict[str, Namespace] = {}
        self._open_to = frozenset(map(full_name, open_to))
        if CATCH_ALL in self._open_to:
            self._listen(native.of(lambda name, auth: True))
        for name in ("/", *self._open_to):
            self.name(name)

    def name(self, namespace: str | None) -> str:
        """A namespace as it is called; it exists from now on, unless it is the catch-all."""
        name = full_name(namespace)
        if name != CATCH_ALL and name not in self._named:
            self._named[name] = self._native if name == "/" else self._native.of(name)
            self._listen(self._named[name])
        return name

    def _listen(self, namespace: Namespace | ParentNamespace) -> None:
        # Handlers are looked up in our own table, when an event comes.
        namespace.on("connect", self._connected)
        namespace.on("disconnect", self._disconnected)
        namespace.on(CATCH_ALL, self._received, concurrent=self._concurrent)

    def _accepts(self, namespace: str) -> bool:
        return CATCH_ALL in self._open_to or namespace in self._open_to or self.table.names(namespace)

    async def _connected(self, socket: Socket, auth: dict[str, object]) -> None:
        namespace, sid = socket.namespace, socket.id
        if not self._accepts(namespace):
            raise ConnectionRefusedError("Unable to connect")
        peer = Peer(socket, self._native.environs[socket.session])
        self._peers.add(peer)
        # In its own room from now on: what is sent to everybody while its handler runs is kept for it.
        socket.join(sid)
        accepted = False
        try:
            result = await self.table.run("connect", namespace, sid, peer.environ, auth or None)
            if result is False or peer.stage is Stage.REFUSED:
                raise exceptions.ConnectionRefusedError
            accepted = True
        except exceptions.ConnectionRefusedError as error:
            raise ConnectionRefusedError(
                str(error.error_args["message"]), error.error_args.get("data")
            ) from error
        except builtins.ConnectionRefusedError as error:
            raise ConnectionRefusedError("Connection refused by server") from error
        finally:
            if not accepted:
                self._peers.remove(socket)
        peer.stage = Stage.CONNECTED
        for action in peer.later:
            # Begins after the client has been answered, which happens when this returns.
            socket.session.host.spawn(action)

    async def _disconnected(self, socket: Socket, reason: str) -> None:
        try:
            await self.table.run("disconnect", socket.namespace, socket.id, _REASONS.get(reason, reason))
        finally:
            self._peers.remove(socket)

    async def _received(self, socket: Socket, event: str, *args: object, ack: Ack) -> None:
        result = await self.table.run(event, socket.namespace, socket.id, *args)
        if ack.wanted and result is not NOT_HANDLED:
            await ack(*arguments(result))

    def everybody(self, namespace: str) -> BroadcastOperator | None:
        """All clients of a namespace; None where there is no such namespace."""
        if namespace in self._named:
            return self._named[namespace].except_()
        # One that a client has asked for: it exists as long as somebody is in it.
        peer = self._peers.any(namespace)
        return None if peer is None else replace(peer.socket.broadcast, target=EVERYBODY)


def full_name(namespace: str | None) -> str:
    """With its leading slash; the catch-all as it is."""
    name = namespace or "/"
    return name if name.startswith("/") or name == CATCH_ALL else "/" + name


def arguments(data: object) -> tuple[object, ...]:
    """None is no argument, a tuple is several."""
    if isinstance(data, tuple):
        return cast("tuple[object, ...]", data)
    return () if data is None else (data,)
