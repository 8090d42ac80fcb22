"""Every limit and interval of a server, with its default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a server may be told. Times in seconds, sizes in bytes. Every limit is on by default.

    Attributes:
        ping_interval: Between two pings to a plain peer (Socket.IO's default).
        ping_timeout: In which a plain peer must answer.
        counting_ping_interval: The same for a counting peer, which survives an early verdict.
        counting_ping_timeout: The same for a counting peer.
        max_payload: The largest HTTP body or WebSocket message that is accepted.
        grace_period: How long a counting session is kept without a carrier.
        buffer_limit: Bytes kept for one session before it is closed with "buffer full".
        tombstone_period: How long an ended session is still answered with how far it had got.
        max_tombstones: How many ended sessions are remembered.
        max_sessions: Sessions at once; more are refused with status 503.
        upgrade_timeout: In which a plain WebSocket upgrade must be completed.
        body_timeout: In which a POST body must have arrived.
        stream_limit: Bytes after which a stream is ended, so that the client opens the next one.
        origins: Which origins may connect from a browser: None for the same host only, ``"*"`` for all, or a list.
        cookies: Whether cross-origin requests may carry credentials.
        connect_timeout: In which a session must have connected to a namespace.
        max_attachments: Binary attachments of one packet.
        max_pending_events: Events of one session that may wait for their handlers.
        max_pending_event_bytes: The same in bytes, as they came.
        max_namespaces_per_session: Namespaces that one session may be connected to.
        connection_state_recovery: Whether official clients come back to the socket that they lost: the same id, rooms
            and data, and what was sent meanwhile. Their events then end in one more argument, as with Socket.IO.
        max_disconnection_duration: For how long they can.
        skip_middlewares: Whether they come back without connection middleware.
        cleanup_empty_child_namespaces: Whether a namespace of a pattern ends with its last socket.
        max_rooms_per_socket: Rooms that one socket may be in.
        ack_timeout: Default for `emit_with_ack`; None waits as long as the socket lives.
    """

    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    counting_ping_interval: float = 10.0
    counting_ping_timeout: float = 5.0
    max_payload: int = 1_000_000
    grace_period: float = 120.0
    buffer_limit: int = 1_000_000
    tombstone_period: float = 600.0
    max_tombstones: int = 10_000
    max_sessions: int = 100_000
    upgrade_timeout: float = 10.0
    body_timeout: float = 10.0
    stream_limit: int = 8_000_000
    origins: Sequence[str] | str | None = None
    cookies: bool = False
    connect_timeout: float = 45.0
    max_attachments: int = 10
    max_pending_events: int = 10_000
    max_pending_event_bytes: int = 16_000_000
    max_namespaces_per_session: int = 100
    ack_timeout: float | None = None
    connection_state_recovery: bool = False
    max_disconnection_duration: float = 120.0
    skip_middlewares: bool = True
    cleanup_empty_child_namespaces: bool = True
    max_rooms_per_socket: int = 10_000

    @classmethod
    def of(cls, options: dict[str, object]) -> Settings:
        """Settings from keyword arguments.

        Raises:
            TypeError: an unknown name; the text suggests the right one.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
                raise TypeError(f"unknown setting {name!r}{hint}")
        return cls(**options)  # type: ignore[arg-type]
