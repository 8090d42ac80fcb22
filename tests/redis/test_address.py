"""What the address of a Redis says, and what it does not."""

from __future__ import annotations

import ssl

import pytest

from holdfast.engine.redis import RedisAddress


def test_parts_of_a_url() -> None:
    address = RedisAddress.parse("redis://ann:p%40ss@cache.example:6380/3?client_name=node-1")
    assert (address.host, address.port, address.db) == ("cache.example", 6380, 3)
    assert (address.username, address.password, address.client_name) == ("ann", "p@ss", "node-1")
    assert address.ssl_context is None


def test_what_is_not_said_is_the_usual() -> None:
    assert RedisAddress.parse("valkey://cache") == RedisAddress(host="cache", port=6379, db=0)


def test_a_socket() -> None:
    address = RedisAddress.parse("unix:///run/redis.sock?db=2&password=secret")
    assert (address.host, address.path, address.db, address.password) == (
        None,
        "/run/redis.sock",
        2,
        "secret",
    )


def test_tls_checks_certificate_and_name_unless_told_otherwise() -> None:
    def context(url: str) -> ssl.SSLContext:
        found = RedisAddress.parse(url).ssl_context
        assert found is not None
        return found

    strict = context("rediss://cache.example")
    assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
    nameless = context("rediss://cache.example?ssl_check_hostname=false")
    assert (nameless.check_hostname, nameless.verify_mode) == (False, ssl.CERT_REQUIRED)
    open_ = context("valkeys://cache.example?ssl_cert_reqs=none")
    assert (open_.check_hostname, open_.verify_mode) == (False, ssl.CERT_NONE)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@cache",
        "redis://:secret@",
        "redis://:secret@cache:port",
        "redis://:secret@cache/first",
        "redis://:secret@cache?protocol=3",
        "rediss://:secret@cache?ssl_cert_reqs=optional",
    ],
)
def test_what_is_no_such_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="Redis") as refused:
        RedisAddress.parse(url)
    assert "secret" not in str(refused.value)


def test_no_text_form_shows_who_we_are() -> None:
    address = RedisAddress.parse("redis://ann:secret@cache/0")
    assert "secret" not in f"{address} {address!r}"
    assert "ann" not in f"{address} {address!r}"
