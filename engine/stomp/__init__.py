"""A broker of STOMP: topics, queues, user destinations, functions of the application. No transport, no ASGI."""

from __future__ import annotations

from .broker import StompBroker
from .client import Messages, Peer, StompClient, StompLogin, StompMessage

__all__ = ["Messages", "Peer", "StompBroker", "StompClient", "StompLogin", "StompMessage"]
