"""SockJS: its endpoint, on the same sessions as all others."""

from .app import SockJS

__all__ = ["SockJS"]
