"""A SockJS session, without I/O: one receiver, one frame for a poll, an end with a code."""

from __future__ import annotations

import pytest

from holdfast.engine.errors import LocalProtocolError, SessionClosed, StaleAttach
from holdfast.engine.session import Budget, Carrier, CloseReason, Life, Role, SockJSCore
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import PacketType

NOW = 100.0
GO_AWAY = 'c[3000,"Go away!"]'


def core(transport: str = "polling", *, raw: bool = False, limit_bytes: int = 10_000) -> SockJSCore:
    return SockJSCore(transport=transport, raw=raw, heartbeat=25, expiry=5, limit_bytes=limit_bytes, now=NOW)


def written(
    session: SockJSCore, carrier: Carrier, *, now: float = NOW, limit_bytes: int | None = None
) -> list[str]:
    packets = session.packets_to_send(carrier, now=now, limit_bytes=limit_bytes)
    return [packet if isinstance(packet, str) else f"message {packet.data!r}" for packet in packets]


def opened(transport: str = "polling") -> SockJSCore:
    """One whose first receiver has had the open frame; a poll is over with that."""
    session = core(transport)
    assert written(session, session.opening) == ["o"]
    if transport == "polling":
        session.detach(session.opening, now=NOW)
    return session


def test_first_receiver_gets_the_open_frame() -> None:
    session = core("stream")
    assert session.has_packets(session.opening, now=NOW)
    assert written(session, session.opening) == ["o"]
    assert not session.has_packets(session.opening, now=NOW)


def test_websocket_without_frames_gets_none() -> None:
    session = core("websocket", raw=True)
    assert not session.has_packets(session.opening, now=NOW)
    session.send(Message(b"\x00"), now=NOW)
    assert written(session, session.opening) == ["message b'\\x00'"]
    session.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    assert session.has_packets(session.opening, now=NOW)
    assert written(session, session.opening) == []
    assert session.life is Life.CLOSED
    assert session.has_said_bye


def test_websocket_without_frames_is_told_its_end_by_nothing_else() -> None:
    session = core("websocket", raw=True)
    session.fail(CloseReason.BUFFER_FULL, message="too much")
    assert written(session, session.opening) == []
    assert session.end == (1008, "too much")


def test_poll_takes_one_frame_and_a_stream_takes_all() -> None:
    poll, stream = core(), core("stream")
    for session in (poll, stream):
        session.send(Message("a"), now=NOW)
        session.send(Message("b"), now=NOW)
    assert written(poll, poll.opening) == ["o"]
    assert written(stream, stream.opening) == ["o", "message 'a'", "message 'b'"]
    poll.detach(poll.opening, now=NOW)
    assert written(poll, poll.attach("polling", now=NOW)) == ["message 'a'", "message 'b'"]


def test_close_comes_after_what_was_sent_and_to_a_poll_alone() -> None:
    poll, stream = opened(), opened("stream")
    for session in (poll, stream):
        session.send(Message("a"), now=NOW)
        session.end_as(3001, "bye")
        session.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
        session.end_as(3002, "too late")
    assert written(stream, stream.opening) == ["message 'a'", 'c[3001,"bye"]']
    first = poll.attach("polling", now=NOW)
    assert written(poll, first) == ["message 'a'"]
    assert poll.life is Life.CLOSING
    poll.detach(first, now=NOW)
    second = poll.attach("polling", now=NOW)
    assert written(poll, second) == ['c[3001,"bye"]']
    for session in (poll, stream):
        assert session.life is Life.CLOSED
        assert session.has_said_bye
        assert session.reason is CloseReason.FORCED_SERVER_CLOSE
        assert session.end == (3001, "bye")


def test_a_limit_leaves_the_rest_for_the_next() -> None:
    session = opened()
    for letter in "abc":
        session.send(Message(letter * 60), now=NOW)
    poll = session.attach("polling", now=NOW)
    assert len(written(session, poll, limit_bytes=130)) == 2
    session.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    session.detach(poll, now=NOW)
    assert written(session, session.attach("stream", now=NOW)) == [f"message {'c' * 60!r}", GO_AWAY]


def test_second_receiver_is_refused_and_harms_nothing() -> None:
    session = opened("stream")
    with pytest.raises(StaleAttach, match="Another connection still open"):
        session.attach("polling", now=NOW)
    session.send(Message("a"), now=NOW)
    assert written(session, session.opening) == ["message 'a'"]
    assert session.transport == "stream"


def test_next_receiver_may_be_of_another_kind() -> None:
    session = opened()
    session.send(Message("\x1e"), now=NOW)
    stream = session.attach("stream", now=NOW)
    assert session.transport == "stream"
    assert session.is_used
    assert written(session, stream) == ["message '\\x1e'"]


def test_carrier_that_does_not_write_gets_nothing() -> None:
    session = opened()
    bringer = session.bring(now=NOW)
    assert bringer.role is Role.BRINGER
    assert session.receive(bringer, (PacketType.MESSAGE, "a"), now=NOW) == "a"
    assert session.receive(bringer, (PacketType.NOOP, ""), now=NOW) is None
    assert written(session, bringer) == []
    assert session.inbox.received == 1


def test_text_with_a_separator_travels_by_polling() -> None:
    session = opened()
    session.send(Message("a\x1eb"), now=NOW)
    assert session.outbox.last == 1


def test_messages_are_always_framed_by_who_writes_them() -> None:
    session = opened("websocket")
    assert not session.write_through()
    assert session.outbox.last == 0


def test_bytes_are_sent_to_who_takes_them() -> None:
    session = SockJSCore(
        transport="stream", raw=False, heartbeat=25, expiry=5, limit_bytes=1_000, now=NOW, takes_bytes=True
    )
    session.send(Message(b"\x00"), now=NOW)
    assert written(session, session.opening) == ["o", "message b'\\x00'"]


def test_bytes_are_refused_where_they_are_sent() -> None:
    session = opened()
    with pytest.raises(LocalProtocolError, match="text only"):
        session.send(Message(b"a"), now=NOW)
    assert session.outbox.last == 0


def test_heartbeat_comes_by_its_own_time_and_needs_no_answer() -> None:
    session = opened("stream")
    assert session.deadline() == NOW + 25
    assert session.tick(now=NOW + 24) is None
    assert not session.has_packets(session.opening, now=NOW + 24)
    for beat in (1, 2, 3):
        assert session.tick(now=NOW + 25 * beat) is None
        assert written(session, session.opening) == ["h"]
    assert session.life is Life.OPEN


def test_heartbeat_answers_a_poll() -> None:
    session = opened()
    poll = session.attach("polling", now=NOW + 2)
    assert session.deadline() == NOW + 27
    assert session.tick(now=NOW + 27) is None
    assert written(session, poll) == ["h"]


def test_receiver_that_has_not_taken_a_heartbeat_until_the_next_is_gone() -> None:
    session = opened("stream")
    assert session.tick(now=NOW + 25) is None
    assert session.tick(now=NOW + 50) is session.opening
    assert session.writer is None


def test_websocket_without_frames_has_no_heartbeat() -> None:
    session = core("websocket", raw=True)
    assert session.deadline() is None
    assert session.tick(now=NOW + 1000) is None


def test_session_without_a_receiver_ends_after_a_while() -> None:
    session = opened()
    session.bring(now=NOW + 1)
    assert session.deadline() == NOW + 5
    assert session.tick(now=NOW + 4.9) is None
    poll = session.attach("polling", now=NOW + 4.9)
    session.detach(poll, now=NOW + 6)
    assert session.tick(now=NOW + 11) is None
    assert session.life is Life.CLOSED
    assert session.reason is CloseReason.TRANSPORT_CLOSE
    assert session.end == (1002, "Connection interrupted")
    assert session.deadline() is None


def test_closing_session_is_kept_as_long_for_its_next_receiver() -> None:
    session = opened()
    session.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW + 3)
    assert session.deadline() == NOW + 8
    session.tick(now=NOW + 8)
    assert session.life is Life.CLOSED
    assert session.reason is CloseReason.FORCED_SERVER_CLOSE
    assert session.end == (3000, "Go away!")
    assert not session.has_said_bye


def test_closing_session_does_not_wait_for_ever_for_one_that_takes_nothing() -> None:
    session = opened("stream")
    session.send(Message("a"), now=NOW)
    session.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    assert session.deadline() == NOW + 30
    session.tick(now=NOW + 30)
    assert session.life is Life.CLOSED


@pytest.mark.parametrize(
    ("reason", "frame"),
    [
        (CloseReason.TRANSPORT_CLOSE, 'c[1002,"Connection interrupted"]'),
        (CloseReason.SERVER_SHUTTING_DOWN, GO_AWAY),
        (CloseReason.AUTHENTICATION_EXPIRED, 'c[1008,"The credentials have expired"]'),
        (CloseReason.PARSE_ERROR, 'c[1002,"Protocol error"]'),
    ],
)
def test_receiver_is_told_why_its_session_failed(reason: CloseReason, frame: str) -> None:
    session = opened("stream")
    session.send(Message("is not sent any more"), now=NOW)
    session.fail(reason)
    session.fail(CloseReason.BUFFER_FULL)
    assert session.reason is reason
    assert session.has_packets(session.opening, now=NOW)
    assert written(session, session.opening) == [frame]


def test_websocket_that_broke_the_protocol_is_told_by_its_close_alone() -> None:
    session = opened("websocket")
    session.fail(CloseReason.PARSE_ERROR, message="Broken JSON encoding.")
    assert written(session, session.opening) == []
    assert session.end == (1002, "Broken JSON encoding.")


def test_end_without_a_receiver_is_kept_for_who_asks() -> None:
    session = opened()
    assert session.end == (1002, "Connection interrupted")
    session.fail(CloseReason.SERVER_SHUTTING_DOWN)
    assert session.end == (3000, "Go away!")
    with pytest.raises(SessionClosed):
        session.send(Message("a"), now=NOW)


def test_slow_receiver_is_over_its_bound() -> None:
    session = core("stream", limit_bytes=1_000)
    for _ in range(7):
        session.send(Message("a"), now=NOW)
    assert session.life is Life.CLOSED
    assert session.reason is CloseReason.BUFFER_FULL
    assert session.end[0] == 1008
    assert "buffer_limit" in session.end[1]


def test_what_is_kept_counts_in_the_budget_until_it_is_written() -> None:
    budget = Budget(100_000)
    session = SockJSCore(
        transport="stream", raw=False, heartbeat=25, expiry=5, limit_bytes=10_000, now=NOW, budget=budget
    )
    session.send(Message("a"), now=NOW)
    assert budget.used_bytes == 151
    written(session, session.opening)
    assert budget.used_bytes == 0
