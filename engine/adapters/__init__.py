"""What reaches rooms: in this process, and one day in others."""

from __future__ import annotations

from .base import (
    EVERYBODY,
    Adapter,
    AdapterFactory,
    Answers,
    Fetched,
    Node,
    NoHandler,
    Recipient,
    RoomChange,
    SocketInfo,
    Target,
)
from .bus import Bus, BusFactory, Receiver
from .cluster import ClusterAdapter
from .memory import MemoryAdapter, MemoryHub, deliver
from .messages import ClusterMessage, MessageType

__all__ = [
    "EVERYBODY",
    "Adapter",
    "AdapterFactory",
    "Answers",
    "Bus",
    "BusFactory",
    "ClusterAdapter",
    "ClusterMessage",
    "Fetched",
    "MemoryAdapter",
    "MemoryHub",
    "MessageType",
    "NoHandler",
    "Node",
    "Receiver",
    "Recipient",
    "RoomChange",
    "SocketInfo",
    "Target",
    "deliver",
]
