"""A way to an example that can be closed for a while."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from anyio.from_thread import BlockingPortal, start_blocking_portal
from real_server import Running

from holdfast.demo.proxy import MisbehavingProxy

__all__ = ["Tunnel", "tunnel_to"]


class Tunnel:
    """What lies between a page and its server.

    Attributes:
        address: For the page.
    """

    def __init__(self, proxy: MisbehavingProxy, portal: BlockingPortal) -> None:
        self.address = proxy.url
        self._proxy = proxy
        self._portal = portal

    def close(self) -> None:
        """End all connections, and let no new one through."""
        self._portal.call(self._proxy.cut_all, math.inf)

    def open(self) -> None:
        self._portal.call(self._proxy.clear)


@contextmanager
def tunnel_to(server: Running) -> Iterator[Tunnel]:
    """An open one."""
    proxy = MisbehavingProxy("127.0.0.1", server.port)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(proxy):
        yield Tunnel(proxy, portal)
