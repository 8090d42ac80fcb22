"""What an application registers: its signature is read once, at registration."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, cast

from anyio import to_thread

from ..errors import HoldfastError, LocalProtocolError
from ..host import guarded
from .acks import Ack

__all__ = ["ANY_EVENT", "Function", "Handler", "HandlerCancelled", "Next", "WrongArguments", "guard"]

T = TypeVar("T")

# An application's handler takes what its event carries; only its author knows the types.
Function = Callable[..., object]

Next = Callable[[], Awaitable[object]]
"""What event middleware is given to go on: `Namespace.use_event`."""

ANY_EVENT = "*"
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OPTIONAL = re.compile(r"(?:\w+\.)*Optional\[(.*)\]")


class WrongArguments(LocalProtocolError):
    """The peer sent more or fewer arguments than the handler takes. The handler has not run."""


class HandlerCancelled(HoldfastError):
    """The handler ended in a cancellation that nobody had asked for."""


class Handler:
    """A handler and what its signature says.

    Args:
        leading: How many arguments come before those of the event: the socket.

    Attributes:
        event: What it is registered for.
        least, most: How many arguments it takes, the socket included and an `Ack` not; None for any number.
        names: Of its parameters.
        function: The application's.
        is_async: Whether it is ``async def``, and so runs on the event loop.
        is_simple: Whether it runs if it is called with what it takes, and nothing else has to be done for it.
        concurrent: Whether the socket's next event need not wait for its end.
        once: Whether it runs for the next event only.
        wants_ack: Whether it has a parameter annotated `Ack`, and so acknowledges by itself.

    Raises:
        LocalProtocolError: not callable, or it could never be called with a socket and arguments; the text says how it
            can.
    """

    __slots__ = (
        "_ack_at",
        "_ack_name",
        "_leading",
        "concurrent",
        "event",
        "function",
        "is_async",
        "is_simple",
        "least",
        "most",
        "names",
        "once",
        "wants_ack",
    )

    def __init__(
        self,
        event: str,
        function: Function,
        *,
        leading: int = 1,
        concurrent: bool = False,
        once: bool = False,
    ) -> None:
        if not callable(function):
            raise LocalProtocolError(f"the handler of {event!r} is not callable")
        if _is_generator(function):
            raise LocalProtocolError(
                f"the handler of {event!r} is a generator; return a value or call `socket.emit` instead of `yield`"
            )
        self.event = event
        self.function = function
        self.is_async = _is_async(function)
        self.concurrent = concurrent
        self.once = once
        self._leading = leading
        self._ack_at: int | None = None
        self._ack_name: str | None = None
        self.least = 0
        self.most: int | None = 0
        self.names: tuple[str, ...] = ()
        self._read_signature()
        self.wants_ack = self._ack_name is not None
        self.is_simple = self.is_async and not (concurrent or once or self.wants_ack) and event != ANY_EVENT

    def _read_signature(self) -> None:
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            # Some builtins have none; what they take shows when they are called.
            self.most = None
            return
        self.names = tuple(signature.parameters)
        hints = _hints(self.function)
        position = 0
        for parameter in signature.parameters.values():
            positional = parameter.kind in _POSITIONAL
            if _is_ack(hints.get(parameter.name, parameter.annotation)):
                self._ack_name = parameter.name
                self._ack_at = position if positional else None
            elif positional:
                position += 1
                if parameter.default is inspect.Parameter.empty:
                    self.least = position
            elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                self.most = None
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                raise LocalProtocolError(
                    f"the handler of {self.event!r} needs {parameter.name!r} by keyword, and what an event carries "
                    "comes by position: give it a default, or put it before the `*`"
                )
        if self.most is not None:
            self.most = position
            if position < self._leading:
                raise LocalProtocolError(
                    f"the handler of {self.event!r} does not take a socket: that is its first argument"
                )

    def takes(self, number: int) -> bool:
        """Whether it can be called with so many arguments, the socket included and an `Ack` not."""
        return self.least <= number and (self.most is None or number <= self.most)

    def _takes(self) -> str:
        least = max(self.least - self._leading, 0)
        if self.most is None:
            return f"{least} arguments or more"
        most = self.most - self._leading
        number = f"{most}" if least == most else f"{least} to {most}"
        return f"{number} argument{'' if most == 1 else 's'}"

    def call(self, args: list[object], ack: Ack | None = None) -> Coroutine[Any, Any, object]:
        """Run it; what is not ``async def`` runs in a worker thread.

        Raises:
            WrongArguments: it takes more or fewer; it has not run. At once, and not where it is awaited.
        """
        number = len(args)
        if number < self.least or (self.most is not None and number > self.most):
            raise WrongArguments(
                f"the handler of {self.event!r} takes {self._takes()}{' after the socket' * self._leading}; "
                f"{len(args) - self._leading} came"
            )
        function = self.function
        if self.wants_ack:
            if self._ack_at is not None and self._ack_at <= number:
                args = [*args[: self._ack_at], ack, *args[self._ack_at :]]
            else:
                function = partial(function, **{cast("str", self._ack_name): ack})
        if self.is_async:
            return guard(cast("Awaitable[object]", function(*args)))
        return _run_in_thread(function, args)


def guard(running: Awaitable[object]) -> Coroutine[Any, Any, object]:
    """What runs of a handler."""
    return guarded(running, "the handler", failure=HandlerCancelled)


async def _run_in_thread(function: Function, args: list[object]) -> object:
    (result,) = await to_thread.run_sync(_in_thread, function, args)
    return await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result


def _in_thread(function: Function, args: list[object]) -> list[object]:
    # In a list, because Trio takes a thread's function that returns a coroutine for a mistake. Here it is a plain
    # function round a coroutine function: what decorators leave behind.
    try:
        return [function(*args)]
    except GeneratorExit as error:
        # Thrown into the coroutine that waits for this thread, it would close that.
        raise RuntimeError("the handler raised GeneratorExit") from error


def _is_async(function: Function) -> bool:
    return any(inspect.iscoroutinefunction(code) for code in _codes(function))


def _is_generator(function: Function) -> bool:
    return any(
        inspect.isasyncgenfunction(code) or inspect.isgeneratorfunction(code) for code in _codes(function)
    )


def _codes(function: Function) -> tuple[object, object]:
    """What may be the function behind a callable: itself, or its method."""
    while isinstance(function, partial):
        function = cast("partial[object]", function).func
    return function, getattr(function, "__call__", None)  # noqa: B004 - it is the method that we look at


def _hints(function: Function) -> dict[str, object]:
    try:
        return typing.get_type_hints(function)
    except Exception:
        # An annotation may name what exists for a type checker only; its text is looked at instead.
        return {}


def _is_ack(annotation: object) -> bool:
    if isinstance(annotation, str):
        optional = _OPTIONAL.fullmatch(annotation)
        parts = (optional[1] if optional else annotation).split("|")
        return any(part.strip().rpartition(".")[2] == "Ack" for part in parts)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return Ack in typing.get_args(annotation)
    return annotation is Ack
