"""What is kept for a peer is counted as what it costs, alone and together with what is kept for all."""

from __future__ import annotations

from session_pair import NOW

from holdfast.engine.session import Budget, CloseReason, Life, ServerSession
from holdfast.engine.session.budget import OVERHEAD_BYTES, kept_bytes
from holdfast.engine.wire.message import Message


def opened(budget: Budget, *, limit_bytes: int = 1_000_000) -> ServerSession:
    session = ServerSession(
        transport="websocket",
        counting=True,
        ping_interval=10.0,
        ping_timeout=5.0,
        grace=60.0,
        limit_bytes=limit_bytes,
        now=NOW,
        budget=budget,
    )
    session.packets_to_send(session.opening, now=NOW)
    return session


def acknowledge(session: ServerSession) -> None:
    session.packets_to_send(session.opening, now=NOW)
    session.outbox.acknowledge(session.outbox.last)
    session.outbox.forget(session.outbox.last)


def test_empty_messages_are_not_free() -> None:
    session = opened(Budget())
    for _ in range(6_666):
        session.send(Message(""), now=NOW)
    assert session.life is Life.OPEN
    session.send(Message(""), now=NOW)
    assert session.reason is CloseReason.BUFFER_FULL


def test_message_that_many_keep_counts_once_until_the_last_lets_go() -> None:
    budget = Budget()
    message = Message("x" * 850)
    sessions = [opened(budget) for _ in range(10)]
    for session in sessions:
        session.send(message, now=NOW)
    assert budget.used_bytes == 1_000
    for session in sessions[:9]:
        acknowledge(session)
    assert budget.used_bytes == 1_000
    acknowledge(sessions[9])
    assert budget.used_bytes == 0


def test_end_of_a_session_gives_everything_back() -> None:
    budget = Budget()
    session = opened(budget)
    for text in "abc":
        session.send(Message(text), now=NOW)
    acknowledge(session)
    session.send(Message("d"), now=NOW)
    assert (budget.used_bytes, budget.sessions) == (151, 1)
    session.fail(CloseReason.FORCED_CLOSE)
    session.fail(CloseReason.FORCED_CLOSE)
    assert (budget.used_bytes, budget.sessions, session.outbox.size_bytes) == (0, 0, 0)


def test_beyond_the_total_those_who_keep_more_than_their_share_pay_and_nobody_else() -> None:
    budget = Budget(100_000)
    stalled = [opened(budget) for _ in range(5)]
    reading = [opened(budget) for _ in range(5)]
    for session in stalled:
        for _ in range(20):
            session.send(Message("x" * 850), now=NOW)
    assert all(session.life is Life.OPEN for session in stalled)
    for session in reading:
        session.send(Message("small"), now=NOW)
        assert session.has_room
    assert not stalled[0].has_room
    stalled[0].send(Message("one more"), now=NOW)
    assert stalled[0].reason is CloseReason.BUFFER_FULL
    assert stalled[0].end_message is not None
    assert "total_buffer_limit" in stalled[0].end_message
    assert all(session.life is Life.OPEN for session in reading)
    assert budget.used_bytes < budget.limit_bytes


def test_a_message_that_several_keep_counts_once_until_the_last_lets_go() -> None:
    budget = Budget(limit_bytes=200)
    message = Message("x" * 100)
    budget.keep(message)
    budget.keep(message)
    assert budget.used_bytes == kept_bytes([message]) == 100 + OVERHEAD_BYTES
    budget.keep(Message(""))
    assert budget.is_used_up
    budget.let_go(message)
    assert budget.used_bytes == 100 + 2 * OVERHEAD_BYTES
    budget.let_go(message)
    assert budget.used_bytes == OVERHEAD_BYTES
    assert not budget.is_used_up
    assert budget.share_bytes == 200
    budget.sessions = 4
    assert budget.share_bytes == 50
