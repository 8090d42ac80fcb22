"""What is read quickly of a request is what the libraries that are made for it read."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from holdfast.engine.errors import RequestRefused
from holdfast.engine.settings import Settings
from holdfast.transports.request import Head, parse_request, share_headers

FIELDS = st.one_of(
    st.text(st.sampled_from("ab=&;%+4 é\xa0"), max_size=8),
    st.sampled_from(["%41", "%zz", "a=b", "&&", "=", "a="]),
)


def query_of(text: str) -> dict[str, str]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "query_string": text.encode("latin-1"),
    }
    return parse_request(scope, Settings()).query


@given(st.lists(FIELDS, max_size=4).map("&".join))
def test_query_is_read_as_the_standard_library_reads_it(text: str) -> None:
    text = f"{text}&EIO=4&transport=polling"
    assert query_of(text) == dict(parse_qsl(text, keep_blank_values=True))


@pytest.mark.parametrize("plain", [True, False])
def test_query_with_too_many_fields_is_refused(plain: bool) -> None:
    fields = "&".join(["a" if plain else "%61"] * 98)
    assert query_of(f"EIO=4&transport=polling&{fields}")["a"] == ""
    with pytest.raises(RequestRefused, match="too many fields"):
        query_of(f"EIO=4&transport=polling&{fields}&a")


NAMES = st.sampled_from(["origin", "host", "x"])


@given(st.lists(st.tuples(NAMES, st.text(st.characters(max_codepoint=255)))), NAMES)
def test_headers_are_found_as_by_the_web_framework(pairs: list[tuple[str, str]], name: str) -> None:
    raw = [(key.encode(), value.encode("latin-1")) for key, value in pairs]
    head, known = Head({"headers": tuple(raw)}), Headers(raw=raw)
    assert head.getlist(name) == known.getlist(name)
    assert head.get(name, "none") == (known.getlist(name) or ["none"])[-1]


def test_headers_that_many_send_are_kept_once_and_secrets_are_not_kept() -> None:
    def sent(number: int) -> list[tuple[bytes, bytes]]:
        names = ("host", "user-agent", "cookie", "sec-websocket-key")
        return [(name.encode(), f"{name} {number}".encode()) for name in names]

    first, second = sent(1), sent(1)
    for headers in (first, second):
        share_headers(headers)
        assert headers == sent(1)
    assert [one is other for one, other in zip(first, second, strict=True)] == [True, True, False, False]
    for number in range(2_000):
        # However many there are, that is bounded, and what they say stays what it was.
        headers = sent(number)
        share_headers(headers)
        assert headers == sent(number)
