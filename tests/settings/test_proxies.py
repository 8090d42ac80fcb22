"""What is believed of X-Forwarded-* headers, and whose."""

from __future__ import annotations

import pytest

from holdfast import Settings
from holdfast.engine.settings import Forwarded, forwarded
from holdfast.engine.settings.proxies import network

TRUSTED = [network("10.0.0.0/8"), network("2001:db8::1"), network("192.0.2.1")]


def address(peer: str, *chain: str) -> str | None:
    found = forwarded(peer, TRUSTED, chain=chain, protos=(), hosts=())
    return None if found is None else found.address


@pytest.mark.parametrize(
    ("peer", "chain", "expected"),
    [
        ("198.51.100.1", ("203.0.113.9",), None),
        ("10.0.0.1", (), None),
        ("10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1, 203.0.113.9, 10.0.0.2",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1", "203.0.113.9, 192.0.2.1"), "203.0.113.9"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("1.1.1.1, unknown, 10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        ("10.0.0.1", ("[2001:db8::9]:4711",), "2001:db8::9"),
        ("2001:db8::1", ("2001:db8::9",), "2001:db8::9"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("testclient", ("203.0.113.9",), None),
    ],
)
def test_client_is_the_last_who_is_no_trusted_proxy(
    peer: str, chain: tuple[str, ...], expected: str | None
) -> None:
    assert address(peer, *chain) == expected


def test_of_several_hosts_and_protocols_the_nearest_proxys_counts() -> None:
    found = forwarded("10.0.0.1", TRUSTED, chain=(), protos=("http, https",), hosts=("evil", "app.example"))
    assert found == Forwarded(None, "https", "app.example")


@pytest.mark.parametrize("value", [["10.0.0.256"], ["proxy.example"], ["10.0.0.1/8"], [5]])
def test_setting_takes_addresses_and_networks_only(value: list[object]) -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        Settings(trusted_proxies=value)  # type: ignore[arg-type]


def test_single_text_is_no_list() -> None:
    with pytest.raises(TypeError, match="trusted_proxies"):
        Settings(trusted_proxies="10.0.0.1")
