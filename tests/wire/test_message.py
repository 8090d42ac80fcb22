from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import LocalProtocolError
from holdfast.engine.wire.message import SEPARATOR, Message
from holdfast.engine.wire.packet import encode_message

SURROGATE = "\ud83d"


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("abc", 3), ("é", 2), ("\u2028", 3), ("\U0001f600", 4), ("\0\x1e", 2)]
)
def test_size_of_text_is_counted_in_bytes_of_utf_8(text: str, size: int) -> None:
    message = Message(text)
    assert message.is_text
    assert message.size_bytes == size


@pytest.mark.parametrize(
    "data", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff"), memoryview(b"\x00.\xff.")[::2]]
)
def test_bytes_of_any_kind_become_bytes(data: bytes) -> None:
    message = Message(data)
    assert not message.is_text
    assert type(message.data) is bytes
    assert message.data == b"\x00\xff"
    assert message.size_bytes == 2


def test_size_of_a_view_is_counted_in_bytes_not_in_elements() -> None:
    assert Message(memoryview(array("d", [1.0, 2.0]))).size_bytes == 16


def test_message_does_not_change_with_the_buffer_it_was_made_from() -> None:
    buffer = bytearray(b"abc")
    message = Message(buffer)
    buffer[:] = b"xyz"
    assert message.data == b"abc"


@pytest.mark.parametrize("text", [SURROGATE, f"a{SURROGATE}", "\ude00\ud83d", f"\n{SURROGATE}"])
def test_lone_surrogate_is_refused_where_it_is_sent(text: str) -> None:
    with pytest.raises(
        LocalProtocolError, match=f"lone surrogate at index {text.rindex(text.strip('a' + chr(10)))}"
    ):
        Message(text)


def test_message_is_encoded_once_for_all_sessions() -> None:
    text, data = Message("a\nb"), Message(b"abc")
    assert text.counting_text() is text.counting_text()
    assert data.base64() is data.base64()


@given(st.text() | st.text('\x1e\r\n\0"\\\ufeffé\U0001f600a') | st.binary())
def test_size_in_a_payload_is_exact_between_counting_peers_and_enough_for_plain_ones(
    data: str | bytes,
) -> None:
    """A response has at most `maxPayload` bytes, or one message (docs/protocol.md, section 5)."""
    message = Message(data)
    counting = encode_message(message, counting=True) + SEPARATOR
    assert message.payload_bytes() == len(counting.encode())
    plain = encode_message(message, counting=False) + SEPARATOR
    assert message.payload_bytes() >= len(plain.encode())
