"""The exceptions of python-socketio, by its names.

What a handler raises to refuse a client, and what a program waits for, is caught as it was. `holdfast.EventError` and
the other errors of holdfast may be used beside them.
"""

from __future__ import annotations

__all__ = [
    "BadNamespaceError",
    "ConnectionError",
    "ConnectionRefusedError",
    "DisconnectedError",
    "SocketIOError",
    "TimeoutError",
]


class SocketIOError(Exception):
    """Base of the others."""


class ConnectionError(SocketIOError):  # noqa: A001 - a name that its users know, as the others here
    """Base of `ConnectionRefusedError`."""


class ConnectionRefusedError(ConnectionError):  # noqa: A001
    """Raised by a `connect` handler to refuse the client.

    Args:
        *args: First the message, "Connection rejected by server" if there is none; one more is the ``data`` that the
            client gets beside it, several are a list.

    Attributes:
        error_args: What the client gets.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.error_args: dict[str, object] = {
            "message": str(args[0]) if args else "Connection rejected by server"
        }
        if len(args) > 1:
            self.error_args["data"] = args[1] if len(args) == 2 else args[1:]


class TimeoutError(SocketIOError):  # noqa: A001
    """The client of `AsyncServer.call` did not answer: in time, or because it has left."""


class BadNamespaceError(SocketIOError):
    """Raised by clients only; here for programs that name it."""


class DisconnectedError(SocketIOError):
    """Raised by clients only; here for programs that name it."""
