"""What reaches rooms: in this process, and one day in others."""

from __future__ import annotations

from .base import (
    EVERYBODY,
    Adapter,
    AdapterFactory,
    Answers,
    LocalSocket,
    Node,
    NoHandler,
    Recipient,
    RoomChange,
    SocketInfo,
    Target,
)
from .memory import MemoryAdapter, MemoryHub, deliver

__all__ = [
    "EVERYBODY",
    "Adapter",
    "AdapterFactory",
    "Answers",
    "LocalSocket",
    "MemoryAdapter",
    "MemoryHub",
    "NoHandler",
    "Node",
    "Recipient",
    "RoomChange",
    "SocketInfo",
    "Target",
    "deliver",
]
