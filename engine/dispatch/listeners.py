"""What an application registers: for a namespace, for all namespaces of a pattern, or for one socket."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import LocalProtocolError
from .handlers import ANY_EVENT, Function, Handler

__all__ = ["ANY_EVENT", "CONNECT_EVENTS", "Listeners"]

_NOBODY: list[Handler] = []
CONNECT_EVENTS = ("connect", "connection")
_ALIASES = {"connection": "connect"}
_NEVER_CALLED = frozenset(("connect_error", "newListener", "removeListener"))
_ROOM_CHANGES = ("create-room", "join-room", "leave-room", "delete-room")
_WITH_REASON = "(socket) or (socket, reason)"
_SIGNATURES = {
    "connect": "(socket) or (socket, auth)",
    "disconnect": _WITH_REASON,
    "disconnecting": _WITH_REASON,
}


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
        if handler.concurrent:
            raise LocalProtocolError(f"the handler of {event!r} cannot be concurrent: others wait for it")


class Listeners:
    """Handlers, middleware and catch-alls.

    Args:
        where: Named in errors.
        parent: What counts where there is nothing here: a socket's namespace, a namespace's pattern.
    """

    __slots__ = (
        "_any",
        "_handlers",
        "_is_alone",
        "_middleware",
        "_outgoing",
        "_room",
        "_server_side",
        "_simple",
        "_where",
        "parent",
    )

    def __init__(self, where: str, parent: Listeners | None = None) -> None:
        self.parent = parent
        self._where = where
        self._handlers: dict[str, Handler] = {}
        self._server_side: dict[str, Handler] = {}
        self._middleware: dict[str, list[Handler]] = {}
        self._any: list[Handler] = []
        # Whether the events of this one are seen by their handlers alone; and those that `simple` finds, if nothing is
        # above.
        self._is_alone = True
        self._simple: dict[str, Handler] = {}
        self._outgoing: list[Handler] = []
        self._room: dict[str, list[Handler]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is registered here, whatever is above."""
        return not (
            self._handlers
            or self._server_side
            or self._middleware
            or self._any
            or self._outgoing
            or self._room
        )

    def register(
        self, event: str, function: Function, *, concurrent: bool = False, once: bool = False
    ) -> None:
        """Let a function handle an event.

        Raises:
            LocalProtocolError: there is one already, or it could never be called; the text names the remedy.
        """
        event = _ALIASES.get(event, event)
        if event in _NEVER_CALLED:
            raise LocalProtocolError(f"{event!r} is a reserved name: no event has it")
        if event in self._handlers:
            raise LocalProtocolError(f"{event!r} has a handler in {self._where} already")
        handler = Handler(event, function, concurrent=concurrent, once=once)
        _check_signature(handler)
        self._handlers[event] = handler
        self._look_round()

    def adopt(self, others: Listeners) -> None:
        """Take over the handlers of events that another one has.

        Raises:
            LocalProtocolError: one of the events has a handler already; none was taken over.
        """
        for event in others._handlers:
            if event in self._handlers:
                raise LocalProtocolError(f"{event!r} has a handler in {self._where} already")
        self._handlers.update(others._handlers)
        self._look_round()

    def remove(self, event: str, function: Function | None = None) -> None:
        """Let it handle the event no more; idempotent."""
        event = _ALIASES.get(event, event)
        handler = self._handlers.get(event)
        if handler is not None and (function is None or handler.function == function):
            del self._handlers[event]
            self._look_round()

    def taken(self, handler: Handler) -> None:
        """A handler is about to run: it was its only time."""
        if handler.once and self._handlers.get(handler.event) is handler:
            del self._handlers[handler.event]
            self._look_round()

    def handler(self, event: str) -> Handler | None:
        """Of exactly this event."""
        found = self._handlers.get(event)
        return self.parent.handler(event) if found is None and self.parent is not None else found

    def handler_or_any(self, event: str) -> Handler | None:
        """Of this event, or of every event that has none."""
        found = self._handlers.get(event)
        return self.handler(event) or self.handler(ANY_EVENT) if found is None else found

    def simple(self, event: str, number: int) -> Handler | None:
        """`handler_or_any`, if it is called with so many arguments, and nothing else has to be done for the event."""
        handler = self._simple.get(event)
        if handler is None:
            handler = self.handler_or_any(event)
            if handler is None or not handler.is_simple or not self.are_alone:
                return None
        most = handler.most
        return handler if handler.least <= number and (most is None or number <= most) else None

    def own(self, event: str) -> Handler | None:
        """Of exactly this event, and registered exactly here."""
        return self._handlers.get(event)

    # -- what sees more than one event

    def add_middleware(self, kind: str, function: Function) -> None:
        """Let a function run before each "connect", or each "event".

        Raises:
            LocalProtocolError: it could never be called.
        """
        handler = Handler(f"middleware of a {kind}", function)
        if kind == "connect":
            if not (handler.takes(1) or handler.takes(2)):
                raise LocalProtocolError("connection middleware takes (socket) or (socket, auth)")
        elif handler.takes(4):
            if not handler.is_async:
                raise LocalProtocolError("event middleware that takes `next` is `async def`")
        elif not handler.takes(3):
            raise LocalProtocolError(
                "event middleware takes (socket, event, args) or (socket, event, args, next)"
            )
        if handler.wants_ack:
            raise LocalProtocolError("middleware has no `Ack`: what it returns is the acknowledgement")
        # A new list each time: an event may be in the middle of the old one.
        self._middleware[kind] = [*self._middleware.get(kind, ()), handler]
        self._look_round()

    def middleware(self, kind: str) -> list[Handler]:
        """In the order in which it runs: outermost first. Not to be changed."""
        own = self._middleware.get(kind, _NOBODY)
        if self.parent is None:
            return own
        above = self.parent.middleware(kind)
        return [*above, *own] if above else own

    def add_any(self, function: Function, *, first: bool = False) -> None:
        """Let a function hear every event that comes: (socket, event, *args)."""
        handler = Handler("any", function)
        if handler.most == 1 or handler.wants_ack:
            raise LocalProtocolError("a listener of any event takes (socket, event, *args) and no `Ack`")
        # A new list each time: the old one may be in the middle of being heard.
        self._any = [handler, *self._any] if first else [*self._any, handler]
        self._look_round()

    def _look_round(self) -> None:
        self._is_alone = not self._any and "event" not in self._middleware
        if self._is_alone and self.parent is None:
            self._simple = {event: handler for event, handler in self._handlers.items() if handler.is_simple}
        else:
            self._simple = {}

    @property
    def are_alone(self) -> bool:
        """Whether events are seen by their handlers alone: no middleware, nobody who hears all."""
        return self._is_alone and (self.parent is None or self.parent.are_alone)

    def add_outgoing(self, function: Function, *, first: bool = False) -> None:
        """Let a plain function hear every event that is sent: (socket, event, *args)."""
        handler = Handler("any outgoing", function)
        if handler.most == 1 or handler.wants_ack:
            raise LocalProtocolError(
                "a listener of outgoing events takes (socket, event, *args) and no `Ack`"
            )
        if handler.is_async:
            raise LocalProtocolError(
                "a listener of outgoing events is a plain `def` that does not wait: it is called while they are sent"
            )
        self._outgoing = [handler, *self._outgoing] if first else [*self._outgoing, handler]

    def remove_any(self, function: Function | None = None) -> None:
        """One, or all; idempotent."""
        self._any = [
            handler for handler in self._any if function is not None and handler.function != function
        ]
        self._look_round()

    def remove_outgoing(self, function: Function | None = None) -> None:
        """One, or all; idempotent."""
        self._outgoing = [
            handler for handler in self._outgoing if function is not None and handler.function != function
        ]

    def any(self) -> list[Handler]:
        """Who hears every event that comes."""
        if self.parent is None:
            return self._any
        above = self.parent.any()
        return above + self._any if above else self._any

    def outgoing(self) -> list[Handler]:
        """Who hears every event that is sent."""
        if self.parent is None:
            return self._outgoing
        above = self.parent.outgoing()
        return above + self._outgoing if above else self._outgoing

    # -- rooms

    def add_room(self, change: str, function: Function) -> None:
        """Let a plain function hear of what becomes of rooms: (room) or (room, id).

        Raises:
            LocalProtocolError: there is no such change, or it could never be called.
        """
        if change not in _ROOM_CHANGES:
            raise LocalProtocolError(f"{change!r} is not one of {', '.join(map(repr, _ROOM_CHANGES))}")
        handler = Handler(change, function, leading=0)
        if handler.is_async or handler.wants_ack or not (handler.takes(1) or handler.takes(2)):
            raise LocalProtocolError(
                f"a listener of {change!r} is a plain `def` that does not wait, and takes (room) or (room, id)"
            )
        self._room[change] = [*self._room.get(change, ()), handler]

    def remove_room(self, change: str, function: Function | None = None) -> None:
        """One, or all; idempotent."""
        left = [
            handler
            for handler in self._room.pop(change, ())
            if function is not None and handler.function != function
        ]
        if left:
            self._room[change] = left

    def room(self, change: str) -> Sequence[Handler]:
        """Who hears of it."""
        return self._room.get(change, ())

    # -- events of other servers

    def register_server_side(self, event: str, function: Function) -> None:
        """Let a function handle a server-side event.

        Raises:
            LocalProtocolError: there is one already, or it is a reserved name.
        """
        if event in _SIGNATURES or event in _ALIASES or event in _NEVER_CALLED:
            raise LocalProtocolError(f"{event!r} is a reserved name")
        if event in self._server_side:
            raise LocalProtocolError(f"{event!r} has a server-side handler in {self._where} already")
        self._server_side[event] = Handler(event, function, leading=0)

    def server_side(self, event: str) -> Handler | None:
        """Of a server-side event."""
        found = self._server_side.get(event)
        return self.parent.server_side(event) if found is None and self.parent is not None else found
