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
from holdfast.engine.wire.packet import (
    HIGHEST_NUMBER,
    Packet,
    PacketType,
    decode_packet,
    decode_position,
    encode_message,
    encode_packet,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "packets.json").read_text("utf-8"))
KINDS = "0123456789bj"


def packet_of(value: dict[str, Any]) -> Packet:
    data = b64decode(value["base64"]) if "base64" in value else value["data"]
    return (PacketType(value["type"]), data)


def encode(packet: Packet, *, counting: bool) -> str:
    if packet[0] is PacketType.MESSAGE:
        return encode_message(Message(packet[1]), counting=counting)
    assert isinstance(packet[1], str)
    return encode_packet(packet[0], packet[1])


def decode(wire: str, *, counting: bool) -> Packet:
    """As a session does: the number of an ACK or a NEXT is a part of the packet."""
    packet = decode_packet(wire, counting=counting)
    if packet[0] is PacketType.ACK:
        decode_position(packet[1])
    if packet[0] is PacketType.NEXT:
        decode_position(packet[1], lowest=1)
    return packet


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_packet_is_written_and_read_as_in_the_vectors(vector: dict[str, Any]) -> None:
    packet = packet_of(vector["value"])
    assert encode(packet, counting=vector["counting"]) == vector["wire"]
    assert decode(vector["wire"], counting=vector["counting"]) == packet


@pytest.mark.parametrize("vector", VECTORS["decoded"], ids=lambda vector: vector["name"])
def test_receiver_accepts_j_for_any_text(vector: dict[str, Any]) -> None:
    assert decode(vector["wire"], counting=vector["counting"]) == packet_of(vector["value"])


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda vector: vector["name"])
def test_wrong_packet_raises_the_protocol_error(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(vector["wire"], counting=vector["counting"])


@given(st.text() | st.text('\x1e\r\n\0"\\\ufeff\u2028\U0001f600b4j') | st.binary())
def test_any_message_arrives_as_it_was_sent_between_counting_peers(data: str | bytes) -> None:
    wire = encode_message(Message(data), counting=True)
    assert decode_packet(wire, counting=True) == (PacketType.MESSAGE, data)
    assert not {"\x1e", "\r", "\n"} & set(wire)
    wire.encode()


@given(st.text() | st.binary())
def test_any_message_arrives_as_it_was_sent_at_a_plain_peer(data: str | bytes) -> None:
    wire = encode_message(Message(data), counting=False)
    assert decode_packet(wire, counting=False) == (PacketType.MESSAGE, data)
    assert wire[0] in "4b"


@given(
    wire=st.text()
    | st.tuples(st.sampled_from(KINDS), st.text() | st.text('0123456789+-eE.[]{}"\\ud= \n')).map("".join),
    counting=st.booleans(),
)
def test_whatever_arrives_raises_the_protocol_error_and_nothing_else(wire: str, counting: bool) -> None:
    try:
        packet = decode(wire, counting=counting)
    except RemoteProtocolError:
        return
    assert packet[0] in PacketType
    assert counting or packet[0] < PacketType.ATTACH


@pytest.mark.parametrize("wire", ["SECRET", "bSECRET!", 'jSECRET"', "8SECRET", "9SECRET", "\ufeffSECRET"])
def test_error_does_not_quote_what_arrived(wire: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(wire, counting=True)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "1" * 100_000,
        "-" + "9" * 5_000,
        '"\\',
        '"\\ud83',
    ],
    ids=[
        "lists",
        "objects",
        "closed lists",
        "digits",
        "negative digits",
        "half an escape",
        "half a surrogate",
    ],
)
def test_hostile_json_in_a_quoted_message_raises_the_protocol_error(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_packet("j" + text, counting=True)


def test_position_is_read_from_its_lowest_to_its_highest_value() -> None:
    assert decode_position("0") == 0
    assert decode_position("1", lowest=1) == 1
    assert decode_position("9007199254740991") == HIGHEST_NUMBER == 2**53 - 1
    for text, lowest in [("0", 1), ("9007199254740992", 0), (b"1", 0)]:
        with pytest.raises(RemoteProtocolError):
            decode_position(text, lowest=lowest)


@given(st.integers(0, HIGHEST_NUMBER))
def test_every_position_survives_the_way(number: int) -> None:
    assert decode_position(str(number)) == number
