"""Where a carrier meets the coroutine that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from ..host import Event, make_event
from ..session import Carrier, Life, Role
from ..wire.message import Message

__all__ = ["Attachable", "Attachment"]


class Attachable(Protocol):
    """What an attachment asks of its session."""

    @property
    def life(self) -> Life: ...

    def has_packets(self, attachment: Attachment) -> bool: ...

    def take(self, attachment: Attachment, limit_bytes: int | None = None) -> list[str | Message]: ...


class Attachment:
    """A carrier and the coroutine that serves it.

    Attributes:
        busy: Whether something is being written to it at this moment.
        fenced: Whether another carrier has taken its place, and it will be cut if it does not end by itself.
    """

    __slots__ = ("_bell", "_guest", "_session", "busy", "carrier", "fenced", "scope", "write")

    def __init__(self, carrier: Carrier, session: Attachable) -> None:
        self.carrier = carrier
        self.scope = anyio.CancelScope()
        self.write: Callable[[list[str | Message]], Awaitable[None]] | None = None
        self._session = session
        self._bell: Event | None = None
        self._guest: anyio.CancelScope | None = None
        self.busy = False
        self.fenced = False

    @property
    def writes(self) -> bool:
        """Whether it is still this carrier that carries our messages."""
        return self.carrier.role is Role.WRITER

    def take(self, limit_bytes: int | None = None) -> list[str | Message]:
        """What has to be written now. If writing then fails or is cut short, the carrier must end."""
        return self._session.take(self, limit_bytes)

    def cut(self) -> None:
        """End whoever serves this carrier or writes to it, wherever they wait."""
        self.scope.cancel()
        if self._guest is not None:
            self._guest.cancel()

    async def flush(self) -> None:
        """Write all that waits, on this coroutine; returns at once if another one is writing already.

        A frame that was taken and not written would shift every number after it, so a write that is cut short, by
        an error or a cancellation, ends this carrier.
        """
        if self.busy or self.write is None:
            return
        self.busy = True
        try:
            while packets := self.take():
                await self.write(packets)
        except OSError:
            self.scope.cancel()
        except BaseException:
            self.scope.cancel()
            raise
        finally:
            self.busy = False
            if self.over:
                self.ring()

    async def flush_as_guest(self) -> None:
        """`flush` on a handler's coroutine, which goes on when this carrier is cut."""
        if self.busy or self.write is None:
            return
        with anyio.CancelScope() as self._guest:
            await self.flush()
        self._guest = None

    async def drained(self) -> None:
        """Return when no guest is writing any more."""
        while self.busy:
            self._bell = bell = make_event()
            await bell.wait()

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
        if self.over or (not self.busy and self._session.has_packets(self)):
            return
        self._bell = bell = make_event()
        await bell.wait()

    def ring(self) -> None:
        """Let `wait` return."""
        if self._bell is not None:
            self._bell.set()
            self._bell = None
