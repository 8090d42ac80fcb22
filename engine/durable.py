"""The sessions of a server that outlive it: see docs/durable.md."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import msgpack

from .dispatch.left import Left
from .dispatch.saved import is_plain
from .errors import BrokerUnavailable, ErrorCode, RequestRefused
from .host import Host
from .live import Allowed, Handshake, Identity, LiveSession, Permission, RequestHeaders, SessionHandler
from .live.durable import DurableLive
from .live.records import Held, Keeper, Records, Taken
from .node import NodeName
from .server import SessionTable
from .session import ServerSession
from .session.durable import DurableSession
from .settings import Settings
from .wire.codec import CODEC_NAMES

__all__ = ["DurableTable", "Meta"]

logger = logging.getLogger("holdfast.durable")

# How long an owner has that is there, to hand a session over; how often it is looked whether it is there, once for all
# that wait for it; and for each of them, whether it has.
_FORCED = 3.0
_LOOK = 0.1
_FIRST_TRY, _LONGEST_TRY = 0.2, 1.0
# How long a request waits for records that cannot be reached.
_PATIENCE = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What is written once of a session."""

    key: str = field(repr=False)
    codec: str | None
    transport: str
    request: Handshake
    has_identity: bool
    expires_at: float | None

    def encode(self) -> bytes:
        """As bytes; the principal must be plain."""
        request = self.request
        values: list[object] = [
            self.key,
            self.codec,
            self.transport,
            [list(pair) for pair in request.scope.get("headers") or ()],
            dict(request.query),
            request.address,
            request.secure,
            request.url,
            request.time.timestamp(),
            request.principal,
            self.has_identity,
            self.expires_at,
        ]
        return msgpack.packb(values, unicode_errors="surrogatepass")

    @classmethod
    def decode(cls, data: bytes) -> Meta:
        """What `encode` has made."""
        # Any: what `encode` has made.
        values: Any = msgpack.unpackb(data, unicode_errors="surrogatepass", strict_map_key=False)
        key, codec, transport, pairs, query, address, secure, url, time, principal, has_identity, until = (
            values
        )
        headers = [(name, value) for name, value in pairs]
        request = Handshake(
            headers=RequestHeaders(headers),
            query=query,
            address=None if address is None else (address[0], address[1]),
            secure=secure,
            url=url,
            time=datetime.fromtimestamp(time, UTC),
            scope={"headers": headers},
            principal=principal,
        )
        return cls(
            key=key,
            codec=codec,
            transport=transport,
            request=request,
            has_identity=has_identity,
            expires_at=until,
        )


class _Summons:
    """A session is being taken over.

    Attributes:
        done: It was, or could not be.
        refusal: What those who wait are told in that case, if not that there is none.
    """

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.refusal: RequestRefused | None = None


def _seconds(at: datetime | float | None) -> float | None:
    return at.timestamp() if isinstance(at, datetime) else at


class DurableTable(SessionTable):
    """All sessions of one endpoint; those of counting peers have records.

    Args:
        records: Where those are kept.
        open_durable: As ``open_handler``, for a session with a record, and what another node has left of it.
        catch_up: Makes that of the state in a record.

    The others are those of `SessionTable`.
    """

    def __init__(
        self,
        settings: Settings,
        host: Host,
        open_handler: Callable[[LiveSession], SessionHandler],
        *,
        records: Records,
        open_durable: Callable[[DurableLive, Left | None], SessionHandler],
        catch_up: Callable[[bytes], Awaitable[Left]],
        codecs: Sequence[str] = CODEC_NAMES,
        node: NodeName | None = None,
    ) -> None:
        self._open_plain = open_handler
        self._open_durable = open_durable
        self._catch_up = catch_up
        super().__init__(settings, host, self._open_any, codecs=codecs, node=node)
        self.keeper = Keeper(records, host, node=self.node, seconds=settings.grace_period)
        self._summoned: dict[str, _Summons] = {}
        self._owners: dict[str, anyio.Event] = {}
        # What runs above a session that is being taken over.
        self._left: dict[str, Left] = {}

    def _open_any(self, session: LiveSession) -> SessionHandler:
        if isinstance(session, DurableLive):
            return self._open_durable(session, self._left.pop(session.sid, None))
        return self._open_plain(session)

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
        if not counting or not self._is_portable(request):
            return super()._make(
                transport,
                counting=counting,
                sid=sid,
                key=key,
                codec=codec,
                request=request,
                identity=identity,
            )
        meta = Meta(
            key=key,
            codec=codec,
            transport=transport,
            request=request,
            has_identity=identity is not None,
            expires_at=None if identity is None else _seconds(identity.expires_at),
        )
        core = DurableSession(transport=transport, **self._times(counting=True))
        return self._durable(core, meta, meta.encode(), sid, identity), core

    def _durable(
        self, core: DurableSession, meta: Meta, encoded: bytes, sid: str, identity: Identity | None
    ) -> DurableLive:
        return self._live(
            DurableLive,
            core,
            sid=sid,
            key=meta.key,
            codec=meta.codec,
            request=meta.request,
            identity=identity,
            keeper=self.keeper,
            meta=encoded,
        )

    def _is_portable(self, request: Handshake) -> bool:
        if is_plain(request.principal):
            return True
        logger.error(
            "a session ends with its node: its principal is a %s, and another node can only be told texts, numbers, "
            "lists and dicts of such",
            type(request.principal).__name__,
        )
        return False

    def _forget(self, session: LiveSession) -> None:
        if not isinstance(session, DurableLive):
            super()._forget(session)
        elif session.is_gone:
            # No tombstone: it is not over.
            self.sessions.pop(session.sid, None)
            self.counters.forget(session.transport, counting=True)
            self._unused.forget(session)
        else:
            super()._forget(session)
            self.keeper.end(session, received=session.received)

    async def seat(self, sid: str) -> str:
        """Its record knows; a plain peer's has none."""
        if sid in self.sessions:
            return ""
        try:
            owner = await self.keeper.records.owner(sid)
        except BrokerUnavailable:
            owner = None
        if owner is None:
            return self.elsewhere(sid)
        return "" if owner == self.keeper.node else owner

    def unanswered(self) -> RequestRefused:
        """The session may well live, or be taken over."""
        message = "the server that has the session has left without an answer"
        return RequestRefused(ErrorCode.FORBIDDEN, message, status=503, retry_after=1.0)

    # -- what another node has left

    async def summon(self, sid: str, permission: Permission) -> None:
        """See `SessionTable.summon`."""
        if sid in self._tombstones:
            return
        if self.is_closing:
            message = "the server is shutting down"
            raise RequestRefused(ErrorCode.FORBIDDEN, message, status=503, retry_after=1.0)
        summons = self._summoned.get(sid)
        if summons is None:
            summons = self._summoned[sid] = _Summons()
            # On a task of its own: what is taken over has to be gone on with, whoever has asked for it and has left.
            self.host.spawn_aside(self._answer, sid, permission, summons)
        await summons.done.wait()
        if summons.refusal is not None:
            raise summons.refusal

    async def _answer(self, sid: str, permission: Permission, summons: _Summons) -> None:
        try:
            taken = await self._take(sid)
            if taken is not None:
                # Between the end of this and the next line nothing else happens.
                left = await self._catch_up_with(taken)
                self._go_on(sid, taken, left, permission)
        except RequestRefused as error:
            summons.refusal = error
        finally:
            del self._summoned[sid]
            summons.done.set()

    async def _take(self, sid: str) -> Taken | None:
        keeper, host = self.keeper, self.host
        begun, pause = host.now(), _FIRST_TRY
        while True:
            found = None
            passed = host.now() - begun
            try:
                found = await keeper.records.take_over(keeper.node, sid, force=passed >= _FORCED)
            except BrokerUnavailable as error:
                if passed >= _PATIENCE:
                    # The session may well live.
                    message = "the server cannot reach what it keeps of sessions"
                    raise RequestRefused(ErrorCode.FORBIDDEN, message, status=503, retry_after=1.0) from error
            else:
                if not isinstance(found, Held):
                    return found if isinstance(found, Taken) else None
            if found is None:
                await host.sleep(pause)
            else:
                with host.move_on_after(min(pause, _FORCED)):
                    await self._owner_gone(found.owner)
            pause = min(pause * 2, _LONGEST_TRY)

    async def _owner_gone(self, owner: str) -> None:
        """Return when it is not there any more."""
        gone = self._owners.get(owner)
        if gone is None:
            gone = self._owners[owner] = anyio.Event()
            self.host.spawn_aside(self._watch, owner, gone)
        await gone.wait()

    async def _watch(self, owner: str, gone: anyio.Event) -> None:
        try:
            until = self.host.now() + _FORCED
            while self.host.now() < until and await self.keeper.records.is_there(owner):
                await self.host.sleep(_LOOK)
        except BrokerUnavailable:
            # Whoever waits tries again, and sees for himself.
            logger.debug("whether node %s is there cannot be told", owner)
        finally:
            del self._owners[owner]
            gone.set()

    async def _catch_up_with(self, taken: Taken) -> Left:
        begun = self.host.now()
        while True:
            try:
                return await self._catch_up(taken.record.state)
            except BrokerUnavailable as error:
                if self.host.now() - begun >= _PATIENCE:
                    message = "the server cannot reach what it keeps of sessions"
                    raise RequestRefused(ErrorCode.FORBIDDEN, message, status=503, retry_after=1.0) from error
            await self.host.sleep(_FIRST_TRY)

    def _go_on(self, sid: str, taken: Taken, left: Left, permission: Permission) -> None:
        record, meta = taken.record, Meta.decode(taken.meta)
        identity = None
        if meta.has_identity:
            allowed = Allowed(principal=meta.request.principal, expires_at=meta.expires_at)
            try:
                identity = Identity(permission, allowed, meta.request)
            except RequestRefused:
                # Its credentials have expired meanwhile: it has to begin anew.
                logger.info("a session whose credentials have expired is not gone on with")
                return
        core = DurableSession(
            transport=meta.transport, epoch=record.epoch, record=record, **self._times(counting=True)
        )
        session = self._durable(core, meta, taken.meta, sid, identity)
        self._left[sid] = left
        self._admit(session)
        logger.info("session %s goes on on this node", session.name)
        if self.is_closing:
            # Others have been told to go already.
            session.hand_over()

    # -- the end of this node

    async def shutdown(self, timeout: float = 5.0) -> None:
        """As of any server; but sessions with records are handed over."""
        self._closing = True
        durable = [session for session in self.sessions.values() if isinstance(session, DurableLive)]
        for session in durable:
            session.hand_over()
        begun = self.host.now()
        with anyio.move_on_after(timeout):
            for session in durable:
                await session.wait_ended()
            await self.keeper.finish()
        await super().shutdown(max(0.0, timeout - (self.host.now() - begun)))
