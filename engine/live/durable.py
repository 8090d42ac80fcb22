"""A live session with a record: see docs/durable.md, and `DurableSession` for the rules."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Protocol, cast

from ..errors import RemoteProtocolError, SessionClosed, StaleAttach
from ..host import Event, make_event
from ..session import Carrier, CloseReason, Life, Role
from ..session.durable import DurableSession
from ..wire.message import Message
from .intake import Incoming
from .records import HandOver, Keeper, Outcome, Put, Task
from .session import LiveSession, SessionHandler

__all__ = ["DurableHandler", "DurableLive"]

logger = logging.getLogger("holdfast.durable")

# How long a POST waits until what it has brought is in the record. Its client then brings the same again.
_PATIENCE = 10.0
# A node that has not asked the store for so long does not know whose a session is: others may believe in it no longer.
_BELIEF = 0.5
# A timer that is so late has slept with its node.
_ASLEEP = 1.5
# How long handlers may still run when another node wants the session.
_HANDLERS = 2.0


class DurableHandler(SessionHandler, Protocol):
    """What runs above a session with a record. Its `message_received` does nothing: see `take`."""

    def take(self, number: int, data: str | bytes, *, replayed: bool) -> None:
        """One message of the peer, which the record has. It says `DurableLive.done` when it is done with it.

        Raises:
            RemoteProtocolError: the session has to end.
        """
        ...

    def state(self) -> bytes:
        """All of it that another node needs."""
        ...

    def vanish(self) -> None:
        """Another node has the session: forget it, and tell nobody."""
        ...


class _Turn(Enum):
    """HERE; LEAVING, as soon as its handlers have ended; SHUT, until the record has what was sent before; HANDED over,
    which the store is being told; GONE."""

    HERE = "here"
    LEAVING = "leaving"
    SHUT = "shut"
    HANDED = "handed"
    GONE = "gone"


_SENDS = (_Turn.HERE, _Turn.LEAVING)


class DurableLive(LiveSession):
    """One peer whose session outlives this node.

    Args:
        core: With the epoch of this node.
        keeper: Writes its record.
        meta: What is written once.
        options: Those of `LiveSession`.

    Attributes:
        kept_at: When it was last written.
    """

    __slots__ = ("_durable", "_is_wanted", "_keeper", "_meta", "_state", "_stored", "_turn", "kept_at")

    def __init__(self, core: DurableSession, *, keeper: Keeper, meta: bytes, **options: Any) -> None:
        # Any: those of the session that it is.
        super().__init__(core, **options)
        self._durable = core
        self._keeper = keeper
        self._meta = meta
        self._state: bytes | None = None
        self._stored: Event | None = None
        self._turn = _Turn.HERE
        self._is_wanted = False
        self.kept_at = self.host.now()

    @property
    def epoch(self) -> int:
        """Of this node's turn."""
        return self._durable.epoch

    @property
    def _above(self) -> DurableHandler:
        return cast("DurableHandler", self.handler)

    def start(self, handler: SessionHandler) -> None:
        super().start(handler)
        self._keeper.add(self)
        if self._durable.unfinished:
            self._hand_on(self._durable.unfinished, replayed=True)

    def done(self, numbers: Iterable[int]) -> None:
        """The application is done with messages of the peer."""
        for number in numbers:
            self._durable.done(number)
        self._keeper.wake(self)

    def changed(self) -> None:
        """What runs above has changed."""
        self._is_wanted = True
        self._keeper.wake(self)

    def renew(self) -> None:
        """Have it written that the session is there."""
        self.changed()

    # -- what waits for the record

    @property
    def is_open(self) -> bool:
        return self._turn is not _Turn.GONE and super().is_open

    def _put(self, messages: Sequence[Message], size: int) -> None:
        if self._turn not in _SENDS:
            raise SessionClosed("another node has the session, or will have it at once")
        super()._put(messages, size)
        self._keeper.wake(self)

    def _settle(self, *, now: bool = False) -> None:
        if self._turn is _Turn.GONE:
            return
        super()._settle(now=now)
        if self._durable.owes:
            self._keeper.wake(self)

    def receive_now(self, carrier: Carrier, packets: Iterator[Incoming]) -> bool:
        return super().receive_now(carrier, packets) and not self._is_owed(carrier)

    async def receive_rest(self, carrier: Carrier, packets: Iterator[Incoming]) -> None:
        await super().receive_rest(carrier, packets)
        if self._is_owed(carrier):
            await self._wait_stored()

    def _is_owed(self, carrier: Carrier) -> bool:
        # A POST is answered with how far we are; a client would bring at once what is not in there.
        return carrier.role is Role.BRINGER and self._durable.is_holding and self.is_open

    async def _wait_stored(self) -> None:
        with self.host.move_on_after(_PATIENCE):
            while self._durable.is_holding and self.is_open and self._turn is not _Turn.GONE:
                if self._stored is None:
                    self._stored = make_event()
                await self._stored.wait()

    def _ring_stored(self) -> None:
        if self._stored is not None:
            self._stored.set()
            self._stored = None

    # -- whose it is

    @property
    def _is_doubtful(self) -> bool:
        return self.host.now() - self.kept_at > _BELIEF

    def _refuse(self, error: RemoteProtocolError) -> None:
        if self._is_doubtful and not self.is_gone:
            # What makes no sense to a node that was frozen, another one may have said. The record knows.
            self.renew()
            raise StaleAttach("another node may have the session") from error
        super()._refuse(error)

    def _tick(self) -> None:
        now = self.host.now()
        if self._timer_at is not None and now - self._timer_at > _ASLEEP:
            # The same of what it seems to have missed.
            self.renew()
            self._timer_at = now + _ASLEEP
            self._timer = self.host.call_at(self._timer_at, self._tick)
            return
        super()._tick()

    # -- the record

    def task(self) -> Task | None:
        """What the keeper has to do for it now."""
        core = self._durable
        if self._turn is _Turn.GONE or core.life is Life.CLOSED:
            return None
        if self._turn is _Turn.LEAVING and not self.is_busy:
            self._turn = _Turn.SHUT
        if self._turn is _Turn.SHUT and not core.owes:
            self._turn = _Turn.HANDED
        if self._turn is _Turn.HANDED:
            return HandOver(self.sid, core.epoch)
        if not core.owes and not self._is_wanted:
            return None
        self._is_wanted = False
        state = self._above.state()
        write = core.gather(None if state == self._state and core.is_recorded else state)
        if write.state is not None:
            self._state = write.state
        return Put(self.sid, write, self._meta)

    def kept(self, outcome: Outcome, *, at: float) -> None:
        """What became of the task, which was asked for at that time."""
        core = self._durable
        now = self.host.now()
        if self._turn is _Turn.GONE or core.life is Life.CLOSED:
            return
        if outcome is Outcome.REFUSED:
            logger.info("session %s: another node has it", self.name)
            self._vanish()
        elif self._turn is _Turn.HANDED:
            self._vanish()
        elif outcome is Outcome.MISSING:
            if now - self.kept_at > self._keeper.seconds:
                # It may have been another's meanwhile, and over.
                logger.warning("session %s: its record was kept no longer", self.name)
                self._vanish()
                return
            core.start_over()
            self._state = None
            self._keeper.wake(self)
        else:
            self.kept_at = at
            fresh = core.confirm(now=now)
            self._ring_stored()
            if fresh:
                self._hand_on(fresh, replayed=False)
            else:
                self._settle(now=True)
            if self._turn is not _Turn.HERE:
                self._keeper.wake(self)

    def _hand_on(self, messages: Iterable[tuple[int, str | bytes]], *, replayed: bool) -> None:
        """Give the application what the record has."""
        above, core = self._above, self._durable
        self._is_receiving = True
        try:
            for number, data in messages:
                if core.life is Life.CLOSED:
                    break
                above.take(number, data, replayed=replayed)
        except RemoteProtocolError as error:
            self._is_receiving = False
            self._refuse(error)
        finally:
            if self._begins is not None:
                self._begin_all()
            self._is_receiving = False
        self._settle(now=True)

    # -- its end on this node

    @property
    def is_busy(self) -> bool:
        return super().is_busy or self._durable.is_holding

    def hand_over(self) -> None:
        """Let another node have it: when its handlers have ended, or after two seconds."""
        if self._turn is _Turn.HERE and self.is_open:
            self._turn = _Turn.LEAVING
            self._keeper.wake(self)
            self.host.call_later(_HANDLERS, self._hand_over_now)

    def _hand_over_now(self) -> None:
        if self._turn is _Turn.LEAVING:
            self._turn = _Turn.SHUT
            self._keeper.wake(self)

    @property
    def is_gone(self) -> bool:
        """Whether another node has it, or may."""
        return self._turn is _Turn.GONE

    @property
    def is_over(self) -> bool:
        return self.is_gone or super().is_over

    @property
    def has_said_bye(self) -> bool:
        return self.is_gone or super().has_said_bye

    def close(
        self, reason: CloseReason = CloseReason.FORCED_SERVER_CLOSE, *, retry_ms: int | None = None
    ) -> None:
        if reason is CloseReason.SERVER_SHUTTING_DOWN:
            # Others will have it.
            self.hand_over()
        elif not self.is_gone:
            super().close(reason, retry_ms=retry_ms)

    def fail(
        self,
        reason: CloseReason,
        *,
        code: int | None = None,
        message: str | None = None,
        close_code: int | None = None,
    ) -> None:
        if self.is_gone:
            return
        if reason is CloseReason.SERVER_SHUTTING_DOWN:
            # Whatever is not in its record yet.
            self._vanish()
        else:
            super().fail(reason, code=code, message=message, close_code=close_code)

    def _vanish(self) -> None:
        """Another node goes on with it: nobody here is told, and nothing is written or taken any more."""
        self._turn = _Turn.GONE
        self._keeper.forget(self)
        if self.handler is not None:
            self._above.vanish()
        self.handler = None
        if self.identity is not None:
            self.identity.end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ring_stored()
        attachments = list(self._attachments.values())
        self._attachments.clear()
        for attachment in attachments:
            attachment.carrier.role = Role.DETACHED
            attachment.cut()
        self._cut_candidates()
        # Its life stays as it is: to a client its carriers end as if others had taken their place.
        self._durable.outbox.clear()
        self._durable.budget.sessions -= 1
        self._is_ended = True
        if self._ended is not None:
            self._ended.set()
        if self._room is not None:
            self._room.set()
            self._room = None
        if self._on_end is not None:
            self._on_end(self)
