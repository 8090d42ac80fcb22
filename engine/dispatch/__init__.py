"""Events: namespaces, sockets, rooms, handlers and acknowledgements. No transport, no ASGI."""

from __future__ import annotations

from .acks import Ack, Answer
from .broadcast import BroadcastOperator, FetchedSockets, RemoteSocket
from .events import Events
from .handlers import Next
from .namespace import Namespace, ParentNamespace
from .session import EventSession
from .socket import Socket
from .socket_operator import SocketOperator

__all__ = [
    "Ack",
    "Answer",
    "BroadcastOperator",
    "EventSession",
    "Events",
    "FetchedSockets",
    "Namespace",
    "Next",
    "ParentNamespace",
    "RemoteSocket",
    "Socket",
    "SocketOperator",
]
