"""The events of a server, without any transport."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from ..adapters import AdapterFactory, MemoryHub
from ..errors import LocalProtocolError
from ..host import Host
from ..settings import Settings
from ..wire.codec import Codec, JsonCodec, MsgpackCodec
from .checked_codec import checked
from .durable import DurableEventSession
from .left import Left, catch_up
from .namespace import Namespace, ParentNamespace
from .registry import NamespaceFunction, Registries
from .session import EventSession

if TYPE_CHECKING:
    from ..live import LiveSession
    from ..live.durable import DurableLive

__all__ = ["Events"]


class Events(Namespace):
    """Namespaces, handlers and rooms. It is itself the namespace ``/``, which always exists.

    Args:
        adapter: Makes the rooms of each namespace; None for those of a single server.
        codecs: What peers may speak; a plain peer's is the first that recognises its first message. None for JSON and
            msgpack.
        host: Runs timers and what nobody waits for.
        durable: Whether there are sessions that come from other nodes.

    Raises:
        LocalProtocolError: two codecs have the same name, or there is none.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        adapter: AdapterFactory | None = None,
        codecs: Sequence[Codec] | None = None,
        host: Host | None = None,
        durable: bool = False,
    ) -> None:
        super().__init__("/")
        self.settings = settings or Settings()
        if codecs is None:
            depth, containers = self.settings.max_depth, self.settings.max_containers
            codecs = (
                JsonCodec(
                    max_attachments=self.settings.max_attachments, max_depth=depth, max_containers=containers
                ),
                MsgpackCodec(max_depth=depth, max_containers=containers),
            )
        self._codecs = {codec.name: checked(codec) for codec in codecs}
        if len(self._codecs) != len(codecs) or not codecs:
            raise LocalProtocolError("a server has at least one codec, and each has a name of its own")
        first_id = secrets.randbelow(2**48) if durable else 0
        self._registries = Registries(self.settings, adapter or MemoryHub(), first_id=first_id)
        self._namespaces: dict[str, Namespace] = {"/": self}
        self._bind(self._registries.named("/"), host or Host(), self._own_handlers())

    @property
    def codec_names(self) -> tuple[str, ...]:
        """What a counting peer may choose from."""
        return tuple(self._codecs)

    @overload
    def of(self, name: str) -> Namespace: ...

    @overload
    def of(self, name: re.Pattern[str] | NamespaceFunction) -> ParentNamespace: ...

    def of(self, name: str | re.Pattern[str] | NamespaceFunction) -> Namespace | ParentNamespace:
        """The namespace of this name, made if there is none; or all those of a pattern or a function.

        A peer that asks for one that was never named and belongs to no pattern is refused. A namespace of a pattern
        exists from the first peer that asks for it until the last has left (setting
        ``cleanup_empty_child_namespaces``), or for good once it has handlers of its own. A name that matches a pattern
        is one of its namespaces whoever names it; what a function would say to it is not asked here.

        Args:
            name: A leading slash is added where it is missing. A pattern has to match the whole name, slash included. A
                function is called with the name and the peer's ``auth`` each time a peer connects, and says whether
                there is such a namespace for it: ``async def``, or ``def`` that does not wait.

        Raises:
            LocalProtocolError: too long, or with a comma or a character that cannot be printed.
        """
        if not isinstance(name, str):
            if not isinstance(name, re.Pattern) and not callable(name):
                raise LocalProtocolError(
                    f"a namespace is named by a text, a pattern or a function, and not by {name!r}"
                )
            return ParentNamespace(self._registries.of_pattern(name), self._host)
        if not name.startswith("/"):
            name = "/" + name
        known = self._namespaces.get(name)
        if known is not None:
            return known
        return self.register_namespace(Namespace(name))

    def register_namespace(self, namespace: Namespace) -> Namespace:
        """Let the methods of a class handle the events of its namespace: see `Namespace`.

        Raises:
            LocalProtocolError: its name cannot be one, it belongs to a server already, or one of its events has a
                handler.
        """
        if not isinstance(namespace, Namespace):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise LocalProtocolError('register_namespace takes an object: register_namespace(Chat("/chat"))')
        handlers = namespace._own_handlers()  # pyright: ignore[reportPrivateUsage]
        registry = self._registries.named(namespace.name)
        namespace._bind(registry, self._host, handlers)  # pyright: ignore[reportPrivateUsage]
        if namespace.name != "/" and registry.parent is None:
            # One of a pattern is not kept here: it lives as long as its sockets do.
            self._namespaces[namespace.name] = namespace
        return namespace

    def join_adapters(self) -> None:
        """What a server calls when it starts again; idempotent."""
        self._registries.open()

    def leave_adapters(self) -> None:
        """What a server calls when its sessions have ended; idempotent."""
        self._registries.close()

    def session_opened(self, session: LiveSession) -> EventSession:
        """What a server calls for each new session; the result gets the session's messages and its end."""
        return EventSession(session, self._registries, self._codecs, self.settings)

    def durable_session_opened(self, session: DurableLive, left: Left | None) -> DurableEventSession:
        """`session_opened`, for one with a record.

        Args:
            left: What another node has left of it; None for a new one.
        """
        return DurableEventSession(session, self._registries, self._codecs, self.settings, left)

    async def catch_up(self, saved: bytes) -> Left:
        """What another node has left of a session, up to this moment.

        Raises:
            BrokerUnavailable: it cannot be read.
        """
        return await catch_up(saved, self._registries)
