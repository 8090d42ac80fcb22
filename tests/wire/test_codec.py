from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from holdfast.engine.wire.codec import Codec, JsonCodec, MsgpackCodec
from holdfast.engine.wire.socketio import SocketPacket, SocketPacketType

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "msgpack.json").read_text("utf-8"))
CODEC = MsgpackCodec()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def value_of(vector: Any) -> Any:
    """What a vector's JSON stands for."""
    if isinstance(vector, dict):
        if vector.keys() == {"$bytes"}:
            return bytes.fromhex(vector["$bytes"])
        if vector.keys() == {"$date"}:
            return EPOCH + timedelta(milliseconds=vector["$date"])
        return {key: value_of(value) for key, value in vector.items()}
    return [value_of(item) for item in vector] if isinstance(vector, list) else vector


def packet_of(vector: dict[str, Any]) -> SocketPacket:
    return SocketPacket(
        SocketPacketType[vector["type"]], vector["nsp"], value_of(vector.get("data")), vector.get("id")
    )


def event(*data: object) -> SocketPacket:
    return SocketPacket(SocketPacketType.EVENT, "/", ["a", *data])


@pytest.mark.parametrize("vector", VECTORS["packets"], ids=lambda vector: vector["name"])
def test_packet_is_written_and_read_as_the_official_parser_does(vector: dict[str, Any]) -> None:
    (message,) = CODEC.encode(packet_of(vector["packet"]))
    assert isinstance(message.data, bytes)
    assert message.data.hex() == vector["bytes"]
    assert CODEC.decode(bytes.fromhex(vector["bytes"])) == packet_of(vector["packet"])


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda vector: vector["name"])
def test_what_javascript_writes_otherwise_is_read(vector: dict[str, Any]) -> None:
    assert CODEC.decode(bytes.fromhex(vector["bytes"])) == packet_of(vector["packet"])


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_what_no_conforming_encoder_writes_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        CODEC.decode(bytes.fromhex(vector["bytes"]))


def test_text_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        CODEC.decode('2["a"]')


def test_wide_values_are_not_taken_for_deep_ones() -> None:
    wide = event([{"a": [1]}] * 1000)
    assert CODEC.decode(CODEC.encode(wide)[0].data) == wide


def test_standard_timestamp_is_a_datetime_too() -> None:
    data = msgpack.packb({"type": 2, "data": ["a", EPOCH], "nsp": "/"}, datetime=True)
    assert CODEC.decode(data) == event(EPOCH)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, datetime(2020, 1, 1)],
    ids=["object", "set", "naive"],
)
def test_value_that_msgpack_cannot_carry_is_refused_where_it_is_sent(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        CODEC.encode(event(value))


def test_depth_without_end_is_refused_where_it_is_sent() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(LocalProtocolError):
        CODEC.encode(event(loop))


def test_bytes_like_values_are_carried() -> None:
    packet = event(bytearray(b"1"), memoryview(b"2"))
    assert CODEC.decode(CODEC.encode(packet)[0].data) == event(b"1", b"2")


@pytest.mark.parametrize("codec", [JsonCodec(), CODEC], ids=["json", "msgpack"])
def test_codecs_say_how_they_are_negotiated(codec: Codec) -> None:
    assert codec.name in ("json", "msgpack")


@pytest.mark.parametrize("type", [SocketPacketType.CONNECT, SocketPacketType.CONNECT_ERROR])
def test_msgpack_carries_bytes_in_every_packet(type: SocketPacketType) -> None:
    packet = SocketPacket(type, "/", {"message": "no", "data": b"raw"})
    assert CODEC.decode(CODEC.encode(packet)[0].data) == packet


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)).map(
        lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000)
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=4))
def test_round_trip(args: list[object]) -> None:
    packet = event(*args)
    assert CODEC.decode(CODEC.encode(packet)[0].data) == packet


@given(
    st.binary()
    | st.builds(
        lambda prefix, rest: prefix + rest,
        st.sampled_from([bytes.fromhex(vector["bytes"])[:-5] for vector in VECTORS["packets"]]),
        st.binary(max_size=20),
    )
    | st.lists(
        st.sampled_from([b"\x81", b"\x91", b"\xd4\x00\x00", b"\xd7\x00", b"\xa1a", b"\xc1", b"\xff" * 8])
    ).map(b"".join)
)
def test_arbitrary_bytes_raise_the_protocol_error_and_nothing_else(data: bytes) -> None:
    try:
        CODEC.decode(data)
    except RemoteProtocolError:
        pass


def test_telling_a_typed_array_from_a_date_costs_no_more_than_is_let_in() -> None:
    codec = MsgpackCodec(max_containers=10)
    eight = b"\xc7\x08\x00" + b"\x07" * 8

    def brought(*items: bytes) -> object:
        head = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data"
        return codec.decode(head + bytes((0x91 + len(items),)) + b"\xa1a" + b"".join(items))

    # Bytes that look like many lists.
    assert brought(b"\xc4\x40" + b"\x90" * 64, eight) == event(b"\x90" * 64, b"\x07" * 8)
    assert brought(*[eight] * 4) == event(*[b"\x07" * 8] * 4)
    for many in ([eight] * 6, [eight, *[b"\x90"] * 11], [b"\xc4\x40" + b"\x90" * 64, eight, *[b"\x90"] * 11]):
        with pytest.raises(LimitExceeded):
            brought(*many)
