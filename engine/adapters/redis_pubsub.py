"""Rooms over Redis' publish and subscribe, beside servers in Node.js that use ``@socket.io/redis-adapter``."""

from __future__ import annotations

import logging
import ssl
from collections import OrderedDict
from collections.abc import Collection
from functools import partial
from typing import cast

from ..errors import RemoteProtocolError
from ..host import Host
from ..node import NodeName
from ..redis import RedisAddress, RedisConnection
from .base import Node
from .bus import Receiver
from .cluster import REQUEST_SECONDS, ClusterAdapter
from .inbox import Inbox
from .memory import MemoryAdapter
from .messages import ClusterMessage, MessageType
from .redis_courier import RedisCourier
from .redis_node import OWN_NAMES, BrokerHealth, Nodes, RedisNode, escape_pattern
from .redis_records import RECORD_SCRIPTS, RedisRecords
from .redis_requests import RequestFormat, RequestType, Response

__all__ = ["PubSubBus", "RedisAdapter", "RedisAdapterBase"]

logger = logging.getLogger("holdfast.adapters")

OUTBOX_LIMIT = 16_000_000
INBOX_LIMIT = 64_000_000
_KEPT_REQUESTS = 1000


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
            connection, seconds=seconds, tombstone_seconds=tombstone_seconds, prefix=f"{self._prefix}-durable"
        )

    def courier(self, name: NodeName) -> RedisCourier:
        """What carries requests for sessions of other servers to them.

        Args:
            name: Of the server whose it is.
        """
        return RedisCourier(self._nodes[0][0], name, f"{self._prefix}-node#")

    @property
    def health(self) -> BrokerHealth:
        """How it stands with Redis; of several servers, the first."""
        return self._nodes[0][0].health

    @property
    def is_up(self) -> bool:
        """Whether Redis is there, for all servers that use this."""
        return all(node.health.is_up for node, names in self._nodes if names)


class RedisAdapter(RedisAdapterBase):
    """Joins servers by a Redis or Valkey: ``Server(adapter=RedisAdapter("redis://…"))``.

    It speaks the format of ``@socket.io/redis-adapter`` 8.3, so servers in Node.js may be among them, and
    ``@socket.io/redis-emitter`` reaches all of them. Redis 6 or later. What is published while a server has no
    connection does not reach its sockets; what it says itself meanwhile is kept up to ``outbox_limit`` and published
    then.

    Args:
        url: ``redis://[user[:password]@]host[:port][/db]``; ``rediss://`` for TLS, ``unix:///path`` for a socket.
        key: What all channels begin with; the same in all servers.
        requests_timeout: Seconds after which `fetch_sockets` returns what came, and names who said nothing.
        outbox_limit: Bytes that may wait to be published.
        ssl_context: For ``rediss://``, in the place of one that the URL describes.
        timeout: Seconds for a connection to be made, and for Redis to answer.
        quiet: Seconds of silence after which a connection is tried.

    Raises:
        ValueError: the URL is none.
        ModuleNotFoundError: ``holdfast[redis]`` is not installed.
    """

    def __init__(
        self,
        url: str | RedisAddress,
        *,
        key: str = "socket.io",
        requests_timeout: float = REQUEST_SECONDS,
        outbox_limit: int = OUTBOX_LIMIT,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 5.0,
        quiet: float = 5.0,
    ) -> None:
        super().__init__(
            url,
            requests_timeout=requests_timeout,
            outbox_limit=outbox_limit,
            ssl_context=ssl_context,
            timeout=timeout,
            quiet=quiet,
            prefix=key,
        )
        self.key = key

    def __call__(self, node: Node) -> ClusterAdapter:
        """The adapter of one namespace of one server."""
        redis, names = self._node_for(node.name)
        bus = PubSubBus(redis, self.key, node.name, names)
        return ClusterAdapter(node, bus, request_seconds=self._requests_timeout)


class PubSubBus:
    """A `Bus` in the format of ``@socket.io/redis-adapter``."""

    is_alone = False

    def __init__(self, redis: RedisNode, key: str, namespace: str, names: set[str]) -> None:
        self._redis = redis
        self._format = RequestFormat(key, namespace)
        self._nodes = Nodes(redis, self._format.responses)
        self._namespace = namespace
        self._names = names
        # What a broadcast of this node begins with, and where on its channel a room begins.
        self._own = b""
        self._start = len(self._format.broadcasts.encode())
        self._inbox: Inbox | None = None
        self._rooms: MemoryAdapter | None = None
        # Whose answer to a request may come without a name: by request, who has not answered, and who owes
        # acknowledgements, one entry for each.
        self._unnamed: OrderedDict[str, tuple[list[str], list[str]]] = OrderedDict()

    @property
    def uid(self) -> str:
        return self._redis.uid

    def nodes(self) -> Collection[str]:
        return self._nodes.names

    async def refresh(self) -> None:
        self._redis.start()
        await self._nodes.refresh()

    def publish(self, message: ClusterMessage) -> None:
        channel, data = self._format.encode(message)
        request = cast("dict[str, object]", message["data"]).get("requestId")
        if isinstance(request, str):
            self._unnamed[request] = ([name for name in self.nodes() if not name.startswith(OWN_NAMES)], [])
            if len(self._unnamed) > _KEPT_REQUESTS:
                self._unnamed.popitem(last=False)
        self._redis.publish(channel, data)

    def answer(self, node: str, message: ClusterMessage) -> None:
        if message["type"] == MessageType.NO_ANSWER and not node.startswith(OWN_NAMES):
            # It would be taken for an answer there.
            return
        self._redis.publish(*self._format.encode_answer(node, message))

    async def flush(self) -> None:
        await self._redis.outbox.flush()

    def open(self, receiver: Receiver) -> None:
        if self._inbox is None:
            assert isinstance(receiver, MemoryAdapter)
            self._rooms = receiver
            self._inbox = Inbox(self._redis.host, receiver, limit_bytes=INBOX_LIMIT)
            self._nodes.tell(receiver)
            self._names.add(self._namespace)
        self._redis.join(self, self._listen)

    def close(self) -> None:
        if self._inbox is None:
            return
        self._inbox = self._rooms = None
        self._nodes.tell(None)
        form = self._format
        self._redis.subscriber.ignore(
            escape_pattern(form.broadcasts) + "*",
            form.requests,
            form.responses,
            f"{form.responses}{self.uid}#",
        )
        self._redis.leave(self)
        self._names.discard(self._namespace)

    def _listen(self) -> None:
        form, subscriber = self._format, self._redis.subscriber
        self._own = form.own_mark(self.uid)
        subscriber.listen_to_pattern(escape_pattern(form.broadcasts) + "*", self._hear_broadcast)
        subscriber.listen(form.requests, self._hear_request)
        subscriber.listen(form.responses, self._hear_response)
        subscriber.listen(f"{form.responses}{self.uid}#", self._hear_response)

    def _hear(self, message: ClusterMessage, size: int) -> None:
        if self._inbox is not None and message["uid"] != self.uid:
            self._inbox.put(message, size)
            self._redis.unread = max(self._redis.unread, self._inbox.unread)

    def _hear_broadcast(self, channel: bytes, data: bytes) -> None:
        if data.startswith(self._own):
            return
        room = channel[self._start : -1].decode(errors="replace")
        if room and self._rooms is not None and not self._rooms.has_room(room):
            return
        try:
            self._hear(self._format.decode_broadcast(data), len(data))
        except RemoteProtocolError as error:
            logger.warning("what came from another server is not understood: %s", error)

    def _hear_request(self, channel: bytes, data: bytes) -> None:
        try:
            request, message = self._format.decode_request(data)
        except RemoteProtocolError as error:
            logger.warning("what another server asks is not understood: %s", error)
            return
        if message is not None:
            self._hear(message, len(data))
        elif request.get("uid") != self.uid and self._rooms is not None:
            rooms = self._rooms
            if request["type"] == RequestType.ALL_ROOMS:
                self._redis.publish(*self._format.survey(self.uid, request, rooms=list(rooms.all_rooms())))
            elif request["type"] == RequestType.SOCKETS:
                self._redis.publish(
                    *self._format.survey(self.uid, request, sockets=self._ids(request, rooms))
                )

    @staticmethod
    def _ids(request: dict[str, object], rooms: MemoryAdapter) -> list[str]:
        wanted, found = request.get("rooms"), rooms.all_rooms()
        chosen: list[object] = (
            cast("list[object]", wanted) if isinstance(wanted, list) and wanted else [*found]
        )
        # Who is in no other room is in that of its own id.
        return list({id for room in chosen for id in found.get(str(room), ())})

    def _hear_response(self, channel: bytes, data: bytes) -> None:
        try:
            response = self._format.decode_response(data)
        except RemoteProtocolError as error:
            logger.warning("what another server answers is not understood: %s", error)
            return
        uid = response.uid or self._whose(response)
        if response.type is not None and uid is not None:
            self._hear(response.message(uid, self._format.namespace, response.type), len(data))

    def _whose(self, response: Response) -> str | None:
        """Who may have sent an answer that bears no name: all that matters is how many have not."""
        silent, owing = self._unnamed.get(response.request, ([], []))
        if response.type is MessageType.BROADCAST_ACK:
            return owing.pop() if owing else None
        if not silent:
            return None
        uid = silent.pop()
        if response.type is MessageType.BROADCAST_CLIENT_COUNT:
            count = response.data.get("clientCount")
            owing += [uid] * (count if isinstance(count, int) else 0)
        return uid
