"""A cookie says what was asked for, and nothing can be smuggled into it."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Cookie, Settings


def test_cookie_is_written_as_socketio_writes_it() -> None:
    assert Cookie().header("abc") == "io=abc; Path=/; HttpOnly; SameSite=Lax"


def test_every_attribute_is_written() -> None:
    cookie = Cookie(
        name="__Secure-route",
        path="/live",
        domain="app.example",
        http_only=False,
        same_site="none",
        secure=True,
        partitioned=True,
        max_age=60,
    )
    expected = (
        "__Secure-route=abc; Max-Age=60; Domain=app.example; Path=/live; Secure; Partitioned; SameSite=None"
    )
    assert cookie.header("abc") == expected
    assert Cookie(same_site=None, max_age=0).header("abc") == "io=abc; Max-Age=0; Path=/; HttpOnly"


def test_settings_write_it_or_nothing() -> None:
    assert Settings().opening_cookie("abc") is None
    assert Settings(cookie="route").opening_cookie("abc") == "route=abc; Path=/; HttpOnly; SameSite=Lax"


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": ""}, ValueError, "RFC 6265"),
    ({"name": "a b"}, ValueError, "RFC 6265"),
    ({"name": "a=b"}, ValueError, "RFC 6265"),
    ({"name": "a;b"}, ValueError, "RFC 6265"),
    ({"name": "ü"}, ValueError, "RFC 6265"),
    ({"name": "a\r\nX: y"}, ValueError, "RFC 6265"),
    ({"name": "a\n"}, ValueError, "RFC 6265"),
    ({"name": None}, TypeError, "RFC 6265"),
    ({"path": "live"}, ValueError, "begins with /"),
    ({"path": ""}, ValueError, "begins with /"),
    ({"path": "/; Domain=evil.example"}, ValueError, "no semicolon"),
    ({"path": "/\r\n"}, ValueError, "begins with /"),
    ({"path": None}, TypeError, "begins with /"),
    ({"domain": ""}, ValueError, "name of a host"),
    ({"domain": "a;b"}, ValueError, "name of a host"),
    ({"domain": "a\n"}, ValueError, "name of a host"),
    ({"domain": 1}, TypeError, "name of a host"),
    ({"http_only": 1}, TypeError, "True or False"),
    ({"secure": "yes"}, TypeError, "True or False"),
    ({"partitioned": None}, TypeError, "True or False"),
    ({"same_site": "Lax"}, ValueError, '"lax", "strict", "none" or None'),
    ({"same_site": True}, ValueError, '"lax", "strict", "none" or None'),
    ({"same_site": "none"}, ValueError, "secure=True"),
    ({"partitioned": True}, ValueError, "secure=True"),
    ({"name": "__Host-io"}, ValueError, "secure=True"),
    ({"name": "__Secure-io"}, ValueError, "secure=True"),
    ({"name": "__Host-io", "secure": True, "path": "/live"}, ValueError, 'path="/" and no domain'),
    ({"name": "__Host-io", "secure": True, "domain": "a.example"}, ValueError, 'path="/" and no domain'),
    ({"max_age": 1.5}, TypeError, "whole number of seconds"),
    ({"max_age": True}, TypeError, "whole number of seconds"),
    ({"max_age": -1}, ValueError, "0 to "),
    ({"max_age": 10**10}, ValueError, "0 to "),
]


@pytest.mark.parametrize(("attributes", "kind", "allowed"), WRONG)
def test_wrong_attribute_is_named_with_what_is_allowed(
    attributes: dict[str, Any], kind: type[Exception], allowed: str
) -> None:
    with pytest.raises(kind) as caught:
        Cookie(**attributes)
    assert str(caught.value).startswith("Cookie(")
    assert allowed in str(caught.value)


def test_host_cookie_is_taken_where_browsers_take_it() -> None:
    assert Cookie(name="__Host-io", secure=True).name == "__Host-io"


@given(st.text(), st.text(), st.text())
def test_whatever_is_taken_stays_one_header_of_one_cookie(name: str, path: str, domain: str) -> None:
    try:
        header = Cookie(name=name, path=path, domain=domain).header("abc")
    except ValueError:
        return
    assert set(header) <= set(string.printable) - set("\r\n\t\v\f")
    assert header.count(";") == 4
    assert header.split("=")[0] == name
