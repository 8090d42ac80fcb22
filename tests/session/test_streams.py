from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.errors import ErrorCode, MissingMessages, RemoteProtocolError
from holdfast.engine.session.streams import Inbox, Outbox
from holdfast.engine.wire.message import SEPARATOR, Message
from holdfast.engine.wire.packet import HIGHEST_NUMBER
from holdfast.engine.wire.payload import encode_payload


def outbox_of(count: int, *, written: int | None = None) -> Outbox:
    outbox = Outbox()
    for number in range(1, count + 1):
        assert outbox.append(Message(str(number))) == number
    outbox.mark_written(count if written is None else written)
    return outbox


def texts(outbox: Outbox, position: int, limit_bytes: int | None = None) -> list[str | bytes]:
    return [message.data for message in outbox.after(position, limit_bytes)]


def test_new_outbox_has_nothing_and_accepts_that_nothing_has_arrived() -> None:
    outbox = Outbox()
    outbox.acknowledge(0)
    outbox.forget(0)
    assert (outbox.last, outbox.written, outbox.acknowledged, outbox.size_bytes) == (0, 0, 0, 0)
    assert outbox.after(0) == []
    assert outbox.after(0, 10) == []


@pytest.mark.parametrize("position", [0, 1, 4, 5])
def test_acknowledgement_up_to_what_was_written_is_taken(position: int) -> None:
    """Rule 1."""
    outbox = outbox_of(6, written=5)
    outbox.acknowledge(position)
    assert outbox.acknowledged == position


@pytest.mark.parametrize("position", [6, 7, HIGHEST_NUMBER])
def test_acknowledgement_of_what_was_never_written_is_an_error_and_changes_nothing(position: int) -> None:
    """Rule 1: message 6 is kept, but no carrier has written it."""
    outbox = outbox_of(6, written=5)
    outbox.acknowledge(2)
    with pytest.raises(RemoteProtocolError):
        outbox.acknowledge(position)
    assert outbox.acknowledged == 2


def test_lower_acknowledgement_is_ignored() -> None:
    """Rule 1."""
    outbox = outbox_of(5)
    outbox.acknowledge(4)
    outbox.acknowledge(2)
    assert outbox.acknowledged == 4


def test_written_is_the_highest_number_that_any_carrier_wrote() -> None:
    outbox = outbox_of(5, written=4)
    outbox.mark_written(2)
    assert outbox.written == 4


def test_forgotten_messages_do_not_move_the_numbers_of_the_others() -> None:
    outbox = outbox_of(5)
    outbox.forget(2)
    assert texts(outbox, 2) == ["3", "4", "5"]
    assert texts(outbox, 4) == ["5"]
    assert outbox.size_bytes == 3 * 151
    outbox.forget(1)
    outbox.forget(2)
    assert texts(outbox, 2) == ["3", "4", "5"]
    outbox.forget(5)
    assert outbox.size_bytes == 0
    assert outbox.append(Message("6")) == 6
    assert texts(outbox, 5) == ["6"]


def test_long_backlog_keeps_its_numbers_while_it_is_forgotten_bit_by_bit() -> None:
    outbox = outbox_of(500)
    for position in range(0, 501, 7):
        outbox.forget(position)
        assert texts(outbox, position) == [str(number) for number in range(position + 1, 501)]


def test_forgetting_a_message_frees_its_memory_at_once() -> None:
    class Tracked(Message):
        __slots__ = ("__weakref__",)

    outbox = Outbox()
    outbox.append(Tracked("a" * 1_000))
    outbox.append(Message("b"))
    first = weakref.ref(outbox.after(0)[0])
    outbox.forget(1)
    gc.collect()
    assert first() is None


@given(st.lists(st.text("a\n\x1eé\U0001f600") | st.binary(), min_size=1), st.integers(0, 60))
def test_limit_gives_one_message_or_what_fits_and_never_less(data: list[str | bytes], limit: int) -> None:
    """ "At most `maxPayload` bytes long, or one message" (docs/protocol.md, section 5)."""
    outbox = Outbox()
    for item in data:
        outbox.append(Message(item))
    chosen = outbox.after(0, limit)
    assert [message.data for message in chosen] == data[: len(chosen)]
    size = len((encode_payload(chosen, counting=True) + SEPARATOR).encode())
    assert len(chosen) == 1 or size <= limit
    if len(chosen) < len(data):
        longer = encode_payload(outbox.after(0)[: len(chosen) + 1], counting=True) + SEPARATOR
        assert len(longer.encode()) > limit


def test_inbox_takes_the_next_message_and_drops_repeats() -> None:
    """Rule 1."""
    inbox = Inbox()
    assert [inbox.take(number) for number in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert inbox.received == 3


def test_gap_says_where_to_go_on_and_changes_nothing() -> None:
    """Rule 1."""
    inbox = Inbox()
    inbox.take(1)
    with pytest.raises(MissingMessages) as caught:
        inbox.take(3)
    assert caught.value.received == 1
    assert caught.value.code is ErrorCode.MESSAGES_MISSING
    assert inbox.received == 1
    assert inbox.take(2)


def test_inbox_takes_the_highest_number_and_none_beyond() -> None:
    """Rule 1: numbers never wrap."""
    inbox = Inbox()
    inbox.received = HIGHEST_NUMBER - 1
    assert inbox.take(HIGHEST_NUMBER)
    assert not inbox.take(HIGHEST_NUMBER)
    with pytest.raises(RemoteProtocolError, match="used up"):
        inbox.take(HIGHEST_NUMBER + 1)
    assert inbox.received == HIGHEST_NUMBER
