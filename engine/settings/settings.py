"""Every limit and interval of a server, with its default."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

from .cookie import Cookie
from .names import unknown_setting
from .proxies import Network
from .rules import (
    a_cookie,
    count,
    meeting_place,
    one_of,
    origins,
    owner,
    proxies,
    rule_of,
    seconds,
    seconds_or_none,
    size,
    some_of,
    switch,
    text_of,
)

__all__ = ["Settings", "explains_unknown_names"]

_T = TypeVar("_T")
_DAY = 86_400.0


def explains_unknown_names(cls: type[_T]) -> type[_T]:
    """Have a class of settings say what a name is called here, or why it is not."""
    # Any: a dataclass's own constructor, which is handed on as it came.
    plain = cast("Callable[..., None]", cls.__init__)

    @wraps(plain)
    def init(self: _T, *args: Any, **options: Any) -> None:
        _check_names(cls, options)
        plain(self, *args, **options)

    cls.__init__ = init
    return cls


def _check_names(cls: Any, options: Mapping[str, object]) -> None:
    # Any: pyright knows a dataclass only by its decorator, which has not run for it here.
    known = [field.name for field in fields(cls)]
    for name in options:
        if name not in known:
            raise TypeError(unknown_setting(name, known))


@explains_unknown_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a server may be told. Times in seconds, sizes in bytes. Every limit is on by default.

    Attributes:
        ping_interval: Between two pings to a plain peer (Socket.IO's default).
        ping_timeout: In which a plain peer must answer.
        counting_ping_interval: Between two pings to a counting peer, which survives an early verdict.
        counting_ping_timeout: In which a counting peer must answer.
        max_payload: The largest HTTP body or WebSocket message that is accepted.
        grace_period: How long a counting session is kept without a carrier.
        buffer_limit: Bytes kept for one session before it is closed with "buffer full". Each message counts 150 bytes
            besides its payload.
        total_buffer_limit: Bytes kept for all sessions together, a message for many once. Beyond it, a session that
            keeps more than its share is at its own limit.
        when_full: What an `emit` to one peer does while half of `buffer_limit` is kept for it: ``"wait"``, or go on to
            the limit and ``"disconnect"`` it there. A broadcast never waits.
        volatile: Which volatile events are dropped for a peer that cannot take them now: ``"drop-newest"``, or
            ``"drop-oldest"`` to send it the newest 16 as soon as it can.
        tombstone_period: How long an ended session is still answered with how far it had got.
        max_tombstones: How many ended sessions are remembered.
        max_sessions: Sessions at once; more are refused with status 503.
        handshake_timeout: After which a session ends that was never used after its handshake, and has no carrier.
        max_unused_sessions_per_address: Such sessions of one address (of IPv6, of one /64); more are refused with
            status 429.
        trusted_proxies: Addresses and networks of the proxies whose X-Forwarded-For, -Proto and -Host are believed.
        max_carriers: Carriers that one session may have at once, with those that are replaced or not attached yet;
            the oldest makes way.
        max_bodies: Bytes of POST bodies that are read at the same time, in all; more are refused with status 503.
        max_header_bytes: Bytes of a request's head, each header with 32 more, as HTTP/2 counts them; a larger one is
            refused with status 431.
        upgrade_timeout: In which a plain WebSocket upgrade must be completed.
        body_timeout: In which a POST body must have arrived.
        stream_limit: Bytes after which a stream is ended, so that the client opens the next one.
        transports: Which transports are let in.
        allow_upgrades: Whether a plain peer may go on from polling to WebSocket. A counting peer moves as it must; for
            it, leave transports out.
        origins: Which origins may connect from a browser besides the same host: none, ``"*"`` for all, or a list of
            origins and of compiled patterns, each for a whole origin.
        cors: Who writes the CORS headers: ``"own"`` for us, ``"app"`` for the application's middleware. ``origins``
            decides in both cases who may connect.
        credentials: Whether pages of listed origins may send cookies with their requests.
        cookie: A cookie to set at the handshake, for load balancers with sticky sessions; a name or a `Cookie`.
        serve_client: Whether the JavaScript client is served beside the path.
        connect_timeout: In which a session must have connected to a namespace.
        max_attachments: Binary attachments of one packet.
        attachment_timeout: In which the next attachment of a packet must have arrived while there is a carrier; a
            second more for every 50,000 bytes that it may have.
        max_depth: How deep lists and maps of a packet may be nested.
        max_containers: Lists and maps in one packet; a date in msgpack counts as two.
        max_events_per_second: Packets that are taken of one session in a second, and at once: who sends more messages
            is read no faster, and who sends more of what carries no message is ended.
        max_pending_events: Events of one session that may wait for their handlers.
        max_pending_event_bytes: Bytes of those events, as they came.
        total_pending_event_bytes: Bytes of memory for the events of all sessions that wait for their handlers. Beyond
            it, what clients have said that have left is dropped, and a session of which more than its share waits is at
            its own limit.
        max_namespaces_per_session: Namespaces that one session may be connected to.
        max_rooms_per_socket: Rooms that one socket may be in.
        max_pending_acks: Acknowledgements that one session's events may wait for.
        ack_timeout: Default for `emit_with_ack`; None waits as long as the socket lives.
        connection_state_recovery: Whether official clients come back to the socket that they lost: the same id, rooms
            and data, and what was sent meanwhile. Their events then end in one more argument, as with Socket.IO.
        max_disconnection_duration: For how long they can come back.
        skip_middlewares: Whether they come back without connection middleware.
        cleanup_empty_child_namespaces: Whether a namespace of a pattern ends with its last socket.
        workers: Where the workers of one host meet, so that any of them may take any request, and rooms reach all:
            ``"auto"`` for a private directory of theirs; a directory for processes that have no common parent; None
            for not at all.

    Raises:
        TypeError: a setting of that name does not exist (the text suggests the right one), or its value is of
            another type.
        ValueError: the value is not allowed, alone or beside another; the text names what is.
    """

    ping_interval: float = seconds(25.0)
    ping_timeout: float = seconds(20.0)
    counting_ping_interval: float = seconds(10.0)
    counting_ping_timeout: float = seconds(5.0)
    max_payload: int = size(1_000_000)
    grace_period: float = seconds(120.0, most=_DAY)
    buffer_limit: int = size(1_000_000)
    total_buffer_limit: int = size(256_000_000)
    when_full: Literal["wait", "disconnect"] = one_of("wait", "disconnect")
    volatile: Literal["drop-newest", "drop-oldest"] = one_of("drop-newest", "drop-oldest")
    tombstone_period: float = seconds(600.0, most=_DAY)
    max_tombstones: int = count(10_000)
    max_sessions: int = count(100_000)
    handshake_timeout: float = seconds(15.0)
    max_unused_sessions_per_address: int = count(100)
    trusted_proxies: Collection[str | Network] = proxies()
    max_carriers: int = count(16)
    max_bodies: int = size(64_000_000)
    max_header_bytes: int = size(32_768)
    upgrade_timeout: float = seconds(10.0)
    body_timeout: float = seconds(10.0)
    stream_limit: int = size(8_000_000)
    transports: Sequence[str] = some_of("websocket", "stream", "polling")
    allow_upgrades: bool = switch(True)
    origins: Collection[str | re.Pattern[str]] | re.Pattern[str] | str | None = origins()
    cors: Literal["own", "app"] = owner()
    credentials: bool = switch(False)
    cookie: Cookie | str | None = a_cookie()
    serve_client: bool = switch(True)
    connect_timeout: float = seconds(45.0)
    max_attachments: int = count(10)
    attachment_timeout: float = seconds(10.0)
    max_depth: int = count(64)
    max_containers: int = count(50_000)
    max_events_per_second: int = count(20_000)
    max_pending_events: int = count(10_000)
    max_pending_event_bytes: int = size(16_000_000)
    total_pending_event_bytes: int = size(64_000_000)
    max_namespaces_per_session: int = count(100)
    max_rooms_per_socket: int = count(10_000)
    max_pending_acks: int = count(10_000)
    ack_timeout: float | None = seconds_or_none()
    connection_state_recovery: bool = switch(False)
    max_disconnection_duration: float = seconds(120.0, most=_DAY)
    skip_middlewares: bool = switch(True)
    cleanup_empty_child_namespaces: bool = switch(True)
    workers: str | Path | None = meeting_place()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = rule_of(field).check(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.credentials and self.origins == "*":
            # Any site could then act for the user whose browser has it open.
            allowed = 'False beside origins="*"; list the origins that may'
            raise ValueError(text_of("credentials", True, allowed))
        if self.credentials and self.cors == "app":
            allowed = (
                'False beside cors="app"; tell the application\'s CORS middleware (allow_credentials=True)'
            )
            raise ValueError(text_of("credentials", True, allowed))

    def replace(self, **options: Any) -> Self:
        """These settings with some values changed; everything is checked again.

        Raises:
            TypeError, ValueError: as from `Settings`.
        """
        # Any: the constructor checks each value by its field.
        _check_names(type(self), options)
        return replace(self, **options)

    @classmethod
    def of(cls, options: Mapping[str, object], *, base: Self | None = None) -> Self:
        """Settings from keyword arguments, over ``base`` if there is one.

        Raises:
            TypeError, ValueError: as from `Settings`.
        """
        if base is None:
            base = cls()
        # Somebody who comes from JavaScript hands in a dict.
        if not isinstance(cast("object", base), Settings):
            kind = type(base).__name__
            raise TypeError(
                f"settings must be Settings, not {kind}; single ones by name: Server(ping_interval=25)"
            )
        return base.replace(**options)

    def lists(self, origin: str) -> bool:
        """Whether an Origin header names an origin that may connect although it is not the same host."""
        if self.origins is None or self.origins == "*":
            return self.origins is not None
        # Lower case, as the list is kept: browsers send nothing else.
        origin, entries = origin.lower(), cast("tuple[str | re.Pattern[str], ...]", self.origins)
        return any(
            entry == origin if isinstance(entry, str) else entry.fullmatch(origin) is not None
            for entry in entries
        )

    def opening_cookie(self, sid: str) -> str | None:
        """The Set-Cookie header of the handshake that opened the session ``sid``, if there is to be one."""
        return self.cookie.header(sid) if isinstance(self.cookie, Cookie) else None
