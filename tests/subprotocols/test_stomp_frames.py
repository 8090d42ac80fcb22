from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from holdfast.engine.settings import StompSettings
from holdfast.engine.subprotocols.stomp_frames import Frame, FrameDecoder, Version, encode_frame, encode_head

LIMITS = StompSettings()
VERSIONS: tuple[Version, ...] = ("1.0", "1.1", "1.2")


def decoder(version: Version | None = "1.2", **limits: int) -> FrameDecoder:
    one = FrameDecoder(replace(LIMITS, **limits))
    one.version = version
    return one


def frames(data: str | bytes, version: Version | None = "1.2", **limits: int) -> list[Frame]:
    return list(decoder(version, **limits).feed(data))


def test_a_frame_has_a_command_headers_and_a_body() -> None:
    [frame] = frames("SEND\ndestination:/queue/a\nx:1\n\nhello\0")
    assert frame == Frame("SEND", {"destination": "/queue/a", "x": "1"}, b"hello")
    assert frame.size_bytes > len(b"hello")


def test_what_lies_between_frames_is_heart_beats() -> None:
    one = decoder()
    assert list(one.feed("\n\r\n\n")) == []
    assert one.is_between
    assert [frame.command for frame in one.feed("\nA\n\n\0\r\n\nB\n\n\0\n")] == ["A", "B"]
    assert list(one.feed("\nC")) == []
    assert not one.is_between


def test_a_body_with_its_length_may_hold_nul_and_one_without_ends_there() -> None:
    assert frames(b"SEND\ncontent-length:3\n\na\0b\0")[0].body == b"a\0b"
    assert [frame.body for frame in frames(b"SEND\n\na\0\nSEND\n\nb\0")] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("version", "text", "meant"),
    [
        ("1.0", "a\\nb", "a\\nb"),
        ("1.0", "  a: b ", "a: b"),
        ("1.1", "a\\nb\\cc\\\\d", "a\nb:c\\d"),
        ("1.1", " a\r", " a\r"),
        ("1.2", "a\\nb\\cc\\\\d\\re", "a\nb:c\\d\re"),
        ("1.2", " a ", " a "),
        ("1.2", "a:b", "a:b"),
    ],
)
def test_escapes_are_those_of_the_version(version: Version, text: str, meant: str) -> None:
    assert frames(f"SEND\nx:{text}\n\n\0", version)[0].headers["x"] == meant


@pytest.mark.parametrize(("version", "text"), [("1.1", "\\r"), ("1.1", "\\"), ("1.2", "\\t"), ("1.2", "a\\")])
def test_an_escape_that_does_not_exist_is_an_error(version: Version, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="escape"):
        frames(f"SEND\nx:{text}\n\n\0", version)


def test_connect_is_not_escaped_and_only_one_of_1_0_loses_its_spaces() -> None:
    assert frames("CONNECT\nlogin: a\\nb \n\n\0", None)[0].headers == {"login": "a\\nb"}
    headers = frames("CONNECT\naccept-version:1.2\nlogin: a\n\n\0", None)[0].headers
    assert headers["login"] == " a"


def test_lines_may_end_in_cr_lf_in_1_2_and_before_the_version_is_known() -> None:
    for version in ("1.2", None):
        assert frames("SEND\r\nx:1\r\n\r\nb\0\r\n", version) == [Frame("SEND", {"x": "1"}, b"b")]
    assert frames("SEND\r\nx:1\r\n\r\nb\0", "1.1") == [Frame("SEND\r", {"x": "1\r"}, b"b")]


def test_of_a_header_that_comes_twice_the_first_counts() -> None:
    assert frames("SEND\nx:1\nx:2\n\n\0")[0].headers == {"x": "1"}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("SEND\0", "before its headers"),
        ("SEND\nno colon\n\n\0", "no colon"),
        ("SEND\n:value\n\n\0", "no name"),
        ("SEND\ncontent-length:x\n\n\0", "not a number"),
        ("SEND\ncontent-length:-1\n\n\0", "not a number"),
        ("SEND\ncontent-length:1\n\nab\0", "does not end"),
        (b"SEND\nx:\xff\n\n\0", "UTF-8"),
        ("SEND\nx:\ud800\n\n\0", "surrogate"),
    ],
)
def test_what_is_no_frame_is_an_error(data: str | bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what):
        frames(data)


@pytest.mark.parametrize(
    ("data", "setting"),
    [
        ("A\n" + "x:1\n" * 3 + "\n\0", "max_headers"),
        ("A\nx:" + "1" * 99, "max_head_bytes"),
        ("A\nx:" + "1" * 99 + "\n\n\0", "max_head_bytes"),
        ("A\ncontent-length:100\n\n", "max_frame_bytes"),
        ("A\n\n" + "1" * 100, "max_frame_bytes"),
        ("A\n\n" + "1" * 100 + "\0", "max_frame_bytes"),
    ],
)
def test_what_is_larger_than_it_may_be_is_refused_as_soon_as_that_is_known(data: str, setting: str) -> None:
    with pytest.raises(LimitExceeded, match=setting):
        frames(data, max_headers=2, max_head_bytes=99, max_frame_bytes=99)


def test_a_frame_of_the_largest_size_passes() -> None:
    data = "A\n" + "x:1\n" * 2 + "\n" + "1" * 99 + "\0"
    assert len(frames(data, max_headers=2, max_head_bytes=9, max_frame_bytes=99)) == 1


def test_version_set_between_two_frames_of_a_message_counts_for_the_second() -> None:
    one = FrameDecoder(LIMITS)
    coming = one.feed("CONNECT\naccept-version:1.1\n\n\0SEND\nx:\\n\n\n\0")
    next(coming)
    one.version = "1.0"
    assert next(coming).headers == {"x": "\\n"}


def test_text_bodies_are_sent_as_text_and_others_as_bytes() -> None:
    assert encode_frame(Frame("SEND", {"x": "a:b"}, "é".encode()), "1.2") == (
        "SEND\nx:a\\cb\ncontent-length:2\n\né\0"
    )
    assert encode_frame(Frame("SEND", {}, b"\xff"), "1.2") == b"SEND\ncontent-length:1\n\n\xff\0"
    assert encode_frame(Frame("RECEIPT", {"receipt-id": "\r"}), "1.1") == "RECEIPT\nreceipt-id:\r\n\n\0"


def test_what_a_version_cannot_say_raises_here() -> None:
    assert encode_head("A", {"x": "a:\\"}, "1.0") == "A\nx:a:\\"
    assert encode_head("CONNECTED", {"x": "a:b"}, "1.2") == "CONNECTED\nx:a:b"
    for headers, version in (
        ({"x": "\n"}, "1.0"),
        ({"a:b": ""}, "1.0"),
        ({"\n": ""}, "1.0"),
        ({"x": "\0"}, "1.2"),
        ({"\0": ""}, "1.2"),
        ({"": "x"}, "1.2"),
    ):
        with pytest.raises(LocalProtocolError):
            encode_head("A", headers, version)  # type: ignore[arg-type]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
HEADERS = st.dictionaries(TEXT.filter(lambda name: name not in ("", "content-length")), TEXT, max_size=4)
FRAMES = st.builds(Frame, st.sampled_from(["SEND", "MESSAGE", "ERROR"]), HEADERS, st.binary(max_size=40))


@given(st.lists(FRAMES, max_size=4), st.sampled_from(["1.1", "1.2"]), st.integers(0, 2**32))
def test_every_frame_comes_back_however_it_is_cut(sent: list[Frame], version: Version, seed: int) -> None:
    random = Random(seed)
    if version == "1.1":
        # It cannot say a CR, and one before a line's end is a part of the value.
        sent = [
            Frame(frame.command, {n: v for n, v in frame.headers.items() if "\r" not in n + v}, frame.body)
            for frame in sent
        ]
    data = b"\n".join(
        piece.encode() if isinstance(piece, str) else piece
        for piece in [encode_frame(frame, version) for frame in sent]
    )
    one, found = decoder(version), list[Frame]()
    while data:
        size = random.randint(1, 12)
        found += one.feed(data[:size])
        data = data[size:]
    assert one.is_between
    for before, after in zip(sent, found, strict=True):
        expected = dict(before.headers)
        if before.body:
            expected["content-length"] = str(len(before.body))
        assert (after.command, after.headers, after.body) == (before.command, expected, before.body)


PIECES = [
    "SEND",
    "\n",
    "\r\n",
    "\0",
    ":",
    "\\",
    "\\n",
    "content-length:",
    "5",
    "-",
    "é",
    "\ud800",
    "CONNECT",
    "x",
]
ANYTHING = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))


@given(ANYTHING, st.sampled_from([*VERSIONS, None]))
def test_whatever_comes_is_frames_or_the_protocol_error(data: str | bytes, version: Version | None) -> None:
    try:
        for frame in decoder(version, max_frame_bytes=20, max_head_bytes=20).feed(data):
            assert len(frame.body) <= 20
    except (RemoteProtocolError, LimitExceeded):
        pass
