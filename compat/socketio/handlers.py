"""Which function handles an event, and how it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .namespace import AsyncNamespace

__all__ = ["CATCH_ALL", "NOT_HANDLED", "RESERVED", "Function", "HandlerTable", "call"]

# An application's handler takes what its event carries; only its author knows the types.
Function = Callable[..., object]

CATCH_ALL = "*"
RESERVED = ("connect", "disconnect")
NOT_HANDLED = object()
"""What `HandlerTable.run` returns when there is no handler: such an event is not acknowledged."""


async def call(function: Function, args: tuple[object, ...], *, last_is_optional: bool = False) -> object:
    """Call a handler on the event loop, `def` or `async def`.

    Args:
        last_is_optional: Leave the last argument out where the handler does not take it: the ``auth`` of a connect, the
            reason of a disconnect.
    """
    if last_is_optional and not _takes(function, args):
        args = args[:-1]
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


def _takes(function: Function, args: tuple[object, ...]) -> bool:
    try:
        inspect.signature(function).bind(*args)
    except TypeError:
        return False
    except ValueError:
        # Some builtins have no signature; what they take shows when they are called.
        return True
    return True


class HandlerTable:
    """Functions by namespace and event, and objects by namespace; both may be the catch-all ``*``.

    They are looked up when an event comes, so that a later registration takes the place of an earlier one.

    Attributes:
        functions: By namespace, then by event.
        objects: By namespace.
    """

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Function]] = {}
        self.objects: dict[str, AsyncNamespace] = {}

    def names(self, namespace: str) -> bool:
        """Whether anything is registered for exactly this namespace."""
        return namespace in self.functions or namespace in self.objects

    async def run(self, event: str, namespace: str, *args: object) -> object:
        """Run the most particular handler.

        A catch-all for events is called with the event's name before the rest, one for namespaces with the namespace's.

        Returns:
            What it returned, or `NOT_HANDLED`.
        """
        optional = event in RESERVED
        for owner, before in ((namespace, ()), (CATCH_ALL, (namespace,))):
            functions = self.functions.get(owner, {})
            if event in functions:
                return await call(functions[event], (*before, *args), last_is_optional=optional)
            if CATCH_ALL in functions and not optional:
                return await call(functions[CATCH_ALL], (event, *before, *args))
        if namespace in self.objects:
            return await self.objects[namespace].trigger_event(event, *args)
        if CATCH_ALL in self.objects:
            return await self.objects[CATCH_ALL].trigger_event(event, namespace, *args)
        return NOT_HANDLED
