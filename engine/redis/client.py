"""The Redis protocol over a stream of bytes: the one module that knows the package which speaks it (coredis)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import anyio
from anyio.abc import ByteStream
from coredis.connection import BaseConnection, TCPLocation
from coredis.exceptions import (
    BusyLoadingError,
    ExecAbortError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from ..errors import BrokerRefused
from .address import RedisAddress

if TYPE_CHECKING:
    from coredis.connection._request import Request

__all__ = ["Client", "refusal"]

_KINDS = {
    NoScriptError: "NOSCRIPT",
    ReadOnlyError: "READONLY",
    BusyLoadingError: "LOADING",
    ExecAbortError: "EXECABORT",
}


class Client(BaseConnection):
    """Speaks over a stream that is connected already: one that could not be made would not be cleaned up there."""

    def __init__(self, stream: ByteStream, address: RedisAddress) -> None:
        super().__init__(
            TCPLocation(host=address.host or address.path, port=address.port),
            username=address.username,
            password=address.password,
            client_name=address.client_name,
            db=address.db,
        )
        self._given = stream

    @classmethod
    async def connect(cls, address: RedisAddress) -> Client:
        """Raises:
        OSError: nobody is there, or nobody who proves to be the right one.
        """
        if address.host is None:
            stream: ByteStream = await anyio.connect_unix(address.path)
        elif address.ssl_context is None:
            stream = await anyio.connect_tcp(address.host, address.port)
        else:
            stream = await anyio.connect_tcp(
                address.host, address.port, ssl_context=address.ssl_context, tls_standard_compatible=False
            )
        return cls(stream, address)

    async def _connect(self) -> ByteStream:
        return self._given

    async def break_off(self) -> None:
        """End it while it is being made. A cancellation would be logged there as a failure."""
        await anyio.aclose_forcefully(self._given)

    def describe(self) -> str:
        return "Client"

    def ask(self, words: Sequence[str | bytes | int | float], timeout: float) -> Request:
        """Write a command; the result is awaited for the reply, which may be an exception.

        Raises:
            ConnectionError: it is lost.
        """
        try:
            return self.create_request(encoded(words[0]), *words[1:], raise_exceptions=False, timeout=timeout)
        except (RedisError, anyio.ClosedResourceError) as error:
            raise ConnectionError(str(error) or "it is closed") from error

    def tell(self, words: Sequence[str | bytes | int | float]) -> None:
        """Write a command that has no reply. Nothing happens if the connection is lost."""
        try:
            self.send_command(encoded(words[0]), *words[1:])
        except (RedisError, anyio.ClosedResourceError):
            pass  # It is made again by who tells this.

    async def hear(self, call: Callable[[Sequence[object]], None]) -> None:
        """Call a function with all that comes unasked, until the connection is lost."""
        try:
            async for push in self.push_messages:
                call(push)
        except RedisError:
            return


def encoded(word: str | bytes | float) -> bytes:
    """The name of a command."""
    return word if isinstance(word, bytes) else str(word).encode()


def refusal(reply: BaseException) -> BrokerRefused | None:
    """What the broker said; None if it said nothing, and the exception is that of a lost connection."""
    if not isinstance(reply, ResponseError | BusyLoadingError):
        return None
    for kind, name in _KINDS.items():
        if isinstance(reply, kind):
            return BrokerRefused(name, str(reply))
    word = str(reply).partition(" ")[0]
    return BrokerRefused(word if word.isupper() else "ERR", str(reply))
