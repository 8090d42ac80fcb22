from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from holdfast.engine.wire.codec import Codec, JsonCodec, MsgpackCodec
from holdfast.engine.wire.socketio import SocketPacket, SocketPacketType
from holdfast.engine.wire.structure import check_structure

VALUES = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('"\\[]{}a\u00e9\ud800')),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from('"\\[]{}a')), inner),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


def containers_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + sum(map(containers_of, value)) if isinstance(value, list) else 0


def fits(text: str, **limits: int) -> bool:
    try:
        check_structure(text, **limits)
    except LimitExceeded as error:
        assert error.close_code == 1009
        return False
    return True


@given(VALUES, st.booleans(), st.integers(1, 6), st.integers(1, 20))
def test_depth_and_number_are_those_of_the_value(value: Any, escaped: bool, depth: int, most: int) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    expected = depth_of(value) <= depth and containers_of(value) <= most
    assert fits(text, max_depth=depth, max_containers=most) == expected


@given(st.text(st.sampled_from('"\\[]{}a')), st.integers(1, 6), st.integers(1, 20))
def test_what_is_no_json_raises_nothing_else(text: str, depth: int, most: int) -> None:
    fits(text, max_depth=depth, max_containers=most)


def test_alternating_texts_and_brackets_are_given_up_early() -> None:
    assert not fits('"["{' * 100, max_depth=64, max_containers=10)


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def packet(*args: object) -> SocketPacket:
    return SocketPacket(SocketPacketType.EVENT, "/", ["a", *args])


def brought(codec: Codec, value: SocketPacket) -> object:
    return codec.decode(codec.encode(value)[0].data)


CODECS = [JsonCodec, MsgpackCodec]


@pytest.mark.parametrize("codec", CODECS)
def test_depth_is_that_of_the_event_itself(codec: type[JsonCodec] | type[MsgpackCodec]) -> None:
    for limit in (64, 5, 100):
        deep = packet(nested(limit - 1))
        assert brought(codec(max_depth=limit), deep) == deep
        with pytest.raises(LimitExceeded, match=f"more than {limit} deep .setting max_depth"):
            brought(codec(max_depth=limit), packet(nested(limit)))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("item", [[], {}])
@pytest.mark.parametrize("limit", [100, 20, 2])
def test_lists_and_maps_are_counted(
    codec: type[JsonCodec] | type[MsgpackCodec], item: object, limit: int
) -> None:
    many = packet(*[item] * (limit - 1))
    assert brought(codec(max_containers=limit), many) == many
    with pytest.raises(LimitExceeded, match=f"more than {limit} lists and maps"):
        brought(codec(max_containers=limit), packet(*[item] * limit))


@pytest.mark.parametrize("codec", CODECS)
def test_text_and_bytes_that_look_like_lists_are_not_counted(
    codec: type[JsonCodec] | type[MsgpackCodec],
) -> None:
    text = packet("[{" * 1_000 + '"')
    assert brought(codec(max_containers=100), text) == text
    if codec is MsgpackCodec:
        data = packet(b"\x91\x80" * 1_000, {"a": b"\xdd"})
        assert brought(codec(max_containers=100), data) == data


def test_dates_count_twice_and_entries_a_tenth_in_msgpack() -> None:
    codec = MsgpackCodec(max_containers=100)
    date = b"\xd7\x00" + b"\x00" * 8

    def event(head: bytes, rest: bytes) -> bytes:
        return b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data" + head + b"\xa1a" + rest

    assert codec.decode(event(b"\xdc\x00\x32", date * 49))
    with pytest.raises(LimitExceeded):
        codec.decode(event(b"\xdc\x00\x34", date * 51))
    assert codec.decode(event(b"\xdc\x03\xe0", b"\xc0" * 991))
    with pytest.raises(LimitExceeded, match="too much in them"):
        codec.decode(event(b"\xdc\x03\xe9", b"\xc0" * 1_000))


@pytest.mark.parametrize("number", [0, 100])
def test_key_that_is_no_text_is_refused_in_msgpack(number: int) -> None:
    data = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\xdc" + (2 + number).to_bytes(2, "big")
    with pytest.raises(RemoteProtocolError, match="not msgpack"):
        MsgpackCodec(max_containers=150).decode(data + b"\xa1a" + b"\x90" * number + b"\x81\xc4\x01k\x00")


def test_arrays_that_are_announced_and_not_there_are_found_before_they_are_made() -> None:
    announced = b"\xdd\x00\x00\xff\xff" * 100 + b"\x00" * 100_000
    with pytest.raises(RemoteProtocolError, match="not msgpack"):
        MsgpackCodec().decode(announced)
    with pytest.raises(RemoteProtocolError, match="not msgpack"):
        MsgpackCodec().decode(b"\xdc\xff\xff" * 1_000)


class TestWhatOneCodecBringsAndTheOtherHasNot:
    """It is sent as what it is in JavaScript, so that no peer can make a broadcast fail for others."""

    @pytest.mark.parametrize(
        "number",
        [float("nan"), float("inf"), -float("inf")],
    )
    def test_number_that_is_not_finite_is_null_in_json(self, number: float) -> None:
        values = [number, b"1", {"a": (number, 1.5)}, b"2"]
        header, *attachments = JsonCodec().encode(packet(*values))
        places = [f'{{"_placeholder":true,"num":{place}}}' for place in (0, 1)]
        assert header.data == f'52-["a",null,{places[0]},{{"a":[null,1.5]}},{places[1]}]'
        assert [message.data for message in attachments] == [b"1", b"2"]

    def test_huge_number_of_json_is_infinity(self) -> None:
        assert JsonCodec().decode('2["a",1e400]') == packet(float("inf"))
        assert JsonCodec().encode(packet(float("inf")))[0].data == '2["a",null]'

    def test_long_integer_is_a_float_in_msgpack(self) -> None:
        numbers = [2**70, -(2**70), 10**400, -(10**400)]
        floats = [2.0**70, -(2.0**70), float("inf"), -float("inf")]
        assert brought(MsgpackCodec(), packet(*numbers)) == packet(*floats)

    def test_lone_surrogate_is_the_replacement_character_in_msgpack(self) -> None:
        assert brought(MsgpackCodec(), packet("a\ud800b", {"\udfff": 1})) == packet("a\ufffdb", {"\ufffd": 1})

    def test_value_that_fails_while_it_is_read_is_refused_where_it_is_sent(self) -> None:
        class Fails(dict[str, object]):
            def items(self) -> Any:
                raise ZeroDivisionError

        for codec in (JsonCodec(), MsgpackCodec()):
            with pytest.raises(LocalProtocolError, match="cannot carry this"):
                codec.encode(packet(Fails(a=1)))
