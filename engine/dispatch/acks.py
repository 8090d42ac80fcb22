"""Acknowledgements: those that we give, and those that we wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from ..errors import AckTimeout, EventError, LocalProtocolError
from ..host import Event, make_event

if TYPE_CHECKING:
    from ..live import LiveSession
    from .membership import Membership

__all__ = [
    "Ack",
    "AckCollector",
    "AckWaiter",
    "Answer",
    "PendingAck",
    "error_answer",
    "value_of",
]


class Answer:
    """The arguments of an acknowledgement, said explicitly. Made by `Ack.of`."""

    __slots__ = ("args",)

    def __init__(self, args: tuple[object, ...]) -> None:
        self.args = args


class Ack:
    """Lets a handler decide itself whether and when it acknowledges its event.

    A handler gets one by declaring a parameter with this annotation::

        @io.on("order")
        async def order(socket: Socket, item: str, ack: Ack) -> None:
            await ack("accepted")
            ...

    Attributes:
        wanted: Whether the peer asked for an acknowledgement. If not, giving one does nothing.
        given: Whether it has been given.
    """

    __slots__ = ("_id", "_membership", "given")

    def __init__(self, membership: Membership, id: int | None) -> None:
        self._membership = membership
        self._id = id
        self.given = False

    @staticmethod
    def of(*args: object) -> Answer:
        """What a handler returns to acknowledge with exactly these arguments: ``Ack.of(None)`` answers null."""
        return Answer(args)

    @property
    def wanted(self) -> bool:
        return self._id is not None

    async def __call__(self, *args: object) -> None:
        """Acknowledge; wait first while too much is kept for a slow peer.

        Raises:
            LocalProtocolError: it has been given before, or a value cannot be encoded, or is too large.
        """
        self._check()
        if self._id is not None:
            messages = self._membership.encode_ack(self._id, args)
            self.given = True
            try:
                await self._membership.send_ack(messages)
            except BaseException:
                # Too large, or given up before it was sent: whoever asked still gets an answer.
                self.given = False
                raise

    def send(self, *args: object) -> None:
        """Acknowledge without waiting.

        Raises:
            LocalProtocolError: it has been given before, or a value cannot be encoded, or is too large.
        """
        self._check()
        if self._id is not None:
            messages = self._membership.encode_ack(self._id, args)
            self._membership.put(messages)
            self.given = True

    def _check(self) -> None:
        if self.given:
            raise LocalProtocolError("the event has been acknowledged already")


def error_answer(error: BaseException) -> dict[str, object]:
    """The acknowledgement of a handler that raised (docs/protocol.md, section 10)."""
    if not isinstance(error, EventError):
        return {"error": {"message": "internal error"}}
    content: dict[str, object] = {"message": error.message}
    if error.code is not None:
        content["code"] = error.code
    if error.data is not None:
        content["data"] = error.data
    return {"error": content}


def value_of(args: list[object]) -> object:
    """One argument is the value, several are a tuple, none is None.

    Raises:
        EventError: the peer answered with an error.
    """
    if not args:
        return None
    if len(args) > 1:
        return tuple(args)
    _raise_error(args[0])
    return args[0]


def _raise_error(value: object) -> None:
    if not isinstance(value, dict) or len(cast("dict[str, object]", value)) != 1:
        return
    error = cast("dict[str, object]", value).get("error")
    if not isinstance(error, dict):
        return
    content = cast("dict[str, object]", error)
    message, code = content.get("message"), content.get("code")
    if isinstance(message, str) and (code is None or isinstance(code, str)):
        raise EventError(message, code=code, data=content.get("data"))


class PendingAck(Protocol):
    """Who waits for an acknowledgement. Called at most once per socket, and never waits."""

    def resolve(self, args: list[object]) -> None: ...

    def fail(self, error: Exception) -> None: ...


class AckWaiter:
    """Waits for one acknowledgement. Whoever has waited calls `end`.

    Args:
        live: The session of who is to give it.
    """

    __slots__ = ("_args", "_awakened", "_done", "_error", "_is_awaited", "_live", "_settled")

    def __init__(self, live: LiveSession) -> None:
        self._live = live
        self._done: Event = make_event()
        self._settled = self._is_awaited = False
        self._awakened = 0
        self._args: list[object] = []
        self._error: Exception | None = None

    def resolve(self, args: list[object]) -> None:
        if not self._settled:
            self._settled = True
            self._args = args
            if self._is_awaited:
                self._awakened = self._live.awaken()
            self._done.set()

    def end(self) -> None:
        """Who has waited goes on."""
        if self._awakened:
            self._live.goes_on(self._awakened)

    def fail(self, error: Exception) -> None:
        if not self._settled:
            self._settled = True
            self._error = error
            self._done.set()

    @property
    def is_settled(self) -> bool:
        """Whether `wait` has nothing to wait for."""
        return self._settled

    def expire(self) -> None:
        """The time is over."""
        self.fail(AckTimeout("the acknowledgement did not arrive in time"))

    async def wait(self) -> object:
        self._is_awaited = True
        await self._done.wait()
        error, self._error = self._error, None
        if error is None:
            return value_of(self._args)
        try:
            raise error
        finally:
            # By its traceback it would hold itself.
            del error


class AckCollector:
    """Waits for the acknowledgements of several sockets. Who leaves meanwhile is not waited for."""

    __slots__ = ("_done", "_missing", "answers", "silent", "timed_out")

    def __init__(self) -> None:
        self._missing = 0
        self.silent: set[str] = set()
        self._done: Event | None = None
        self.answers: list[object] = []
        self.timed_out = False

    def expect(self, number: int) -> None:
        self._missing += number

    def resolve(self, args: list[object]) -> None:
        if not self.timed_out:
            self.answers.append(args[0] if len(args) == 1 else tuple(args) or None)
            self._count()

    def fail(self, error: Exception) -> None:
        if not self.timed_out:
            self._count()

    def expire(self) -> None:
        """The time is over."""
        self.timed_out = True
        self._finish()

    def _count(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._finish()

    def _finish(self) -> None:
        if self._done is not None:
            self._done.set()

    async def wait(self) -> list[object]:
        """For those that are expected by now."""
        if self._missing and not self.timed_out:
            self._done = make_event()
            await self._done.wait()
        if self._missing or self.silent:
            text = f"{self._missing or 'some'} acknowledgements did not arrive in time"
            if self.silent:
                text += f"; nothing came from {', '.join(sorted(self.silent))}"
            raise AckTimeout(text, answers=self.answers, missing=self.silent)
        return self.answers
