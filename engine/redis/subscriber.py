"""Channels that are listened to, and that never go deaf silently.

A connection that is there and answers may still bring nothing: the broker may have forgotten a subscription, or what
lies between may drop what it did not ask for. So the subscriber sends itself a message through the broker whenever it
has heard nothing for a while, and makes its connection anew if that does not come.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import cast

import anyio

from ..errors import BrokerUnavailable
from ..host import Event, Host, make_event
from .address import RedisAddress
from .connection import RedisConnection

__all__ = ["RedisSubscriber"]

logger = logging.getLogger("holdfast.redis")

Listener = Callable[[bytes, bytes], None]
"""Called with the channel and what was published there; must not wait."""


class RedisSubscriber:
    """One connection that listens.

    Args:
        commands: Another connection to the same broker, by which it pings itself.
        quiet_seconds: After which silence is doubted.
        timeout_seconds: In which a ping to itself has to come.
        on_lost: Called when what is published may not be heard.
    """

    def __init__(
        self,
        address: RedisAddress,
        host: Host,
        commands: RedisConnection,
        *,
        quiet_seconds: float = 5.0,
        timeout_seconds: float = 5.0,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.connection = RedisConnection(
            address,
            host,
            name="Redis (subscriptions)",
            on_push=self._take,
            prepare=self._prepare,
            on_lost=self._forget,
            timeout_seconds=timeout_seconds,
        )
        self.deaf = 0
        self._commands = commands
        self._host = host
        self._quiet = quiet_seconds
        self._timeout = timeout_seconds
        self._own = f"holdfast-ping#{secrets.token_hex(8)}".encode()
        self._channels: dict[bytes, Listener] = {self._own: lambda channel, data: None}
        self._patterns: dict[bytes, Listener] = {}
        # What the broker has not confirmed yet.
        self._pending: set[bytes] = set()
        self._confirmed: Event | None = None
        self._heard = False
        self._hears: Event | None = None
        self._on_lost = on_lost
        self._scope: anyio.CancelScope | None = None

    def open(self) -> None:
        """Begin to listen; idempotent. In a running event loop."""
        if self._scope is None:
            self._scope = anyio.CancelScope()
            self.connection.open()
            self._host.spawn_aside(self._doubt, self._scope)

    def close(self) -> None:
        """Listen no more; idempotent."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.cancel()
        self.connection.close()

    def listen(self, channel: str, listener: Listener) -> None:
        """Hear of what is published on a channel, from now on and after every loss of the connection."""
        name = channel.encode()
        self._channels[name] = listener
        self._pending.add(name)
        self.connection.write("SUBSCRIBE", name)

    def listen_to_pattern(self, pattern: str, listener: Listener) -> None:
        """`listen` to all channels of which the names are like this (PSUBSCRIBE)."""
        name = pattern.encode()
        self._patterns[name] = listener
        self._pending.add(name)
        self.connection.write("PSUBSCRIBE", name)

    def ignore(self, *names: str) -> None:
        """Hear no more of channels or patterns."""
        for text in names:
            name = text.encode()
            self._pending.discard(name)
            if self._channels.pop(name, None):
                self.connection.write("UNSUBSCRIBE", name)
            if self._patterns.pop(name, None):
                self.connection.write("PUNSUBSCRIBE", name)

    async def ready(self, timeout: float | None = None) -> None:
        """Return when the broker has confirmed all that is listened to.

        Raises:
            BrokerUnavailable: not in that time.
        """
        timeout = self._timeout if timeout is None else timeout
        if self.connection.is_up and not self._pending:
            return
        with anyio.move_on_after(timeout):
            await self.connection.up(timeout)
            while self._pending:
                if self._confirmed is None:
                    self._confirmed = make_event()
                await self._confirmed.wait()
            return
        raise BrokerUnavailable(f"{self.connection.name} at {self.connection.address} do not begin")

    async def _prepare(self) -> None:
        self._pending = {*self._channels, *self._patterns}
        self.connection.write("SUBSCRIBE", *self._channels)
        if self._patterns:
            self.connection.write("PSUBSCRIBE", *self._patterns)

    def _forget(self) -> None:
        self._pending = {*self._channels, *self._patterns}
        if self._on_lost is not None:
            self._on_lost()

    def _take(self, push: Sequence[object]) -> None:
        if not self._heard:
            self._heard = True
            if self._hears is not None:
                self._hears.set()
        kind = push[0]
        if kind == b"pmessage":
            _, pattern, channel, data = push
            listener = self._patterns.get(cast("bytes", pattern))
        elif kind == b"message":
            _, channel, data = push
            listener = self._channels.get(cast("bytes", channel))
        else:
            self._note(kind, push[1])
            return
        if listener is not None:
            try:
                listener(cast("bytes", channel), cast("bytes", data))
            except Exception:
                # One message must not end the connection for all others.
                logger.exception("what was published could not be taken")

    def _note(self, kind: object, name: object) -> None:
        if kind in (b"subscribe", b"psubscribe") and isinstance(name, bytes):
            self._pending.discard(name)
            if not self._pending and self._confirmed is not None:
                confirmed, self._confirmed = self._confirmed, None
                confirmed.set()

    async def _doubt(self, scope: anyio.CancelScope) -> None:
        with scope:
            while True:
                await anyio.sleep(self._quiet)
                if self._heard:
                    self._heard = False
                elif self.connection.is_up and not await self._hears_itself():
                    self.deaf += 1
                    logger.warning("what is published is not heard any more: subscribing anew")
                    self.connection.reset("it was deaf")

    async def _hears_itself(self) -> bool:
        """Whether what is published comes; also if it cannot be published."""
        self._hears = make_event()
        self._heard = False
        try:
            if await self._commands.command("PUBLISH", self._own, b"") == 0:
                return False
        except BrokerUnavailable:
            return True
        with anyio.move_on_after(self._timeout):
            await self._hears.wait()
        return self._heard
