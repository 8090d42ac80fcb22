from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.subprotocols.socketio import (
    AckReceived,
    ConnectRequested,
    DisconnectReceived,
    EventReceived,
    Received,
    SocketIOState,
)
from holdfast.engine.wire.codec import JsonCodec, MsgpackCodec

CODECS = {"json": JsonCodec(), "msgpack": MsgpackCodec()}
ONE = '51-["a",{"_placeholder":true,"num":0}]'
TWO = '52-7["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]'


class BothWays(SocketIOState):
    """It says the same by the shorter way, where that says anything."""

    def receive(self, data: str | bytes) -> Received | None:
        try:
            event = self.receive_event(data)
        except RemoteProtocolError:
            with pytest.raises(RemoteProtocolError):
                super().receive(data)
            raise
        received = super().receive(data)
        assert event is None or event == received
        return received


def state(*namespaces: str, max_bytes: int = 100, max_namespaces: int = 3) -> SocketIOState:
    """A peer that is connected to these."""
    made = BothWays(None, codecs=CODECS, max_bytes=max_bytes, max_namespaces=max_namespaces)
    for namespace in namespaces:
        made.receive(f"0{namespace},")
        made.accept(namespace)
    return made


def test_connect_is_asked_for_and_answered() -> None:
    peer = state()
    assert peer.receive('0{"token":1}') == ConnectRequested("/", {"token": 1})
    peer.accept("/")
    assert peer.receive('2["a",1]') == EventReceived("/", "a", [1], None)
    assert peer.receive('27["a"]') == EventReceived("/", "a", [], 7)
    assert peer.receive("35[1,2]") == AckReceived("/", 5, [1, 2])
    assert peer.receive("1") == DisconnectReceived("/")
    assert peer.receive("0") == ConnectRequested("/", {})


def test_most_events_are_taken_by_the_shorter_way() -> None:
    peer = state("/", "/other")
    assert peer.receive_event('27["a",1]') == ("/", "a", [1], 7)
    for other in ('2/other,["a"]', "37[]", ONE, b"\x81", "1"):
        assert peer.receive_event(other) is None
    peer.receive(ONE)
    assert peer.receive_event('2["a"]') is None, "where an attachment is to come"
    peer.receive(b"")
    peer.leave("/")
    assert peer.receive_event('2["a"]') is None, "and is dropped"
    assert peer.receive('2["a"]') is None
    fresh = state()
    fresh.receive("0")
    assert fresh.receive_event('2["a"]') is None, "and is too early"


def test_peer_that_comes_from_another_node_is_where_it_was() -> None:
    peer = state()
    peer.codec = CODECS["json"]
    peer.restore("/there")
    assert peer.receive('2/there,["a",1]') == EventReceived("/there", "a", [1], None)
    with pytest.raises(RemoteProtocolError):
        peer.receive('2["a",1]')


@pytest.mark.parametrize(
    "message",
    ['2["a"]', "31[]", "1", ONE, '4{"message":"x"}', "61-1[]"],
    ids=["event", "ack", "disconnect", "binary event", "error", "binary ack"],
)
def test_nothing_but_connect_may_come_first(message: str) -> None:
    peer = state("/other")
    with pytest.raises(RemoteProtocolError):
        peer.receive(message)
    assert peer.receive('2/other,["a"]') == EventReceived("/other", "a", [], None)


@pytest.mark.parametrize("message", ["0", '2["a"]', "31[]", ONE])
def test_nothing_but_disconnect_may_come_before_the_answer(message: str) -> None:
    peer = state()
    peer.receive("0")
    with pytest.raises(RemoteProtocolError):
        peer.receive(message)
    peer = state()
    peer.receive("0")
    assert peer.receive("1") == DisconnectReceived("/")
    assert peer.receive("0") == ConnectRequested("/", {})


@pytest.mark.parametrize("message", ["0", '4{"message":"x"}'])
def test_connected_peer_may_not_connect_again(message: str) -> None:
    with pytest.raises(RemoteProtocolError):
        state("/").receive(message)


@pytest.mark.parametrize("how", ["put out", "refused"])
def test_what_was_on_its_way_into_a_namespace_that_we_ended_is_dropped(how: str) -> None:
    if how == "put out":
        peer = state("/")
        peer.leave("/")
    else:
        peer = state()
        peer.receive("0")
        peer.refuse("/")
    for message in ['2["a"]', "31[]", ONE, b"1", "1"]:
        assert peer.receive(message) is None
    assert peer.receive("0") == ConnectRequested("/", {})


def test_one_may_be_put_out_before_the_answer() -> None:
    peer = state()
    peer.receive("0")
    peer.leave("/")
    assert peer.receive("0") == ConnectRequested("/", {})


def test_attachments_are_put_into_their_places() -> None:
    peer = state("/")
    assert peer.receive(TWO) is None
    assert peer.receive(b"first") is None
    assert peer.pending_bytes == 5
    assert peer.is_incomplete
    assert peer.receive(b"second") == EventReceived("/", "a", [b"second", b"first"], 7)
    assert peer.pending_bytes == 0
    assert not peer.is_incomplete
    assert peer.receive('61-3[{"_placeholder":true,"num":0}]') is None
    assert peer.receive(b"x") == AckReceived("/", 3, [b"x"])


def test_text_between_attachments_is_refused() -> None:
    peer = state("/")
    peer.receive(TWO)
    with pytest.raises(RemoteProtocolError, match="attachment"):
        peer.receive('2["a"]')


def test_attachments_are_bounded_together() -> None:
    peer = state("/", max_bytes=10)
    peer.receive(TWO)
    peer.receive(b"x" * 6)
    with pytest.raises(RemoteProtocolError, match="too large"):
        peer.receive(b"x" * 5)


def test_attachments_for_a_namespace_that_was_left_meanwhile_are_dropped() -> None:
    peer = state("/")
    peer.receive(ONE)
    peer.leave("/")
    assert peer.receive(b"x") is None


def test_incomplete_packet_is_forgotten_with_the_session() -> None:
    peer = state("/")
    peer.receive(TWO)
    peer.receive(b"x" * 6)
    peer.clear()
    assert peer.pending_bytes == 0


def test_namespaces_are_bounded() -> None:
    peer = state("/a", "/b", "/c")
    with pytest.raises(RemoteProtocolError, match="too many namespaces"):
        peer.receive("0/d,")
    peer.receive("1/a,")
    assert peer.receive("0/d,") == ConnectRequested("/d", {})


def test_codec_of_a_plain_peer_is_that_of_its_first_message() -> None:
    peer = state()
    assert peer.receive(b"\x82\xa4type\x00\xa3nsp\xa1/") == ConnectRequested("/", {})
    assert peer.codec is CODECS["msgpack"]
    with pytest.raises(RemoteProtocolError):
        peer.receive("0/a,")
    peer = state("/")
    assert peer.codec is CODECS["json"]
    with pytest.raises(RemoteProtocolError):
        peer.receive(b"\x82\xa4type\x00\xa3nsp\xa2/a")


def test_first_message_that_no_codec_recognises_ends_the_session() -> None:
    peer = SocketIOState(None, codecs={"msgpack": CODECS["msgpack"]})
    with pytest.raises(RemoteProtocolError):
        peer.receive("0")


def test_negotiated_codec_is_not_guessed() -> None:
    peer = SocketIOState(CODECS["msgpack"], codecs=CODECS)
    with pytest.raises(RemoteProtocolError):
        peer.receive("0")


MESSAGES = st.sampled_from(
    [
        *(
            "0",
            "0/a,",
            "1",
            "1/a,",
            '2["a"]',
            '2/a,["a"]',
            "31[]",
            ONE,
            TWO,
            "4{}",
            b"x",
            b"",
            b"\x82",
            "",
            "junk",
        ),
        *("accept", "refuse", "leave"),
    ]
)


@given(st.lists(MESSAGES, max_size=30))
def test_any_order_of_messages_raises_the_protocol_error_and_nothing_else(
    messages: list[str | bytes],
) -> None:
    peer = state("/other", max_bytes=3)
    pending: set[str] = set()
    for message in messages:
        if message in ("accept", "refuse"):
            for namespace in pending:
                getattr(peer, str(message))(namespace)
            pending.clear()
        elif message == "leave":
            peer.leave("/")
            pending.discard("/")
        else:
            try:
                received = peer.receive(message)
            except RemoteProtocolError:
                return
            if isinstance(received, ConnectRequested):
                pending.add(received.namespace)
            elif isinstance(received, DisconnectReceived):
                pending.discard(received.namespace)
        assert peer.pending_bytes <= 3
