"""What servers say to each other through Redis, in bytes: as Socket.IO's packages write it, and whatever may come."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.adapters.messages import MessageType
from holdfast.engine.adapters.packing import json_of, pack, pack_as_notepack, unpack
from holdfast.engine.adapters.redis_requests import RequestFormat
from holdfast.engine.adapters.redis_streams import message_of, stream_of
from holdfast.engine.errors import LocalProtocolError, RemoteProtocolError

FORM = RequestFormat("socket.io", "/chat")
TIME = datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
# Written by notepack.io 3 and @msgpack/msgpack 2, of ["x", {a: undefined, b: new Date(1700000000123), c, d, e}].
_REST = "a163c4020102a16493cb3ff8000000000000fdcf0000010000000000a165a2c3a9"
NOTEPACK = "92a17885a161d40000a162d7000000018bcfe5687b" + _REST
MSGPACK = "92a17885a161c0a162d7ff1d5353006553f100" + _REST


@pytest.mark.parametrize("written", [NOTEPACK, MSGPACK])
def test_what_both_packages_write_is_read(written: str) -> None:
    wanted = ["x", {"a": None, "b": TIME, "c": b"\x01\x02", "d": [1.5, -3, 2**40], "e": "é"}]
    assert unpack(bytes.fromhex(written)) == wanted


def test_what_is_written_is_what_they_write() -> None:
    value = ["x", {"a": None, "b": TIME, "c": b"\x01\x02", "d": [1.5, -3, 2**40], "e": "é"}]
    assert pack(value).hex() == MSGPACK
    assert pack_as_notepack(value).hex() == NOTEPACK.replace("d40000", "c0")


def test_numbers_and_texts_that_only_python_has() -> None:
    for packed in (pack([2**70, "\ud800"]), pack_as_notepack([2**70, "\ud800"])):
        assert unpack(packed) == [float(2**70), "\ud800"]
    for value in (object(), {1, 2}, datetime(2026, 1, 1)):
        assert json_of(value) is None
        with pytest.raises(LocalProtocolError):
            pack(value)
        with pytest.raises(LocalProtocolError):
            pack_as_notepack(value)


@pytest.mark.parametrize(
    ("namespace", "of_three", "of_sixteen"),
    [
        ("/", "2", "15"),
        ("/chat", "1", "7"),
        # A hash below zero leaves less than nothing, in JavaScript.
        ("/orders-of-the-day", "-2", "-13"),
        ("/é😀", "2", "13"),
        ("/zzzzzzzzzz", "-1", "-1"),
    ],
)
def test_the_stream_of_a_namespace_is_the_one_that_node_takes(
    namespace: str, of_three: str, of_sixteen: str
) -> None:
    assert stream_of(namespace, "s", 1) == "s"
    assert stream_of(namespace, "s", 3) == f"s-{of_three}"
    assert stream_of(namespace, "s", 16) == f"s-{of_sixteen}"


def test_a_broadcast_to_one_room_has_a_channel_of_its_own() -> None:
    def channel(*rooms: str) -> str:
        data = {"packet": {}, "opts": {"rooms": list(rooms), "except": [], "flags": {}}}
        return FORM.encode({"uid": "me", "nsp": "/chat", "type": MessageType.BROADCAST.value, "data": data})[
            0
        ]

    assert channel() == channel("a", "b") == "socket.io#/chat#"
    assert channel("a") == "socket.io#/chat#a#"


def test_a_broadcast_of_a_node_is_known_by_its_first_bytes() -> None:
    data = {"packet": {}, "opts": {"rooms": [], "except": [], "flags": {}}}
    _, sent = FORM.encode({"uid": "hf-0123456789abcdef", "nsp": "/chat", "type": 3, "data": data})
    assert sent.startswith(FORM.own_mark("hf-0123456789abcdef"))
    assert not sent.startswith(FORM.own_mark("hf-0123456789abcdee"))


@given(
    st.binary()
    | st.sampled_from([b"{", b"\x93", b"\x83"]).flatmap(lambda start: st.binary().map(start.__add__))
)
def test_whatever_is_published_is_read_or_refused(data: bytes) -> None:
    for decode in (FORM.decode_broadcast, FORM.decode_request, FORM.decode_response):
        try:
            decode(data)
        except RemoteProtocolError:
            pass


@given(st.dictionaries(st.sampled_from([b"uid", b"nsp", b"type", b"data", b"x"]), st.binary()))
def test_whatever_stands_in_a_stream_is_read_or_refused(entry: dict[bytes, bytes]) -> None:
    try:
        message_of(entry)
    except RemoteProtocolError:
        pass
