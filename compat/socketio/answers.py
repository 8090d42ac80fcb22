"""Acknowledgements of clients, as callbacks and as the result of a call (`Answers` of the adapters)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...engine.host import Event, make_event
from ...engine.wire.socketio import check_event_name
from .handlers import Function, call

if TYPE_CHECKING:
    from ... import BroadcastOperator

__all__ = ["CallbackAnswers", "FirstAnswer", "ask"]


async def ask(
    target: BroadcastOperator,
    event: str,
    args: tuple[object, ...],
    answers: CallbackAnswers | FirstAnswer,
    *,
    seconds: float | None = None,
) -> None:
    """Send an event to be acknowledged. When this returns it has been sent, so that what is emitted next follows it.

    Args:
        seconds: How long answers are waited for.

    Raises:
        LocalProtocolError: a reserved name, or a value that the codec cannot carry; nobody got it.
    """
    check_event_name(event)
    for registry in target.source.registries():
        answers.ends.append(await registry.adapter.ask(event, args, target.target, answers, seconds=seconds))


class CallbackAnswers:
    """Calls a function with the arguments of each acknowledgement, in a task of its own."""

    def __init__(self, target: BroadcastOperator, callback: Function) -> None:
        self.ends: list[Function] = []
        self.silent: set[str] = set()
        self._spawn = target.host.spawn
        self._callback = callback

    def expect(self, number: int) -> None:
        """Any number may answer, or none."""

    def resolve(self, args: list[object]) -> None:
        self._spawn(self._call, args)

    def fail(self, error: Exception) -> None:
        """Who has left calls nothing back."""

    async def _call(self, args: list[object]) -> None:
        await call(self._callback, tuple(args))


class FirstAnswer:
    """Waits for the first acknowledgement, as long as somebody may still give one.

    Attributes:
        args: Of the acknowledgement; None while there is none.
    """

    def __init__(self) -> None:
        self.ends: list[Function] = []
        self.silent: set[str] = set()
        self.args: list[object] | None = None
        self._missing = 0
        self._done: Event = make_event()

    def expect(self, number: int) -> None:
        self._missing += number

    def resolve(self, args: list[object]) -> None:
        if self.args is None:
            self.args = args
        self._done.set()

    def fail(self, error: Exception) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._done.set()

    async def wait(self) -> None:
        """Until it is there, or nobody is left who could give it."""
        if self._missing > 0 and self.args is None:
            await self._done.wait()

    def end(self) -> None:
        """Wait no more."""
        for end in self.ends:
            end()
