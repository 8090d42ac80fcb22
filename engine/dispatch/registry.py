"""What belongs to one namespace: its handlers, its sockets, its rooms."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from ..adapters import Adapter
from ..errors import LocalProtocolError
from .handlers import Function, Handler

if TYPE_CHECKING:
    from .membership import Membership

__all__ = ["ANY_EVENT", "Registry"]

ANY_EVENT = "*"
_NEVER_CALLED = frozenset(("connect_error", "disconnecting", "newListener", "removeListener"))


class Registry:
    """One namespace of one server.

    Attributes:
        name: With its leading slash.
        adapter: Its rooms.
        members: Who is connected, by public id.
        ids: Of acknowledgements that we ask for: one count for the namespace, so that a broadcast can share one.
        ack_timeout: For `emit_with_ack` where the caller does not say.
    """

    __slots__ = ("_handlers", "ack_timeout", "adapter", "ids", "members", "name")

    def __init__(self, name: str, adapter: Adapter, *, ack_timeout: float | None) -> None:
        self.name = name
        self.adapter = adapter
        self.ack_timeout = ack_timeout
        self.members: dict[str, Membership] = {}
        self.ids = count()
        self._handlers: dict[str, Handler] = {}

    def register(self, event: str, function: Function) -> None:
        """Let a function handle an event.

        Raises:
            LocalProtocolError: there is one already, or it would never be called.
        """
        if event in _NEVER_CALLED:
            raise LocalProtocolError(f"{event!r} is a reserved name: no event has it")
        if event in self._handlers:
            raise LocalProtocolError(f"{event!r} has a handler in {self.name!r} already")
        self._handlers[event] = Handler(event, function)

    def handler(self, event: str) -> Handler | None:
        """Of exactly this event."""
        return self._handlers.get(event)

    def handler_or_any(self, event: str) -> Handler | None:
        """Of this event, or of every event that has none."""
        return self._handlers.get(event) or self._handlers.get(ANY_EVENT)
