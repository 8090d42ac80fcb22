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

_PREFIX = "/app/"
_OTHERS = re.compile(r"/?(?:(?:app|topic|queue)/)?")
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
            LocalProtocolError: the pattern has one, nobody could send there, or this is no function.
        """
        if not callable(function):
            raise LocalProtocolError(f"what handles {pattern!r} is not callable")
        _check(pattern)
        if not _PLACE.search(pattern):
            pattern = plain_parts(pattern)
            if pattern in self._exact:
                raise LocalProtocolError(f"{self._what} {pattern!r} has a function already")
            self._exact[pattern] = (function, send_to)
            return
        compiled = _compiled(pattern)
        if any(_shape(compiled) == _shape(other) for other, _, _ in self._patterns):
            raise LocalProtocolError(f"{self._what} {pattern!r} has a function already")
        self._patterns.append((compiled, function, send_to))

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


def _check(pattern: str) -> None:
    if not pattern.startswith(_PREFIX):
        remedy = _PREFIX + _OTHERS.sub("", pattern, count=1)
        raise LocalProtocolError(
            f"{pattern!r} would never be asked: functions stand behind {_PREFIX}…, such as {remedy!r}"
        )
    if "*" in pattern:
        raise LocalProtocolError(
            f"{pattern!r} has a *, which means nothing here: a place for what stands between two slashes is "
            "{name}, such as '/app/rooms/{room}'"
        )


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = _PLACE.split(pattern)
    expression = "".join(
        f"(?P<{part}>[^/]+)" if number % 2 else re.escape(plain_parts(part))
        for number, part in enumerate(parts)
    )
    try:
        return re.compile(expression)
    except re.error as error:
        raise LocalProtocolError(
            f"the places of {pattern!r} need names of their own that are identifiers: {error}"
        ) from error


def _shape(pattern: re.Pattern[str]) -> str:
    """Without the names of its places."""
    return re.sub(r"\?P<\w+>", "", pattern.pattern)
