"""What another node has left of a session, and what has been said since."""

from __future__ import annotations

import anyio

from ..adapters.chronicle import Chronicle, Entry, chronicle_of
from .registry import Registries
from .saved import SavedSocket, decode_sockets

__all__ = ["Left", "catch_up"]

_PATIENCE = 3.0
_LOOK = 0.02

Left = list[tuple[SavedSocket, list[Entry]]]
"""Each socket, with the broadcasts that it has missed."""


async def catch_up(saved: bytes, registries: Registries) -> Left:
    """The sockets of a session, with what they have missed until this returns: put them into their rooms before
    anything else happens.

    Raises:
        BrokerUnavailable: it cannot be read.
    """
    left: Left = [(socket, []) for socket in decode_sockets(saved)] if saved else []
    reached = [socket.place.entry if socket.place is not None else "" for socket, _ in left]
    for socket, _ in left:
        await _begun(chronicle_of(registries.named(socket.namespace).adapter))
    is_moving = True
    while is_moving:
        is_moving = False
        for index, (socket, missed) in enumerate(left):
            chronicle = chronicle_of(registries.named(socket.namespace).adapter)
            after = reached[index]
            if chronicle is None or not after or not chronicle.entry or chronicle.entry == after:
                continue
            # What comes while this is read is read in the next round.
            until = reached[index] = chronicle.entry
            missed += [entry for entry in await chronicle.read(after, until) if _is_for(socket, entry)]
            is_moving = True
    for socket, missed in left:
        chronicle = chronicle_of(registries.named(socket.namespace).adapter)
        if chronicle is not None:
            missed += [entry for entry in chronicle.unread if _is_for(socket, entry)]
    return left


async def _begun(chronicle: Chronicle | None) -> None:
    """Return when it is known since when this node hears what is said; or after a while, if that will not be."""
    with anyio.move_on_after(_PATIENCE):
        while chronicle is not None and not chronicle.entry:  # noqa: ASYNC110 - once in the life of a server
            await anyio.sleep(_LOOK)


def _is_for(socket: SavedSocket, entry: Entry) -> bool:
    target, place = entry.target, socket.place
    rooms = {socket.id, *socket.rooms}
    if place is not None and entry.uid == place.uid and entry.number <= place.said:
        # Its node has handed it over before it died.
        return False
    if target.volatile or rooms & target.except_:
        return False
    return target.rooms is None or bool(rooms & target.rooms)
