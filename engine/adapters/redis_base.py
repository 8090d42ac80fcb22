"""What the two kinds of adapters over Redis share."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from collections.abc import Collection
from functools import partial

import anyio

from ..host import Host
from ..node import NodeName
from ..redis import RedisAddress, RedisConnection
from .bus import Receiver
from .cluster import REQUEST_SECONDS
from .inbox import Inbox
from .messages import ClusterMessage
from .redis_courier import RedisCourier
from .redis_node import BrokerHealth, Nodes, RedisNode
from .redis_records import RECORD_SCRIPTS, RedisRecords

__all__ = ["OUTBOX_LIMIT", "RedisAdapterBase", "RedisBus"]

OUTBOX_LIMIT = 16_000_000
_INBOX_LIMIT = 64_000_000
# For the last words, and for the ends of the connections.
_SHUTDOWN_SECONDS = 2.0


class RedisAdapterBase:
    """What the two kinds of adapters over Redis share: connections for each server that uses them.

    One object may be the adapter of several servers of a process: each of them is a node of its own.
    """

    def __init__(
        self,
        url: str | RedisAddress,
        *,
        requests_timeout: float = REQUEST_SECONDS,
        outbox_limit: int = OUTBOX_LIMIT,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 5.0,
        quiet: float = 5.0,
        prefix: str,
    ) -> None:
        self._prefix = prefix
        self.address = RedisAddress.parse(url, ssl_context=ssl_context) if isinstance(url, str) else url
        self._requests_timeout = requests_timeout
        self._timeout, self._quiet = timeout, quiet
        self._make = partial(RedisNode, self.address, outbox_limit=outbox_limit, timeout=timeout, quiet=quiet)
        # What is not installed is said here, and not at the first request.
        self._nodes: list[tuple[RedisNode, set[str]]] = [(self._make(), set())]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"

    def _node_for(self, namespace: str) -> tuple[RedisNode, set[str]]:
        """A node that has no such namespace now, and the names of those that it has."""
        for found in self._nodes:
            if namespace not in found[1]:
                return found
        self._nodes.append((self._make(), set()))
        return self._nodes[-1]

    def records(self, host: Host, *, seconds: float, tombstone_seconds: float) -> RedisRecords:
        """Where a server with ``durable=True`` keeps what another one needs of its sessions.

        Args:
            host: Of that server.
            seconds: For how long they are kept when nobody has them.
            tombstone_seconds: For how long those that are over are known to be.
        """
        connection = RedisConnection(
            self.address,
            host,
            name="Redis (records of sessions)",
            scripts=RECORD_SCRIPTS,
            timeout_seconds=self._timeout,
            quiet_seconds=self._quiet,
        )
        return RedisRecords(
            connection,
            seconds=seconds,
            tombstone_seconds=tombstone_seconds,
            prefix=f"{self._prefix}-durable",
            channels=self._channels,
            witness=self._nodes[0][0].commands,
        )

    def courier(self, name: NodeName) -> RedisCourier:
        """What carries requests for sessions of other servers to them.

        Args:
            name: Of the server whose it is.
        """
        return RedisCourier(self._nodes[0][0], name, self._channels)

    @property
    def _channels(self) -> str:
        """What the channels begin with that each server listens to alone."""
        return f"{self._prefix}-node#"

    async def over(self) -> None:
        """Return when of servers that have been shut down nothing is left to be published, and no connection."""
        with anyio.move_on_after(_SHUTDOWN_SECONDS):
            await self._over()

    async def _over(self) -> None:
        for node, _ in list(self._nodes):
            await node.over()

    @property
    def health(self) -> BrokerHealth:
        """How it stands with Redis; of several servers, the first."""
        return self._nodes[0][0].health

    @property
    def is_up(self) -> bool:
        """Whether Redis is there, for all servers that use this."""
        return all(node.health.is_up for node, names in self._nodes if names)


class RedisBus(ABC):
    """A `Bus` but for what is said, and how.

    Args:
        prefix: As of `Nodes`.
        names: Of the namespaces that this node has; this one is among them while it is open.
    """

    is_alone = False

    def __init__(self, redis: RedisNode, prefix: str, namespace: str, names: set[str]) -> None:
        self._redis = redis
        self._nodes = Nodes(redis, prefix)
        self._namespace = namespace
        self._names = names
        self._inbox: Inbox | None = None

    @property
    def uid(self) -> str:
        return self._redis.uid

    def nodes(self) -> Collection[str]:
        return self._nodes.names

    async def refresh(self) -> bool:
        self._redis.start()
        return await self._nodes.refresh()

    async def flush(self) -> None:
        await self._redis.outbox.flush()

    def open(self, receiver: Receiver) -> None:
        if self._inbox is None:
            self._inbox = Inbox(self._redis.host, receiver, limit_bytes=_INBOX_LIMIT)
            self._nodes.tell(receiver)
            self._names.add(self._namespace)
        self._redis.join(self, self._listen)

    def close(self) -> None:
        if self._inbox is None:
            return
        self._inbox = None
        self._nodes.tell(None)
        self._ignore()
        self._redis.leave(self)
        self._names.discard(self._namespace)

    def _hear(self, message: ClusterMessage, size: int) -> None:
        if self._inbox is not None and message.get("uid") != self.uid:
            self._inbox.put(message, size)
            self._redis.unread = max(self._redis.unread, self._inbox.unread)

    @abstractmethod
    def _listen(self) -> None:
        """Begin to hear what others say."""

    @abstractmethod
    def _ignore(self) -> None:
        """Stop hearing it."""
