from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import Packet, PacketType, encode_packet
from holdfast.engine.wire.payload import (
    PIECE_BYTES,
    decode_payload,
    decode_payload_bytes,
    encode_frames,
    encode_payload,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "payloads.json").read_text("utf-8"))
MESSAGES = st.lists(st.text() | st.text("\x1e\r\n4b") | st.binary(), min_size=1)


def data_of(value: dict[str, Any]) -> str | bytes:
    return b64decode(value["base64"]) if "base64" in value else value["data"]


def packets_of(values: list[dict[str, Any]]) -> list[Packet]:
    return [(PacketType(value["type"]), data_of(value)) for value in values]


def to_send(values: list[dict[str, Any]]) -> list[str | Message]:
    """What a session hands out: control packets encoded, messages as they are."""
    return [
        Message(data_of(value))
        if value["type"] == "4"
        else encode_packet(PacketType(value["type"]), value["data"])
        for value in values
    ]


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_payload_is_written_and_read_as_in_the_vectors(vector: dict[str, Any]) -> None:
    counting, wire = vector["counting"], vector["wire"]
    assert encode_payload(to_send(vector["value"]), counting=counting) == wire
    assert list(decode_payload(wire, counting=counting)) == packets_of(vector["value"])
    assert list(decode_payload_bytes(wire.encode(), counting=counting)) == packets_of(vector["value"])


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda vector: vector["name"])
def test_wrong_payload_raises_the_protocol_error(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        list(decode_payload(vector["wire"], counting=vector["counting"]))


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_packets_are_put_into_websocket_messages_as_in_the_vectors(vector: dict[str, Any]) -> None:
    frames = [b64decode(frame["base64"]) if isinstance(frame, dict) else frame for frame in vector["wire"]]
    assert encode_frames(to_send(vector["value"]), counting=vector["counting"]) == frames


@given(MESSAGES)
def test_any_messages_arrive_as_they_were_sent_in_a_payload(sent: list[str | bytes]) -> None:
    payload = encode_payload([Message(data) for data in sent], counting=True)
    assert [data for _, data in decode_payload(payload, counting=True)] == sent
    assert "\r" not in payload
    assert "\n" not in payload


@given(MESSAGES)
def test_any_messages_arrive_as_they_were_sent_in_websocket_messages(sent: list[str | bytes]) -> None:
    heard: list[str | bytes] = []
    for frame in encode_frames([Message(data) for data in sent], counting=True):
        if isinstance(frame, bytes):
            heard.append(frame)
        else:
            heard.extend(data for _, data in decode_payload(frame, counting=True))
    assert heard == sent


def test_websocket_messages_to_a_counting_peer_are_not_longer_than_a_piece() -> None:
    """Of a message that was cut off nothing counts: all that waits in one of them might never arrive."""
    texts = [f"{number:03}" + "x" * 997 for number in range(200)]
    frames = encode_frames([Message(text) for text in texts], counting=True)
    assert len(frames) == 7
    assert all(PIECE_BYTES - 1100 < len(frame) <= PIECE_BYTES for frame in frames[:-1])
    packets = [packet for frame in frames for packet in decode_payload(str(frame), counting=True)]
    assert [data for _, data in packets] == texts
    # What is longer by itself goes alone, and full ones leave nothing behind.
    frames = encode_frames([Message("a" * PIECE_BYTES), Message("b"), Message(b"c")], counting=True)
    assert frames == ["4" + "a" * PIECE_BYTES, "4b", b"c"]
    assert len(encode_frames([Message("a" * PIECE_BYTES)], counting=True)) == 1


def test_packets_before_a_wrong_one_count() -> None:
    packets = decode_payload("4a\x1e4b\x1ex\x1e4c", counting=True)
    assert [next(packets)[1], next(packets)[1]] == ["a", "b"]
    with pytest.raises(RemoteProtocolError):
        next(packets)
    assert list(packets) == []


@pytest.mark.parametrize("body", [b"\xff", b"4\xc3", b"4\xed\xa0\x80", b"4\xc0\x80", bytearray(b"4\xf5")])
def test_body_that_is_not_utf_8_raises_at_once(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_payload_bytes(body, counting=True)


@given(body=st.binary() | st.text('0123456789bj\x1e"\\{}=').map(str.encode), counting=st.booleans())
def test_whatever_body_arrives_raises_the_protocol_error_and_nothing_else(
    body: bytes, counting: bool
) -> None:
    try:
        packets = list(decode_payload_bytes(body, counting=counting))
    except RemoteProtocolError:
        return
    assert packets


def test_payload_of_very_many_packets_is_read() -> None:
    assert sum(1 for _ in decode_payload("4\x1e" * 100_000 + "4", counting=True)) == 100_001


@given(
    st.lists(st.sampled_from([1, 10, 30_000, 32_767, 32_768, 65_534, 65_535, 65_536, 200_000]), min_size=1)
)
def test_frames_for_a_counting_peer_are_few_and_none_is_large_by_being_joined(sizes: list[int]) -> None:
    texts = [str(place % 10) * size for place, size in enumerate(sizes)]
    frames = encode_frames([Message(text) for text in texts], counting=True)
    assert [packet[1:] for frame in frames for packet in str(frame).split("\x1e")] == texts
    for frame, following in zip(frames, [*frames[1:], ""], strict=True):
        assert len(frame) <= PIECE_BYTES or "\x1e" not in str(frame)
        # Nothing of the next one had room in it.
        first = str(following).split("\x1e")[0]
        assert not first or len(frame) + 1 + len(first) >= PIECE_BYTES


def test_megabyte_for_a_peer_that_is_behind_is_no_single_frame() -> None:
    frames = encode_frames([Message("x" * 99)] * 10_000, counting=True)
    assert len(frames) == 31
    assert max(map(len, frames)) <= PIECE_BYTES
