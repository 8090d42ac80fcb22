"""An ASGI scope as plain data, and back.

What of it is no plain data stays behind: what middleware has put there, such as ``scope["user"]``, unless it consists
of texts, numbers, bytes, lists and maps, as ``scope["session"]`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from starlette.types import Scope

__all__ = ["decode_scope", "encode_scope"]

_PLAIN = frozenset((str, bytes, int, float, bool, type(None)))
_NOTHING = object()
# Of headers there is a limit before they come here.
_AS_THEY_ARE = frozenset(("headers",))
_DEEPEST = 8


def encode_scope(scope: Scope) -> dict[str, object]:
    """What of a scope is plain data."""
    found: dict[str, object] = {}
    for name, value in scope.items():
        if value.__class__ in _PLAIN or name in _AS_THEY_ARE:
            found[name] = value
            continue
        plain = _plain(value, _DEEPEST)
        if plain is not _NOTHING:
            found[name] = plain
    return found


def _plain(value: object, depth: int) -> object:
    """A value that is plain through and through, without what in a map is not."""
    if value.__class__ in _PLAIN:
        return value
    if depth and isinstance(value, dict):
        return _plain_map(cast("dict[object, object]", value), depth - 1)
    if depth and value.__class__ in (list, tuple):
        items = [_plain(item, depth - 1) for item in cast("list[object]", value)]
        return _NOTHING if _NOTHING in items else items
    return _NOTHING


def _plain_map(value: Mapping[object, object], depth: int) -> object:
    found: dict[str, object] = {}
    for name, item in value.items():
        plain = _plain(item, depth)
        if isinstance(name, str) and plain is not _NOTHING:
            found[name] = plain
    return found


def decode_scope(value: Mapping[str, Any]) -> Scope:
    """The scope again, with tuples where ASGI has them."""
    # Any: as a scope has it.
    scope = dict(value)
    scope["headers"] = [(bytes(name), bytes(content)) for name, content in scope.get("headers", ())]
    for name in ("client", "server"):
        if scope.get(name) is not None:
            scope[name] = tuple(scope[name])
    return scope
