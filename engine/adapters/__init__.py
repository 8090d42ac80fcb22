"""What reaches rooms: in this process, and one day in others."""

from __future__ import annotations

from .base import Adapter, Recipient
from .memory import MemoryAdapter

__all__ = ["Adapter", "MemoryAdapter", "Recipient"]
