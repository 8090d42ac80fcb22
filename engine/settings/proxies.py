"""Whose word is taken for where a request came from: that of the proxies that were named, and of nobody else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["Forwarded", "Network", "forwarded", "network"]

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What a trusted proxy says of a request.

    Attributes:
        address: Of the client; None if it says none.
        proto: Such as "https".
        host: What the client asked for.
    """

    address: str | None = None
    proto: str | None = None
    host: str | None = None


def network(entry: object) -> Network:
    """An address or a network, from its text.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(entry, str | IPv4Network | IPv6Network | IPv4Address | IPv6Address):
        raise ValueError(f"{entry!r} is no address")
    return ip_network(entry)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Collection[Network]) -> bool:
    return any(address in network for network in trusted)


def forwarded(
    peer: str,
    trusted: Collection[Network],
    *,
    chain: Sequence[str],
    protos: Sequence[str],
    hosts: Sequence[str],
) -> Forwarded | None:
    """What is known of a request that came from ``peer``; None if that is no trusted proxy.

    Each proxy adds whom it heard from at the end of the chain. So the client is the last there that is not trusted
    itself; what stands before it, anybody may have written.

    Args:
        chain: The values of X-Forwarded-For, in their order.
        protos: Those of X-Forwarded-Proto.
        hosts: Those of X-Forwarded-Host.
    """
    last = _address(peer)
    if last is None or not _is_trusted(last, trusted):
        return None
    found: str | None = None
    for text in reversed(",".join(chain).split(",")):
        address = _address(text)
        if address is None:
            break
        found = str(address)
        if not _is_trusted(address, trusted):
            break
    return Forwarded(found, _last(protos), _last(hosts))


def _last(values: Sequence[str]) -> str | None:
    return ",".join(values).rpartition(",")[2].strip() or None
