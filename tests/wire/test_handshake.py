from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.wire.handshake import (
    TRANSPORTS,
    Attach,
    Attached,
    Closing,
    OpenPacket,
    decode_attach,
    decode_attached,
    decode_ending,
    encode_attach,
    encode_attached,
    encode_closing,
    encode_ending,
    encode_open,
)
from holdfast.engine.wire.packet import HIGHEST_NUMBER, decode_packet

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handshake.json").read_text("utf-8"))
NUMBERS = st.integers(0, HIGHEST_NUMBER)
CARRIERS = st.none() | st.integers(1, HIGHEST_NUMBER)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["key", "received", "carrier", "a"]), inner)
    ),
)


def vectors(kind: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda vector: vector["name"])


def attach_of(value: dict[str, Any]) -> Attach:
    rest = {key: value[key] for key in value if key != "wait"}
    return Attach(**rest, wait_ms=value.get("wait"))


@vectors("open")
def test_open_packet_is_written_as_in_the_vectors(vector: dict[str, Any]) -> None:
    value = vector["value"]
    extension = value.get("holdfast", {})
    packet = OpenPacket(
        sid=value["sid"],
        upgrades=tuple(value["upgrades"]),
        ping_interval_ms=value["pingInterval"],
        ping_timeout_ms=value["pingTimeout"],
        max_payload_bytes=value["maxPayload"],
        key=extension.get("key"),
        codec=extension.get("codec", "json"),
        grace_ms=extension.get("grace", 0),
        transports=tuple(extension.get("transports", TRANSPORTS)),
    )
    assert encode_open(packet) == vector["wire"]
    assert json.loads(vector["wire"][1:]) == value


def test_plain_peer_is_told_exactly_the_five_standard_keys() -> None:
    packet = OpenPacket(sid="s", upgrades=(), ping_interval_ms=1, ping_timeout_ms=1, max_payload_bytes=1)
    assert list(json.loads(encode_open(packet)[1:])) == [
        "sid",
        "upgrades",
        "pingInterval",
        "pingTimeout",
        "maxPayload",
    ]


@vectors("attach")
def test_attach_is_written_and_read_as_in_the_vectors(vector: dict[str, Any]) -> None:
    assert encode_attach(attach_of(vector["value"])) == vector["wire"]
    assert decode_attach(vector["wire"]) == attach_of(vector["value"])


@vectors("attach_decoded")
def test_attach_is_read_whatever_else_it_says(vector: dict[str, Any]) -> None:
    assert decode_attach(vector["wire"]) == attach_of(vector["value"])


@vectors("attach_invalid")
def test_wrong_attach_raises_the_protocol_error(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_attach(vector["wire"])


@vectors("answer")
def test_answer_is_written_and_read_as_in_the_vectors(vector: dict[str, Any]) -> None:
    answer = Attached(**vector["value"])
    assert encode_attached(answer) == vector["wire"]
    assert decode_attached(decode_packet(vector["wire"], counting=True)[1]) == answer


@vectors("answer_decoded")
def test_answer_is_read_whatever_else_it_says(vector: dict[str, Any]) -> None:
    assert decode_attached(vector["wire"][1:]) == Attached(**vector["value"])


@vectors("answer_invalid")
def test_wrong_answer_raises_the_protocol_error(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_attached(vector["wire"][1:])


@vectors("closing")
def test_closing_is_written_as_in_the_vectors(vector: dict[str, Any]) -> None:
    value = dict(vector["value"])
    retry = value.pop("retry", None)
    assert encode_closing(Closing(**value, retry_ms=retry)) == vector["wire"]


@given(
    st.builds(
        Attach,
        key=st.text(),
        received=NUMBERS,
        carrier=CARRIERS,
        probe=st.booleans(),
        wait_ms=st.none() | NUMBERS,
    )
)
def test_any_attach_survives_the_way_and_fits_into_a_header(attach: Attach) -> None:
    text = encode_attach(attach)
    assert decode_attach(text) == attach
    assert text.isascii()
    assert text.isprintable()


@given(st.builds(Attached, received=NUMBERS, carrier=CARRIERS, sent=st.none() | NUMBERS))
def test_any_answer_survives_the_way(answer: Attached) -> None:
    assert decode_attached(encode_attached(answer)[1:]) == answer


@pytest.mark.parametrize("decode", [decode_attach, decode_attached])
@given(text=st.text() | st.binary() | JSON.map(json.dumps) | st.text('{}[]":,key received1-\\ud'))
def test_whatever_arrives_raises_the_protocol_error_and_nothing_else(
    decode: Callable[[str | bytes], Attach | Attached], text: str | bytes
) -> None:
    try:
        value = decode(text)
    except RemoteProtocolError:
        return
    assert 0 <= value.received <= HIGHEST_NUMBER


@pytest.mark.parametrize("decode", [decode_attach, decode_attached])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"received":' * 100_000,
        '{"received":' + "9" * 100_000 + "}",
        '{"received":' + "[" * 100_000,
    ],
    ids=["lists", "objects", "digits", "lists in a key"],
)
def test_hostile_json_raises_the_protocol_error(
    decode: Callable[[str], Attach | Attached], text: str
) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(text)


def test_key_with_a_lone_surrogate_is_only_a_wrong_key() -> None:
    assert decode_attach('{"key":"\\ud83d","received":0}').key == "\ud83d"


@given(st.integers(1000, 4999), st.text(max_size=100))
def test_what_an_end_is_said_with_is_read(code: int, reason: str) -> None:
    text = encode_closing(Closing(message=encode_ending(code, reason)))
    assert decode_ending(text) == (code, reason)


@given(st.text() | st.binary())
def test_anything_else_that_comes_with_an_end_says_nothing(text: str | bytes) -> None:
    assert decode_ending(text) is None


@pytest.mark.parametrize("message", [7, "closed", "closed 999 x", "closed 5000 x", "forced server close"])
def test_a_message_that_is_no_end_of_an_application_says_nothing(message: object) -> None:
    assert decode_ending(json.dumps({"message": message})) is None
    assert decode_ending(json.dumps({"message": "closed 4000 " + "x" * 2_000})) is None
