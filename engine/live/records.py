"""Where the records of durable sessions are kept, and what writes them: see docs/durable.md."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

import anyio

from ..errors import BrokerRefused, BrokerUnavailable
from ..host import Event, Host, make_event
from ..node import NodeName
from ..session import CloseReason
from ..session.record import Record, Write

if TYPE_CHECKING:
    from .durable import DurableLive

__all__ = [
    "BEAT",
    "LEASE",
    "End",
    "HandOver",
    "Held",
    "Keeper",
    "Outcome",
    "Over",
    "Put",
    "Records",
    "Taken",
    "Task",
]

logger = logging.getLogger("holdfast.durable")

BEAT = 0.4
"""Seconds between two times that a node says that it is there."""

LEASE = 1.5
"""Seconds for which that is believed."""

# While the store cannot be reached.
_PAUSE = 0.1
# Of the time that a record is kept, after so much of it is written again that the session is there.
_RENEWED = 1 / 3
# How often it is looked for those, in beats.
_LOOK = 10


class Outcome(Enum):
    """What became of a task: it is DONE; REFUSED, because another node has the session; or the record is MISSING."""

    DONE = "done"
    REFUSED = "refused"
    MISSING = "missing"


class Put(NamedTuple):
    """Write a record.

    Attributes:
        meta: What is written with a whole record only.
    """

    sid: str
    write: Write
    meta: bytes


class HandOver(NamedTuple):
    """The record is nobody's: whoever wants it may take it."""

    sid: str
    epoch: int


class End(NamedTuple):
    """The session is over for good: for a while the record says so, and how far it had got."""

    sid: str
    epoch: int
    received: int


Task = Put | HandOver | End


class Taken(NamedTuple):
    """A record that has become ours."""

    record: Record
    meta: bytes


class Held(NamedTuple):
    """A record whose owner is there, and was asked to hand it over."""

    owner: str


class Over(NamedTuple):
    """What is left of a session that is over: how far it had got."""

    received: int


class Records(Protocol):
    """What keeps the records."""

    async def run(self, node: str, tasks: Sequence[Task]) -> list[Outcome]:
        """Do all of this in one way there and back, each whole or not at all.

        Raises:
            BrokerUnavailable: it is not known which of them was done; to be tried again, which changes nothing.
        """
        ...

    async def take_over(self, node: str, sid: str, *, force: bool) -> Taken | Held | Over | None:
        """Make a record ours, if there is one.

        Args:
            force: Whether to take it from an owner that is there, too.

        Raises:
            BrokerUnavailable: it is not known whether it was done; to be tried again.
        """
        ...

    async def owner(self, sid: str) -> str | None:
        """The node that has a session and is there; empty if none has it, None if there is no record.

        Raises:
            BrokerUnavailable: it cannot be told.
        """
        ...

    async def is_there(self, node: str) -> bool:
        """Whether a node has said so within `LEASE` seconds.

        Raises:
            BrokerUnavailable: it cannot be told.
        """
        ...

    async def beat(self, node: str) -> list[str]:
        """Say that a node is there. Returns the ids of the sessions that others want of it.

        Raises:
            BrokerUnavailable: it was not said.
        """
        ...

    def close(self) -> None:
        """Nothing is asked for a while: let go of what it takes. The next request has it again."""
        ...

    async def leave(self, node: str) -> None:
        """Say that a node is not there any more.

        Raises:
            BrokerUnavailable: it was not said.
        """
        ...


@contextmanager
def _alone(session: DurableLive) -> Generator[None]:
    """What fails with one session ends that one, and none of those that are written with it."""
    try:
        yield
    except Exception:
        logger.exception("session %s closed: its record cannot be written", session.name)
        session.fail(CloseReason.FORCED_SERVER_CLOSE)


class Keeper:
    """Writes the records of one node's sessions: all that have something to be written in one round trip, while what
    comes meanwhile gathers for the next.

    Args:
        records: Where.
        node: The name of this one.
        seconds: For how long a record is kept.
    """

    def __init__(self, records: Records, host: Host, *, node: NodeName, seconds: float) -> None:
        self.records = records
        self._node = node
        self.seconds = seconds
        self._host = host
        # Dicts as ordered sets.
        self._sessions: dict[str, DurableLive] = {}
        self._waiting: dict[DurableLive, None] = {}
        self._ends: list[End] = []
        self._is_writing = False
        self._is_beating = False
        self._is_cut_off = False
        # Somebody waits for the end of it all.
        self._over: Event | None = None
        self._nap: anyio.CancelScope | None = None

    @property
    def node(self) -> str:
        """The name of this one."""
        return str(self._node)

    def add(self, session: DurableLive) -> None:
        """A session of this node."""
        self._sessions[session.sid] = session
        self.wake(session)
        if not self._is_beating:
            self._is_beating = True
            self._host.spawn_aside(self._beat)

    def forget(self, session: DurableLive) -> None:
        """Another node has it."""
        self._sessions.pop(session.sid, None)
        self._waiting.pop(session, None)

    def end(self, session: DurableLive, *, received: int) -> None:
        """It is over for good."""
        self.forget(session)
        self._ends.append(End(session.sid, session.epoch, received))
        self._begin()

    def wake(self, session: DurableLive) -> None:
        """It may have something to be written."""
        if session.sid in self._sessions:
            self._waiting[session] = None
            self._begin()

    def _begin(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._host.spawn_aside(self._write)

    async def _write(self) -> None:
        try:
            while self._waiting or self._ends:
                sessions, self._waiting = list(self._waiting), {}
                ends, self._ends = self._ends, []
                tasks: list[Task] = []
                writers: list[DurableLive] = []
                for session in sessions:
                    with _alone(session):
                        task = session.task()
                        if task is not None:
                            tasks.append(task)
                            writers.append(session)
                tasks += ends
                if tasks:
                    outcomes, at = await self._run(tasks)
                    for session, outcome in zip(writers, outcomes, strict=False):
                        with _alone(session):
                            session.kept(outcome, at=at)
        finally:
            self._is_writing = False

    async def _run(self, tasks: list[Task]) -> tuple[list[Outcome], float]:
        """What became of them, and since when it is known: the answer may have waited while this node was frozen."""
        while True:
            at = self._host.now()
            try:
                outcomes = await self.records.run(self.node, tasks)
            except (BrokerUnavailable, BrokerRefused) as error:
                # Redis is away, or full. Sessions stay attached, and what they send and receive waits.
                if not self._is_cut_off:
                    self._is_cut_off = True
                    logger.warning("records of sessions cannot be written: %s", error)
                await self._host.sleep(_PAUSE)
            else:
                if self._is_cut_off:
                    self._is_cut_off = False
                    logger.info("records of sessions are written again")
                return outcomes, at

    async def _beat(self) -> None:
        count = 0
        try:
            while self._sessions:
                try:
                    wanted = await self.records.beat(self.node)
                except (BrokerUnavailable, BrokerRefused):
                    wanted = []
                for sid in wanted:
                    session = self._sessions.get(sid)
                    if session is not None:
                        session.hand_over()
                count += 1
                if not count % _LOOK:
                    self._renew()
                with anyio.CancelScope() as self._nap:
                    await self._host.sleep(BEAT)
            await self._leave()
        finally:
            self._is_beating = False
            if self._over is not None:
                self._over.set()
                self._over = None

    async def finish(self) -> None:
        """When it has no sessions any more: return when nobody thinks that we are there."""
        if self._is_beating:
            self._over = make_event()
            if self._nap is not None:
                self._nap.cancel()
            await self._over.wait()
        if not self._is_beating:
            self.records.close()

    async def _leave(self) -> None:
        try:
            await self.records.leave(self.node)
        except (BrokerUnavailable, BrokerRefused):
            logger.debug("node %s could not say that it has no sessions any more", self.node)

    def _renew(self) -> None:
        before = self._host.now() - self.seconds * _RENEWED
        for session in list(self._sessions.values()):
            if session.kept_at < before:
                session.renew()
