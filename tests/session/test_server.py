from __future__ import annotations

import pytest
from session_pair import NOW, Pair, data_of, make_server

from holdfast.engine.errors import LocalProtocolError, RemoteProtocolError, SessionClosed
from holdfast.engine.session import (
    MAX_CONTROL_PACKETS,
    Budget,
    Carrier,
    CloseReason,
    Life,
    Role,
    ServerSession,
    kept_bytes,
)
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import HIGHEST_NUMBER, PacketType


def plain(
    transport: str = "websocket", *, limit_bytes: int = 1_000_000, budget: Budget | None = None
) -> ServerSession:
    return make_server(transport, counting=False, limit_bytes=limit_bytes, budget=budget)


def written(
    session: ServerSession, carrier: Carrier, *, now: float = NOW, limit_bytes: int | None = None
) -> list[str | bytes]:
    return data_of(session.packets_to_send(carrier, now=now, limit_bytes=limit_bytes))


def hear(
    session: ServerSession, carrier: Carrier, kind: PacketType, data: str = "", *, now: float = NOW
) -> None:
    session.receive(carrier, (kind, data), now=now)


# -- plain peers: Engine.IO 4


def test_plain_message_is_forgotten_when_it_is_written() -> None:
    session = plain()
    session.send(Message("a"), now=NOW)
    assert session.outbox.size_bytes == 151
    assert written(session, session.opening) == ["a"]
    assert session.outbox.size_bytes == 0
    assert session.outbox.acknowledged == 1


def test_plain_peer_never_sees_a_position() -> None:
    session = plain()
    for number in range(100):
        message = (PacketType.MESSAGE, str(number))
        assert session.receive(session.opening, message, now=NOW) == str(number)
    assert session.deadline() == NOW + 10
    assert not session.has_packets(session.opening, now=NOW + 5)
    session.send(Message("a"), now=NOW)
    assert written(session, session.opening, now=NOW + 5) == ["a"]
    assert session.inbox.received == 100


def test_plain_post_brings_messages() -> None:
    session = plain("polling")
    bringer = session.bring(now=NOW)
    assert session.receive(bringer, (PacketType.MESSAGE, "a"), now=NOW) == "a"
    assert session.receive(bringer, (PacketType.MESSAGE, b"b"), now=NOW) == b"b"


def test_plain_messages_wait_between_two_polls_and_leave_with_the_next() -> None:
    session = plain("polling")
    session.detach(session.opening, now=NOW)
    for text in ("a", "b", "c"):
        session.send(Message(text), now=NOW)
    first = session.attach("polling", now=NOW)
    assert written(session, first, limit_bytes=6) == ["a", "b"]
    session.detach(first, now=NOW)
    assert written(session, session.attach("polling", now=NOW)) == ["c"]


def test_plain_heartbeat_pings_and_a_pong_keeps_it_alive() -> None:
    session = plain()
    assert session.deadline() == NOW + 10
    assert session.tick(now=NOW + 9) is None
    assert session.tick(now=NOW + 10) is None
    assert written(session, session.opening) == ["2"]
    hear(session, session.opening, PacketType.PONG, now=NOW + 11)
    assert session.deadline() == NOW + 21
    assert session.life is Life.OPEN


def test_plain_peer_that_does_not_answer_its_ping_is_over() -> None:
    session = plain()
    session.tick(now=NOW + 10)
    assert session.tick(now=NOW + 15) is session.opening
    assert session.life is Life.CLOSED
    assert session.reason is CloseReason.PING_TIMEOUT
    assert session.deadline() is None
    assert session.tick(now=NOW + 99) is None


def test_plain_peer_is_kept_alive_by_a_pong_alone() -> None:
    """Engine.IO 4, "Heartbeat": a message is not an answer to a ping."""
    session = plain()
    session.tick(now=NOW + 10)
    session.receive(session.opening, (PacketType.MESSAGE, "a"), now=NOW + 11)
    hear(session, session.opening, PacketType.NOOP, now=NOW + 11)
    session.tick(now=NOW + 15)
    assert session.life is Life.CLOSED


def test_counting_peer_is_kept_alive_by_any_message() -> None:
    session = make_server()
    # For the first one an acknowledgement is owed before the ping is sent.
    session.receive(session.opening, (PacketType.MESSAGE, "a"), now=NOW + 9.99)
    session.tick(now=NOW + 10)
    session.receive(session.opening, (PacketType.MESSAGE, "b"), now=NOW + 10.01)
    assert session.tick(now=NOW + 15.5) is None
    assert session.opening.role is Role.WRITER
    assert session.tick(now=NOW + 20.01) is None
    assert session.tick(now=NOW + 25.1) is session.opening, "nothing has come since the second ping"


def test_plain_ping_due_between_two_polls_leaves_with_the_next() -> None:
    session = plain("polling")
    session.detach(session.opening, now=NOW)
    session.tick(now=NOW + 10)
    poll = session.attach("polling", now=NOW + 11)
    assert session.has_packets(poll, now=NOW + 11)
    assert written(session, poll) == ["2"]
    session.detach(poll, now=NOW + 11)
    assert written(session, session.attach("polling", now=NOW + 12)) == []


def test_plain_poller_that_never_comes_back_times_out() -> None:
    session = plain("polling")
    session.detach(session.opening, now=NOW)
    session.tick(now=NOW + 10)
    assert session.tick(now=NOW + 15) is None
    assert session.reason is CloseReason.PING_TIMEOUT


def test_plain_upgrade_keeps_a_ping_that_the_old_poll_did_not_write() -> None:
    session = plain("polling")
    session.detach(session.opening, now=NOW)
    poll = session.attach("polling", now=NOW)
    session.tick(now=NOW + 10)
    websocket = session.attach("websocket", now=NOW + 11)
    assert written(session, poll) == []
    assert written(session, websocket) == ["2"]
    assert session.transport == "websocket"


def test_plain_upgrade_takes_over_what_the_poll_has_not_written() -> None:
    session = plain("polling")
    session.detach(session.opening, now=NOW)
    poll = session.attach("polling", now=NOW)
    session.send(Message("a"), now=NOW)
    websocket = session.attach("websocket", now=NOW)
    assert poll.role is Role.REPLACED
    assert written(session, poll) == []
    assert written(session, websocket) == ["a"]


def test_plain_peer_must_not_ping() -> None:
    session = plain()
    with pytest.raises(RemoteProtocolError):
        hear(session, session.opening, PacketType.PING)


def test_separator_in_a_text_is_refused_for_a_plain_peer_on_polling_alone() -> None:
    """Section 3: the standard's payload cannot carry it; a WebSocket message can."""
    session = plain("polling")
    with pytest.raises(LocalProtocolError, match=r"U\+001E"):
        session.send(Message("a\x1eb"), now=NOW)
    assert session.outbox.last == 0
    session.send(Message(b"a\x1eb"), now=NOW)
    session.send(Message("a\nb"), now=NOW)
    websocket = session.attach("websocket", now=NOW)
    session.send(Message("a\x1eb"), now=NOW)
    assert written(session, websocket) == [b"a\x1eb", "a\nb", "a\x1eb"]


def test_plain_close_is_a_packet_without_data() -> None:
    session = plain()
    session.send(Message("a"), now=NOW)
    session.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    assert written(session, session.opening) == ["a", "1"]
    assert session.life is Life.CLOSED


@pytest.mark.parametrize("counting", [False, True])
def test_peer_that_says_that_it_leaves_has_left(*, counting: bool) -> None:
    session = make_server("websocket", counting=counting)
    assert not session.peer_left
    hear(session, session.opening, PacketType.CLOSE)
    assert session.peer_left
    assert session.life is Life.CLOSED


def test_session_that_failed_has_not_been_left_by_its_peer() -> None:
    session = plain()
    session.fail(CloseReason.TRANSPORT_CLOSE)
    assert not session.peer_left


def test_plain_failure_is_told_without_a_reason() -> None:
    session = plain()
    session.fail(CloseReason.PARSE_ERROR, code=3, message="a packet is wrong")
    assert session.has_packets(session.opening, now=NOW)
    assert written(session, session.opening) == ["1"]
    assert not session.has_packets(session.opening, now=NOW)


def test_plain_session_without_a_carrier_is_not_closed_by_grace() -> None:
    session = plain("polling")
    assert session.detach(session.opening, now=NOW)
    assert session.deadline() == NOW + 10


# -- the heartbeat of counting peers: section 6


def test_dead_carrier_is_detached_and_the_session_lives() -> None:
    pair = Pair()
    pair.server_says("a")
    pair.server.tick(now=NOW + 10)
    assert pair.write_down(pair.first) == ["2\x1e4a"]
    assert pair.server.tick(now=NOW + 15) is pair.first.server
    assert pair.first.server.role is Role.DETACHED
    assert pair.server.life is Life.OPEN
    pair.now = NOW + 20
    pair.attach()
    assert pair.client_heard == ["a"]


def test_ping_on_a_websocket_is_answered_there() -> None:
    pair = Pair()
    pair.server.tick(now=NOW + 10)
    pair.down(pair.first)
    pair.now = NOW + 11
    pair.up(pair.first)
    assert pair.server.deadline() == NOW + 21
    pair.server.tick(now=NOW + 15)
    assert pair.server.writer is pair.first.server


def test_ping_on_a_stream_is_answered_by_post() -> None:
    pair = Pair("stream")
    pair.server.tick(now=NOW + 10)
    pair.down(pair.first)
    pair.now = NOW + 11
    body = pair.write_post()
    assert body == '7{"key":"key","received":0}\x1e3'
    pair.deliver_post(body)
    assert pair.server.deadline() == NOW + 21


@pytest.mark.parametrize("frame", ["4a", "80", "91", "6", "2x", "3"])
def test_whatever_a_counting_peer_says_is_a_sign_of_life(frame: str) -> None:
    """Section 6: "nothing was heard"."""
    pair = Pair()
    pair.server.tick(now=NOW + 10)
    pair.now = NOW + 12
    pair.deliver_up(pair.first, [frame])
    assert pair.server.tick(now=NOW + 15) is None
    assert pair.server.writer is pair.first.server


def test_new_carrier_has_a_new_heartbeat() -> None:
    pair = Pair()
    pair.server.tick(now=NOW + 10)
    pair.now = NOW + 14
    way = pair.attach()
    assert pair.server.deadline() == NOW + 24
    assert pair.server.tick(now=NOW + 15) is None
    assert pair.server.writer is way.server


def test_poll_is_not_pinged() -> None:
    """Section 6: a polling client answers by its next poll."""
    pair = Pair("polling")
    pair.lose(pair.first)
    way = pair.arrive(pair.ask("polling"))
    assert pair.server.deadline() is None
    assert pair.server.tick(now=NOW + 99) is None
    assert pair.server.writer is way.server


def test_poll_waits_until_there_is_something_to_say() -> None:
    """Section 5: both positions are no reason to answer; they go with the message."""
    pair = Pair("polling")
    pair.lose(pair.first)
    way = pair.arrive(pair.ask("polling"))
    assert not pair.server.has_packets(way.server, now=NOW)
    pair.server_says("a")
    assert pair.server.has_packets(way.server, now=NOW)
    assert pair.write_down(way) == ['7{"carrier":2,"received":0}\x1e91\x1e4a']


@pytest.mark.parametrize("transport", ["websocket", "stream"])
def test_attach_that_stays_is_answered_at_once(transport: str) -> None:
    """Section 5."""
    pair = Pair("polling")
    way = pair.arrive(pair.ask(transport))
    assert pair.server.has_packets(way.server, now=NOW)


# -- probes: sections 6 and 7


def test_probe_on_a_websocket_is_answered_there_with_the_same_data() -> None:
    pair = Pair()
    pair.deliver_up(pair.first, ["2any text"])
    assert pair.write_down(pair.first) == ["3any text"]


def test_probe_by_post_is_answered_on_the_stream_it_names() -> None:
    pair = Pair()
    way = pair.attach("stream")
    pair.deliver_post('7{"key":"key","received":0}\x1e22')
    assert pair.write_down(way) == ["32"]


@pytest.mark.parametrize("number", ["1", "3", "02", "", "probe"])
def test_probe_by_post_of_another_carrier_is_not_answered(number: str) -> None:
    pair = Pair()
    way = pair.attach("stream")
    pair.deliver_post(f'7{{"key":"key","received":0}}\x1e2{number}')
    assert pair.write_down(way) == []


def test_probe_by_post_without_a_carrier_is_not_answered() -> None:
    pair = Pair("polling")
    pair.lose(pair.first)
    pair.deliver_post('7{"key":"key","received":0}\x1e21')
    assert pair.server.writer is None


def test_probe_on_a_replaced_carrier_is_not_answered() -> None:
    """Rule 2: it never writes again, and its answer elsewhere would prove the wrong one."""
    pair = Pair()
    way = pair.attach()
    pair.deliver_up(pair.first, ["2x"])
    assert pair.write_down(pair.first) == []
    assert pair.write_down(way) == []


# -- grace


def test_session_without_a_carrier_is_kept_for_the_grace_period() -> None:
    pair = Pair()
    pair.server.detach(pair.first.server, now=NOW)
    assert pair.server.deadline() == NOW + 60
    assert pair.server.tick(now=NOW + 59) is None
    assert pair.server.life is Life.OPEN
    assert pair.server.tick(now=NOW + 60) is None
    assert pair.server.life is Life.CLOSED
    assert pair.server.reason is CloseReason.TRANSPORT_CLOSE


def test_grace_that_ends_tells_why_the_carrier_was_lost() -> None:
    pair = Pair()
    pair.server.tick(now=NOW + 10)
    pair.server.tick(now=NOW + 15)
    pair.server.tick(now=NOW + 75)
    assert pair.server.reason is CloseReason.PING_TIMEOUT


def test_attach_ends_the_grace_period() -> None:
    pair = Pair()
    pair.lose(pair.first)
    pair.now = NOW + 59
    way = pair.attach()
    pair.server.tick(now=NOW + 61)
    assert pair.server.life is Life.OPEN
    pair.now = NOW + 62
    pair.lose(way)
    assert pair.server.deadline() == NOW + 122


def test_grace_of_a_polling_client_begins_anew_with_each_poll() -> None:
    pair = Pair("polling")
    pair.lose(pair.first)
    for _ in range(5):
        pair.now += 50
        pair.poll()
    assert pair.server.deadline() == pair.now + 60


# -- closing


def test_closing_writes_what_was_sent_before_and_says_why() -> None:
    pair = Pair()
    pair.client_says("up")
    pair.up(pair.first)
    pair.server_says("a")
    pair.server.close(CloseReason.SERVER_SHUTTING_DOWN, now=NOW)
    assert pair.server.life is Life.CLOSING
    assert pair.server.has_packets(pair.first.server, now=NOW)
    assert pair.write_down(pair.first) == ['81\x1e4a\x1e1{"message":"server shutting down","received":1}']
    assert pair.server.life is Life.CLOSED
    assert pair.server.reason is CloseReason.SERVER_SHUTTING_DOWN


def test_closing_while_detached_delivers_the_rest_first() -> None:
    pair = Pair("polling")
    pair.lose(pair.first)
    pair.server_says("a" * 20, "b" * 20, "c" * 20)
    pair.server.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    for _ in range(3):
        pair.now += 5
        assert pair.server.life is Life.CLOSING
        way = pair.arrive(pair.ask("polling"))
        assert pair.server.tick(now=pair.now) is None, "an attach does not shorten the time that is left"
        pair.deliver_down(way, pair.write_down(way, limit_bytes=30))
        pair.server.detach(way.server, now=pair.now)
    assert pair.client_heard == ["a" * 20, "b" * 20, "c" * 20]
    assert pair.server.life is Life.CLOSED
    assert pair.client.life is Life.CLOSED


def test_closing_lasts_30_seconds_however_often_a_carrier_comes_and_goes() -> None:
    pair = Pair()
    pair.server_says("a")
    pair.lose(pair.first)
    pair.server.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    for _ in range(5):
        pair.now += 5
        pair.server.detach(pair.arrive(pair.ask("websocket")).server, now=pair.now)
        assert pair.server.deadline() == NOW + 30
    pair.server.tick(now=NOW + 30)
    assert pair.server.life is Life.CLOSED
    assert pair.server.reason is CloseReason.FORCED_SERVER_CLOSE


def test_closing_session_takes_nothing_more_and_acknowledges_nothing_more() -> None:
    pair = Pair()
    pair.server.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    pair.client_says("a")
    pair.up(pair.first)
    assert pair.server_heard == []
    assert pair.write_down(pair.first) == ['1{"message":"forced server close","received":0}']
    with pytest.raises(SessionClosed):
        pair.server_says("b")


def test_closing_session_still_takes_acknowledgements() -> None:
    pair = Pair()
    pair.server_says("a")
    pair.down(pair.first)
    pair.server.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    pair.deliver_up(pair.first, ["81"])
    assert pair.server.outbox.size_bytes == 0


def test_first_reason_stays() -> None:
    pair = Pair()
    pair.server.close(CloseReason.SERVER_SHUTTING_DOWN, now=NOW)
    pair.server.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW + 5)
    assert pair.server.deadline() == NOW + 30
    pair.server.fail(CloseReason.PARSE_ERROR)
    assert pair.server.reason is CloseReason.SERVER_SHUTTING_DOWN


def test_failure_tells_the_peer_why_and_how_far_the_server_had_got() -> None:
    pair = Pair()
    pair.client_says("a")
    pair.up(pair.first)
    pair.server_says("never written")
    pair.server.fail(CloseReason.PARSE_ERROR, code=3, message="a packet is wrong")
    pair.server.fail(CloseReason.PARSE_ERROR, code=3, message="twice")
    assert pair.write_down(pair.first) == ['1{"code":3,"message":"a packet is wrong","received":1}']
    assert pair.server.reason is CloseReason.PARSE_ERROR


def test_closing_says_when_to_come_back_and_whether_it_was_said() -> None:
    session = make_server("websocket")
    session.send(Message("last"), now=NOW)
    session.close(CloseReason.SERVER_SHUTTING_DOWN, now=NOW, retry_ms=2500)
    session.close(CloseReason.SERVER_SHUTTING_DOWN, now=NOW, retry_ms=9)
    assert not session.has_said_bye
    *_, farewell = session.packets_to_send(session.opening, now=NOW)
    assert farewell == '1{"message":"server shutting down","received":0,"retry":2500}'
    assert session.has_said_bye
    assert session.undelivered == 1


def test_session_that_is_cut_while_it_closes_says_when_to_come_back_too() -> None:
    session = make_server("websocket")
    for text in ("a", "b"):
        session.send(Message(text), now=NOW)
    session.packets_to_send(session.opening, now=NOW)
    session.receive(session.opening, (PacketType.ACK, "1"), now=NOW)
    session.close(CloseReason.SERVER_SHUTTING_DOWN, now=NOW, retry_ms=2500)
    session.fail(CloseReason.SERVER_SHUTTING_DOWN, message="cut")
    assert session.packets_to_send(session.opening, now=NOW) == [
        '1{"message":"cut","received":0,"retry":2500}'
    ]
    assert not session.has_said_bye
    assert session.undelivered == 1


def test_failure_without_a_carrier_tells_nobody() -> None:
    pair = Pair()
    pair.lose(pair.first)
    pair.server.fail(CloseReason.TRANSPORT_ERROR)
    assert pair.server.life is Life.CLOSED
    assert pair.first.server.control == []


def test_buffer_that_is_full_closes_the_session_with_that_reason() -> None:
    pair = Pair(limit_bytes=153)
    pair.server_says("abc")
    assert pair.server.life is Life.OPEN
    pair.server_says("d")
    assert pair.server.reason is CloseReason.BUFFER_FULL
    (frame,) = pair.write_down(pair.first)
    assert str(frame).startswith('1{"message":"more than 153 bytes wait')


def test_buffer_counts_what_is_written_and_not_acknowledged() -> None:
    pair = Pair(limit_bytes=153)
    pair.server_says("abc")
    pair.down(pair.first)
    pair.deliver_up(pair.first, ["81"])
    pair.server_says("def")
    pair.down(pair.first)
    assert pair.server.life is Life.OPEN
    pair.server_says("g")
    assert pair.server.reason is CloseReason.BUFFER_FULL


def test_carrier_shows_what_it_is() -> None:
    assert repr(make_server().opening) == "<Carrier 1 websocket writer>"


def test_pings_that_cannot_be_answered_end_the_session_at_last() -> None:
    session = make_server("websocket")
    ping = (PacketType.PING, "probe")
    for _ in range(MAX_CONTROL_PACKETS + 1):
        session.receive(session.opening, ping, now=NOW)
    with pytest.raises(RemoteProtocolError, match="too many pings"):
        session.receive(session.opening, ping, now=NOW)


@pytest.mark.parametrize("data", ["x" * 126, "a\nb", "a\rb"])
def test_ping_with_long_or_broken_data_is_refused(data: str) -> None:
    session = make_server("websocket")
    with pytest.raises(RemoteProtocolError, match="ping"):
        session.receive(session.opening, (PacketType.PING, data), now=NOW)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_what_nothing_stands_before_passes_through_to_a_plain_peer(transport: str) -> None:
    session = plain(transport)
    assert session.write_through()
    assert session.write_through(2)
    assert session.send(Message("4"), now=NOW) == 4
    assert [message.data for message in session.packets_to_send(session.opening, now=NOW)] == ["4"]
    assert session.packets_to_send(session.opening, now=NOW) == []
    assert session.write_through()
    assert (session.outbox.last, session.outbox.written, session.outbox.kept) == (5, 5, 0)


def test_messages_of_a_plain_peer_count_together() -> None:
    session = plain("websocket")
    assert not session.is_used
    session.received_plain(2)
    assert session.is_used
    assert session.inbox.received == 2


def test_text_is_kept_for_a_counting_peer_where_there_is_room() -> None:
    budget = Budget()
    session = make_server(budget=budget)
    assert session.keep("eins")
    assert session.keep("zw\u00f6lf")
    expected = [Message("eins"), Message("zw\u00f6lf")]
    assert budget.used_bytes == session.outbox.size_bytes == kept_bytes(expected)
    assert data_of(session.packets_to_send(session.opening, now=NOW)) == ["4eins", "4zw\u00f6lf"]
    for position in (1, 2):
        assert session.outbox.kept == 3 - position, "until it is acknowledged"
        session.receive(session.opening, (PacketType.ACK, str(position)), now=NOW)
        assert budget.used_bytes == session.outbox.size_bytes == kept_bytes(expected[position:])


def test_text_is_kept_by_no_shorter_way_than_there_is() -> None:
    ending = make_server()
    ending.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    used_up = make_server()
    used_up.outbox.last = HIGHEST_NUMBER
    full = make_server(limit_bytes=1_000)
    full.send(Message("x" * 400), now=NOW)
    poor = make_server(budget=Budget(limit_bytes=150))
    for session in (plain("websocket"), plain("polling"), ending, used_up, full, poor):
        kept, used = session.outbox.kept, session.budget.used_bytes
        assert not session.keep("1")
        assert (session.outbox.kept, session.budget.used_bytes) == (kept, used)


def test_nothing_passes_what_waits_or_may_be_asked_for_again() -> None:
    assert not make_server("websocket").write_through()
    waits = plain("websocket")
    waits.send(Message("1"), now=NOW)
    pinged = plain("websocket")
    pinged.opening.control.append("2")
    detached = plain("websocket")
    detached.detach(detached.opening, now=NOW)
    ending = plain("websocket")
    ending.close(CloseReason.FORCED_SERVER_CLOSE, now=NOW)
    used_up = plain("websocket")
    used_up.outbox.last = used_up.opening.written = HIGHEST_NUMBER - 1
    for session in (waits, pinged, detached, ending):
        before = session.outbox.last
        assert not session.write_through()
        assert session.outbox.last == before
    assert not used_up.write_through(2)
    assert used_up.write_through()


def test_plain_websocket_frees_what_it_writes_for_all_sessions() -> None:
    budget = Budget()
    one, other = plain("websocket", budget=budget), plain("websocket", budget=budget)
    shared, own = Message("both"), Message("one")
    for session, messages in ((one, [shared, own]), (other, [shared])):
        for message in messages:
            session.send(message, now=NOW)
    assert budget.used_bytes == kept_bytes([shared, own])
    assert one.packets_to_send(one.opening, now=NOW) == [shared, own]
    assert (budget.used_bytes, one.outbox.size_bytes) == (kept_bytes([shared]), 0)
    assert other.packets_to_send(other.opening, now=NOW) == [shared]
    assert budget.used_bytes == 0


def test_plain_poll_takes_sixteen_packets_and_a_websocket_all() -> None:
    for transport, expected in (("polling", 16), ("websocket", 40)):
        session = plain(transport)
        for number in range(40):
            session.send(Message(str(number)), now=NOW)
        assert len(session.packets_to_send(session.opening, now=NOW)) == expected
