"""JSON is what the standard library says, whoever reads and writes it."""

from __future__ import annotations

import json
import sys
from enum import IntEnum, StrEnum
from json import encoder

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.engine.wire.jsonvalues import decode_json, encode_json, find_quick, make_decode, make_encode

plain_decode = make_decode(None)
plain_encode = make_encode(None)

NUMBERS = (
    st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**19, 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
)
# Surrogates, separators of lines, and what JavaScript once could not have in its source.
TEXTS = st.text(st.characters()) | st.text(
    st.sampled_from('a"\\/\b\f\n\r\t\x00\x1f\x7f\u2028\u2029ü😀\ud800\udc00')
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
# What is nearly JSON.
TOKENS = st.one_of(
    st.sampled_from('[]{}:,"-01 \n\v'),
    st.sampled_from(["-0", "12", ".5", "1.", "e5", "E+2", "e-400", "e400", "01", "9" * 30, "1" + "0" * 400]),
    st.sampled_from(["true", "null", "NaN", "Infinity", '"a"', '"\\ud800"', '"\\u0000"', '"\\x"']),
)


def outcome(decode, text: str, start: int = 0) -> object:
    try:
        value = decode(text, start)
    except (ValueError, RecursionError):
        return "refused"
    # Classes, the order of keys and the sign of zero among it.
    return repr(value)


def quick():
    found = find_quick()
    assert found is not None, "the extra `fast` is among what the tests need"
    return make_decode(found, quick_from=0)


def spoken(value: object, *, escaped: bool, indent: int | None) -> str:
    return json.dumps(value, ensure_ascii=escaped, indent=indent)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]), st.text(st.sampled_from("4213/,"), max_size=4))
def test_what_is_installed_reads_what_the_standard_library_reads(value, escaped, indent, before):
    text = before + spoken(value, escaped=escaped, indent=indent)
    read = outcome(plain_decode, text, len(before))
    assert outcome(quick(), text, len(before)) == read == repr(json.loads(text[len(before) :]))
    assert outcome(decode_json, text, len(before)) == read


@given(st.lists(TOKENS, max_size=12).map("".join))
@example("-0")
@example("1e400")
@example('{"a":1,"b":2,"a":3}')
@example("[1]]")
@example(" [1] ")
@example('"\ud800"')
@example("[" * 100_000)
@example("1" * 5000)
@example("")
def test_what_is_no_json_is_none_for_both(text):
    try:
        expected = repr(json.loads(text, parse_constant=lambda _: json.loads("")))
    except (ValueError, RecursionError):
        expected = "refused"
    assert outcome(plain_decode, text) == outcome(quick(), text) == expected


@given(st.from_regex(r"\A-?[0-9]{1,25}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?\Z"))
def test_numbers_are_the_same_to_the_last_bit(text):
    assert outcome(quick(), text) == outcome(plain_decode, text)


def test_without_what_may_be_installed_the_standard_library_reads(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    assert find_quick() is None


class Colour(IntEnum):
    RED = 1


class Name(StrEnum):
    ADA = "ada"


class Odd(float):
    def __repr__(self) -> str:
        return "odd"


@given(VALUES | st.dictionaries(NUMBERS | st.booleans() | st.none(), VALUES, max_size=3))
@example([Colour.RED, Name.ADA, Odd(1.5), (1, 2), {1.5: True}])
def test_both_ways_write_the_same_text(value):
    expected = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    assert encode_json(value) == plain_encode(value) == expected


@pytest.mark.parametrize("value", [b"x", float("nan"), [float("-inf")], {"a": {1}}, {(1, 2): 3}, object()])
def test_what_json_has_not_is_refused_by_both(value):
    for encode in (encode_json, plain_encode):
        with pytest.raises((TypeError, ValueError)):
            encode(value)


def test_what_contains_itself_is_refused_and_harms_nothing():
    circle: list[object] = []
    circle.append(circle)
    for encode in (encode_json, plain_encode):
        with pytest.raises((ValueError, RecursionError)):
            encode(circle)
        assert encode([circle.__class__ is list]) == "[true]"


def test_the_c_code_of_the_standard_library_is_what_is_called():
    assert encoder.c_make_encoder is not None
    assert "<lambda>" in encode_json.__qualname__
