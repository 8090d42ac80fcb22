"""State, without I/O or clock: the two streams, carriers, heartbeat, who may attach."""

from .admission import Verdict, admit_plain
from .carrier import Carrier, Role
from .client import ClientSession
from .reason import CloseReason
from .server import ServerSession
from .session import MAX_CONTROL_PACKETS, Life

__all__ = [
    "MAX_CONTROL_PACKETS",
    "Carrier",
    "ClientSession",
    "CloseReason",
    "Life",
    "Role",
    "ServerSession",
    "Verdict",
    "admit_plain",
]
