from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.engine.adapters.chronicle import Place
from holdfast.engine.dispatch.saved import SavedSocket, decode_sockets, encode_sockets, is_plain

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
leaves = st.none() | st.booleans() | st.text() | st.binary() | numbers
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


def socket(data: dict[str, object]) -> SavedSocket:
    return SavedSocket(
        namespace="/a", id="id", auth={"token": "é\ud800"}, rooms=["r"], data=data, place=Place("n", "1-2", 3)
    )


@settings(max_examples=60)
@given(data=st.dictionaries(st.text(), values, max_size=4))
def test_what_is_plain_arrives_as_it_is(data: dict[str, object]) -> None:
    encoded, unsaved = encode_sockets([socket(data), socket({})])
    assert unsaved == set()
    assert decode_sockets(encoded) == [socket(data), socket({})]


@pytest.mark.parametrize(
    "value", [object(), (1, 2), {1: "a"}, {"a": {1, 2}}, 2**64, [2**70], type("Sub", (str,), {})("x")]
)
def test_what_would_not_arrive_as_it_is_is_left_out_and_named(value: object) -> None:
    assert not is_plain(value)
    encoded, unsaved = encode_sockets([socket({"bad": value, "good": 1})])
    assert unsaved == {"socket.data['bad']"}
    assert decode_sockets(encoded) == [socket({"good": 1})]


def test_what_contains_itself_is_not_plain() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert not is_plain(endless)
