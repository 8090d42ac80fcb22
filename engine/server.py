"""The server that makes sessions, finds them again and remembers the ended ones. No ASGI here."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar

import anyio

from .drain import Drain
from .errors import ErrorCode, RequestRefused, WrongKey
from .host import Host
from .live import (
    OVERTAKING,
    Bodies,
    Counters,
    Handshake,
    Identity,
    LiveSession,
    Permission,
    SessionHandler,
    Stats,
    Unused,
)
from .node import NodeName, node_of
from .session import Budget, CloseReason, Life, ServerSession
from .settings import Settings
from .wire.codec import CODEC_NAMES
from .wire.handshake import OpenPacket, encode_open

__all__ = ["SessionTable", "new_id", "new_key"]

logger = logging.getLogger("holdfast.server")

_MOST_FAREWELLS = 1_000

S = TypeVar("S", bound=LiveSession)


@dataclass(frozen=True, slots=True)
class _Tombstone:
    key: str = field(repr=False)
    received: int
    until: float


class Times(TypedDict):
    """What the settings say to every session."""

    ping_interval: float
    ping_timeout: float
    grace: float
    limit_bytes: int
    now: float
    budget: Budget
    unused_grace: float


class SessionTable:
    """All sessions of one endpoint.

    Args:
        settings: Limits and intervals.
        host: Runs the tasks and timers.
        open_handler: Called with each new session before any message of it; returns what runs above it.
        codecs: What a counting peer may choose from.
        node: What this server is called among others.
        beside: Another table of the same endpoint, for sessions of another kind. The limits on all are for both
            together, and so is what is counted.
    """

    def __init__(
        self,
        settings: Settings,
        host: Host,
        open_handler: Callable[[LiveSession], SessionHandler],
        *,
        codecs: Sequence[str] = CODEC_NAMES,
        node: NodeName | None = None,
        beside: SessionTable | None = None,
    ) -> None:
        self.node = node or NodeName()
        self.settings = settings
        self.host = host
        self.sessions: dict[str, LiveSession] = {}
        self.budget = Budget(settings.total_buffer_limit) if beside is None else beside.budget
        self.bodies = Bodies(settings.max_bodies) if beside is None else beside.bodies
        self.counters = Counters() if beside is None else beside.counters
        self._unused = Unused(settings.max_unused_sessions_per_address) if beside is None else beside._unused
        self._open_handler = open_handler
        self._tombstones: OrderedDict[str, _Tombstone] = OrderedDict()
        self._farewells: OrderedDict[str, float] = OrderedDict()
        self._closing = False
        self._drain: Drain | None = None
        self._codecs = codecs

    def open(
        self,
        transport: str,
        request: Handshake,
        *,
        counting: bool,
        codecs: Sequence[str] = (),
        identity: Identity | None = None,
    ) -> LiveSession:
        """Make a session; its first carrier has the open packet to write.

        Args:
            identity: Whose it is to be; None where the application has no word on that.

        Raises:
            RequestRefused: the server is shutting down or full (status 503), or this address has opened enough (429).
        """
        self.check_room(request)
        settings = self.settings
        sid, key = str(self.node) + new_id(), new_key()
        interval = settings.counting_ping_interval if counting else settings.ping_interval
        timeout = settings.counting_ping_timeout if counting else settings.ping_timeout
        codec = (
            next((codec for codec in codecs if codec in self._codecs), self._codecs[0]) if counting else None
        )
        session, core = self._make(
            transport, counting=counting, sid=sid, key=key, codec=codec, request=request, identity=identity
        )
        packet = OpenPacket(
            sid=sid,
            upgrades=self._upgrades(transport, counting=counting),
            ping_interval_ms=round(interval * 1000),
            ping_timeout_ms=round(timeout * 1000),
            max_payload_bytes=settings.max_payload,
            key=key if counting else None,
            codec=codec or self._codecs[0],
            grace_ms=round(settings.grace_period * 1000),
            transports=tuple(settings.transports),
        )
        core.opening.control.append(encode_open(packet))
        self._admit(session)
        return session

    def _make(
        self,
        transport: str,
        *,
        counting: bool,
        sid: str,
        key: str,
        codec: str | None,
        request: Handshake,
        identity: Identity | None,
    ) -> tuple[LiveSession, ServerSession]:
        """A session that nobody knows yet, and its core."""
        core = ServerSession(transport=transport, counting=counting, **self._times(counting=counting))
        session = self._live(
            LiveSession, core, sid=sid, key=key, codec=codec, request=request, identity=identity
        )
        return session, core

    def _times(self, *, counting: bool) -> Times:
        settings = self.settings
        return {
            "ping_interval": settings.counting_ping_interval if counting else settings.ping_interval,
            "ping_timeout": settings.counting_ping_timeout if counting else settings.ping_timeout,
            "grace": settings.grace_period,
            "limit_bytes": settings.buffer_limit,
            "now": self.host.now(),
            "budget": self.budget,
            "unused_grace": settings.handshake_timeout,
        }

    def _live(
        self,
        kind: type[S],
        core: ServerSession,
        *,
        sid: str,
        request: Handshake,
        identity: Identity | None,
        key: str = "",
        codec: str | None = None,
        **more: Any,
    ) -> S:
        """A session with the limits that all have; ``more`` is what this kind asks for."""
        settings = self.settings
        return kind(
            core,
            sid=sid,
            key=key,
            codec=codec,
            request=request,
            host=self.host,
            max_payload=settings.max_payload,
            when_full=settings.when_full,
            max_carriers=settings.max_carriers,
            max_events_per_second=settings.max_events_per_second,
            counters=self.counters,
            identity=identity,
            **more,
        )

    def _admit(self, session: LiveSession) -> None:
        """Let a session that was made begin, with the application above it."""
        transport, counting = session.transport, session.counting
        self.sessions[session.sid] = session
        self.counters.open(transport, counting=counting)
        self._unused.add(session)
        session.on_end(self._forget)
        session.start(self._open_handler(session))
        if logger.isEnabledFor(logging.DEBUG):
            kind = " (counting)" if counting else ""
            logger.debug("session %s opened by %s%s", session.name, transport, kind)

    def check_room(self, request: Handshake) -> None:
        """Return if this request may open another session.

        Raises:
            RequestRefused: the server is shutting down or full (status 503), or this address has opened enough (429).
        """
        if self._closing:
            later = self._drain.retry_after if self._drain is not None else 0
            message = "the server is shutting down"
            raise RequestRefused(ErrorCode.FORBIDDEN, message, status=503, retry_after=max(1.0, later))
        most = self.settings.max_sessions
        if self.counters.open_sessions >= most:
            message = f"the server has its {most} sessions (setting max_sessions)"
            raise RequestRefused(ErrorCode.FORBIDDEN, message, status=503)
        self._unused.check(request.address)

    def _upgrades(self, transport: str, *, counting: bool) -> tuple[str, ...]:
        # A counting peer moves between all transports that there are, in both directions.
        settings = self.settings
        may = counting or settings.allow_upgrades
        return (
            ("websocket",) if may and transport != "websocket" and "websocket" in settings.transports else ()
        )

    def _forget(self, session: LiveSession) -> None:
        self.sessions.pop(session.sid, None)
        self.counters.forget(session.transport, counting=session.counting)
        self._unused.forget(session)
        now = self.host.now()
        if not session.counting:
            if session.has_left and not session.attached and session.transport == "polling":
                self._expect_farewell(session.sid, now)
            return
        tombstones = self._tombstones
        tombstones[session.sid] = _Tombstone(
            session.key, session.received, now + self.settings.tombstone_period
        )
        while tombstones:
            oldest = next(iter(tombstones.values()))
            if oldest.until > now and len(tombstones) <= self.settings.max_tombstones:
                break
            tombstones.popitem(last=False)

    def _expect_farewell(self, sid: str, now: float) -> None:
        farewells = self._farewells
        while farewells and (next(iter(farewells.values())) <= now or len(farewells) >= _MOST_FAREWELLS):
            farewells.popitem(last=False)
        farewells[sid] = now + OVERTAKING

    def farewell(self, sid: str) -> bool:
        """Whether this may be the poll of a plain peer that its own close packet has overtaken: then it is
        answered as if it had been there, once."""
        return self._farewells.pop(sid, 0.0) > self.host.now()

    def knows(self, sid: str) -> bool:
        """Whether there is, or was a while ago, such a session."""
        return sid in self.sessions or sid in self._tombstones

    def elsewhere(self, sid: str) -> str:
        """The node whose session this would be; empty for one of this server, or of nobody."""
        if sid in self.sessions:
            return ""
        name = node_of(sid)
        return "" if name == str(self.node) else name

    async def seat(self, sid: str) -> str:
        """The node that a request for a session is to be carried to; empty for this one."""
        return self.elsewhere(sid)

    def unanswered(self) -> RequestRefused:
        """The refusal for a request that was carried to another node, which has left without an answer."""
        return self.unknown("", None)

    def find(self, sid: str, *, key: str | None = None) -> LiveSession:
        """The session of a request, its resume key checked if it is a counting one.

        Raises:
            RequestRefused: unknown or over (with how far the server had got, if the key is right).
            WrongKey: the key is not this session's.
        """
        session = self.sessions.get(sid)
        if session is not None:
            session.check_time()
            session = self.sessions.get(sid)
        if session is None:
            raise self.unknown(sid, key)
        if (session.counting or key is not None) and not _same_secret(session.key, key):
            raise WrongKey("the resume key is not the one of this session")
        return session

    async def recognise(
        self, sid: str, request: Handshake, *, key: str | None = None, transport: str | None = None
    ) -> LiveSession:
        """`find`, for a request that goes on with the session: it must be of the one whose the session is.

        Args:
            transport: What it attaches; None for a POST, which only brings.

        Raises:
            RequestRefused, WrongKey: as from `find`; or status 403, the application does not let this request go on.
        """
        session = self.find(sid, key=key)
        identity = session.identity
        if identity is None:
            return session
        if await identity.check(request, again=not session.goes_on_by(transport)):
            # Meanwhile it may have ended.
            session = self.find(sid, key=key)
        return session

    async def summon(self, sid: str, permission: Permission) -> None:
        """Have a session here that another node has left, if there is such a one. Without records there is none.

        Args:
            permission: Who is asked whether a request may go on with it.

        Raises:
            RequestRefused: the server is shutting down (status 503).
        """

    def unknown(self, sid: str, key: str | None) -> RequestRefused:
        """The refusal for a session that is not there (docs/protocol.md, section 8)."""
        tombstone = self._tombstones.get(sid)
        remembered = tombstone is not None and tombstone.until > self.host.now()
        if tombstone is not None and remembered and _same_secret(tombstone.key, key):
            message = "Session ID unknown: the session is over"
            return RequestRefused(ErrorCode.SESSION_UNKNOWN, message, received=tombstone.received)
        message = (
            "Session ID unknown: it is over, its server was restarted, or another worker or host has it that this one "
            "cannot reach (settings workers and adapter, or sticky sessions)"
        )
        return RequestRefused(ErrorCode.SESSION_UNKNOWN, message)

    def stats(self) -> Stats:
        """How it stands."""
        counters = self.counters
        return Stats(
            sessions=dict(counters.sessions),
            counting=counters.counting,
            detached=counters.detached,
            queued_bytes=self.budget.used_bytes,
            body_bytes=self.bodies.used_bytes,
            running=self.host.running,
            draining=self.is_closing,
            opened=dict(counters.opened),
            ended=dict(counters.ended),
            refused=dict(counters.refused),
            upgrades=counters.upgrades,
            fallbacks=counters.fallbacks,
            detaches=counters.detaches,
            resumes=counters.resumes,
            replayed=counters.replayed,
        )

    async def shutdown(self, timeout: float = 5.0) -> None:
        """Take no more sessions, end all of them, and wait until they have heard of it and their handlers are done.

        Args:
            timeout: For how many seconds at most. What still runs then is left to itself, and the log says so.
        """
        self._closing = True
        sessions = list(self.sessions.values())
        for session in sessions:
            session.close(CloseReason.SERVER_SHUTTING_DOWN)
        until = anyio.current_time() + timeout
        with anyio.move_on_after(timeout):
            for session in sessions:
                # One that has no carrier now is not waited for; its client learns it by its next request.
                if session.attached:
                    await session.wait_ended()
        for session in sessions:
            if session.life is not Life.CLOSED:
                session.fail(CloseReason.SERVER_SHUTTING_DOWN)
        with anyio.move_on_after(until - anyio.current_time()):
            await self.host.idle()
        if self.host.running:
            logger.warning(
                "shut down while handlers of %d sockets or sessions still ran; they had %g s",
                self.host.running,
                timeout,
            )

    def drain(self, *, timeout: float, period: float, retry_after: float) -> Drain:
        """Take no more sessions, and end all of them gently; idempotent until `reopen`."""
        self._closing = True
        if self._drain is None:
            sessions = list(self.sessions.values())
            self._drain = Drain(sessions, self.host, timeout=timeout, period=period, retry_after=retry_after)
        return self._drain

    def refuse_more(self) -> None:
        """Take no more sessions until `reopen`; those that there are go on."""
        self._closing = True

    @property
    def is_closing(self) -> bool:
        """Whether no more sessions are taken."""
        return self._closing

    def reopen(self) -> None:
        """Take sessions again."""
        self._closing = False
        self._drain = None


def new_id() -> str:
    """The id of a session: 144 bits of chance."""
    return secrets.token_urlsafe(18)


def new_key() -> str:
    """The resume key of a session: 192 bits of chance."""
    return secrets.token_urlsafe(24)


def _same_secret(secret: str, shown: str | None) -> bool:
    # "surrogatepass": JSON can bring lone surrogates, and a wrong key must be a refusal, not a failure.
    return hmac.compare_digest(secret.encode(), (shown or "").encode(errors="surrogatepass"))
