"""What people write for an origin, and what browsers send."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Settings
from holdfast.engine.settings.origins import normal_origin

HARMLESS = [
    ("https://app.example", "https://app.example"),
    ("https://app.example/", "https://app.example"),
    ("HTTPS://App.Example", "https://app.example"),
    (" https://app.example\n", "https://app.example"),
    ("https://app.example:443", "https://app.example"),
    ("http://app.example:80/", "http://app.example"),
    ("http://app.example:443", "http://app.example:443"),
    ("https://app.example:0443", "https://app.example"),
    ("https://app.example:", "https://app.example"),
    ("https://app.example:08443", "https://app.example:8443"),
    ("http://localhost:5173", "http://localhost:5173"),
    ("http://[::1]:8000", "http://[::1]:8000"),
    ("http://[::1]", "http://[::1]"),
    ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ("capacitor://localhost", "capacitor://localhost"),
    ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ("file://", "file://"),
    ("null", "null"),
]

WRONG = [
    ("app.example", "'https://app.example'"),
    ("app.example:8080/path", "'https://app.example:8080'"),
    ("//app.example", "scheme, host and port"),
    ("https://app.example/path", "'https://app.example'"),
    ("https://app.example?x", "'https://app.example'"),
    ("https://app.example#x", "'https://app.example'"),
    ("https://user@app.example", "without path, query or user"),
    ("https://", "such as https://app.example"),
    ("https://:443", "scheme, host and port"),
    ("", "such as https://app.example"),
    ("https://app.example:99999", "host or port is not valid"),
    ("https://app.example:x", "host or port is not valid"),
    ("https://[::1", "host or port is not valid"),
    ("https://*.app.example", "re.compile("),
    ("https://a.example,https://b.example", "one origin per entry"),
    ("https://a.example https://b.example", "one origin per entry"),
    ("https://bücher.example", "xn--"),
    ("wss://app.example", "'https://app.example'"),
    ("ws://app.example:8000", "'http://app.example:8000'"),
    ("https://app.example\r\nX: y", "one origin per entry"),
]


@pytest.mark.parametrize(("entry", "kept"), HARMLESS)
def test_harmless_spelling_is_kept_as_the_browser_sends_it(entry: str, kept: str) -> None:
    assert Settings(origins=entry).origins == (kept,)
    assert Settings(origins=[entry, kept]).origins == (kept,)


@pytest.mark.parametrize(("entry", "remedy"), WRONG)
def test_entry_that_cannot_be_an_origin_is_told_the_right_form(entry: str, remedy: str) -> None:
    for origins in (entry, [entry], ["https://fine.example", entry]):
        with pytest.raises(ValueError, match="setting origins: ") as caught:
            Settings(origins=origins)
        assert repr(entry) in str(caught.value)
        assert remedy in str(caught.value)


@given(st.one_of(st.text(), st.from_regex(r"\s?[a-zA-Z]+://[^/]*(:[0-9]*)?/?")))
def test_whatever_is_taken_is_plain_text_and_stays_what_it_is(entry: str) -> None:
    try:
        origin = normal_origin(entry)
    except ValueError:
        return
    assert normal_origin(origin) == origin
    assert origin.isascii()
    assert origin.isprintable()
    assert " " not in origin


def test_none_star_and_lists_are_taken() -> None:
    assert Settings().origins is None
    assert Settings(origins="*").origins == "*"
    assert Settings(origins=["*"]).origins == "*"
    assert Settings(origins=[]).origins == ()
    assert set(Settings(origins={"https://a.example", "https://b.example"}).origins or ()) == {
        "https://a.example",
        "https://b.example",
    }


def test_pattern_is_for_the_whole_origin_and_stands_beside_others() -> None:
    pattern = re.compile(r"https://[a-z]+\.app\.example")
    for origins in (pattern, [pattern], ["https://fine.example", pattern]):
        settings = Settings(origins=origins)
        assert settings.lists("https://one.app.example")
        assert settings.lists("https://ONE.app.example")
        for other in (
            "https://one.app.example.evil.example",
            "https://evil.example/https://one.app.example",
            "https://app.example",
            "null",
        ):
            assert not settings.lists(other)
    assert pickle.loads(pickle.dumps(Settings(origins=pattern))) == Settings(origins=pattern)
    with pytest.raises(TypeError, match="setting origins="):
        Settings(origins=[re.compile(b"x")])  # pyright: ignore


def test_pattern_may_have_credentials() -> None:
    assert Settings(origins=re.compile("https://.*"), credentials=True).credentials


def test_star_beside_others_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="setting origins: '\\*' is not an origin"):
        Settings(origins=["*", "https://app.example"])


@pytest.mark.parametrize(
    "origins", [True, 1, b"https://app.example", {"https://app.example": 1}, [1], [None]]
)
def test_other_types_are_refused(origins: Any) -> None:
    with pytest.raises(TypeError, match="setting origins="):
        Settings(origins=origins)


def test_function_is_told_where_to_decide() -> None:
    with pytest.raises(TypeError, match="decide in allow_request"):
        Settings(origins=lambda origin: True)  # pyright: ignore
