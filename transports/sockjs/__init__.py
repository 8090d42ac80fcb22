"""SockJS: its endpoint, on the same sessions as all others."""

from .app import SockJS, SockJSFunction

__all__ = ["SockJS", "SockJSFunction"]
