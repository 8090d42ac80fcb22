"""Functions of the application that stand behind destinations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote

from anyio import to_thread

from ..errors import LocalProtocolError
from .destinations import plain_parts

__all__ = ["Function", "Functions", "call"]

T = TypeVar("T")

# An application's function takes what we say it does; what it returns is what is sent.
Function = Callable[..., object]

_PLACE = re.compile(r"\{(\w+)\}")


async def call(function: Function, *args: object) -> object:
    """Run one; what is not ``async def`` runs in a worker thread."""
    method = getattr(function, "__call__", None)  # noqa: B004 - it is the method that we look at
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(method):
        result = function(*args)
    else:
        # In a list, because Trio takes a thread's function that returns a coroutine for a mistake.
        (result,) = await to_thread.run_sync(lambda: [function(*args)])
    return await result if inspect.isawaitable(result) else result


class Functions:
    """By patterns of destinations: ``/app/rooms/{room}`` has one place, which takes what stands between two slashes."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._exact: dict[str, tuple[Function, str | None]] = {}
        self._patterns: list[tuple[re.Pattern[str], Function, str | None]] = []

    def add(self, pattern: str, function: Function, send_to: str | None = None) -> None:
        """Register one.

        Raises:
            LocalProtocolError: the pattern has one, it does not begin with a slash, or this is no function.
        """
        if not callable(function):
            raise LocalProtocolError(f"what handles {pattern!r} is not callable")
        if not pattern.startswith("/"):
            raise LocalProtocolError(f"a destination begins with a slash: {pattern!r} does not")
        if not _PLACE.search(pattern):
            pattern = plain_parts(pattern)
            if pattern in self._exact:
                raise LocalProtocolError(f"{self._what} {pattern!r} has a function already")
            self._exact[pattern] = (function, send_to)
            return
        parts = _PLACE.split(pattern)
        expression = "".join(
            f"(?P<{part}>[^/]+)" if number % 2 else re.escape(plain_parts(part))
            for number, part in enumerate(parts)
        )
        self._patterns.append((re.compile(expression), function, send_to))

    def find(self, destination: str) -> tuple[Function, str | None, dict[str, str]] | None:
        """The function of a destination, where its answer goes, and what stands in the places."""
        destination = plain_parts(destination)
        found = self._exact.get(destination)
        if found is not None:
            return (*found, {})
        for pattern, function, send_to in self._patterns:
            match = pattern.fullmatch(destination)
            if match is not None:
                return function, send_to, {name: unquote(value) for name, value in match.groupdict().items()}
        return None
