"""Sessions with a clock, an application above them and coroutines of transports below."""

from .attachment import Attachment
from .bodies import Bodies
from .handshake import Handshake, RequestHeaders, SocketHandshake
from .identity import Identity
from .intake import Incoming, SessionHandler
from .permission import Allowed, AllowRequest, Permission
from .session import OVERTAKING, Arrival, LiveSession, short_hash
from .sockjs import LiveSockJS
from .stats import Counters, Stats
from .unused import Unused

__all__ = [
    "OVERTAKING",
    "AllowRequest",
    "Allowed",
    "Arrival",
    "Attachment",
    "Bodies",
    "Counters",
    "Handshake",
    "Identity",
    "Incoming",
    "LiveSession",
    "LiveSockJS",
    "Permission",
    "RequestHeaders",
    "SessionHandler",
    "SocketHandshake",
    "Stats",
    "Unused",
    "short_hash",
]
