"""What names an event, and what names a room: mistakes that would otherwise pass in silence."""

from __future__ import annotations

from ..errors import LocalProtocolError

__all__ = ["check_name", "check_rooms"]


def check_name(event: object) -> None:
    """Refuse what no event can be named, a function above all.

    Raises:
        LocalProtocolError: with the remedy.
    """
    if callable(event):
        name = getattr(event, "__name__", "event")
        raise LocalProtocolError(
            f'the name of the event comes first: @io.on("{name}"), or @io.event for a function'
        )
    if not isinstance(event, str) or not event:
        raise LocalProtocolError(f"the name of an event is a text that is not empty, and not {event!r}")


def check_rooms(rooms: tuple[object, ...]) -> None:
    """Refuse several rooms in one argument.

    Raises:
        LocalProtocolError: with the remedy.
    """
    for room in rooms:
        if isinstance(room, list | tuple | set | frozenset | dict):
            raise LocalProtocolError("each room is an argument of its own: to(*rooms), join(*rooms)")
