"""Sessions with a clock, an application above them and coroutines of transports below."""

from .attachment import Attachment
from .handshake import Handshake, SocketHandshake
from .session import LiveSession, SessionHandler, short_hash

__all__ = ["Attachment", "Handshake", "LiveSession", "SessionHandler", "SocketHandshake", "short_hash"]
