"""What an application sees of STOMP's clients and their messages, and what carries them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import EventError, LimitExceeded, LocalProtocolError
from ..live import Handshake
from ..wire.structure import MAX_CONTAINERS, MAX_DEPTH, check_structure

__all__ = ["Messages", "Peer", "StompClient", "StompLogin", "StompMessage", "decode_json"]


class Messages(Protocol):
    """What carries a client: messages of text or bytes, in order."""

    @property
    def request(self) -> Handshake:
        """The request that opened it."""
        ...

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            SessionClosed: there is no more.
        """
        ...

    async def send(self, data: str | bytes) -> None:
        """Send one message; waits for a slow peer.

        Raises:
            SessionClosed: it is gone.
            LocalProtocolError: this cannot be sent to it.
        """
        ...


class Peer(Messages, Protocol):
    """`Messages` that can be ended. A `Session` is one."""

    def close(self) -> None:
        """End it. What was sent before still goes out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StompLogin:
    """A client that wants to be let in: what its CONNECT says, and the request that has brought it.

    Attributes:
        login, passcode: Headers of CONNECT, if it has them.
        host: The virtual host that it asks for.
        headers: All of CONNECT.
        request: The request that opened the connection; its ``principal`` is what `allow_request` has said.
    """

    login: str | None
    passcode: str | None = field(repr=False)
    host: str | None
    headers: Mapping[str, str] = field(repr=False)
    request: Handshake


class StompClient:
    """A client that was let in.

    Attributes:
        id: Of the connection: CONNECTED says it in ``session``.
        principal: Whose it is, as the application has said; None for nobody's.
        user: The name of its user destinations: the principal as text, or its own `id`.
        login: How it came.
        data: The application's own.
    """

    __slots__ = ("_close", "data", "id", "login", "principal", "user")

    def __init__(
        self, id: str, login: StompLogin, principal: object, user: str, close: Callable[[str], None]
    ) -> None:
        self.id = id
        self.login = login
        self.principal = principal
        self.user = user
        self.data: dict[str, object] = {}
        self._close = close

    def __repr__(self) -> str:
        return f"<StompClient {self.id}>"

    def disconnect(self, message: str = "closed by the server") -> None:
        """Say ERROR with this message and close; idempotent."""
        self._close(message)


@dataclass(frozen=True, slots=True)
class StompMessage:
    """What a client has sent to a function of the application.

    Attributes:
        client: Who.
        destination: Where to, as `authorize` sees it.
        headers: The client's own.
        body: As it came.
        params: What stands in the places of the destination's pattern.
    """

    client: StompClient
    destination: str
    headers: Mapping[str, str]
    body: bytes
    params: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text.

        Raises:
            EventError: it is not UTF-8; the client is told.
        """
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            raise EventError("the body is not UTF-8", code="bad_body") from error

    def json(self) -> object:
        """The body as JSON.

        Raises:
            EventError: it is none, or too deep; the client is told.
        """
        try:
            return decode_json(self.text)
        except LocalProtocolError as error:
            raise EventError(str(error), code="bad_body") from error


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def decode_json(text: str) -> object:
    """What a client says in JSON.

    Raises:
        LocalProtocolError: it is none, or too deep.
    """
    try:
        check_structure(text, MAX_DEPTH, MAX_CONTAINERS)
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError, LimitExceeded) as error:
        raise LocalProtocolError("the body is not JSON, or nested too deeply") from error
