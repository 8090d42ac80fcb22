"""What belongs to one namespace: its listeners, its sockets, its rooms; and which namespaces there are."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Protocol

from ..adapters import (
    EVERYBODY,
    Adapter,
    AdapterFactory,
    Answers,
    LocalSocket,
    NoHandler,
    RoomChange,
    deliver,
)
from ..errors import LocalProtocolError
from ..settings import Settings
from ..wire.socketio import SocketPacket, SocketPacketType, is_namespace
from .backlog import Backlog
from .listeners import Listeners
from .recovery import Recovery

if TYPE_CHECKING:
    from .membership import Membership

__all__ = ["NamespaceFunction", "ParentRegistry", "Registries", "Registry", "Source"]

logger = logging.getLogger("holdfast.dispatch")

NamespaceFunction = Callable[[str, dict[str, object]], bool | Awaitable[bool]]
"""Says whether there is a namespace of this name for a peer with this ``auth``. A plain function must not wait."""


class Source(Protocol):
    """Where the sockets of a broadcast come from."""

    @property
    def name(self) -> str: ...

    @property
    def ack_timeout(self) -> float | None: ...

    def registries(self) -> Sequence[Registry]:
        """One namespace, or those of a pattern at this moment."""
        ...


class Registry:
    """One namespace of one server (a `Node`).

    Attributes:
        name: With its leading slash.
        adapter: Its rooms.
        listeners: Handlers and the like.
        members: Who is connected, by public id.
        ids: Of acknowledgements that we ask for: one count for the namespace, so that a broadcast can share one.
        ack_timeout: For `emit_with_ack` where the caller does not say.
        recovery: Brings official clients back, where that is switched on.
        parent: The pattern that it was made by; None for one that the application named.
        on_unused: Called when nobody holds it any more.
        after: Once it has ended, finds what bears its name now.
        users: How many hold it.
    """

    __slots__ = (
        "ack_timeout",
        "adapter",
        "after",
        "ids",
        "listeners",
        "members",
        "name",
        "on_unused",
        "parent",
        "recovery",
        "users",
    )

    def __init__(
        self,
        name: str,
        make_adapter: AdapterFactory,
        settings: Settings,
        *,
        parent: ParentRegistry | None = None,
        first_id: int = 0,
    ) -> None:
        self.name = name
        self.ack_timeout = settings.ack_timeout
        self.listeners = Listeners(repr(name), None if parent is None else parent.listeners)
        self.parent = parent
        self.members: dict[str, Membership] = {}
        self.ids = count(first_id)
        self.recovery = Recovery(self, settings) if settings.connection_state_recovery else None
        self.on_unused: Callable[[Registry], None] | None = None
        self.after: Callable[[], Registry] | None = None
        self.users = 0
        self.adapter: Adapter = make_adapter(self)

    def registries(self) -> Sequence[Registry]:
        return (self,)

    def hold(self) -> None:
        """A peer is connected, asks to be or may be recovered; or handlers of one that has left still run."""
        self.users += 1

    def release(self) -> None:
        """It is gone."""
        self.users -= 1
        if not self.users:
            self.end_if_unused()

    def end_if_unused(self) -> None:
        """Nobody holds it, perhaps because the peer that it was made for has left before it could: it may end."""
        if self.users == 0 and self.on_unused is not None:
            self.on_unused(self)

    # -- called by the adapter

    def ask(
        self, name: str, args: tuple[object, ...], sockets: Iterable[LocalSocket], answers: Answers
    ) -> Callable[[], None]:
        """See `Node.ask`."""
        members = [self.members[socket.id] for socket in sockets]
        id = next(self.ids)
        for member in members:
            try:
                member.expect(id, answers)
            except LocalProtocolError as error:
                # It is sent the event like all others; its answer is not waited for.
                answers.fail(error)
        try:
            deliver(members, SocketPacket(SocketPacketType.EVENT, self.name, [name, *args], id), EVERYBODY)
        except LocalProtocolError:
            for member in members:
                member.forget(id)
            raise

        def end() -> None:
            for member in members:
                member.forget(id)

        return end

    async def server_event(self, name: str, args: tuple[object, ...]) -> object:
        """See `Node.server_event`."""
        handler = self.listeners.server_side(name)
        if handler is None:
            raise NoHandler(name)
        return await handler.call(list(args))

    def room_changed(self, change: RoomChange, room: str, id: str) -> None:
        """See `Node.room_changed`."""
        for listener in self.listeners.room(change):
            try:
                listener.function(*(room, id)[: listener.most])
            except Exception:
                # The socket has moved all the same, and whoever moved it has nothing to do with the listener.
                logger.exception("the listener of %r in %r failed", change, self.name)


class ParentRegistry:
    """The namespaces of a pattern or a function.

    Attributes:
        children: By name, those that somebody has asked for.
    """

    def __init__(self, pattern: re.Pattern[str] | NamespaceFunction, settings: Settings) -> None:
        self.pattern = pattern
        self.name = pattern.pattern if isinstance(pattern, re.Pattern) else getattr(pattern, "__name__", "*")
        self.ack_timeout = settings.ack_timeout
        self.listeners = Listeners(f"the namespaces of {self.name!r}")
        self.children: dict[str, Registry] = {}

    def registries(self) -> Sequence[Registry]:
        return tuple(self.children.values())

    def matches(self, name: str, auth: dict[str, object]) -> bool | Awaitable[bool]:
        """Whether a namespace of this name is one of them."""
        if isinstance(self.pattern, re.Pattern):
            return self.pattern.fullmatch(name) is not None
        return self.pattern(name, auth)


class Registries:
    """All namespaces of a server: those that the application named, and those that peers have asked for.

    Args:
        make_adapter: Makes the rooms of each.
        first_id: Of the acknowledgements that they ask for. Where sessions come from other nodes, it is one that those
            have not come to: a late answer must find nobody.

    Attributes:
        backlog: What waits for the handlers of all sessions.
    """

    def __init__(self, settings: Settings, make_adapter: AdapterFactory, *, first_id: int = 0) -> None:
        self._settings = settings
        self._first_id = first_id
        self._make_adapter = make_adapter
        self._known: dict[str, Registry] = {}
        self._parents: list[ParentRegistry] = []
        self.backlog = Backlog(settings.total_pending_event_bytes)

    def named(self, name: str) -> Registry:
        """The namespace of this name, made if there is none: as one of a pattern if it matches, and else to stay.

        Were it not the pattern's, whose peers come later would meet neither its middleware nor its handlers.

        Raises:
            LocalProtocolError: too long, or with a comma or a character that cannot be printed.
        """
        registry = self._known.get(name)
        if registry is None:
            if not is_namespace(name):
                raise LocalProtocolError("this cannot be the name of a namespace")
            for parent in self._parents:
                if isinstance(parent.pattern, re.Pattern) and parent.pattern.fullmatch(name):
                    return self._child(name, parent)
            registry = self._known[name] = Registry(
                name, self._make_adapter, self._settings, first_id=self._first_id
            )
        return registry

    def of_pattern(self, pattern: re.Pattern[str] | NamespaceFunction) -> ParentRegistry:
        """The namespaces of a pattern; the same for the same pattern."""
        for parent in self._parents:
            if parent.pattern == pattern:
                return parent
        parent = ParentRegistry(pattern, self._settings)
        self._parents.append(parent)
        return parent

    def find(self, name: str, auth: dict[str, object]) -> Registry | Awaitable[Registry | None] | None:
        """The namespace that a peer asks for; to be awaited where a function of the application has to be."""
        known = self._known.get(name)
        if known is None:
            return self._match(name, auth, iter(self._parents)) if self._parents else None
        parent = known.parent
        if parent is None or isinstance(parent.pattern, re.Pattern):
            return known
        # Another function that says yes must not let the peer in to the handlers of this one.
        return self._match(name, auth, iter((parent,)))

    def _match(
        self, name: str, auth: dict[str, object], parents: Iterable[ParentRegistry]
    ) -> Registry | Awaitable[Registry | None] | None:
        for parent in parents:
            verdict = parent.matches(name, auth)
            if inspect.isawaitable(verdict):
                return self._match_later(name, auth, parents, parent, verdict)
            if verdict:
                return self._child(name, parent)
        return None

    async def _match_later(
        self,
        name: str,
        auth: dict[str, object],
        parents: Iterable[ParentRegistry],
        parent: ParentRegistry,
        verdict: Awaitable[bool],
    ) -> Registry | None:
        if await verdict:
            known = self._known.get(name)
            if known is None or known.parent is parent:
                return self._child(name, parent)
            # Meanwhile it has become another's.
            found = self.find(name, auth)
        else:
            found = self._match(name, auth, parents)
        return await found if inspect.isawaitable(found) else found

    def _child(self, name: str, parent: ParentRegistry) -> Registry:
        child = self._known.get(name)
        if child is None:
            child = Registry(name, self._make_adapter, self._settings, parent=parent, first_id=self._first_id)
            self._known[name] = parent.children[name] = child
            if self._settings.cleanup_empty_child_namespaces:
                child.on_unused = self._drop
        return child

    def open(self) -> None:
        """The server starts again: join the others; idempotent."""
        for registry in self._known.values():
            registry.adapter.open()

    def close(self) -> None:
        """The server is no more: leave the others that share its rooms; idempotent."""
        for registry in self._known.values():
            registry.adapter.close()

    def _drop(self, child: Registry) -> None:
        if not child.listeners.is_empty:
            return
        self._known.pop(child.name, None)
        if child.parent is not None:
            child.parent.children.pop(child.name, None)
        child.adapter.close()
        child.after = lambda: self._after(child)

    def _after(self, child: Registry) -> Registry:
        """What bears the name of a namespace that has ended; itself, if only a function could tell."""
        if child.parent is not None and isinstance(child.parent.pattern, re.Pattern):
            return self.named(child.name)
        return self._known.get(child.name, child)
