"""Records of sessions in memory, for several servers of one process; and what a real store may do to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio.lowlevel

from holdfast.engine.adapters import MemoryHub
from holdfast.engine.errors import BrokerRefused, BrokerUnavailable
from holdfast.engine.host import Host
from holdfast.engine.live.records import LEASE, End, HandOver, Held, Outcome, Over, Put, Taken, Task
from holdfast.engine.session.record import Record, Write
from holdfast.engine.wire.message import Message

__all__ = ["DurableHub", "MemoryRecords"]


class _Entry:
    def __init__(self, record: Record, owner: str, meta: bytes) -> None:
        self.record = record
        self.owner = owner
        self.meta = meta
        self.ended: int | None = None


class MemoryRecords:
    """See `Records`.

    Attributes:
        is_away: Nothing can be reached.
        is_full: Whatever writes is refused.
        frozen: Nodes whose requests wait until they are taken out of here.
        writes: How often the way there and back was made.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.entries: dict[str, _Entry] = {}
        self._leases: dict[str, float] = {}
        self._wanted: dict[str, set[str]] = {}
        self.is_away = self.is_full = False
        self.frozen: set[str] = set()
        self.writes = 0

    async def _reach(self, node: str) -> None:
        await anyio.lowlevel.checkpoint()
        if self.is_away or node in self.frozen:
            raise BrokerUnavailable("it is away")
        if self.is_full:
            raise BrokerRefused("OOM", "command not allowed when used memory > 'maxmemory'.")

    async def run(self, node: str, tasks: Sequence[Task]) -> list[Outcome]:
        await self._reach(node)
        self.writes += 1
        outcomes = [self._do(node, task) for task in tasks]
        await anyio.lowlevel.checkpoint()
        return outcomes

    def _do(self, node: str, task: Task) -> Outcome:
        entry = self.entries.get(task.sid)
        epoch = task.write.epoch if isinstance(task, Put) else task.epoch
        if entry is not None and epoch < entry.record.epoch:
            return Outcome.REFUSED
        if isinstance(task, Put) and task.write.is_whole:
            self.entries[task.sid] = _Entry(Record(task.write), node, task.meta)
        elif entry is None:
            return Outcome.MISSING
        elif isinstance(task, Put):
            entry.record.apply(task.write)
        elif isinstance(task, HandOver):
            entry.owner = ""
        else:
            assert isinstance(task, End)
            entry.ended = task.received
        return Outcome.DONE

    async def take_over(self, node: str, sid: str, *, force: bool) -> Taken | Held | Over | None:
        await self._reach(node)
        entry = self.entries.get(sid)
        if entry is None:
            return None
        if entry.ended is not None:
            return Over(entry.ended)
        if not force and entry.owner != node and await self.is_there(entry.owner):
            self._wanted.setdefault(entry.owner, set()).add(sid)
            return Held(entry.owner)
        record = entry.record
        record.epoch += 1
        entry.owner = node
        return Taken(Record(_whole(record)), entry.meta)

    async def owner(self, sid: str) -> str | None:
        entry = self.entries.get(sid)
        if entry is None or entry.ended is not None:
            return None
        return entry.owner if await self.is_there(entry.owner) else ""

    async def is_there(self, node: str) -> bool:
        return self._leases.get(node, 0.0) > self._now()

    async def beat(self, node: str) -> list[str]:
        await self._reach(node)
        self._leases[node] = self._now() + LEASE
        return list(self._wanted.pop(node, ()))

    def close(self) -> None:
        """There is nothing to be closed."""

    async def leave(self, node: str) -> None:
        await self._reach(node)
        self._leases.pop(node, None)


def _whole(record: Record) -> Write:
    return Write(
        epoch=record.epoch,
        first=record.acknowledged + 1,
        sent=tuple([Message(message.data) for message in record.sent]),
        acknowledged=record.acknowledged,
        received=record.received,
        taken=tuple(record.unfinished.items()),
        done=(),
        carrier=record.carrier,
        state=record.state,
        is_whole=True,
    )


class DurableHub(MemoryHub):
    """Joins servers of one process whose sessions outlive them."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self.store = MemoryRecords(now)

    def records(self, host: Host, *, seconds: float, tombstone_seconds: float) -> MemoryRecords:
        """Of each server."""
        return self.store
