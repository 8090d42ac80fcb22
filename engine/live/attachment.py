"""Where a carrier meets the coroutine that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import anyio

from ..hands import Hands
from ..host import Event, Host, Timer, make_event
from ..session import Carrier, Life, Role
from ..wire.message import Message
from ..wire.packet import PacketType
from .stopper import Stopper

__all__ = ["Attachable", "Attachment"]

# Messages in the time between two heartbeats for which no task is kept.
_FEW = 8

# How long what a peer sent before it left may take to be read: much of it, where handlers are slow.
_UNREAD_SECONDS = 10.0

# An enum's members take long to look up.
_OPEN, _CLOSED = Life.OPEN, Life.CLOSED
_WRITER, _BRINGER = Role.WRITER, Role.BRINGER
_MESSAGE = PacketType.MESSAGE.value


# Messages are of the same kind as what a session has to say, and one list of them may be written to many.
Write = Callable[[Any], Coroutine[Any, Any, None]]


class Attachable(Protocol):
    """What an attachment asks of its session."""

    @property
    def host(self) -> Host: ...

    @property
    def life(self) -> Life: ...

    def has_packets(self, attachment: Attachment) -> bool: ...

    def take(self, attachment: Attachment, limit_bytes: int | None = None) -> list[str | Message]: ...


class Direct(Protocol):
    """What a carrier is served by that needs no coroutine."""

    def flush(self) -> None:
        """Write what there is to be written, and end if nothing will be."""
        ...

    def cut(self) -> None:
        """End, wherever it stands."""
        ...


class Waiting(Protocol):
    """What can be ended from outside: a cancel scope, or a `Stopper`."""

    def cancel(self) -> object: ...


class Attachment:
    """A carrier and the coroutine that serves it.

    That coroutine reads, or waits for the client to leave. Whoever has something to be written begins to write it, on
    the spot; a task goes on with what has to wait. On Trio a task does it all, which exists only while there is
    something to write, or where much is written, from one heartbeat to the next, because waking it costs less than
    making it. Of idle sessions there are many, and a task that waits costs several kilobytes.

    Attributes:
        busy: Whether something is being written to it at this moment.
        write_now: What writes messages at once, unless it is busy.
        answer_now: What writes the text of one at once, unless it is busy, as the last thing that a turn does. A poll
            is answered by it.
        is_cut: Whether it has been told to end.
        fenced: Whether another carrier has taken its place, and it will be cut if it does not end by itself.
    """

    __slots__ = (
        "_answer_through",
        "_awake",
        "_bell",
        "_direct",
        "_ended",
        "_ends",
        "_hands",
        "_last_words",
        "_left",
        "_limit_bytes",
        "_pen",
        "_session",
        "_waiting",
        "_write_through",
        "_written",
        "answer_now",
        "busy",
        "carrier",
        "fenced",
        "is_cut",
        "write",
        "write_now",
    )

    def __init__(self, carrier: Carrier, session: Attachable) -> None:
        self.carrier = carrier
        self._waiting: Waiting | None = None
        self.write: Write | None = None
        self._session = session
        self._bell: Callable[[], object] | None = None
        self._direct: Direct | None = None
        self._hands: Hands | None = None
        self._write_through: Write | None = None
        self.write_now: Callable[[Sequence[Message]], object] | None = None
        self._answer_through: Write | None = None
        self.answer_now: Callable[[str, asyncio.Task[Any]], object] | None = None
        self._pen: Stopper | None = None
        # Of a write that has begun and waits.
        self._left: Stopper | None = None
        self._limit_bytes: int | None = None
        # Whether there is a task that writes; how far was written at the last heartbeat.
        self._awake = False
        self._written = carrier.written
        self._ended: Event | None = None
        self._ends = False
        self._last_words: Timer | None = None
        self.busy = False
        self.fenced = False
        self.is_cut = False

    def serving(self) -> Stopper:
        """What whoever serves it waits in from now on."""
        self._waiting = stopper = Stopper()
        if self.is_cut:
            stopper.stop()
        return stopper

    def waits_in(self, waiting: Waiting) -> None:
        """It goes on in another way, which can be cut again."""
        self._waiting, self.is_cut = waiting, False

    @property
    def writes(self) -> bool:
        """Whether it is still this carrier that carries our messages."""
        return self.carrier.role is _WRITER

    def take(self, limit_bytes: int | None = None) -> list[str | Message]:
        """What has to be written now. If writing then fails or is cut short, the carrier must end."""
        return self._session.take(self, limit_bytes)

    def cut(self) -> None:
        """End whoever serves this carrier or writes to it, wherever they wait."""
        self._stop()
        if self._direct is not None:
            self._direct.cut()

    def _break_off(self) -> None:
        # At once: until the coroutine that serves this carrier has ended, others may have something to write.
        self._write_no_more()
        self._stop()

    def _write_no_more(self) -> None:
        self.write = self.write_now = self._write_through = None
        self.answer_now = self._answer_through = None

    def _stop(self) -> None:
        self.is_cut = True
        if self._waiting is not None:
            self._waiting.cancel()

    def _write_all(self) -> None:
        """Write all that waits; a task goes on with what has to wait itself.

        A frame that was taken and not written would shift every number after it, so a write that is cut short, by
        an error or a cancellation, ends this carrier.
        """
        session = self._session
        while not self.busy and (write := self.write) is not None:
            packets = session.take(self, self._limit_bytes)
            if packets:
                assert self._hands is not None
                self.busy = True
                if self._hands.run(write(packets), self._go_on):
                    self.busy = False
                else:
                    self._left = Stopper()
                if session.has_packets(self):
                    continue
            if self.over and not self.busy and (self._ends or session.life is _CLOSED):
                self.cut()
            return

    def _write_now(self, messages: Sequence[Message]) -> None:
        assert self._write_through is not None
        assert self._hands is not None
        self.busy = True
        if self._hands.run(self._write_through(messages), self._go_on):
            self.busy = False
        else:
            self._left = Stopper()

    def _answer_now(self, text: str, task: asyncio.Task[Any]) -> None:
        assert self._answer_through is not None
        assert self._hands is not None
        self.busy = True
        if self._hands.end_turn(task, self._answer_through(text), self._go_on):
            self.busy = False
        else:
            self._left = Stopper()

    async def _go_on(self, rest: Awaitable[None]) -> None:
        await self._session.host.finish_aside(self._write_rest(rest))

    async def _write_rest(self, rest: Awaitable[None]) -> None:
        assert self._left is not None
        left = self._left
        try:
            with self._unless_broken():
                await left.run(lambda: rest)
            if left.is_stopped:
                self._break_off()
        finally:
            self.busy, self._left = False, None
            self._is_done()
            self.ring()

    @contextmanager
    def _unless_broken(self) -> Generator[None]:
        """What cannot be written ends this carrier; where it is read too, after what was sent before the peer left."""
        try:
            yield
        except OSError:
            if self._ends or self._session.life is not _OPEN:
                self._break_off()
            elif self._last_words is None:
                self._write_no_more()
                self._last_words = self._session.host.call_later(_UNREAD_SECONDS, self._stop)
        except BaseException:
            self._break_off()
            raise

    def begin(
        self,
        write: Write,
        *,
        through: Write | None = None,
        answer: Write | None = None,
        limit_bytes: int | None = None,
        ends: bool = False,
    ) -> None:
        """From now on, write what there is to be written.

        Args:
            write: Raises `OSError` where nothing can be written any more; that cuts the carrier, or has it read to its
                end.
            through: Writes messages that are not kept for the peer, likewise.
            answer: Writes the text of one such message.
            limit_bytes: Of what is written at once, as a payload.
            ends: Whether the carrier is cut as soon as it does not write any more, and not read on.
        """
        self.write = write
        self._limit_bytes = limit_bytes
        self._ends = ends
        self._hands = self._session.host.hands
        if self._hands is not None and through is not None:
            self._write_through, self.write_now = through, self._write_now
            if answer is not None:
                self._answer_through, self.answer_now = answer, self._answer_now
        self.ring()

    def begin_direct(
        self,
        direct: Direct,
        through: Callable[[Sequence[Message]], object] | None = None,
        answer: Callable[[str, asyncio.Task[Any]], object] | None = None,
    ) -> None:
        """`begin`, where writing never waits and takes no coroutine.

        Whoever does it sets `busy` while it is held up, and looks itself whether there is something to be written now.

        Args:
            through: Writes messages that are not kept for the peer; not called while it is held up.
            answer: Writes the text of one, likewise.
        """
        self._direct, self.write_now, self.answer_now = direct, through, answer

    def end_direct(self) -> None:
        """Nothing is written any more."""
        self._direct = self.write_now = self.answer_now = None

    async def end(self) -> None:
        """Nothing is written any more; returns when nobody is at it."""
        self._write_no_more()
        if self._last_words is not None:
            self._last_words.cancel()
        if self._awake or self._left is not None:
            self._ended = ended = make_event()
            for pen in (self._pen, self._left):
                if pen is not None:
                    pen.stop()
            with anyio.CancelScope(shield=True):
                await ended.wait()

    async def _work(self) -> None:
        self._pen = pen = Stopper()
        try:
            await pen.run(self._write_on)
        finally:
            self._awake, self._pen = False, None
            self._is_done()

    def _is_done(self) -> None:
        if self._ended is not None and not self._awake and self._left is None:
            self._ended.set()

    async def _write_on(self) -> None:
        while self.write is not None:
            await self._flush()
            if self.over:
                if self._ends or self._session.life is not _OPEN:
                    self.cut()
                return
            if self._is_due():
                continue
            if self.carrier.written - self._written < _FEW:
                return
            await self.wait()

    async def _flush(self) -> None:
        self.busy = True
        try:
            with self._unless_broken():
                while (write := self.write) is not None and (packets := self.take(self._limit_bytes)):
                    await write(packets)
        finally:
            self.busy = False

    def rest(self) -> None:
        """A heartbeat is due: the task that writes may go, until there is much to be written again."""
        self._written = self.carrier.written
        if self._awake:
            self.ring()

    @property
    def is_candidate(self) -> bool:
        """Whether it is a stream that has not been attached yet."""
        return self.carrier.role is _BRINGER

    @property
    def over(self) -> bool:
        """Whether nothing will be written here any more."""
        return self.carrier.role not in (_WRITER, _BRINGER) or self._session.life is _CLOSED

    async def wait(self) -> None:
        """Return when there may be something to write, or when this carrier does not write any more."""
        if not self._is_due():
            await self._rung()

    async def wait_unless(self, gone: Callable[[], Awaitable[None]]) -> bool:
        """Return when there may be something to write, where there is nothing now, unless something else happens first:
        whether it did not. One that is cut does not wait."""
        if self.is_cut or self.over:
            return True
        self._waiting = stopper = Stopper()
        self._bell = stopper.stop
        self.answer_now = self._answer_held
        try:
            await stopper.run(gone)
        finally:
            self._bell = self._waiting = self.answer_now = None
        return stopper.is_stopped

    def _answer_held(self, text: str, task: asyncio.Task[Any]) -> None:
        # It leaves with what else there is when whoever holds the poll has his turn; a ping may come meanwhile.
        self.carrier.control.append(_MESSAGE + text)
        self.answer_now = None
        self.ring()

    def _is_due(self) -> bool:
        return self.over or (not self.busy and self._session.has_packets(self))

    async def _rung(self) -> None:
        bell = make_event()
        self._bell = bell.set
        await bell.wait()

    def ring(self, *, now: bool = False) -> None:
        """Let whoever waits look again; where nobody does and there is a way to write, somebody is sent for.

        Args:
            now: To write at once. Otherwise it is done soon, with what else there is to be written then.
        """
        bell = self._bell
        if bell is not None:
            self._bell = None
            bell()
        elif self._direct is not None:
            if now:
                self._direct.flush()
            elif not self._awake:
                self._awake = True
                self._session.host.soon(self._flush_direct)
        elif self._may_write and not self._awake and not self.busy:
            host = self._session.host
            if self._hands is None:
                self._awake = True
                host.spawn_aside(self._work)
            elif now:
                self._write_all()
            else:
                self._awake = True
                host.soon(self._write_soon)
        elif self._last_words is not None and self._session.life is not _OPEN:
            # Nobody takes any more of what is read.
            self._stop()

    def _write_soon(self) -> None:
        self._awake = False
        self._is_done()
        self._write_all()

    def _flush_direct(self) -> None:
        self._awake = False
        if self._direct is not None:
            self._direct.flush()

    @property
    def _may_write(self) -> bool:
        # One that is replaced and read on has nothing to be done until its session is over.
        return self.write is not None and (self._ends or not self.over or self._session.life is _CLOSED)
