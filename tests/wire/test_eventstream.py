from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.wire.eventstream import PRELUDE, EventStreamDecoder, StreamEvent, encode_event
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import HIGHEST_NUMBER
from holdfast.engine.wire.payload import encode_payload

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "eventstream.json").read_text("utf-8"))
LIMIT = 10_000


def decode(pieces: Iterable[bytes], *, limit: int = LIMIT) -> list[StreamEvent]:
    decoder = EventStreamDecoder(limit)
    return [event for piece in pieces for event in decoder.feed(piece)]


def single_bytes(wire: bytes) -> list[bytes]:
    return [wire[index : index + 1] for index in range(len(wire))]


def events_of(vector: dict[str, Any]) -> list[StreamEvent]:
    return [StreamEvent(**value) for value in vector["value"]]


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_event_is_written_as_in_the_vectors(vector: dict[str, Any]) -> None:
    assert b"".join(encode_event(*event) for event in events_of(vector)) == vector["wire"].encode()


@pytest.mark.parametrize("vector", VECTORS["valid"] + VECTORS["decoded"], ids=lambda vector: vector["name"])
def test_events_are_read_as_in_the_vectors_however_they_are_cut(vector: dict[str, Any]) -> None:
    wire = vector["wire"].encode()
    assert decode([wire]) == events_of(vector)
    assert decode(single_bytes(wire)) == events_of(vector)
    for cut in range(0, len(wire), 1 + len(wire) // 200):
        assert decode([wire[:cut], wire[cut:]]) == events_of(vector)


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda vector: vector["name"])
def test_wrong_event_raises_the_protocol_error_however_it_is_cut(vector: dict[str, Any]) -> None:
    wire = vector["wire"].encode()
    for pieces in ([wire], single_bytes(wire)):
        with pytest.raises(RemoteProtocolError):
            decode(pieces)


def test_prelude_is_a_comment_of_2_kib_and_says_nothing() -> None:
    assert len(PRELUDE) == 2049
    assert PRELUDE.startswith(b":")
    assert decode([PRELUDE, encode_event(1, "4a")]) == [StreamEvent(1, "4a")]


@pytest.mark.parametrize("wire", [b"id: 1\ndata: 4\xff\n\n", b"\xc3\n\n", b"id: 1\ndata: 4\xed\xa0\x80\n\n"])
def test_event_that_is_not_utf_8_raises_the_protocol_error(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode([wire])


def test_limit_is_the_same_however_an_event_is_cut() -> None:
    wire = encode_event(1, "4" + "a" * 100)
    size = len(wire) - 2
    for pieces in ([wire], single_bytes(wire), [wire[:-1], wire[-1:]], [wire + wire[:9], wire[9:]]):
        assert decode(pieces, limit=size)[0].position == 1
        with pytest.raises(RemoteProtocolError):
            decode(pieces, limit=size - 1)


def test_event_that_never_ends_is_refused_when_it_is_too_long() -> None:
    decoder = EventStreamDecoder(10)
    assert list(decoder.feed(b"data: 4aaa")) == []
    with pytest.raises(RemoteProtocolError):
        list(decoder.feed(b"a"))


def test_events_before_a_wrong_one_count() -> None:
    events = EventStreamDecoder(LIMIT).feed(encode_event(1, "4a") + b"id: x\ndata: 4b\n\n")
    assert next(events) == StreamEvent(1, "4a")
    with pytest.raises(RemoteProtocolError):
        next(events)


@given(
    sent=st.lists(st.tuples(st.integers(0, HIGHEST_NUMBER), st.lists(st.text() | st.binary(), min_size=1))),
    cuts=st.lists(st.integers(0, 3_000)),
)
def test_any_events_arrive_as_they_were_sent_however_they_are_cut(
    sent: list[tuple[int, list[str | bytes]]], cuts: list[int]
) -> None:
    events = [
        StreamEvent(position, encode_payload([Message(data) for data in messages], counting=True))
        for position, messages in sent
    ]
    wire = PRELUDE + b"".join(encode_event(*event) for event in events)
    edges = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    pieces = [wire[start:end] for start, end in pairwise(edges)]
    assert decode(pieces, limit=100_000) == events


@given(
    st.lists(
        st.binary()
        | st.text("id: data1\n\ufeff").map(str.encode)
        | st.sampled_from([b"\n\n", b"id: 1\n", b"data: 4\n"])
    )
)
def test_whatever_arrives_raises_the_protocol_error_and_nothing_else(pieces: list[bytes]) -> None:
    try:
        whole = decode([b"".join(pieces)], limit=50)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            decode(pieces, limit=50)
    else:
        assert decode(pieces, limit=50) == whole
        assert decode(single_bytes(b"".join(pieces)), limit=50) == whole
