"""Frames of a client, in pieces of any size, and what breaks the protocol."""

from __future__ import annotations

from random import Random

import pytest
from fast_driver import encode_frame

from holdfast.transports.fast.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    decode_close,
    encode_close,
    encode_control,
)

LIMIT = 100_000


def frame(opcode: int, payload: bytes = b"", *, first: int = 0x80) -> bytes:
    return bytes((first | opcode,)) + encode_frame(opcode, payload)[1:]


def read(data: bytes, size: int, messages: list[str | bytes]) -> list[tuple[int, bytes]]:
    """The control frames."""
    reader, controls = FrameReader(LIMIT), list[tuple[int, bytes]]()
    for at in range(0, len(data), size):
        messages += reader.feed(data[at : at + size])
        controls += reader.controls
    return controls


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, LIMIT * 3])
def test_messages_are_whole_whatever_they_come_in(size: int) -> None:
    long = "é" * 40_000
    data = b"".join(
        [
            frame(TEXT, b"one"),
            frame(BINARY, b""),
            frame(TEXT, b"tw", first=0),
            frame(PING, b"!"),
            frame(0, b"", first=0),
            frame(0, "ö".encode()[:1], first=0),
            frame(0, "ö".encode()[1:]),
            frame(TEXT, long.encode()),
            frame(BINARY, b"x" * 300),
            frame(PONG),
            frame(CLOSE, b"\x03\xe8"),
            frame(TEXT, b"too late"),
            frame(PING),
            b"\x7f\x00 is no frame",
        ]
    )
    messages: list[str | bytes] = []
    controls = read(data, size, messages)
    assert messages == ["one", b"", "twö", long, b"x" * 300]
    assert controls == [(PING, b"!"), (PONG, b""), (CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x03one", 1002),
        (frame(TEXT, b"x", first=0xC0), 1002),
        (frame(TEXT, b"x", first=0x90), 1002),
        (frame(3), 1002),
        (frame(15), 1002),
        (frame(0), 1002),
        (frame(TEXT, first=0) + frame(TEXT), 1002),
        (frame(PING, first=0), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3", first=0) + frame(0, b"x"), 1007),
        (frame(BINARY, b"x" * (LIMIT + 1)), 1009),
        (frame(BINARY, b"x" * LIMIT, first=0) + frame(0, b"x"), 1009),
        (b"\x82\xff" + (2**62).to_bytes(8, "big"), 1009),
    ],
)
@pytest.mark.parametrize("size", [1, LIMIT * 2])
def test_what_breaks_the_protocol_has_its_code_and_what_came_before_counts(
    data: bytes, code: int, size: int
) -> None:
    messages: list[str | bytes] = []
    with pytest.raises(FrameError) as raised:
        read(frame(TEXT, b"before") + data + b"\0" * 14, size, messages)
    assert raised.value.code == code
    assert [*messages, *raised.value.before] == ["before"]


def test_anything_at_all_is_read_or_refused() -> None:
    random = Random(1)
    for _ in range(3000):
        reader = FrameReader(1000)
        try:
            for _ in range(5):
                reader.feed(random.randbytes(random.randrange(40)))
        except FrameError as error:
            assert error.code in (1002, 1007, 1009)


@pytest.mark.parametrize(("payload", "code"), [(b"", 1000), (b"\x03\xe9", 1001), (b"\x0f\xa0bye", 4000)])
def test_a_close_frame_is_answered_with_its_code(payload: bytes, code: int) -> None:
    assert decode_close(payload) == code


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x00\x00", b"\xff\xff", b"\x03\xe8\xff"])
def test_a_broken_close_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        decode_close(payload)


def test_what_is_too_long_for_a_control_frame_is_cut_at_a_character() -> None:
    assert encode_control(PING, b"x" * 200) == b"\x89\x7d" + b"x" * 125
    closing = encode_close(1008, "é" * 100)
    assert closing[:2] == b"\x88\x7c"
    assert closing[4:].decode() == "é" * 61
