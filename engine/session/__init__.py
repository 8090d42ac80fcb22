"""State, without I/O or clock: the two streams, carriers, heartbeat, who may attach."""

from .admission import Verdict, admit_plain
from .budget import Budget, kept_bytes
from .carrier import Carrier, Role
from .client import ClientSession
from .reason import CloseReason
from .server import ServerSession
from .session import MAX_CONTROL_PACKETS, Life
from .sockjs import ANOTHER_RECEIVER, GO_AWAY, SockJSCore

__all__ = [
    "ANOTHER_RECEIVER",
    "GO_AWAY",
    "MAX_CONTROL_PACKETS",
    "Budget",
    "Carrier",
    "ClientSession",
    "CloseReason",
    "Life",
    "Role",
    "ServerSession",
    "SockJSCore",
    "Verdict",
    "admit_plain",
    "kept_bytes",
]
