"""The errors of holdfast.

- HoldfastError
    - LocalProtocolError: our caller asked for something the protocol cannot do; nothing has changed
        - MessageTooLarge
    - RemoteProtocolError: the peer broke the protocol; close and say why
        - LimitExceeded: the peer asks for more than a setting allows; the text names it
        - MissingMessages: the first message of a carrier is not the next one
        - StaleAttach: a newer carrier exists; the session is unharmed
        - WrongKey: the resume key is not this session's
    - SessionClosed: the session is over
    - RequestRefused: an HTTP request or a WebSocket is answered with a protocol error code
    - ConnectionRefusedError: raised by a `connect` handler to refuse a namespace, with data
    - AckTimeout: an acknowledgement did not arrive in time
    - Disconnected: the socket left before its acknowledgement arrived
        - AuthenticationFailed: the socket was put out because it gave no fresh auth that was accepted
    - BrokerUnavailable: what joins the servers cannot be reached
    - BrokerRefused: it says that what it was asked is wrong
    - EventError: raised by a handler to answer with an error; received from `emit_with_ack`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

__all__ = [
    "AckTimeout",
    "AuthenticationFailed",
    "BrokerRefused",
    "BrokerUnavailable",
    "ConnectionRefusedError",
    "Disconnected",
    "ErrorCode",
    "EventError",
    "HoldfastError",
    "LimitExceeded",
    "LocalProtocolError",
    "MessageTooLarge",
    "MissingMessages",
    "RemoteProtocolError",
    "RequestRefused",
    "SessionClosed",
    "StaleAttach",
    "WrongKey",
]


class ErrorCode(IntEnum):
    """Refusal codes: 0 to 5 are Engine.IO's, 6 and 7 are ours (docs/protocol.md, section 8)."""

    TRANSPORT_UNKNOWN = 0
    SESSION_UNKNOWN = 1
    BAD_METHOD = 2
    BAD_REQUEST = 3
    FORBIDDEN = 4
    VERSION_UNSUPPORTED = 5
    ATTACH_OUT_OF_DATE = 6
    MESSAGES_MISSING = 7


class HoldfastError(Exception):
    """Base of every error that holdfast raises."""


class LocalProtocolError(HoldfastError):
    """The caller asked for something the protocol cannot do. Nothing has changed."""


class MessageTooLarge(LocalProtocolError):
    """A message is larger than the limit; the text names both sizes in bytes."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"the message has {size_bytes} bytes; the limit is {limit_bytes}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class RemoteProtocolError(HoldfastError):
    """The peer broke the protocol. The text says how, without quoting the peer's input."""

    code: ErrorCode = ErrorCode.BAD_REQUEST


class LimitExceeded(RemoteProtocolError):
    """The peer asks for more than a setting allows; the text names the setting.

    Attributes:
        close_code: What a plain peer's WebSocket is closed with: 1008 (too many, too often) or 1009 (too large).
    """

    def __init__(self, message: str, *, close_code: int = 1008) -> None:
        super().__init__(message)
        self.close_code = close_code


class MissingMessages(RemoteProtocolError):
    """A carrier skipped messages (rule 1). The carrier ends, the session lives.

    Attributes:
        received: The position reached; the peer attaches again from there.
    """

    code = ErrorCode.MESSAGES_MISSING

    def __init__(self, stated: int, received: int) -> None:
        super().__init__(f"message {stated} came where {received + 1} is next")
        self.received = received


class StaleAttach(RemoteProtocolError):
    """A newer carrier exists (rule 6). The session is unharmed."""

    code = ErrorCode.ATTACH_OUT_OF_DATE


class WrongKey(RemoteProtocolError):
    """The resume key is not this session's. The session is unharmed."""

    code = ErrorCode.FORBIDDEN


class SessionClosed(HoldfastError):
    """The session is over; what was sent now is not delivered."""


class RequestRefused(HoldfastError):
    """An answer to a request that the protocol refuses.

    Attributes:
        code: The protocol's error code.
        status: The HTTP status.
        received: How far the server had got with the peer's messages, where that is known.
        retry_after: In how many seconds another server, or this one again, may be there; None where that is not the
            question.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        status: int = 400,
        received: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.received = received
        self.retry_after = retry_after


class ConnectionRefusedError(HoldfastError):  # noqa: A001 - python-socketio's name, which users know
    """Raised by a ``connect`` handler: the client gets ``connect_error`` with this message and data."""

    def __init__(self, message: str = "Connection refused", data: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class AckTimeout(HoldfastError):
    """The acknowledgement did not arrive in time; whether the event did is unknown.

    Attributes:
        answers: Of a broadcast: what those answered who did.
        missing: Of a question to other servers: the names of those that said nothing; ``"?"`` if nobody can tell
            which there are.
    """

    def __init__(self, message: str, *, answers: Sequence[object] = (), missing: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.answers = list(answers)
        self.missing = frozenset(missing)


class Disconnected(HoldfastError):
    """The socket left before its acknowledgement arrived; whether the event did is unknown."""


class AuthenticationFailed(Disconnected):
    """The client gave no fresh ``auth`` in time, or none that was accepted: its socket has been disconnected."""


class BrokerUnavailable(HoldfastError):
    """What joins the servers (Redis) cannot be reached, or was lost before it answered.

    Attributes:
        uncertain: Whether what it was asked may have been carried out all the same.
    """

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        super().__init__(message)
        self.uncertain = uncertain


class BrokerRefused(HoldfastError):
    """What joins the servers (Redis) says that a command is wrong.

    Attributes:
        kind: Its word for the kind of error: "WRONGTYPE", "NOSCRIPT"; "ERR" for most.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class EventError(HoldfastError):
    """Raised in a handler, it becomes the caller's error acknowledgement (docs/protocol.md, section 10).

    Args:
        message: Shown to the peer.
        code: A short, stable text for programs.
        data: Anything the codec can encode.
    """

    def __init__(self, message: str, *, code: str | None = None, data: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data
