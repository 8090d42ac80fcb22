"""One node of a cluster over Redis: its connections, its name, and who else is there."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import anyio

from ..errors import BrokerRefused, BrokerUnavailable
from ..host import Event, Host, in_event_loop, make_event
from ..redis import RedisAddress, RedisConnection, RedisOutbox, RedisSubscriber, Told, Word

__all__ = ["BrokerHealth", "Nodes", "RedisNode", "escape_pattern"]

logger = logging.getLogger("holdfast.adapters")

OWN_NAMES = "hf-"
"""What the names of nodes begin with that are holdfast's: Node.js has letters and digits alone."""

# How often who is there is looked up while somebody waits for answers, and for how long at most.
_LOOK_SECONDS = 0.5
_LOOKS = 40
_LAST_WORDS_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerHealth:
    """How it stands between a server and the Redis that joins it to others.

    Attributes:
        is_up: Whether commands reach it, and what others publish is heard.
        waiting_bytes: What is not published yet.
        lost: How many messages to other servers were not published, or perhaps not.
        unread: How many of others were not carried out, because too much came at once.
        reconnections: How often a connection was made again.
        deaf: How often one was made again that was there and brought nothing.
        last_error: Why it is not up; empty if it is.
    """

    is_up: bool
    waiting_bytes: int
    lost: int
    unread: int
    reconnections: int
    deaf: int
    last_error: str


class RedisNode:
    """The connections of one server of one process, shared by all its namespaces.

    Attributes:
        commands: For commands.
        subscriber: Hears what is published.
        outbox: Publishes.
        unread: See `BrokerHealth`.
    """

    def __init__(self, address: RedisAddress, *, outbox_limit: int, timeout: float, quiet: float) -> None:
        self.address = address
        self.host = host = Host()
        self._uid, self._pid = "", 0
        self.commands = RedisConnection(address, host, timeout_seconds=timeout, quiet_seconds=quiet)
        self.subscriber = RedisSubscriber(
            address,
            host,
            self.commands,
            timeout_seconds=timeout,
            quiet_seconds=quiet,
            on_lost=self._tell_lost,
        )
        self.outbox = RedisOutbox(self.commands, host, limit_bytes=outbox_limit)
        self.unread = 0
        self._on_lost: dict[object, Callable[[], None]] = {}
        self._users: dict[object, Callable[[], None]] = {}
        self._is_open = False
        self._ended: Event | None = None

    @property
    def uid(self) -> str:
        """Its name among the others; another one in each process that forks off."""
        if self._pid != os.getpid():
            self._uid, self._pid = OWN_NAMES + secrets.token_hex(8), os.getpid()
        return self._uid

    def join(self, user: object, started: Callable[[], None]) -> None:
        """A namespace needs it; idempotent. Outside an event loop it begins with the next call of `start`.

        Args:
            started: Called when it begins, and when it begins again after all had left.
        """
        if user not in self._users:
            self._users[user] = started
            if self._is_open:
                started()
        self.start()

    def leave(self, user: object) -> None:
        """A namespace does not need it any more; idempotent. The last one ends the connections, when what waits is
        published."""
        self._on_lost.pop(user, None)
        if self._users.pop(user, None) is not None and not self._users and self._is_open:
            self._is_open = False
            if in_event_loop():
                self._ended = make_event()
                self.host.spawn_aside(self._end, self._ended)
            else:
                self._close()

    def start(self) -> None:
        """Begin, if there is an event loop and it is needed; idempotent."""
        if self._is_open or not self._users or not in_event_loop():
            return
        self._is_open = True
        self.commands.open()
        self.subscriber.open()
        for started in self._users.values():
            started()

    async def _end(self, ended: Event) -> None:
        try:
            await self.outbox.empty(_LAST_WORDS_SECONDS)
            # The words of a later end are not ours to cut off.
            if not self._is_open and self._ended is ended:
                self._close()
                await self.subscriber.connection.over()
                await self.commands.over()
        finally:
            ended.set()

    async def over(self) -> None:
        """Return when the last words are published and the connections have ended; at once while it is needed."""
        if self._ended is not None and not self._is_open:
            await self._ended.wait()

    def _close(self) -> None:
        self.subscriber.close()
        self.commands.close()
        self.outbox.drop("the server is shut down")

    def publish(self, channel: Word, data: bytes, told: Told | None = None) -> None:
        """Put it into the outbox: see `RedisOutbox.put`."""
        self.start()
        self.outbox.put(("PUBLISH", channel, data), len(data), told)

    def on_lost(self, user: object, call: Callable[[], None]) -> None:
        """Call a function whenever something that was published may not have been heard here, until `user` leaves."""
        self._on_lost[user] = call

    def _tell_lost(self) -> None:
        for call in list(self._on_lost.values()):
            call()

    async def channels(self, pattern: str) -> list[str]:
        """The channels that anybody listens to, by pattern.

        Raises:
            BrokerUnavailable, BrokerRefused: as `RedisConnection.command`.
        """
        found = await self.commands.command("PUBSUB", "CHANNELS", pattern)
        return [channel.decode(errors="replace") for channel in cast("list[bytes]", found)]

    @property
    def health(self) -> BrokerHealth:
        commands, ears = self.commands, self.subscriber.connection
        is_up = commands.is_up and ears.is_up
        why = commands.last_error or ears.last_error or "the connection was lost"
        return BrokerHealth(
            is_up=is_up,
            waiting_bytes=self.outbox.waiting_bytes,
            lost=self.outbox.lost,
            unread=self.unread,
            reconnections=max(0, commands.made - 1) + max(0, ears.made - 1),
            deaf=self.subscriber.deaf,
            last_error="" if is_up else why,
        )


class _Leaver(Protocol):
    def node_left(self, node: str) -> None: ...


class Nodes:
    """Who else is there, in one namespace: each node listens to a channel that its own name ends.

    The broker forgets such a channel as soon as the connection of who listened to it has ended, so nobody has to say
    anything, and a node in Node.js is seen like all others.

    Args:
        prefix: What the names of these channels begin with; they end with ``#``.
    """

    def __init__(self, node: RedisNode, prefix: str) -> None:
        self.names: frozenset[str] = frozenset()
        self._node = node
        self._prefix = prefix
        self._receiver: _Leaver | None = None
        self._looks = 0
        self._scope: anyio.CancelScope | None = None

    def tell(self, receiver: _Leaver | None) -> None:
        """Who hears of nodes that leave; None for nobody."""
        self._receiver = receiver
        if receiver is None:
            self.names = frozenset()
            if self._scope is not None:
                self._scope.cancel()

    async def refresh(self) -> bool:
        """Look who is there, and go on looking for a while. If the broker cannot be reached (False): who was there
        before."""
        try:
            await self._node.subscriber.ready()
            await self._look()
        except (BrokerUnavailable, BrokerRefused) as error:
            logger.warning("who else is there cannot be looked up: %s", error)
            return False
        self._looks = _LOOKS
        if self._scope is None and self.names:
            self._scope = anyio.CancelScope()
            self._node.host.spawn_aside(self._keep_looking, self._scope)
        return True

    async def _look(self) -> None:
        found = await self._node.channels(escape_pattern(self._prefix) + "*")
        start = len(self._prefix)
        # The channel of all has this prefix, too, and no name.
        names = {channel[start:-1] for channel in found if channel.endswith("#") and len(channel) > start + 1}
        gone = self.names - names
        self.names = frozenset(names - {self._node.uid})
        for name in gone:
            if self._receiver is not None:
                self._receiver.node_left(name)

    async def _keep_looking(self, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                while self._looks and self.names:
                    self._looks -= 1
                    await anyio.sleep(_LOOK_SECONDS)
                    try:
                        await self._look()
                    except (BrokerUnavailable, BrokerRefused):
                        # Nothing is known: whoever was there is waited for.
                        continue
            finally:
                self._scope = None


def escape_pattern(text: str) -> str:
    """A pattern of the broker that means this text and no other."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
