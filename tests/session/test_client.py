from __future__ import annotations

import pytest
from session_pair import NOW, Pair, data_of

from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.session import ClientSession, CloseReason, Life, Role
from holdfast.engine.wire.handshake import Attach


def test_opening_websocket_writes_and_the_other_transports_only_bring_to_us() -> None:
    assert Pair("websocket").client.writer is not None
    for transport in ("stream", "polling"):
        client = ClientSession(key="key", transport=transport, limit_bytes=10)
        assert client.writer is None
        assert client.opening.role is Role.BRINGER


def test_attaches_are_numbered_from_2() -> None:
    """Rule 6: the opening request is carrier 1."""
    client = Pair().client
    assert [client.attach(transport).number for transport in ("polling", "websocket", "stream")] == [2, 3, 4]


def test_attach_proves_the_key_and_acknowledges() -> None:
    pair = Pair()
    pair.server_says("a")
    pair.down(pair.first)
    carrier = pair.client.attach("polling")
    assert pair.client.attach_value(carrier) == Attach(key="key", received=1, carrier=2)


def test_post_without_messages_states_no_number() -> None:
    pair = Pair("polling")
    assert data_of(pair.client.post()) == ['7{"key":"key","received":0}']


def test_post_is_limited_and_the_next_one_goes_on() -> None:
    pair = Pair("polling")
    pair.client_says("a" * 20, "b" * 20)
    body = pair.write_post(limit_bytes=30)
    assert body.endswith("\x1e91\x1e4" + "a" * 20)
    pair.deliver_answer(pair.deliver_post(body))
    assert pair.write_post(limit_bytes=30).endswith("\x1e92\x1e4" + "b" * 20)


def test_pong_of_a_stream_leaves_with_one_post_and_a_pong_of_a_websocket_there() -> None:
    """Section 6."""
    pair = Pair("stream")
    pair.deliver_down(pair.first, ["2x"])
    assert data_of(pair.client.post()) == ['7{"key":"key","received":0}', "3x"]
    assert data_of(pair.client.post()) == ['7{"key":"key","received":0}']
    way = pair.attach()
    pair.up(way)
    pair.deliver_down(way, ["2y"])
    assert pair.write_up(way) == ["3y"]


def test_answer_to_a_websocket_is_an_acknowledgement_and_is_followed_by_the_next_number() -> None:
    """Section 5."""
    pair = Pair()
    pair.client_says("a", "b")
    pair.write_up(pair.first)
    carrier, _ = pair.ask("websocket")
    way = pair.first.__class__(carrier, pair.first.server)
    pair.deliver_down(way, ['7{"carrier":2,"received":1}\x1e91'])
    assert pair.client.outbox.acknowledged == 1
    assert pair.write_up(way) == ["92\x1e4b"]


def test_poll_or_stream_that_is_answered_ends_our_writing_on_the_websocket() -> None:
    """Rule 2."""
    pair = Pair()
    pair.attach("stream")
    assert pair.client.writer is None
    assert pair.first.client.role is Role.REPLACED
    pair.client_says("a")
    assert pair.write_up(pair.first) == []
    pair.post()
    assert pair.server_heard == ["a"]


def test_answer_of_an_older_attach_does_not_take_over() -> None:
    """Rule 6: the answers change places."""
    pair = Pair()
    second = pair.arrive(pair.ask("websocket"))
    late = pair.write_down(second)
    third = pair.arrive(pair.ask("websocket"))
    pair.down(third)
    pair.deliver_down(second, late)
    assert pair.client.writer is third.client
    assert pair.write_up(second) == []


def test_answer_on_a_carrier_that_was_given_up_does_not_take_over() -> None:
    pair = Pair()
    way = pair.arrive(pair.ask("websocket"))
    frames = pair.write_down(way)
    pair.client.detach(way.client, now=NOW)
    pair.deliver_down(way, frames)
    assert pair.client.writer is pair.first.client


def test_answer_that_comes_twice_states_the_number_twice_and_the_carrier_goes_on() -> None:
    """Rule 5: a number may be stated again."""
    pair = Pair()
    way = pair.arrive(pair.ask("websocket"))
    answer = pair.write_down(way)
    pair.client_says("a")
    pair.deliver_down(way, answer)
    pair.deliver_down(way, answer)
    assert way.client.role is Role.WRITER
    pair.up(way)
    assert pair.server_heard == ["a"]


def test_answer_for_another_carrier_ends_the_session() -> None:
    pair = Pair()
    way = pair.arrive(pair.ask("websocket"))
    with pytest.raises(RemoteProtocolError, match="another carrier"):
        pair.deliver_down(way, ['7{"carrier":3,"received":0}'])


@pytest.mark.parametrize("answer", ['7{"carrier":2,"received":1}', "7{}", "7", '7{"received":-1}'])
def test_wrong_answer_ends_the_session(answer: str) -> None:
    """Rule 1: 1 was never sent."""
    pair = Pair()
    way = pair.arrive(pair.ask("websocket"))
    with pytest.raises(RemoteProtocolError):
        pair.deliver_down(way, [answer])


def test_close_from_the_server_ends_the_session() -> None:
    """Section 8."""
    pair = Pair()
    pair.deliver_down(pair.first, ['4a\x1e1{"code":3}\x1e4b\x1e7{}'])
    assert pair.client_heard == ["a"]
    assert pair.client.life is Life.CLOSED
    assert pair.client.reason is CloseReason.TRANSPORT_CLOSE


def test_session_knows_what_carries_it() -> None:
    pair = Pair("polling")
    for transport in ("stream", "websocket", "polling"):
        pair.attach(transport)
        assert pair.client.transport == pair.server.transport == transport


def test_stream_after_a_stream_takes_over() -> None:
    """Section 5: the server ends a stream, the client attaches the next."""
    pair = Pair("stream")
    old, new = pair.first, pair.attach("stream")
    pair.server_says("a")
    assert pair.write_down(old) == []
    pair.down(new)
    assert pair.client_heard == ["a"]
