"""Holdfast: Socket.IO events over whatever network lies between a browser and a Python server."""

from .engine.dispatch import Ack, BroadcastOperator, Namespace, Socket
from .engine.dispatch.bare import Session
from .engine.errors import (
    AckTimeout,
    ConnectionRefusedError,
    Disconnected,
    EventError,
    HoldfastError,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
    SessionClosed,
)
from .engine.live import Handshake
from .engine.session import CloseReason
from .engine.settings import Settings
from .transports.app import Engine, Server

__all__ = [
    "Ack",
    "AckTimeout",
    "BroadcastOperator",
    "CloseReason",
    "ConnectionRefusedError",
    "Disconnected",
    "Engine",
    "EventError",
    "Handshake",
    "HoldfastError",
    "LocalProtocolError",
    "MessageTooLarge",
    "Namespace",
    "RemoteProtocolError",
    "Server",
    "Session",
    "SessionClosed",
    "Settings",
    "Socket",
]
