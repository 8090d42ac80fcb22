"""Clients with a cookie each, and an application that knows whose it is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgi_driver import Client, Headers
from counting_peer import CountingPeer, Site, open_site

from holdfast import Allowed, ConnectionRefusedError, Handshake

__all__ = ["QUIET", "TRANSPORTS", "Browser", "Users", "open_users", "peer_of"]

TRANSPORTS = ["polling", "stream", "websocket"]

QUIET: dict[str, Any] = {"ping_interval": 1000, "counting_ping_interval": 1000}
"""No pings come between."""


class Browser(Client):
    """A client beside another one: the same network, headers of its own."""

    def __init__(self, other: Client, **headers: str) -> None:
        self.__dict__.update(other.__dict__)
        self.own = {name.replace("_", "-"): value for name, value in headers.items()}

    def _scope(self, kind: str, url: str, headers: Headers | None) -> dict[str, Any]:
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or ())
        return super()._scope(kind, url, [*pairs, *self.own.items()])


class Users:
    """An application: cookies are `user=<name>`; who has been logged out is refused.

    Attributes:
        asked: Who, each time that it was asked.
        out: Cookies that are not good any more.
        until: When those that are good expire.
    """

    def __init__(self, until: float | None = None) -> None:
        self.asked: list[str] = []
        self.out: set[str] = set()
        self.until = until

    async def allow_request(self, handshake: Handshake) -> Allowed:
        cookie = handshake.headers.get("cookie", "")
        self.asked.append(cookie)
        if not cookie or cookie in self.out:
            raise ConnectionRefusedError("log in first")
        # What follows the name is another cookie of the same user.
        return Allowed(principal=cookie.partition(";")[0], expires_at=self.until)


@asynccontextmanager
async def open_users(*, seconds: float | None = None, **settings: Any) -> AsyncIterator[tuple[Site, Users]]:
    users = Users(None if seconds is None else time.time() + seconds)
    settings = QUIET | settings
    async with open_site(allow_request=users.allow_request, **settings) as site:
        yield site, users


def peer_of(site: Site, cookie: str) -> CountingPeer:
    return CountingPeer(Browser(site.client, cookie=cookie))
