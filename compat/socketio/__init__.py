"""The interface of python-socketio 5 on holdfast: ``from holdfast.compat import socketio``.

A program that was written for its ``AsyncServer`` and ``ASGIApp`` runs with this import in the place of ``import
socketio``. What differs, and what is not here, is in docs/moving-from-python-socketio.md.
"""

from __future__ import annotations

from . import exceptions
from .asgi import ASGIApp
from .namespace import AsyncNamespace
from .server import AsyncServer

__all__ = ["ASGIApp", "AsyncNamespace", "AsyncServer", "exceptions"]

_CLIENT = "clients of python-socketio connect as they are: import them from python-socketio"
_WSGI = (
    "holdfast is ASGI only: write it with AsyncServer and ASGIApp, in which handlers may be plain functions"
)
_MANAGER = (
    "servers share rooms by adapter=holdfast.RedisAdapter(url), those of one process by holdfast.MemoryHub()"
)
_ABSENT = {
    **dict.fromkeys(
        (
            "AsyncClient",
            "AsyncClientNamespace",
            "AsyncSimpleClient",
            "Client",
            "ClientNamespace",
            "SimpleClient",
        ),
        _CLIENT,
    ),
    **dict.fromkeys(("Middleware", "Namespace", "Server", "WSGIApp", "get_tornado_handler"), _WSGI),
    **dict.fromkeys(
        (
            "AsyncAioPikaManager",
            "AsyncManager",
            "AsyncRedisManager",
            "KafkaManager",
            "KombuManager",
            "Manager",
            "PubSubManager",
            "RedisManager",
            "ZmqManager",
        ),
        _MANAGER,
    ),
}


def __getattr__(name: str) -> object:
    reason = _ABSENT.get(name, "python-socketio's own module does not have it either, or not in public")
    raise AttributeError(f"holdfast.compat.socketio has no {name!r}: {reason}")
