"""Rooms over Redis' publish and subscribe, beside servers in Node.js that use ``@socket.io/redis-adapter``."""

from __future__ import annotations

import logging
import ssl
from collections import OrderedDict
from typing import cast

from ..errors import RemoteProtocolError
from ..redis import RedisAddress
from .base import Node
from .bus import Receiver
from .cluster import REQUEST_SECONDS, ClusterAdapter
from .memory import MemoryAdapter
from .messages import ClusterMessage, MessageType
from .redis_base import OUTBOX_LIMIT, RedisAdapterBase, RedisBus
from .redis_node import OWN_NAMES, RedisNode, escape_pattern
from .redis_requests import RequestFormat, RequestType, Response

__all__ = ["PubSubBus", "RedisAdapter"]

logger = logging.getLogger("holdfast.adapters")

_KEPT_REQUESTS = 1000


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


class PubSubBus(RedisBus):
    """A `Bus` in the format of ``@socket.io/redis-adapter``."""

    def __init__(self, redis: RedisNode, key: str, namespace: str, names: set[str]) -> None:
        self._format = RequestFormat(key, namespace)
        super().__init__(redis, self._format.responses, namespace, names)
        # What a broadcast of this node begins with, and where on its channel a room begins.
        self._own = b""
        self._start = len(self._format.broadcasts.encode())
        self._rooms: MemoryAdapter | None = None
        # Whose answer to a request may come without a name: by request, who has not answered, and who owes
        # acknowledgements, one entry for each.
        self._unnamed: OrderedDict[str, tuple[list[str], list[str]]] = OrderedDict()

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

    def open(self, receiver: Receiver) -> None:
        assert isinstance(receiver, MemoryAdapter)
        self._rooms = receiver
        super().open(receiver)

    def _ignore(self) -> None:
        self._rooms, form = None, self._format
        self._redis.subscriber.ignore(
            escape_pattern(form.broadcasts) + "*",
            form.requests,
            form.responses,
            f"{form.responses}{self.uid}#",
        )

    def _listen(self) -> None:
        form, subscriber = self._format, self._redis.subscriber
        self._own = form.own_mark(self.uid)
        subscriber.listen_to_pattern(escape_pattern(form.broadcasts) + "*", self._hear_broadcast)
        subscriber.listen(form.requests, self._hear_request)
        subscriber.listen(form.responses, self._hear_response)
        subscriber.listen(f"{form.responses}{self.uid}#", self._hear_response)

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
