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
_SIGNATURES = {"connect": "(socket) or (socket, auth)", "disconnect": "(socket) or (socket, reason)"}


def _check_signature(handler: Handler) -> None:
    """Refuse a handler of a special name that what it is called with does not fit."""
    event = handler.event
    if event == ANY_EVENT:
        if handler.most == 1:
            raise LocalProtocolError("the handler of '*' takes (socket, event, *args)")
    elif event in _SIGNATURES:
        hint = ""
        if "environ" in handler.names:
            hint = "; what python-socketio has in `environ` is in `socket.handshake`"
        elif handler.wants_ack:
            hint = " and no `Ack`: there is nothing to acknowledge"
        if hint or not (handler.takes(1) or handler.takes(2)):
            raise LocalProtocolError(f"the handler of {event!r} takes {_SIGNATURES[event]}{hint}")


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
            LocalProtocolError: there is one already, or it could never be called; the text names the remedy.
        """
        if event in _NEVER_CALLED:
            raise LocalProtocolError(f"{event!r} is a reserved name: no event has it")
        if event in self._handlers:
            raise LocalProtocolError(f"{event!r} has a handler in {self.name!r} already")
        handler = Handler(event, function)
        _check_signature(handler)
        self._handlers[event] = handler

    def handler(self, event: str) -> Handler | None:
        """Of exactly this event."""
        return self._handlers.get(event)

    def handler_or_any(self, event: str) -> Handler | None:
        """Of this event, or of every event that has none."""
        return self._handlers.get(event) or self._handlers.get(ANY_EVENT)
