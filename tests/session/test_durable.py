"""Traces of a few lines; what comes together at random is in test_durable_network.py."""

from __future__ import annotations

import pytest
from session_pair import NOW, data_of

from holdfast.engine.errors import MissingMessages, RemoteProtocolError
from holdfast.engine.session import Carrier, CloseReason, Life, Role
from holdfast.engine.session.durable import DurableSession
from holdfast.engine.session.record import Record
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import HIGHEST_NUMBER, PacketType


def make(record: Record | None = None, epoch: int = 1) -> DurableSession:
    return DurableSession(
        transport="websocket",
        ping_interval=10.0,
        ping_timeout=5.0,
        grace=60.0,
        limit_bytes=10_000,
        now=NOW,
        epoch=epoch,
        record=record,
    )


def recorded(state: bytes | None = b"state") -> tuple[DurableSession, Record]:
    session = make()
    record = Record(session.gather(state))
    session.confirm(now=NOW)
    return session, record


def bring(session: DurableSession, *texts: str, carrier: Carrier | None = None) -> None:
    for text in texts:
        session.receive(carrier or session.opening, (PacketType.MESSAGE, text), now=NOW)


def test_nothing_is_written_before_it_is_in_the_record() -> None:
    session, _ = recorded()
    session.send(Message("one"), now=NOW)
    assert session.owes
    assert not session.has_packets(session.opening, now=NOW)
    session.gather()
    session.send(Message("two"), now=NOW)
    assert not session.owes, "one write at a time"
    assert session.gather() is session.gather()
    session.confirm(now=NOW)
    assert data_of(session.packets_to_send(session.opening, now=NOW)) == ["one"]
    assert data_of(session.gather().sent) == ["two"]


def test_text_is_kept_as_a_message_alone() -> None:
    session, _ = recorded()
    assert not session.keep("one")
    assert session.outbox.kept == 0


def test_acknowledgement_of_all_that_is_in_the_record_leaves_what_is_not() -> None:
    session, _ = recorded()
    session.send(Message("one"), now=NOW)
    session.gather()
    session.confirm(now=NOW)
    session.packets_to_send(session.opening, now=NOW)
    session.send(Message("two"), now=NOW)
    session.receive(session.opening, (PacketType.ACK, "1"), now=NOW)
    assert session.outbox.kept == 1
    session.gather()
    session.confirm(now=NOW)
    assert data_of(session.packets_to_send(session.opening, now=NOW)) == ["two"]


def test_nothing_is_acknowledged_or_handed_over_before_it_is_in_the_record() -> None:
    session, record = recorded()
    bring(session, "one", "two")
    assert session.is_holding
    assert session.answer_to_post() == '7{"received":0,"sent":0}'
    assert session.unfinished == []
    assert record.apply(session.gather())
    assert session.confirm(now=NOW) == [(1, "one"), (2, "two")]
    assert session.answer_to_post() == '7{"received":2,"sent":0}'
    assert session.unfinished == [(1, "one"), (2, "two")] == sorted(record.unfinished.items())


def test_acknowledgement_that_is_owed_already_comes_no_later() -> None:
    session, _ = recorded()
    bring(session, "one")
    due = session.deadline()
    session.gather()
    session.confirm(now=NOW + 0.5)
    assert session.deadline() == due


def test_what_is_done_leaves_the_record_with_what_it_has_sent() -> None:
    session, record = recorded()
    bring(session, "one", "two")
    record.apply(session.gather())
    session.confirm(now=NOW)
    session.send(Message("answer"), now=NOW)
    session.done(2)
    session.done(2)
    write = session.gather()
    assert (data_of(write.sent), write.done) == (["answer"], (2,))
    assert record.apply(write)
    assert record.unfinished == {1: "one"}


def test_another_node_goes_on_from_the_record() -> None:
    session, record = recorded()
    bring(session, "one")
    session.send(Message("a"), now=NOW)
    record.apply(session.gather(b"newer"))
    assert record.state == b"newer"
    session.confirm(now=NOW)
    session.packets_to_send(session.opening, now=NOW)
    heir = make(record, epoch=record.epoch + 1)
    assert heir.unfinished == [(1, "one")]
    assert heir.writer is None
    assert heir.is_used
    carrier = heir.attach("websocket", now=NOW, number=2, received=0)
    assert data_of(heir.packets_to_send(carrier, now=NOW)) == ['7{"carrier":2,"received":1}', "91", "a"]
    assert record.apply(heir.gather())
    assert not record.apply(session.gather()), "the one before it writes nothing any more"


def test_record_that_was_lost_is_made_anew_from_all_that_there_is() -> None:
    session, record = recorded()
    bring(session, "one")
    session.send(Message("a"), now=NOW)
    record.apply(session.gather())
    session.confirm(now=NOW)
    session.packets_to_send(session.opening, now=NOW)
    bring(session, "two")
    session.gather()
    session.start_over()
    session.start_over()
    session.send(Message("b"), now=NOW)
    bring(session, "three")
    write = session.gather(b"all")
    assert write.is_whole
    for made in (Record(write), record):
        assert made.apply(write)
        assert data_of(made.sent) == ["a", "b"]
        assert made.unfinished == {1: "one", 2: "two", 3: "three"}
        assert made.state == b"all"
    assert session.confirm(now=NOW) == [(2, "two"), (3, "three")]


def test_write_that_comes_twice_changes_nothing_the_second_time() -> None:
    session, record = recorded()
    bring(session, "one")
    session.send(Message("a"), now=NOW)
    write = session.gather()
    assert record.apply(write)
    assert record.apply(write)
    assert (data_of(record.sent), record.unfinished) == (["a"], {1: "one"})


def test_record_lets_go_of_what_is_acknowledged_sooner_or_later() -> None:
    session, record = recorded()
    for _ in range(64):
        session.send(Message("a"), now=NOW)
    record.apply(session.gather())
    session.confirm(now=NOW)
    session.packets_to_send(session.opening, now=NOW)
    session.receive(session.opening, (PacketType.ACK, "63"), now=NOW)
    assert not session.owes
    session.receive(session.opening, (PacketType.ACK, "64"), now=NOW)
    assert session.owes
    assert record.apply(session.gather())
    assert (record.acknowledged, record.sent) == (64, [])
    session.confirm(now=NOW)
    assert not session.owes


def test_end_is_said_after_all_that_was_sent_whatever_becomes_of_the_record() -> None:
    session, _ = recorded()
    session.send(Message("a"), now=NOW)
    session.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    packets = data_of(session.packets_to_send(session.opening, now=NOW))
    assert packets[0] == "a"
    assert session.life is Life.CLOSED


def test_session_that_is_over_keeps_nothing() -> None:
    session, _ = recorded()
    session.send(Message("a"), now=NOW)
    session.fail(CloseReason.PARSE_ERROR)
    assert session.outbox.size_bytes == 0
    assert session.budget.used_bytes == 0


def test_numbers_of_the_peer_are_the_next_or_a_repeat_or_the_carriers_end() -> None:
    session, _ = recorded()
    bring(session, "one")
    carrier = Carrier("polling", Role.BRINGER, next_in=1)
    bring(session, "one", carrier=carrier)
    assert len(session.gather().taken) == 1
    carrier.next_in = 3
    with pytest.raises(MissingMessages) as missing:
        bring(session, "three", carrier=carrier)
    assert missing.value.received == 0, "it is told what is in the record, and no more"
    session.inbox.taken = HIGHEST_NUMBER  # type: ignore[attr-defined]
    carrier.next_in = HIGHEST_NUMBER + 1
    with pytest.raises(RemoteProtocolError, match="used up"):
        bring(session, "too many", carrier=carrier)
