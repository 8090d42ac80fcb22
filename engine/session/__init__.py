"""State, without I/O or clock: the two streams, carriers, heartbeat, who may attach."""

from .admission import Verdict, admit_plain
from .budget import Budget, kept_bytes
from .carrier import Carrier, Role
from .client import ClientSession
from .reason import CloseReason
from .server import ServerSession
from .session import MAX_CONTROL_PACKETS, Life

__all__ = [
    "MAX_CONTROL_PACKETS",
    "Budget",
    "Carrier",
    "ClientSession",
    "CloseReason",
    "Life",
    "Role",
    "ServerSession",
    "Verdict",
    "admit_plain",
    "kept_bytes",
]
