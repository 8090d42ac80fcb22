"""The network of nodes that die is only worth what it finds: each of these breaks one rule, and must be caught."""

from __future__ import annotations

import pytest
from durable_network import DurableNetwork, node_schedules
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.session import Carrier
from holdfast.engine.session.durable import DurableSession
from holdfast.engine.session.record import Record
from holdfast.engine.wire.packet import Packet


class WritesBeforeTheRecord(DurableSession):
    """Rule 1: what a carrier writes is in the record."""

    def send(self, message, *, now):  # type: ignore[no-untyped-def]
        number = super().send(message, now=now)
        self.outbox.last = number
        return number

    def _next_write(self, state):  # type: ignore[no-untyped-def]
        written, self.outbox.last = self.outbox.last, max(self.outbox.acknowledged, self._recorded)
        self._recorded = self.outbox.newest
        write = super()._next_write(state)
        self.outbox.last = written
        return write

    _recorded = 0


class AcknowledgesBeforeTheRecord(DurableSession):
    """Rule 2: what is acknowledged is in the record."""

    def receive(self, carrier: Carrier, packet: Packet, now: float) -> str | bytes | None:
        message = super().receive(carrier, packet, now)
        self.inbox.received = self.inbox.taken
        return message


class IsDoneBeforeItHasAnswered(DurableSession):
    """Rule 3: what a handler has sent is in the record when its message leaves it."""

    def send(self, message, *, now):  # type: ignore[no-untyped-def]
        text = str(message.data)
        if text.startswith("answer") and self._writing is None:
            # As if a write had been gathered between the end and the answer.
            self.early = int(text.removeprefix("answer"))
        return super().send(message, now=now)

    def _next_write(self, state):  # type: ignore[no-untyped-def]
        write = super()._next_write(state)
        return write._replace(sent=write.sent[:-1]) if write.done else write


class ForgetsTheEpoch(Record):
    """Rule 1 of the record: a lower epoch changes nothing."""

    def apply(self, write):  # type: ignore[no-untyped-def]
        return super().apply(write._replace(epoch=max(write.epoch, self.epoch)))


class TakesAWriteTwice(Record):
    """Rule 2 of the record: the second time changes nothing."""

    def apply(self, write):  # type: ignore[no-untyped-def]
        if not write.is_whole:
            write = write._replace(first=self.last + 1)
        return super().apply(write)


class LosesWhatIsUnfinished(Record):
    """What was acknowledged, and not handled, is only here."""

    def apply(self, write):  # type: ignore[no-untyped-def]
        return super().apply(write if write.is_whole else write._replace(taken=()))


def found(opening: str, session: type[DurableSession], record: type[Record]) -> bool:
    class Faulty(DurableNetwork):
        session_class = session
        record_class = record

    def breaks(schedule: list[tuple[str, int]]) -> bool:
        try:
            network = Faulty(opening)
            for kind, choice in schedule:
                network.step(kind, choice)
            network.heal()
        except (AssertionError, RemoteProtocolError):
            return True
        return False

    try:
        find(
            node_schedules(),
            breaks,
            settings=settings(
                max_examples=3_000,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except NoSuchExample:
        return False
    return True


@pytest.mark.parametrize(
    ("session", "record"),
    [
        (WritesBeforeTheRecord, Record),
        (AcknowledgesBeforeTheRecord, Record),
        (IsDoneBeforeItHasAnswered, Record),
        (DurableSession, ForgetsTheEpoch),
        (DurableSession, TakesAWriteTwice),
        (DurableSession, LosesWhatIsUnfinished),
    ],
    ids=lambda fault: fault.__name__,
)
def test_the_network_of_nodes_that_die_finds_it(session: type[DurableSession], record: type[Record]) -> None:
    assert found("websocket", session, record)
