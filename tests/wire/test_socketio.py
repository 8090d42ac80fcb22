from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from holdfast.engine.wire.codec import JsonCodec
from holdfast.engine.wire.packet import HIGHEST_NUMBER
from holdfast.engine.wire.socketio import (
    MAX_ATTACHMENTS,
    NO_JSON,
    BinaryHeader,
    EventReceived,
    SocketPacket,
    SocketPacketType,
    check_event_name,
    decode_socket_packet,
    encode_ack,
    encode_socket_packet,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "socketio.json").read_text("utf-8"))
CODEC = JsonCodec()


def value_of(vector: Any) -> Any:
    """What a vector's JSON stands for."""
    if isinstance(vector, dict):
        if vector.keys() == {"$bytes"}:
            return bytes.fromhex(vector["$bytes"])
        return {key: value_of(value) for key, value in vector.items()}
    return [value_of(item) for item in vector] if isinstance(vector, list) else vector


def packet_of(vector: dict[str, Any]) -> SocketPacket:
    return SocketPacket(
        SocketPacketType[vector["type"]], vector["nsp"], value_of(vector.get("data")), vector.get("id")
    )


def outcome(decode: Callable[[], SocketPacket | BinaryHeader | None]) -> object:
    try:
        return decode()
    except RemoteProtocolError as error:
        return type(error), str(error)


def as_packet(event: EventReceived | None) -> SocketPacket | None:
    if event is None:
        return None
    namespace, name, args, id = event
    return SocketPacket(SocketPacketType.EVENT, namespace, [name, *args], id)


def read(text: str, *, max_attachments: int = MAX_ATTACHMENTS) -> SocketPacket | BinaryHeader:
    """What a text is; by the shorter way too, which knows fewer of them, and those alike."""
    if text[:1] == "2":
        event = outcome(lambda: as_packet(CODEC.decode_event(text)))
        assert event is None or event == outcome(lambda: decode_socket_packet(text))
    return decode_socket_packet(text, max_attachments=max_attachments)


def decode(text: str, attachments: list[bytes]) -> SocketPacket:
    packet = read(text)
    if isinstance(packet, BinaryHeader):
        assert packet.attachments == len(attachments)
        return packet.complete(attachments)
    return packet


@pytest.mark.parametrize("vector", VECTORS["packets"], ids=lambda vector: vector["name"])
def test_packet_is_written_and_read_as_the_official_parser_does(vector: dict[str, Any]) -> None:
    attachments = [bytes.fromhex(attachment) for attachment in vector["attachments"]]
    assert encode_socket_packet(packet_of(vector["packet"])) == (vector["text"], attachments)
    assert decode(vector["text"], attachments) == packet_of(vector["packet"])
    assert [message.data for message in CODEC.encode(packet_of(vector["packet"]))] == [
        vector["text"],
        *attachments,
    ]


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda vector: vector["name"])
def test_other_spellings_are_read(vector: dict[str, Any]) -> None:
    assert decode(vector["text"], []) == packet_of(vector["packet"])


@pytest.mark.parametrize("text", VECTORS["refused"])
def test_what_no_conforming_encoder_writes_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "2" + "[" * 100_000,
        '2["a",' + "[" * 100_000,
        "2" + "9" * 5_000 + '["a"]',
        '2["a",' + "9" * 5_000 + "]",
        "5" + "9" * 5_000 + '-["a"]',
        '51-["a",' + '{"a":' * 100_000,
        '51-["a",{"_placeholder":true,"num":' + "9" * 5_000 + "}]",
    ],
    ids=[
        "depth",
        "depth in an event",
        "id",
        "number",
        "attachments",
        "depth with attachments",
        "placeholder",
    ],
)
def test_bombs_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        read(text)


def test_bytes_without_an_announcement_are_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        CODEC.decode(b"")


def test_limit_of_attachments_can_be_set_and_holds_both_ways() -> None:
    event = SocketPacket(SocketPacketType.EVENT, "/", ["a", b"1", b"2"])
    text, _ = encode_socket_packet(event)
    assert JsonCodec(max_attachments=2).decode(text)
    with pytest.raises(LimitExceeded, match="max_attachments"):
        JsonCodec(max_attachments=1).decode(text)
    with pytest.raises(LocalProtocolError, match="at most 1"):
        JsonCodec(max_attachments=1).encode(event)


class Unknown: ...


LOOP: list[object] = []
LOOP.append(LOOP)
DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [Unknown(), {1, 2}, {(1,): 2}, LOOP, DEEP, datetime(2020, 1, 1), 10**5000],
    ids=["object", "set", "key", "loop", "depth", "naive datetime", "huge number"],
)
def test_value_that_json_cannot_carry_is_refused_where_it_is_sent(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        encode_socket_packet(SocketPacket(SocketPacketType.EVENT, "/", ["a", value]))


def test_datetime_is_written_as_javascript_writes_a_date() -> None:
    when = datetime(2020, 1, 2, 4, 4, 5, 678999, tzinfo=timezone(timedelta(hours=1)))
    text, _ = encode_socket_packet(SocketPacket(SocketPacketType.EVENT, "/", ["a", when]))
    assert text == '2["a","2020-01-02T03:04:05.678Z"]'
    assert (
        encode_socket_packet(SocketPacket(SocketPacketType.EVENT, "/", ["a", when.astimezone(UTC)]))[0]
        == text
    )


def test_bytes_like_values_and_tuples_are_carried() -> None:
    data = ("a", bytearray(b"1"), memoryview(b"2"), (3,))
    text, attachments = encode_socket_packet(SocketPacket(SocketPacketType.EVENT, "/", data))
    assert decode(text, attachments).data == ["a", b"1", b"2", [3]]


@pytest.mark.parametrize("name", ["connect", "disconnect", 7, None])
def test_reserved_names_are_refused_where_they_are_emitted(name: object) -> None:
    with pytest.raises(LocalProtocolError):
        check_event_name(name)


@pytest.mark.parametrize("type", [SocketPacketType.CONNECT, SocketPacketType.CONNECT_ERROR])
@pytest.mark.parametrize("data", [b"raw", {"data": bytearray(b"raw")}])
def test_bytes_in_what_has_no_binary_type_are_refused(type: SocketPacketType, data: object) -> None:
    with pytest.raises(LocalProtocolError, match="events and acknowledgements"):
        encode_socket_packet(SocketPacket(type, "/", data))


def test_free_names_are_not_refused() -> None:
    check_event_name("chat")
    check_event_name("")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text().filter(lambda key: key != "_placeholder"), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMESPACES = st.sampled_from(["/", "/admin", "/a/b", "/é?x=1"])
IDS = st.integers(0, 2**53 - 1)
RESERVED = {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
PACKETS = st.one_of(
    st.builds(
        SocketPacket,
        st.just(SocketPacketType.EVENT),
        NAMESPACES,
        st.builds(
            lambda name, args: [name, *args],
            st.text().filter(lambda name: name not in RESERVED),
            st.lists(VALUES, max_size=4),
        ),
        st.none() | IDS,
    ),
    st.builds(SocketPacket, st.just(SocketPacketType.ACK), NAMESPACES, st.lists(VALUES, max_size=4), IDS),
)


@given(PACKETS)
def test_round_trip(packet: SocketPacket) -> None:
    text, attachments = encode_socket_packet(packet, max_attachments=100)
    decoded = read(text, max_attachments=100)
    if isinstance(decoded, BinaryHeader):
        decoded = decoded.complete(attachments)
    assert decoded == packet


@given(
    st.text()
    | st.text('0123456789-/,[]{}":_placehordnum ae.truefalsnif')
    | st.builds(
        "".join,
        st.lists(st.sampled_from(["5", "1-", "/a,", "7", '["a"', ',{"_placeholder":true,"num":0}', "]"])),
    )
)
def test_arbitrary_text_raises_the_protocol_error_and_nothing_else(text: str) -> None:
    try:
        packet = read(text)
    except RemoteProtocolError:
        return
    if isinstance(packet, BinaryHeader):
        packet = packet.complete([b""] * packet.attachments)
    assert decode(*encode_socket_packet(packet)) == packet or "e" in text or "E" in text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(_JSON, max_size=3), st.sampled_from(["/", "/a", "/\u00e4?b=1"]), st.integers(0, HIGHEST_NUMBER)
)
def test_most_answers_are_written_by_the_shorter_way(args: list[object], namespace: str, id: int) -> None:
    expected = encode_socket_packet(SocketPacket(SocketPacketType.ACK, namespace, args, id))
    text = encode_ack(namespace, tuple(args), id)
    assert text is None or (text, []) == expected


@pytest.mark.parametrize("args", [(), ("a",), ("\ud800\u00e4", 1.5), ([{"a": None}],), (["<>"], True)])
def test_answers_that_are_written_by_the_shorter_way(args: tuple[object, ...]) -> None:
    assert encode_ack("/", args, 7) is not None


@pytest.mark.parametrize("value", [b"a", bytearray(b"a"), datetime(2026, 1, 1, tzinfo=UTC), inf, object()])
def test_the_shorter_way_leaves_an_answer_that_is_more_than_json(value: object) -> None:
    assert encode_ack("/", ([value],), 7) is None


@pytest.mark.parametrize("text", ['2["a"]', '27["a",{"b":[1]}]', f'29007199254740991["a","{"x" * 500}"]'])
def test_most_events_are_read_by_the_shorter_way(text: str) -> None:
    assert as_packet(CODEC.decode_event(text)) == decode_socket_packet(text)


@pytest.mark.parametrize(
    "text", ["3", "2", "2[]", '2["connect"]', "2[7]", '2/a,["a"]', '29007199254740992["a"]', '2\u0667["a"]']
)
def test_the_shorter_way_leaves_what_is_unusual(text: str) -> None:
    assert CODEC.decode_event(text) is None


def test_a_short_text_is_read_or_refused_however_little_is_left_of_the_stack() -> None:
    text = '2["a",' + "[" * 50 + "]" * 50 + "]"
    whole, limit = decode_socket_packet(text), sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 30)
    try:
        event = outcome(lambda: as_packet(CODEC.decode_event(text)))
    finally:
        sys.setrecursionlimit(limit)
    # Since Python 3.12 what is written in C has a stack of its own.
    assert event in (whole, (RemoteProtocolError, NO_JSON))


def test_the_shorter_way_keeps_the_limits() -> None:
    with pytest.raises(LimitExceeded, match="max_depth"):
        JsonCodec(max_depth=3).decode_event('2["a"' + ",[" * 5)
    with pytest.raises(LimitExceeded, match="max_containers"):
        JsonCodec(max_containers=3).decode_event('2["a"' + ",[]" * 5 + "]")
