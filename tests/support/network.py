"""What lies between a client and a server in other processes, and can be cut: for tests that have no event loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from anyio.from_thread import BlockingPortal

from holdfast.demo.proxy import MisbehavingProxy

__all__ = ["Network", "network_to"]


# Seconds: time for some attempts that come to nothing.
OUTAGE = 0.1


class Network:
    def __init__(self, portal: BlockingPortal, proxy: MisbehavingProxy) -> None:
        self._portal = portal
        self._proxy = proxy
        self.url = proxy.url

    def cut(self) -> None:
        """Reset all connections, and each new one: a client that is between two polls has none to be cut."""
        self._portal.call(self._proxy.cut_all, math.inf)

    def heal_soon(self) -> None:
        """It is over in a moment, for one whose clients try again by themselves."""
        self._portal.call(self._proxy.cut_all, OUTAGE)

    def heal(self) -> None:
        """It is over."""
        self._portal.call(self._proxy.clear)


@contextmanager
def network_to(address: str, portal: BlockingPortal) -> Iterator[Network]:
    """The way to a server's host and port; the portal's event loop carries it."""
    host, port = address.split(":")
    with portal.wrap_async_context_manager(MisbehavingProxy(host, int(port))) as proxy:
        yield Network(portal, proxy)
