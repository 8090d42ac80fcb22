"""The sockets of a session as bytes, for another node. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgpack

from ..adapters.chronicle import Place

__all__ = ["SavedSocket", "decode_sockets", "encode_sockets", "is_plain"]

_PLAIN = (str, bytes, bool, int, float, type(None))
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSocket:
    """One socket: its public id, what it connected with, where it is, what the application keeps with it, and how far
    it has heard what is said in its namespace."""

    namespace: str
    id: str
    auth: dict[str, object] = field(repr=False)
    rooms: Sequence[str]
    data: Mapping[str, object] = field(repr=False)
    place: Place | None = None


def is_plain(value: object, depth: int = 32) -> bool:
    """Whether it arrives as it is: text, bytes, numbers of 64 bits, None, lists, and dicts with texts as keys."""
    if isinstance(value, bool) or not isinstance(value, int):
        if type(value) in _PLAIN:
            return True
    else:
        return type(value) is int and _SMALLEST <= value <= _LARGEST
    if not depth:
        return False
    if type(value) is list:
        return all(is_plain(item, depth - 1) for item in cast("list[object]", value))
    if type(value) is dict:
        items = cast("dict[object, object]", value).items()
        return all(type(key) is str and is_plain(item, depth - 1) for key, item in items)
    return False


def encode_sockets(sockets: Sequence[SavedSocket]) -> tuple[bytes, set[str]]:
    """The bytes, and the names of what is not in them because it would not arrive as it is."""
    unsaved: set[str] = set()
    values: list[object] = []
    for socket in sockets:
        data: dict[str, object] = {}
        for key, value in socket.data.items():
            if is_plain(key) and is_plain(value):
                data[key] = value
            else:
                unsaved.add(f"socket.data[{key!r}]")
        auth = {key: value for key, value in socket.auth.items() if is_plain(value)}
        values.append([socket.namespace, socket.id, auth, list(socket.rooms), data, socket.place])
    try:
        return msgpack.packb(values, unicode_errors="surrogatepass"), unsaved
    except RecursionError:
        return msgpack.packb([]), {"socket.data"}


def decode_sockets(data: bytes) -> list[SavedSocket]:
    """What `encode_sockets` has made."""
    values = cast(
        "list[tuple[str, str, dict[str, object], list[str], dict[str, object], tuple[str, str, int] | None]]",
        msgpack.unpackb(data, unicode_errors="surrogatepass", strict_map_key=False),
    )
    return [
        SavedSocket(
            namespace=namespace,
            id=id,
            auth=auth,
            rooms=rooms,
            data=kept,
            place=None if place is None else Place(*place),
        )
        for namespace, id, auth, rooms, kept, place in values
    ]
