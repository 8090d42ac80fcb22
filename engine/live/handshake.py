"""What is kept of the request that opened a session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["Handshake", "RequestHeaders", "SocketHandshake"]


class RequestHeaders(Mapping[str, str]):
    """The headers of an ASGI scope by their names in lower case; of a repeated one the last value.

    It reads them where they are: a session keeps its opening request, and headers are most of that.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        try:
            wanted = name.encode("latin-1")
        except UnicodeEncodeError:
            raise KeyError(name) from None
        for found, value in reversed(self._raw):
            if found == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([name.decode("latin-1") for name, _ in self._raw]))

    def __len__(self) -> int:
        return len({name for name, _ in self._raw})

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """The request that opened the session. What may hold a secret is not in its `repr`.

    Attributes:
        headers: Lower-case names; of a repeated header the last value.
        query: The query string; of a repeated key the last value.
        address: Host and port of the TCP peer; or through a proxy of the setting ``trusted_proxies`` the address of the
            client, and port 0.
        secure: Whether it came by TLS, as far as the server or such a proxy knows.
        url: Path and query.
        time: When it came.
        scope: What the ASGI server and the middleware in front know of it, such as ``scope["session"]``,
            ``scope["user"]`` and ``scope["state"]``.
        principal: Whose the session is, as `allow_request` has said at its opening; before that, and without its
            word, None.
    """

    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    address: tuple[str, int] | None = None
    secure: bool = False
    url: str = field(default="/", repr=False)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    # Whatever some middleware puts there, which need not even be comparable.
    scope: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    principal: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketHandshake:
    """How the peer came. What may hold a secret is not in its `repr`.

    Attributes:
        headers: Of the request that opened the session, in lower case.
        query: Its query string.
        auth: What the client sent along when it connected to this namespace, its ``auth`` option; or the fresh one that
            `Socket.reauthenticate` has accepted.
        address: As `Handshake.address`.
        secure: Whether it came by TLS, as far as the server knows.
        url: Path and query of the request.
        time: When it came.
        scope: As `Handshake.scope`; empty for a socket of another process.
        principal: As `Handshake.principal`.
    """

    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    auth: dict[str, object] = field(repr=False)
    address: tuple[str, int] | None
    secure: bool
    url: str = field(repr=False)
    time: datetime
    scope: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    principal: Any = field(default=None, repr=False)

    @property
    def issued(self) -> int:
        """The time in milliseconds since 1970."""
        return int(self.time.timestamp() * 1000)
