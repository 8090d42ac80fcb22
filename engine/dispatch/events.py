"""The events of a server, without any transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..adapters import Adapter, MemoryAdapter
from ..errors import LocalProtocolError
from ..settings import Settings
from ..wire.codec import Codec, JsonCodec, MsgpackCodec
from ..wire.socketio import is_namespace
from .namespace import Namespace
from .registry import Registry
from .session import EventSession

if TYPE_CHECKING:
    from ..live import LiveSession

__all__ = ["Events"]


class Events(Namespace):
    """Namespaces, handlers and rooms. It is itself the namespace ``/``, which always exists.

    Args:
        adapter: Makes the rooms of a namespace.
    """

    def __init__(
        self, settings: Settings | None = None, *, adapter: Callable[[], Adapter] = MemoryAdapter
    ) -> None:
        self.settings = settings or Settings()
        self._make_adapter = adapter
        self._codecs: dict[str, Codec] = {
            "json": JsonCodec(max_attachments=self.settings.max_attachments),
            "msgpack": MsgpackCodec(),
        }
        self._registries: dict[str, Registry] = {}
        self._namespaces: dict[str, Namespace] = {"/": self}
        super().__init__(self._make_registry("/"))

    def of(self, name: str) -> Namespace:
        """The namespace of this name, made if there is none. A peer that asks for one never made is refused.

        Args:
            name: A leading slash is added where it is missing.

        Raises:
            LocalProtocolError: too long, or with a comma or a character that cannot be printed.
        """
        if not name.startswith("/"):
            name = "/" + name
        namespace = self._namespaces.get(name)
        if namespace is None:
            if not is_namespace(name):
                raise LocalProtocolError("this cannot be the name of a namespace")
            namespace = self._namespaces[name] = Namespace(self._make_registry(name))
        return namespace

    def _make_registry(self, name: str) -> Registry:
        registry = Registry(name, self._make_adapter(), ack_timeout=self.settings.ack_timeout)
        self._registries[name] = registry
        return registry

    def session_opened(self, session: LiveSession) -> EventSession:
        """What a server calls for each new session; the result gets the session's messages and its end."""
        return EventSession(session, self._registries, self._codecs, self.settings)
