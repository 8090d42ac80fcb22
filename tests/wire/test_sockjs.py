"""SockJS's frames and payloads: values."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.sockjs import (
    HEARTBEAT,
    OPEN,
    JsonText,
    decode_form,
    decode_messages,
    decode_numbers,
    encode_close,
    encode_frames,
    is_callback,
    wrap_event,
    wrap_jsonp,
    wrap_script,
    wrap_xhr,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
# What browsers change on the way, by the protocol's own list.
MANGLED = re.compile("[\x00-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]")


def test_messages_that_follow_one_another_are_one_frame() -> None:
    packets = [OPEN, Message("a"), Message('"'), HEARTBEAT, Message("c")]
    assert encode_frames(packets) == ["o", 'a["a","\\""]', "h", 'a["c"]']
    assert encode_frames([Message("a"), encode_close(3000, "Go away!")]) == ['a["a"]', 'c[3000,"Go away!"]']
    assert encode_frames([]) == []


@given(st.lists(TEXTS, min_size=1))
def test_what_is_framed_is_what_a_client_reads(texts: list[str]) -> None:
    [frame] = encode_frames([Message(text) for text in texts])
    assert json.loads(frame[1:]) == texts
    assert not MANGLED.search(frame)


@given(st.lists(st.text(st.characters()), min_size=1))
def test_half_of_a_character_travels_as_an_escape(texts: list[str]) -> None:
    [frame] = encode_frames([JsonText(text) for text in texts])
    # Both halves one after the other are the character.
    assert json.loads(frame[1:]) == json.loads(json.dumps(texts))
    frame.encode()
    message = JsonText("a\ud83d")
    assert (message.is_text, message.size_bytes, encode_frames([message])) == (True, 7, ['a["a\\ud83d"]'])
    assert JsonText("\u00e9\n").size_bytes == 3
    assert JsonText("\n\ud83d").payload_bytes() == 10


@given(st.binary(min_size=1))
def test_bytes_are_the_list_of_their_numbers(data: bytes) -> None:
    [frame] = encode_frames([Message("a"), Message(data)])
    assert json.loads(frame[1:]) == ["a", list(data)]
    assert decode_numbers(",".join(map(str, data))) == data


@pytest.mark.parametrize("text", ["", ",", "1,", "256", "1,2,999", "-1", "1, 2", "1000", "x", "٣", "1\n"])
def test_what_is_no_list_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_numbers(text)


def test_what_browsers_change_is_escaped_and_other_text_is_not() -> None:
    every = "".join(chr(code) for code in range(0x10000) if MANGLED.match(chr(code)))
    [frame] = encode_frames([Message(every + "é漢😀")])
    assert not MANGLED.search(frame)
    assert "\\u200c" in frame
    assert frame.endswith('é漢😀"]')


@given(st.lists(TEXTS))
def test_what_a_client_sends_is_decoded(texts: list[str]) -> None:
    assert decode_messages(json.dumps(texts)) == texts
    assert decode_messages(json.dumps(texts, ensure_ascii=False)) == texts


def test_one_text_is_one_message() -> None:
    assert decode_messages('"a"') == ["a"]
    assert decode_messages('["[[[", "{\\"a\\": [1]}"]') == ["[[[", '{"a": [1]}']


@pytest.mark.parametrize(
    "text", ["", '["a', "[", "a", "[NaN", '["a"]]', "\ud800", '["a"', "[[]]", '[{"a":1}]']
)
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="Broken JSON encoding"):
        decode_messages(text)


@pytest.mark.parametrize("text", ["1", "null", "[1]", '["a",null]', "[true]", "NaN", "{}"])
def test_json_that_is_no_list_of_texts_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="Payload expected"):
        decode_messages(text)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '["a",' + "[" * 200_000, "[" + "9" * 5_000 + "]", '{"a":' * 50_000]
)
def test_a_bomb_is_refused_before_it_is_built(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_messages(text)


@given(st.text())
def test_arbitrary_text_raises_the_protocol_error_and_nothing_else(text: str) -> None:
    for decode in (decode_messages, decode_form):
        try:
            decode(text)
        except RemoteProtocolError:
            pass


def test_a_form_has_its_payload_in_one_field() -> None:
    assert decode_form("d=%5B%22x%22%5D") == '["x"]'
    assert decode_form("d=%5B%22%F0%9F%98%80+%22%5D&x=1") == '["😀 "]'
    assert decode_form("") == decode_form("d=") == decode_form("p=p") == ""


@pytest.mark.parametrize("text", ["&".join(["d=1"] * 11), "d=%ff"])
def test_what_is_no_form_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="form"):
        decode_form(text)


@pytest.mark.parametrize("name", ["callback", "_jp.a1b2", "a-b.c_D0", "a" * 128])
def test_a_callback_is_a_name(name: str) -> None:
    assert is_callback(name)


@pytest.mark.parametrize("name", ["", " ", "*", "abc(", "a\n", "é", "<", "a" * 129, "a;b", "a/b"])
def test_anything_else_is_no_callback(name: str) -> None:
    assert not is_callback(name)


def test_each_transport_wraps_a_frame_in_its_way() -> None:
    frame = 'a["x"]'
    assert wrap_xhr(frame) == 'a["x"]\n'
    assert wrap_event(frame) == 'data: a["x"]\r\n\r\n'
    assert wrap_script(frame) == '<script>\np("a[\\"x\\"]");\n</script>\r\n'
    assert wrap_jsonp("callback")(frame) == '/**/callback("a[\\"x\\"]");\r\n'


@given(TEXTS)
def test_no_message_ends_the_script_that_carries_it(text: str) -> None:
    [frame] = encode_frames([Message(f"{text}</script><!--\u2028{text}")])
    for wrapped, begin, end in (
        (wrap_script(frame), "<script>\np(", ");\n</script>\r\n"),
        (wrap_jsonp("c")(frame), "/**/c(", ");\r\n"),
    ):
        inner = wrapped.removeprefix(begin).removesuffix(end)
        assert not re.search("[<>&\u2028\u2029\n\r]", inner)
        assert json.loads(inner) == frame
