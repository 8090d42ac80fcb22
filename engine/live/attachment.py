"""Where a carrier meets the coroutine that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import anyio

from ..host import Event, Host, make_event
from ..session import Carrier, Life, Role
from ..wire.message import Message
from .stopper import Stopper

__all__ = ["Attachable", "Attachment"]

# Messages in the time between two heartbeats for which no task is kept.
_FEW = 8


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


class Attachment:
    """A carrier and the coroutine that serves it.

    That coroutine reads, or waits for the client to leave. Writing is done by a task that exists only while there is
    something to write; and on Trio, where much is written, from one heartbeat to the next, because waking it costs less
    than making it. Of idle sessions there are many, and a task that waits costs several kilobytes.

    Attributes:
        busy: Whether something is being written to it at this moment.
        is_cut: Whether it has been told to end.
        fenced: Whether another carrier has taken its place, and it will be cut if it does not end by itself.
    """

    __slots__ = (
        "_awake",
        "_bell",
        "_direct",
        "_ended",
        "_ends",
        "_guest",
        "_limit_bytes",
        "_pen",
        "_scope",
        "_session",
        "_through",
        "_written",
        "busy",
        "carrier",
        "fenced",
        "is_cut",
        "write",
    )

    def __init__(self, carrier: Carrier, session: Attachable) -> None:
        self.carrier = carrier
        self._scope: anyio.CancelScope | None = None
        self.write: Callable[[list[str | Message]], Awaitable[None]] | None = None
        self._session = session
        self._bell: Callable[[], object] | None = None
        self._direct: Direct | None = None
        self._through: Callable[[Sequence[Message]], None] | None = None
        self._guest: Stopper | None = None
        self._pen: Stopper | None = None
        self._limit_bytes: int | None = None
        # Whether there is a task that writes; how far was written at the last heartbeat.
        self._awake = False
        self._written = carrier.written
        self._ended: Event | None = None
        self._ends = False
        self.busy = False
        self.fenced = False
        self.is_cut = False

    @property
    def scope(self) -> anyio.CancelScope:
        """What whoever serves it waits in."""
        if self._scope is None:
            self._scope = anyio.CancelScope()
            if self.is_cut:
                self._scope.cancel()
        return self._scope

    @scope.setter
    def scope(self, scope: anyio.CancelScope) -> None:
        # It goes on in another way, which can be cut again.
        self._scope, self.is_cut = scope, False

    @property
    def writes(self) -> bool:
        """Whether it is still this carrier that carries our messages."""
        return self.carrier.role is Role.WRITER

    def take(self, limit_bytes: int | None = None) -> list[str | Message]:
        """What has to be written now. If writing then fails or is cut short, the carrier must end."""
        return self._session.take(self, limit_bytes)

    def cut(self) -> None:
        """End whoever serves this carrier or writes to it, wherever they wait."""
        self._stop()
        if self._guest is not None:
            self._guest.stop()
        if self._direct is not None:
            self._direct.cut()

    async def flush(self) -> None:
        """Write all that waits, on this coroutine; returns at once if another one is writing already.

        A frame that was taken and not written would shift every number after it, so a write that is cut short, by
        an error or a cancellation, ends this carrier.
        """
        if self.busy or self.write is None:
            return
        self.busy = True
        try:
            while (write := self.write) is not None and (packets := self.take(self._limit_bytes)):
                await write(packets)
                if not self._session.has_packets(self):
                    break
        except OSError:
            self._break_off()
        except BaseException:
            self._break_off()
            raise
        finally:
            self.busy = False
            if self.over:
                self.ring()

    def _break_off(self) -> None:
        # At once: until the coroutine that serves this carrier has ended, others may have something to write.
        self.write = None
        self._stop()

    def _stop(self) -> None:
        self.is_cut = True
        if self._scope is not None:
            self._scope.cancel()

    async def flush_as_guest(self) -> None:
        """`flush` on a handler's coroutine, which goes on when this carrier is cut."""
        if self._direct is not None:
            self._direct.flush()
            return
        if self.busy or self.write is None:
            return
        self._guest = guest = Stopper()
        try:
            await guest.run(self.flush)
        finally:
            self._guest = None

    def begin(
        self,
        write: Callable[[list[str | Message]], Awaitable[None]],
        *,
        limit_bytes: int | None = None,
        ends: bool = False,
    ) -> None:
        """From now on, write what there is to be written.

        Args:
            write: Raises `OSError` where nothing can be written any more; that cuts the carrier.
            limit_bytes: Of what is written at once, as a payload.
            ends: Whether the carrier is cut as soon as it does not write any more, and not read on.
        """
        self.write = write
        self._limit_bytes = limit_bytes
        self._ends = ends
        self.ring()

    def begin_direct(
        self, direct: Direct, through: Callable[[Sequence[Message]], None] | None = None
    ) -> None:
        """`begin`, where writing never waits and takes no coroutine.

        Whoever does it sets `busy` while it is held up, and looks itself whether there is something to be written now.

        Args:
            through: Writes messages that are not kept for the peer; not called while it is held up.
        """
        self._direct, self._through = direct, through

    def end_direct(self) -> None:
        """Nothing is written any more."""
        self._direct = self._through = None

    @property
    def write_now(self) -> Callable[[Sequence[Message]], None] | None:
        """What writes messages at once, if that is possible now."""
        return None if self.busy else self._through

    @property
    def may_flush(self) -> bool:
        """Whether there is a way to write."""
        return self._direct is not None or self.write is not None

    async def end(self) -> None:
        """Nothing is written any more; returns when nobody is at it. A guest goes on, until it is cut."""
        self.write = None
        if self._awake:
            self._ended = ended = make_event()
            if self._pen is not None:
                self._pen.stop()
            with anyio.CancelScope(shield=True):
                await ended.wait()

    async def _work(self) -> None:
        self._pen = pen = Stopper()
        try:
            await pen.run(self._write_on)
        finally:
            self._awake, self._pen = False, None
            if self._ended is not None:
                self._ended.set()

    async def _write_on(self) -> None:
        while self.write is not None:
            await self.flush()
            if self.over:
                while self.busy:
                    # A guest is still writing.
                    await self._rung()
                if self._ends or self._session.life is Life.CLOSED:
                    self.cut()
                return
            if self._is_due():
                continue
            if self._session.host.begins_at_once or self.carrier.written - self._written < _FEW:
                return
            await self.wait()

    def rest(self) -> None:
        """A heartbeat is due: the task that writes may go, until there is much to be written again."""
        self._written = self.carrier.written
        if self._awake:
            self.ring()

    @property
    def is_candidate(self) -> bool:
        """Whether it is a stream that has not been attached yet."""
        return self.carrier.role is Role.BRINGER

    @property
    def over(self) -> bool:
        """Whether nothing will be written here any more."""
        return self.carrier.role not in (Role.WRITER, Role.BRINGER) or self._session.life is Life.CLOSED

    async def wait(self) -> None:
        """Return when there may be something to write, or when this carrier does not write any more."""
        if not self._is_due():
            await self._rung()

    async def wait_unless(self, gone: Callable[[], Awaitable[None]]) -> bool:
        """`wait`, unless something else happens first: whether it did not."""
        if self._is_due():
            return True
        with anyio.CancelScope() as scope:
            self._bell = scope.cancel
            try:
                await gone()
            finally:
                self._bell = None
            return False
        return True

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
            self._awake = True
            host = self._session.host
            if now:
                host.begin_aside(self._work)
            else:
                host.soon(self._work)

    def _flush_direct(self) -> None:
        self._awake = False
        if self._direct is not None:
            self._direct.flush()

    @property
    def _may_write(self) -> bool:
        # One that is replaced and read on has nothing to be done until its session is over.
        return self.write is not None and (self._ends or not self.over or self._session.life is Life.CLOSED)
