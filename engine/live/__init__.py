"""Sessions with a clock, an application above them and coroutines of transports below."""

from .attachment import Attachment
from .handshake import Handshake, SocketHandshake
from .permission import AllowRequest, Permission
from .session import LiveSession, SessionHandler, short_hash

__all__ = [
    "AllowRequest",
    "Attachment",
    "Handshake",
    "LiveSession",
    "Permission",
    "SessionHandler",
    "SocketHandshake",
    "short_hash",
]
