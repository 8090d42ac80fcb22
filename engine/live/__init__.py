"""Sessions with a clock, an application above them and coroutines of transports below."""

from .attachment import Attachment
from .bodies import Bodies
from .handshake import Handshake, SocketHandshake
from .permission import AllowRequest, Permission
from .session import Arrival, LiveSession, SessionHandler, short_hash
from .stats import Counters, Stats
from .unused import Unused

__all__ = [
    "AllowRequest",
    "Arrival",
    "Attachment",
    "Bodies",
    "Counters",
    "Handshake",
    "LiveSession",
    "Permission",
    "SessionHandler",
    "SocketHandshake",
    "Stats",
    "Unused",
    "short_hash",
]
