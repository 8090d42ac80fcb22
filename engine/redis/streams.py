"""Streams that are followed: every entry from a moment on, in order, whatever becomes of the connection meanwhile.

Rules:

1. What is followed is read from the last entry that there was when it began; after a loss, from the last one read.
2. A stream that ends before the place where we are is another one of the same name (the broker has lost its memory):
   it is read from its beginning.
3. If what comes next may have been trimmed before we read it, the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import anyio

from ..errors import BrokerRefused, BrokerUnavailable
from ..host import Host
from .address import RedisAddress
from .connection import RedisConnection

__all__ = ["ENTRY_ID", "Entry", "RedisStreams", "stream_position"]

logger = logging.getLogger("holdfast.redis")

Entry = dict[bytes, bytes]
Follower = Callable[[Entry], None]
"""Called with the fields of each entry, its id among them; must not wait."""

ENTRY_ID = b"\0id"

_BLOCK_SECONDS = 2.0
_PAUSE_SECONDS = 0.2


class RedisStreams:
    """One connection that reads streams, all that are followed at once.

    Args:
        count: How many entries of a stream are taken at a time.
    """

    def __init__(
        self, address: RedisAddress, host: Host, *, count: int, timeout_seconds: float = 5.0
    ) -> None:
        self.connection = RedisConnection(
            address,
            host,
            name="Redis (streams)",
            prepare=self._distrust,
            timeout_seconds=timeout_seconds,
            # It is answered when the time of a read is over.
            quiet_seconds=timeout_seconds + _BLOCK_SECONDS,
        )
        self.trimmed = 0
        self._host = host
        self._count = count
        self._followers: dict[str, Follower] = {}
        # Of those that have been found; the others are looked up before they are read.
        self._positions: dict[str, str] = {}
        self._begun: dict[str, str] = {}
        self._is_sure = False
        self._scope: anyio.CancelScope | None = None

    def follow(self, stream: str, follower: Follower) -> None:
        """Let somebody have all entries of a stream from now on; one for each. In a running event loop."""
        self._followers[stream] = follower
        self.connection.open()
        if self._scope is None:
            self._scope = anyio.CancelScope()
            self._host.spawn_aside(self._run, self._scope)

    def leave(self, stream: str) -> None:
        """Follow it no more; idempotent. With the last one the connection ends."""
        self._followers.pop(stream, None)
        self._positions.pop(stream, None)
        self._begun.pop(stream, None)
        if not self._followers:
            scope, self._scope = self._scope, None
            if scope is not None:
                scope.cancel()
            self.connection.close()

    def begun(self, stream: str) -> str:
        """After which entry it is read; empty as long as that is not known."""
        return self._begun.get(stream, "")

    async def _distrust(self) -> None:
        self._is_sure = False

    async def _run(self, scope: anyio.CancelScope) -> None:
        with scope:
            while True:
                try:
                    if not self._is_sure or not self._followers.keys() <= self._positions.keys():
                        await self._find()
                    await self._read()
                except BrokerUnavailable:
                    await anyio.sleep(_PAUSE_SECONDS)
                except BrokerRefused as error:
                    logger.error("a stream cannot be read: %s", error)
                    await anyio.sleep(_PAUSE_SECONDS)

    async def _find(self) -> None:
        """Look where each stream is (rules 1 to 3)."""
        self._is_sure = True
        for stream in list(self._followers):
            replies = await self.connection.pipeline(
                [("XREVRANGE", stream, "+", "-", "COUNT", 1), ("XRANGE", stream, "-", "+", "COUNT", 1)]
            )
            for reply in replies:
                if isinstance(reply, BrokerRefused):
                    raise reply
            last, first = (_position_of(reply) for reply in replies)
            at = self._positions.get(stream)
            if at is None:
                self._positions[stream] = self._begun[stream] = last
            elif stream_position(last) < stream_position(at):
                self._positions[stream] = "0-0"
            elif stream_position(first) > stream_position(at) > (0, 0):
                self.trimmed += 1
                logger.warning("entries of the stream %r may have been trimmed before they were read", stream)

    async def _read(self) -> None:
        streams = [stream for stream in self._followers if stream in self._positions]
        places = [self._positions[stream] for stream in streams]
        block = round(_BLOCK_SECONDS * 1000)
        reply = await self.connection.command(
            "XREAD",
            *("COUNT", self._count, "BLOCK", block, "STREAMS", *streams, *places),
            timeout=self.connection.timeout_seconds + _BLOCK_SECONDS,
        )
        if reply is None:
            # Silence, or a stream that has begun anew.
            self._is_sure = False
            return
        for name, entries in cast("dict[bytes, list[tuple[bytes, list[bytes]]]]", reply).items():
            stream = name.decode()
            for id, fields in entries:
                follower = self._followers.get(stream)
                if follower is None:
                    break
                self._positions[stream] = id.decode()
                try:
                    follower({**dict(zip(fields[::2], fields[1::2], strict=False)), ENTRY_ID: id})
                except Exception:
                    # One entry must not keep those behind it from being read.
                    logger.exception("an entry of the stream %r could not be taken", stream)


def _position_of(reply: object) -> str:
    entries = cast("list[tuple[bytes, object]]", reply)
    return entries[0][0].decode() if entries else "0-0"


def stream_position(id: str) -> tuple[int, int]:
    """The id of an entry as what can be compared."""
    milliseconds, _, number = id.partition("-")
    return int(milliseconds), int(number or 0)
