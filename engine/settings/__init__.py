"""What a server may be told: every setting, its limits, and what other servers call it."""

from .cookie import Cookie
from .settings import Settings

__all__ = ["Cookie", "Settings"]
