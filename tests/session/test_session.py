"""The seven rules of docs/protocol.md, section 2: the smallest trace of each, between two real sessions."""

from __future__ import annotations

import pytest
from session_pair import NOW, Pair, data_of

from holdfast.engine.errors import (
    LocalProtocolError,
    MissingMessages,
    RemoteProtocolError,
    SessionClosed,
    StaleAttach,
)
from holdfast.engine.session import CloseReason, Life, Role
from holdfast.engine.session.session import ACK_DELAY, ACK_EVERY_BYTES, ACK_EVERY_MESSAGES
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import HIGHEST_NUMBER, PacketType
from holdfast.engine.wire.payload import PIECE_BYTES

AWKWARD: list[str | bytes] = [
    "",
    "\x1e",
    "\r\n",
    "\0",
    "\ufeffa",
    "\U0001f600",
    "\u2028",
    "4",
    b"",
    bytes(range(256)),
]


@pytest.fixture(params=["websocket", "stream", "polling"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


# -- rule 1: acknowledgements, repeats, gaps


@pytest.mark.parametrize("position", [0, 1, 3])
def test_acknowledgement_from_0_to_the_last_written_is_taken(position: int) -> None:
    """Rule 1."""
    pair = Pair()
    pair.server_says("a", "b", "c")
    pair.write_down(pair.first)
    pair.deliver_up(pair.first, [f"8{position}"])
    assert pair.server.outbox.acknowledged == position
    assert pair.server.outbox.size_bytes == (3 - position) * 151


def test_acknowledgement_of_the_next_unwritten_message_ends_the_session() -> None:
    """Rule 1: n + 1, although the application has sent it already."""
    pair = Pair()
    pair.server_says("a", "b", "c")
    pair.write_down(pair.first)
    pair.server_says("d")
    with pytest.raises(RemoteProtocolError) as caught:
        pair.deliver_up(pair.first, ["84"])
    assert not isinstance(caught.value, MissingMessages | StaleAttach), (
        "the session ends, not only the carrier"
    )


def test_client_ends_the_session_for_an_acknowledgement_of_the_future_too() -> None:
    """Rule 1."""
    pair = Pair()
    pair.client_says("a")
    with pytest.raises(RemoteProtocolError):
        pair.deliver_down(pair.first, ["81"])


def test_older_acknowledgement_of_a_delayed_post_is_ignored() -> None:
    """Rule 1."""
    pair = Pair("polling")
    late = pair.write_post()
    pair.server_says("a", "b")
    pair.poll()
    pair.post()
    assert pair.server.outbox.acknowledged == 2
    pair.deliver_post(late)
    assert pair.server.outbox.acknowledged == 2
    assert pair.server.outbox.size_bytes == 0


def test_repeat_is_dropped_and_the_next_message_counts() -> None:
    """Rule 1."""
    pair = Pair()
    pair.deliver_up(pair.first, ["4a", "4b", "91", "4a\x1e4b\x1e4c"])
    assert pair.server_heard == ["a", "b", "c"]


def test_gap_ends_the_carrier_and_not_the_session() -> None:
    """Rule 1: the client attaches again at the position reached."""
    pair = Pair()
    pair.client_says("a", "b", "c")
    frames = pair.write_up(pair.first)
    assert frames == ["4a\x1e4b\x1e4c"]
    with pytest.raises(MissingMessages) as caught:
        pair.deliver_up(pair.first, ["4a", "93\x1e4c"])
    assert caught.value.received == 1
    assert pair.server.life is Life.OPEN
    pair.lose(pair.first)
    pair.up(pair.attach())
    assert pair.server_heard == ["a", "b", "c"]


def test_repeat_is_acknowledged_so_that_its_sender_stops_waiting() -> None:
    """Section 6: the first acknowledgement was lost with the old carrier, and the new one's attach is older."""
    pair = Pair()
    asked = pair.ask("websocket")
    pair.server_says("a")
    pair.down(pair.first)
    pair.now += ACK_DELAY
    assert pair.write_up(pair.first) == ["81"], "which never arrives"
    way = pair.arrive(asked)
    pair.down(way)
    assert pair.client_heard == ["a"]
    assert not pair.is_level
    pair.now += ACK_DELAY
    pair.up(way)
    assert pair.is_level


def test_repeat_is_acknowledged_with_whatever_goes_out_next() -> None:
    """Section 6."""
    pair = Pair()
    pair.deliver_up(pair.first, ["4a"])
    pair.server_says("b")
    assert pair.write_down(pair.first) == ["81\x1e4b"]
    pair.deliver_up(pair.first, ["91\x1e4a"])
    pair.server_says("c")
    assert pair.write_down(pair.first) == ["81\x1e4c"]


def test_late_post_whose_answer_is_lost_is_acknowledged_on_the_websocket() -> None:
    """Section 6: a client that has a WebSocket does not POST again."""
    pair = Pair("polling")
    pair.client_says("a")
    post = pair.write_post()
    way = pair.attach()
    pair.up(way)
    pair.deliver_post(post)
    pair.now += ACK_DELAY
    pair.server.tick(now=pair.now)
    pair.down(way)
    assert pair.server_heard == ["a"]
    assert pair.is_level


def test_attach_that_fails_does_not_take_the_acknowledgement_with_it() -> None:
    """Sections 6 and 7: it leaves no trace, so the WebSocket that goes on still owes it."""
    pair = Pair()
    pair.server_says("a")
    pair.down(pair.first)
    pair.ask("stream")
    pair.now += ACK_DELAY
    assert pair.write_up(pair.first) == ["81"]


# -- rule 2: a carrier writes until it is replaced


def test_replaced_carrier_never_writes_again_and_is_still_read() -> None:
    """Rule 2."""
    pair = Pair()
    pair.client_says("up")
    on_the_way = pair.write_up(pair.first)
    new = pair.attach()
    pair.server_says("down")
    assert pair.first.server.role is Role.REPLACED
    assert not pair.server.has_packets(pair.first.server, now=NOW)
    assert pair.write_down(pair.first) == []
    pair.deliver_up(pair.first, on_the_way)
    assert pair.server_heard == ["up"]
    pair.down(new)
    assert pair.client_heard == ["down"]


def test_client_does_not_write_on_the_carrier_before_either() -> None:
    """Rule 2."""
    pair = Pair()
    new = pair.attach()
    pair.client_says("a")
    assert not pair.client.has_packets(pair.first.client, now=NOW)
    assert pair.write_up(pair.first) == []
    pair.up(new)
    assert pair.server_heard == ["a"]


def test_client_goes_on_writing_on_the_old_carrier_until_the_attach_is_answered() -> None:
    """Rule 2, and section 7: an attach that fails leaves no trace."""
    pair = Pair()
    pair.ask("websocket")
    pair.client_says("a")
    pair.up(pair.first)
    assert pair.server_heard == ["a"]


# -- rules 3 and 4: both positions, and which number comes next


def test_answer_to_an_attach_begins_with_both_positions() -> None:
    """Rule 3."""
    pair = Pair()
    pair.client_says("a", "b")
    pair.up(pair.first)
    pair.server_says("c")
    pair.down(pair.first)
    pair.server_says("d")
    way = pair.arrive(pair.ask("websocket"))
    assert pair.write_down(way) == ['7{"carrier":2,"received":2}\x1e92\x1e4d']


def test_acknowledgement_on_the_old_carrier_that_overtakes_the_attach_renumbers_nothing() -> None:
    """Rule 3: the attach says 0, the acknowledgement of 2 arrives first."""
    pair = Pair()
    asked = pair.ask("websocket")
    pair.server_says("a", "b", "c")
    pair.down(pair.first)
    pair.deliver_up(pair.first, ["82"])
    way = pair.arrive(asked)
    frames = pair.write_down(way)
    assert frames == ['7{"carrier":2,"received":0}\x1e93\x1e4c']
    pair.deliver_down(way, frames)
    pair.server_says("d")
    pair.down(way)
    assert pair.client_heard == ["a", "b", "c", "d"]


def test_late_post_between_attach_and_first_message_renumbers_nothing() -> None:
    """Rule 4: the client says 91, although the server has taken over 1 and 2 by then."""
    pair = Pair("polling")
    pair.client_says("a", "b")
    late = pair.write_post()
    way = pair.attach()
    pair.deliver_post(late)
    pair.client_says("c")
    frames = pair.write_up(way)
    assert frames == ["91\x1e4a\x1e4b\x1e4c"]
    pair.deliver_up(way, frames)
    assert pair.server_heard == ["a", "b", "c"]


def test_late_post_after_the_first_message_brings_nothing_twice() -> None:
    """Rule 4."""
    pair = Pair("polling")
    pair.client_says("a", "b")
    late = pair.write_post()
    way = pair.attach()
    pair.up(way)
    answer = pair.deliver_post(late)
    assert pair.server_heard == ["a", "b"]
    pair.deliver_answer(answer)
    pair.client_says("c")
    pair.up(way)
    assert pair.server_heard == ["a", "b", "c"]


@pytest.mark.parametrize("side", ["server", "client"])
def test_message_before_its_number_was_stated_ends_the_session(side: str) -> None:
    """Rule 4: on any carrier but the first."""
    pair = Pair()
    way = pair.arrive(pair.ask("websocket"))
    deliver = pair.deliver_up if side == "server" else pair.deliver_down
    with pytest.raises(RemoteProtocolError) as caught:
        deliver(way, ["4a"])
    assert not isinstance(caught.value, MissingMessages)


def test_opening_websocket_starts_at_1_both_ways_without_being_told() -> None:
    """Rule 4."""
    pair = Pair()
    pair.client_says("a")
    pair.server_says("b")
    assert pair.write_up(pair.first) == ["4a"]
    assert pair.write_down(pair.first) == ["4b"]
    pair.deliver_up(pair.first, ["4a"])
    pair.deliver_down(pair.first, ["4b"])
    assert (pair.server_heard, pair.client_heard) == (["a"], ["b"])


@pytest.mark.parametrize("number", ["0", "-1", "01", "", str(HIGHEST_NUMBER + 1)])
def test_next_number_that_cannot_be_ends_the_session(number: str) -> None:
    pair = Pair()
    with pytest.raises(RemoteProtocolError):
        pair.server.receive(pair.first.server, (PacketType.NEXT, number), now=NOW)


# -- rule 5: numbers never jump silently


def test_server_writes_what_it_owes_though_it_was_acknowledged_elsewhere() -> None:
    """Rule 5: the client has a to c from the old carrier, and the new one writes them again, in order."""
    pair = Pair()
    pair.server_says("a", "b", "c")
    old = pair.write_down(pair.first)
    way = pair.arrive(pair.ask("websocket"))
    pair.deliver_down(pair.first, old)
    pair.deliver_up(pair.first, ["83"])
    pair.server_says("d")
    assert pair.server.outbox.acknowledged == 3
    frames = pair.write_down(way)
    assert frames == ['7{"carrier":2,"received":0}\x1e91\x1e4a\x1e4b\x1e4c\x1e4d']
    pair.deliver_down(way, frames)
    assert pair.client_heard == ["a", "b", "c", "d"]


def test_client_writes_what_it_owes_though_it_was_acknowledged_elsewhere() -> None:
    """Rule 5: the POST's answer comes after the writer has fixed its next number."""
    pair = Pair("polling")
    pair.client_says("a", "b")
    post = pair.write_post()
    way = pair.attach()
    pair.deliver_answer(pair.deliver_post(post))
    assert pair.client.outbox.acknowledged == 2
    pair.client_says("c")
    pair.up(way)
    assert pair.server_heard == ["a", "b", "c"]
    pair.server.told()
    pair.deliver_down(way, ["83"])
    assert pair.is_level


def test_what_a_lagging_writer_owes_is_forgotten_when_it_is_gone() -> None:
    """Rule 5: a writer that is over owes nothing."""
    pair = Pair()
    pair.server_says("a", "b")
    pair.write_down(pair.first)
    way = pair.arrive(pair.ask("websocket"))
    pair.deliver_up(pair.first, ["82"])
    assert pair.server.outbox.size_bytes == 2 * 151
    pair.server.detach(way.server, now=NOW)
    assert pair.server.outbox.size_bytes == 0


def test_writer_that_was_limited_goes_on_where_it_stopped() -> None:
    """Rule 5."""
    pair = Pair("stream")
    pair.server_says("a" * 50, "b" * 50, "c" * 50)
    for _ in range(3):
        pair.deliver_down(pair.first, pair.write_down(pair.first, limit_bytes=60))
    assert pair.client_heard == ["a" * 50, "b" * 50, "c" * 50]


# -- rule 6: the client numbers its attaches


def test_lower_number_is_refused_and_its_acknowledgement_counts() -> None:
    """Rule 6: 3 overtakes 2."""
    pair = Pair()
    pair.server_says("a", "b")
    pair.down(pair.first)
    second, third = pair.ask("websocket"), pair.ask("websocket")
    asked_before = second[1].received
    assert asked_before == 2
    newest = pair.arrive(third)
    pair.server.outbox.acknowledged = 0
    with pytest.raises(StaleAttach):
        pair.arrive(second)
    assert pair.server.outbox.acknowledged == 2
    assert pair.server.writer is newest.server
    pair.down(newest)
    pair.server_says("c")
    pair.down(newest)
    assert pair.client_heard == ["a", "b", "c"]


def test_stale_attach_with_an_acknowledgement_of_the_future_ends_the_session() -> None:
    """Rules 1 and 6."""
    pair = Pair()
    with pytest.raises(RemoteProtocolError) as caught:
        pair.server.attach("polling", number=1, received=1, now=NOW)
    assert not isinstance(caught.value, StaleAttach)


@pytest.mark.parametrize("transport", ["polling", "stream"])
def test_poll_or_stream_that_repeats_the_current_number_replaces_it(transport: str) -> None:
    """Rules 6 and 7: the first response went nowhere, the second brings the same."""
    pair = Pair()
    pair.server_says("a", "b")
    asked = pair.ask(transport)
    lost = pair.arrive(asked)
    first_time = pair.write_down(lost)
    again = pair.arrive(asked)
    assert pair.server.writer is again.server
    assert lost.server.role is Role.REPLACED
    assert pair.write_down(again) == first_time
    pair.deliver_down(again, first_time)
    assert pair.client_heard == ["a", "b"]


def test_poll_that_comes_again_after_it_was_answered_replaces_it() -> None:
    """Rules 6 and 7."""
    pair = Pair("polling")
    pair.server_says("a")
    asked = pair.ask("polling")
    answered = pair.arrive(asked)
    frames = pair.write_down(answered)
    pair.server.detach(answered.server, now=NOW)
    assert pair.write_down(pair.arrive(asked)) == frames


def test_websocket_that_repeats_the_current_number_is_refused() -> None:
    """Rule 6: nobody repeats a WebSocket."""
    pair = Pair()
    asked = pair.ask("websocket")
    way = pair.arrive(asked)
    with pytest.raises(StaleAttach):
        pair.arrive(asked)
    assert pair.server.writer is way.server


def test_current_number_on_another_transport_is_refused() -> None:
    """Rule 6: that is not a repeat."""
    pair = Pair()
    way = pair.arrive(pair.ask("websocket"))
    for transport in ("polling", "stream"):
        with pytest.raises(StaleAttach):
            pair.server.attach(transport, number=2, received=0, now=NOW)
    assert pair.server.writer is way.server


def test_lower_number_is_refused_even_when_nothing_is_attached() -> None:
    """Rule 6: arrival order does not decide."""
    pair = Pair()
    second, third = pair.ask("polling"), pair.ask("polling")
    pair.server.detach(pair.arrive(third).server, now=NOW)
    with pytest.raises(StaleAttach):
        pair.arrive(second)
    assert pair.server.writer is None


def test_number_may_skip_those_that_failed() -> None:
    """Section 7: carriers 4, 5 (failed), 6 are in order."""
    pair = Pair()
    pair.ask("stream")
    pair.ask("stream")
    way = pair.attach()
    assert way.server.number == 4
    assert pair.server.writer is way.server


def test_late_end_of_a_replaced_carrier_changes_nothing() -> None:
    """Rule 6."""
    pair = Pair()
    way = pair.attach()
    assert not pair.server.detach(pair.first.server, now=NOW)
    assert not pair.client.detach(pair.first.client, now=NOW)
    assert pair.server.writer is way.server
    assert pair.client.writer is way.client
    pair.server_says("a")
    pair.down(way)
    assert pair.client_heard == ["a"]


def test_end_of_the_current_carrier_is_told_once() -> None:
    pair = Pair()
    assert pair.server.detach(pair.first.server, now=NOW)
    assert not pair.server.detach(pair.first.server, now=NOW)
    assert pair.first.server.role is Role.DETACHED


def test_messages_on_a_carrier_that_ended_already_still_count() -> None:
    pair = Pair()
    pair.client_says("a")
    frames = pair.write_up(pair.first)
    pair.server.detach(pair.first.server, now=NOW)
    pair.deliver_up(pair.first, frames)
    assert pair.server_heard == ["a"]


# -- rule 7: HTTP is idempotent


def test_poll_repeats_everything_after_the_clients_position_until_it_is_acknowledged() -> None:
    """Rule 7: two responses are lost, and the third brings all of it."""
    pair = Pair("polling")
    pair.server_says("a", "b")
    for number in (2, 3):
        way = pair.arrive(pair.ask("polling"))
        answer = f'7{{"carrier":{number},"received":0}}\x1e91\x1e4a\x1e4b'
        assert pair.write_down(way) == [answer]
        pair.server.detach(way.server, now=NOW)
    pair.server_says("c")
    pair.poll()
    assert pair.client_heard == ["a", "b", "c"]
    assert pair.server.outbox.acknowledged == 0
    assert pair.write_down(pair.arrive(pair.ask("polling"))) == ['7{"carrier":5,"received":0}\x1e94']
    assert pair.server.outbox.size_bytes == 0


def test_post_that_comes_twice_is_acknowledged_and_not_run_again() -> None:
    """Rule 7."""
    pair = Pair("polling")
    pair.client_says("a", "b")
    body = pair.write_post()
    assert pair.deliver_post(body) == '7{"received":2,"sent":0}'
    assert pair.deliver_post(body) == '7{"received":2,"sent":0}'
    assert pair.server_heard == ["a", "b"]


def test_post_whose_answer_was_lost_is_sent_again_with_what_came_since() -> None:
    """Rule 7."""
    pair = Pair("polling")
    pair.client_says("a")
    pair.deliver_post(pair.write_post())
    pair.client_says("b")
    assert pair.write_post() == '7{"key":"key","received":0}\x1e91\x1e4a\x1e4b'
    pair.post()
    assert pair.server_heard == ["a", "b"]
    assert pair.is_level


def test_post_after_one_that_was_lost_is_a_gap_and_the_session_lives() -> None:
    """Rules 1 and 7."""
    pair = Pair("polling")
    with pytest.raises(MissingMessages):
        pair.deliver_post('7{"key":"key","received":0}\x1e92\x1e4b')
    assert pair.server.life is Life.OPEN
    pair.deliver_post('7{"key":"key","received":0}\x1e91\x1e4a\x1e4b')
    assert pair.server_heard == ["a", "b"]


def test_answer_to_a_post_says_what_was_written_on_any_carrier() -> None:
    """Section 5."""
    pair = Pair("polling")
    pair.server_says("a", "b")
    pair.poll()
    pair.server_says("c")
    assert pair.deliver_post(pair.write_post()) == '7{"received":0,"sent":2}'


def test_two_posts_that_change_places_bring_everything_once() -> None:
    """Rule 7: each says the number of its first message."""
    pair = Pair("polling")
    pair.client_says("a")
    first = pair.write_post()
    pair.client_says("b")
    second = pair.write_post()
    pair.deliver_post(second)
    pair.deliver_post(first)
    assert pair.server_heard == ["a", "b"]


# -- acknowledgements: section 6


def test_acknowledgement_rides_on_the_next_message() -> None:
    pair = Pair()
    pair.client_says("a")
    pair.up(pair.first)
    assert not pair.server.has_packets(pair.first.server, now=NOW)
    pair.server_says("b")
    assert pair.write_down(pair.first) == ["81\x1e4b"]


def test_acknowledgement_is_due_after_a_second() -> None:
    pair = Pair()
    pair.client_says("a")
    pair.up(pair.first)
    assert pair.server.deadline() == NOW + ACK_DELAY
    pair.now = NOW + ACK_DELAY - 0.01
    assert pair.server.packets_to_send(pair.first.server, now=pair.now) == []
    pair.now = NOW + ACK_DELAY
    assert pair.server.has_packets(pair.first.server, now=pair.now)
    pair.down(pair.first)
    assert pair.is_level
    assert not pair.server.has_packets(pair.first.server, now=pair.now)


def test_acknowledgement_is_due_a_second_after_the_first_message_not_after_the_last() -> None:
    pair = Pair()
    for _ in range(3):
        pair.client_says("a")
        pair.up(pair.first)
        pair.now += 0.4
    assert pair.server.deadline() == NOW + ACK_DELAY


def test_deadline_of_an_acknowledgement_that_cannot_be_written_now_passes() -> None:
    """A deadline in the past would have the caller tick without end while the writer waits for its peer."""
    pair = Pair()
    pair.client_says("a")
    pair.up(pair.first)
    pair.now = NOW + ACK_DELAY
    pair.server.tick(now=pair.now)
    assert pair.server.deadline() == NOW + 10
    assert pair.server.has_packets(pair.first.server, now=pair.now)
    pair.client_says("b")
    pair.up(pair.first)
    assert pair.server.deadline() == NOW + 10
    assert pair.write_down(pair.first) == ["82"]
    pair.client_says("c")
    pair.up(pair.first)
    assert pair.server.deadline() == pair.now + ACK_DELAY


def test_acknowledgement_is_due_after_64_messages() -> None:
    pair = Pair()
    pair.client_says(*["a"] * (ACK_EVERY_MESSAGES - 1))
    pair.up(pair.first)
    assert not pair.server.has_packets(pair.first.server, now=NOW)
    pair.client_says("a")
    pair.up(pair.first)
    assert pair.write_down(pair.first) == ["864"]


def test_acknowledgement_is_due_after_64_kib() -> None:
    pair = Pair()
    pair.client_says("a" * (ACK_EVERY_BYTES - 1))
    pair.up(pair.first)
    assert not pair.server.has_packets(pair.first.server, now=NOW)
    pair.client_says(b"a")
    pair.up(pair.first)
    assert pair.write_down(pair.first) == ["82"]


def test_acknowledgement_rides_on_a_control_packet_and_control_goes_before_messages() -> None:
    """Section 6: packets other than messages never wait behind messages."""
    pair = Pair()
    pair.client_says("a")
    pair.up(pair.first)
    pair.deliver_up(pair.first, ["2x"])
    assert pair.write_down(pair.first) == ["3x\x1e81"]
    pair.server_says("b")
    pair.deliver_up(pair.first, ["2y"])
    assert pair.write_down(pair.first) == ["3y\x1e4b"]


def test_client_acknowledges_as_the_server_does() -> None:
    pair = Pair()
    pair.server_says("a")
    pair.down(pair.first)
    pair.now += ACK_DELAY
    assert pair.write_up(pair.first) == ["81"]
    pair.deliver_up(pair.first, ["81"])
    assert pair.is_level


def test_payload_with_control_packets_keeps_its_limit() -> None:
    """ "At most `maxPayload` bytes long, or one message" (section 5)."""
    pair = Pair("polling")
    pair.server_says(*["\x1e\n" * 5] * 10)
    for limit in (50, 150, 300, 1_000):
        way = pair.arrive(pair.ask("polling"))
        (payload,) = pair.write_down(way, limit_bytes=limit)
        assert isinstance(payload, str)
        assert len(payload.encode()) <= limit or payload.count("j") == 1


# -- longer traces


def test_5_up_and_900_down() -> None:
    """Each direction has its own numbers."""
    pair = Pair()
    down = [f"down{number}" for number in range(900)]
    up = [f"up{number}" for number in range(5)]
    way = pair.first
    for turn in range(5):
        pair.client_says(up[turn])
        pair.server_says(*down[turn * 180 : turn * 180 + 90])
        pair.up(way)
        pair.down(way)
        way = pair.attach(("websocket", "stream")[turn % 2])
        pair.server_says(*down[turn * 180 + 90 : turn * 180 + 180])
        pair.down(way)
        if turn % 2:
            pair.post()
            way = pair.attach()
    assert (pair.server_heard, pair.client_heard) == (up, down)
    pair.post()
    assert pair.is_level


def test_10_resumes_without_traffic_change_nothing(pair: Pair) -> None:
    for number in range(10):
        way = pair.attach(("websocket", "polling", "stream")[number % 3])
        assert pair.write_down(way) == []
        pair.lose(way)
    way = pair.attach()
    assert (pair.server.inbox.received, pair.client.inbox.received) == (0, 0)
    pair.client_says("a")
    pair.server_says("b")
    pair.up(way)
    pair.down(way)
    assert (pair.server_heard, pair.client_heard) == (["a"], ["b"])


def test_messages_sent_without_a_carrier_wait_for_the_next(pair: Pair) -> None:
    pair.lose(pair.first)
    pair.client_says("a")
    pair.server_says("b")
    way = pair.attach()
    pair.up(way)
    assert (pair.server_heard, pair.client_heard) == (["a"], ["b"])


def test_websocket_that_dies_with_everything_in_flight_loses_nothing() -> None:
    pair = Pair()
    pair.client_says("a", "b")
    pair.server_says("c", "d")
    assert pair.write_up(pair.first)
    assert pair.write_down(pair.first)
    pair.lose(pair.first)
    way = pair.attach()
    pair.up(way)
    assert (pair.server_heard, pair.client_heard) == (["a", "b"], ["c", "d"])


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
def test_any_message_arrives_as_it_was_sent_on_every_transport(transport: str) -> None:
    """Section 3: framing is transparent."""
    pair = Pair("polling")
    pair.client_says(*AWKWARD)
    pair.server_says(*AWKWARD)
    way = pair.attach(transport)
    if transport == "websocket":
        pair.up(way)
    else:
        pair.post()
    assert (pair.server_heard, pair.client_heard) == (AWKWARD, AWKWARD)


def test_numbers_go_up_to_2_to_the_53_less_1_and_no_further() -> None:
    """Rule 1: numbers never wrap."""
    pair = Pair()
    for session in (pair.server, pair.client):
        outbox, inbox = session.outbox, session.inbox
        outbox.last = outbox.written = outbox.acknowledged = HIGHEST_NUMBER - 2
        outbox.forget(0)
        outbox._floor = HIGHEST_NUMBER - 2  # pyright: ignore[reportPrivateUsage]
        inbox.received = HIGHEST_NUMBER - 2
    pair.lose(pair.first)
    way = pair.arrive(pair.ask("websocket"))
    pair.server_says("a")
    frames = pair.write_down(way)
    assert frames == [f'7{{"carrier":2,"received":{HIGHEST_NUMBER - 2}}}\x1e9{HIGHEST_NUMBER - 1}\x1e4a']
    pair.deliver_down(way, frames)
    pair.client_says("b", "c")
    pair.up(way)
    pair.server_says("d")
    pair.down(way)
    assert (pair.server_heard, pair.client_heard) == (["b", "c"], ["a", "d"])
    pair.now += ACK_DELAY
    pair.up(way)
    assert pair.is_level
    for say in (pair.server_says, pair.client_says):
        with pytest.raises(LocalProtocolError, match="used up"):
            say("e")
    assert pair.server.life is Life.OPEN
    with pytest.raises(RemoteProtocolError, match="used up"):
        pair.deliver_up(way, ["4e"])


# -- what ends a session


def test_close_from_the_client_ends_the_session_and_messages_before_it_count() -> None:
    """Section 8: what comes after it does not, whatever it is."""
    pair = Pair()
    pair.deliver_up(pair.first, ["4a\x1e1\x1e4b\x1e8999"])
    assert pair.server_heard == ["a"]
    assert pair.server.life is Life.CLOSED
    assert pair.server.reason is CloseReason.TRANSPORT_CLOSE
    pair.deliver_up(pair.first, ["2x"])
    assert not pair.server.has_packets(pair.first.server, now=NOW)


def test_nothing_is_sent_after_the_end() -> None:
    pair = Pair()
    pair.deliver_up(pair.first, ["1"])
    with pytest.raises(SessionClosed):
        pair.server_says("a")


def test_client_whose_buffer_is_full_closes() -> None:
    pair = Pair(limit_bytes=153)
    pair.client_says("abc")
    assert pair.client.life is Life.OPEN
    pair.client_says("d")
    assert pair.client.life is Life.CLOSED
    assert pair.client.reason is CloseReason.BUFFER_FULL
    assert pair.write_up(pair.first) == []


@pytest.mark.parametrize("kind", [PacketType.OPEN, PacketType.UPGRADE])
def test_packet_that_is_out_of_place_ends_the_session(kind: PacketType) -> None:
    pair = Pair()
    for session, carrier in ((pair.server, pair.first.server), (pair.client, pair.first.client)):
        with pytest.raises(RemoteProtocolError, match="out of place"):
            session.receive(carrier, (kind, ""), now=NOW)


def test_second_attach_on_a_carrier_is_out_of_place_at_the_server() -> None:
    pair = Pair()
    with pytest.raises(RemoteProtocolError, match="out of place"):
        pair.deliver_up(pair.first, ['7{"key":"key","received":0,"carrier":2}'])


def test_noop_and_pong_mean_nothing_to_the_streams() -> None:
    pair = Pair()
    pair.deliver_down(pair.first, ["6\x1e3"])
    pair.deliver_up(pair.first, ["6\x1e3"])
    assert pair.is_level


def test_packets_are_handed_out_once() -> None:
    pair = Pair()
    pair.server_says("a")
    assert data_of(pair.server.packets_to_send(pair.first.server, now=NOW)) == ["a"]
    assert pair.server.packets_to_send(pair.first.server, now=NOW) == []


def test_message_is_kept_as_one_object_however_often_it_is_written() -> None:
    """It is encoded once for all sessions and all carriers."""
    pair = Pair()
    message = Message("a")
    assert pair.server.send(message, now=NOW) == 1
    way = pair.first
    for _ in range(3):
        assert pair.server.packets_to_send(way.server, now=NOW)[-1] is message
        way = pair.arrive(pair.ask("websocket"))


# -- pieces


def test_what_a_poll_repeats_comes_in_pieces_and_what_is_new_does_not() -> None:
    """Whoever is cut off in the middle of a long answer each time would never get past it."""
    pair = Pair("polling")
    texts = [f"{number:03}" + "x" * 997 for number in range(200)]
    pair.server_says(*texts)
    # The first answer is all there is. It gets lost.
    lost = pair.arrive(pair.ask("polling"))
    (answer,) = pair.write_down(lost, limit_bytes=1_000_000)
    assert len(answer) > 200_000
    pair.lose(lost)
    polls = 0
    while len(pair.client_heard) < 200:
        heard = len(pair.client_heard)
        way = pair.arrive(pair.ask("polling"))
        (answer,) = pair.write_down(way, limit_bytes=1_000_000)
        assert len(answer) <= PIECE_BYTES
        pair.deliver_down(way, [answer])
        assert len(pair.client_heard) > heard
        pair.lose(way)
        polls += 1
    assert pair.client_heard == texts
    assert polls == 7
    pair.server_says(*texts)
    way = pair.arrive(pair.ask("polling"))
    (answer,) = pair.write_down(way, limit_bytes=1_000_000)
    assert len(answer) > 200_000
