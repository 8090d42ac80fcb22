from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from holdfast.engine.errors import LocalProtocolError
from holdfast.engine.wire.message import SEPARATOR, Message, encode_frame
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


def read_frames(data: bytes) -> list[str | bytes]:
    """By an implementation that is not ours."""
    connection = Connection(ConnectionType.CLIENT)
    connection.receive_data(data)
    return [event.data for event in connection.events() if isinstance(event, TextMessage | BytesMessage)]


@pytest.mark.parametrize("size", [0, 1, 123, 124, 125, 126, 65_534, 65_535, 65_536])
def test_frame_is_what_a_client_of_websocket_reads_as_the_packet(size: int) -> None:
    text, binary = Message("x" * size), Message(b"\xff" * size)
    assert read_frames(text.frame() + binary.frame()) == ["4" + "x" * size, b"\xff" * size]
    assert text.frame() is text.frame()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_frame_of_any_text_is_its_packet(text: str) -> None:
    assert read_frames(Message(text).frame()) == ["4" + text]
    assert read_frames(encode_frame(text)) == [text]
