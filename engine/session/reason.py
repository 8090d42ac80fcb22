"""Why a session or a socket ended, in Socket.IO's words."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CloseReason"]


class CloseReason(StrEnum):
    """Socket.IO's disconnect reasons, and three of our own for what it lets happen silently."""

    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"
    PING_TIMEOUT = "ping timeout"
    PARSE_ERROR = "parse error"
    FORCED_CLOSE = "forced close"
    FORCED_SERVER_CLOSE = "forced server close"
    SERVER_SHUTTING_DOWN = "server shutting down"
    CLIENT_NAMESPACE = "client namespace disconnect"
    SERVER_NAMESPACE = "server namespace disconnect"
    CONNECT_TIMEOUT = "connect timeout"
    BUFFER_FULL = "buffer full"
    AUTHENTICATION_EXPIRED = "authentication expired"
