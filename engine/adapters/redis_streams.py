"""Rooms over streams of Redis, beside servers in Node.js that use ``@socket.io/redis-streams-adapter``."""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import cast

from ..errors import RemoteProtocolError
from ..redis import RedisAddress, RedisStreams
from ..redis.streams import ENTRY_ID, Entry, stream_position
from .base import Node
from .chronicle import Chronicle
from .chronicle import Entry as Kept
from .cluster import REQUEST_SECONDS, ClusterAdapter
from .messages import ClusterMessage, MessageType, decode_packet, decode_target
from .packing import json_of, pack, read_json, unpack
from .redis_base import OUTBOX_LIMIT, RedisAdapterBase, RedisBus
from .redis_node import RedisNode

__all__ = ["RedisStreamsAdapter", "StreamsBus", "message_of", "stream_of"]

logger = logging.getLogger("holdfast.adapters")


class RedisStreamsAdapter(RedisAdapterBase):
    """Joins servers by streams of a Redis or Valkey: ``Server(adapter=RedisStreamsAdapter("redis://…"))``.

    It speaks the format of ``@socket.io/redis-streams-adapter`` 0.3, so servers in Node.js may be among them. A server
    whose connection was lost reads what it has missed, as far as the stream still has it. Redis 6 or later.

    Args:
        url: As of `RedisAdapter`.
        stream_name: Of the stream; of several, what their names begin with. The same in all servers, as the next two.
        stream_count: Over how many streams the namespaces are spread.
        channel_prefix: What the channels begin with by which questions and answers go.
        max_len: How many entries a stream keeps, about.
        read_count: How many entries are taken at a time.
        requests_timeout, outbox_limit, ssl_context, timeout, quiet: As of `RedisAdapter`.

    Raises:
        ValueError: the URL is none.
        ModuleNotFoundError: ``holdfast[redis]`` is not installed.
    """

    def __init__(
        self,
        url: str | RedisAddress,
        *,
        stream_name: str = "socket.io",
        stream_count: int = 1,
        channel_prefix: str = "socket.io",
        max_len: int = 10_000,
        read_count: int = 100,
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
            prefix=channel_prefix,
        )
        self.stream_name = stream_name
        self.stream_count = stream_count
        self.channel_prefix = channel_prefix
        self.max_len = max_len
        self._read_count = read_count
        self._timeout = timeout
        self._streams: dict[RedisNode, _Streams] = {}

    async def _over(self) -> None:
        await super()._over()
        for streams in list(self._streams.values()):
            await streams.reader.connection.over()

    def __call__(self, node: Node) -> ClusterAdapter:
        """The adapter of one namespace of one server."""
        redis, names = self._node_for(node.name)
        streams = self._streams.get(redis)
        if streams is None:
            reader = RedisStreams(
                self.address, redis.host, count=self._read_count, timeout_seconds=self._timeout
            )
            streams = self._streams[redis] = _Streams(reader)
        bus = StreamsBus(redis, streams, self, node.name, names)
        return ClusterAdapter(node, bus, request_seconds=self._requests_timeout, chronicle=bus.chronicle)


class _Streams:
    """Which namespace of a server follows which stream."""

    def __init__(self, reader: RedisStreams) -> None:
        self.reader = reader
        self._listeners: dict[str, dict[bytes, Callable[[Entry], None]]] = {}

    def follow(self, stream: str, namespace: str, listener: Callable[[Entry], None]) -> None:
        listeners = self._listeners.setdefault(stream, {})
        listeners[namespace.encode()] = listener

        def tell(entry: Entry) -> None:
            found = listeners.get(entry.get(b"nsp", b""))
            if found is not None:
                found(entry)

        self.reader.follow(stream, tell)

    def leave(self, stream: str, namespace: str) -> None:
        listeners = self._listeners.get(stream, {})
        listeners.pop(namespace.encode(), None)
        if not listeners:
            self._listeners.pop(stream, None)
            self.reader.leave(stream)


class StreamsBus(RedisBus):
    """A `Bus` in the format of ``@socket.io/redis-streams-adapter``.

    What changes something for good goes by the stream; questions, and answers to them, by publish and subscribe.
    """

    def __init__(
        self,
        redis: RedisNode,
        streams: _Streams,
        options: RedisStreamsAdapter,
        namespace: str,
        names: set[str],
    ) -> None:
        self._channel = f"{options.channel_prefix}#{namespace}#"
        super().__init__(redis, self._channel, namespace, names)
        self._streams = streams
        self._stream = stream_of(namespace, options.stream_name, options.stream_count)
        self._max_len = options.max_len
        begun = partial(streams.reader.begun, self._stream)
        self.chronicle = Chronicle(lambda: self.uid, begun, self._read)

    def publish(self, message: ClusterMessage) -> None:
        type, data = cast("int", message["type"]), cast("dict[str, object]", message["data"])
        if type in _QUESTIONS or "requestId" in data:
            self._redis.publish(self._channel, pack(message))
            return
        text = json_of(data) or base64.b64encode(pack(data))
        fields = ("uid", self.uid, "nsp", self._namespace, "type", str(type), "data", text)
        if type == MessageType.BROADCAST:
            # Others take no notice of it.
            self.chronicle.number += 1
            fields = (*fields, _NUMBER, str(self.chronicle.number))
        keys = (self._stream, f"{self._channel}{self.uid}#said")
        command = ("EVAL", _ADD, len(keys), *keys, next(_numbers), self._max_len, *fields)
        self._redis.start()
        self._redis.outbox.put(command, len(text), again=True)

    def answer(self, node: str, message: ClusterMessage) -> None:
        self._redis.publish(f"{self._channel}{node}#", pack(message))

    def _ignore(self) -> None:
        self._redis.subscriber.ignore(self._channel, f"{self._channel}{self.uid}#")
        self._streams.leave(self._stream, self._namespace)

    def _listen(self) -> None:
        subscriber = self._redis.subscriber
        subscriber.listen(self._channel, self._hear_published)
        subscriber.listen(f"{self._channel}{self.uid}#", self._hear_published)
        self._streams.follow(self._stream, self._namespace, self._hear_entry)

    def _hear_published(self, channel: bytes, data: bytes) -> None:
        try:
            message = unpack(data)
            if not isinstance(message, dict):
                raise RemoteProtocolError("something else came where a message belongs")
        except RemoteProtocolError as error:
            logger.warning("what came from another server is not understood: %s", error)
            return
        self._hear(cast("ClusterMessage", message), len(data))

    def _hear_entry(self, entry: Entry) -> None:
        id = entry[ENTRY_ID].decode()
        if entry.get(b"uid") == self.uid.encode():
            if self._inbox is not None:
                # It was carried out when it was said; that its entry is there has its place among the others.
                self._inbox.put({"uid": self.uid, "entry": id, "own": _number_of(entry)}, 0)
            return
        try:
            message = {**message_of(entry), "entry": id, "number": _number_of(entry)}
        except RemoteProtocolError as error:
            logger.warning("what came from another server is not understood: %s", error)
            return
        self._hear(message, len(entry.get(b"data", b"")))

    async def _read(self, after: str, until: str) -> list[Kept]:
        """See `Chronicle.read`.

        Raises:
            BrokerUnavailable: it cannot be read.
        """
        ask = self._redis.commands.command
        oldest = cast("list[tuple[bytes, object]]", await ask("XRANGE", self._stream, "-", "+", "COUNT", 1))
        if oldest and stream_position(oldest[0][0].decode()) > stream_position(after) > (0, 0):
            logger.warning(
                "a session was away for longer than the stream %r goes back, and may have missed broadcasts",
                self._stream,
            )
        kept: list[Kept] = []
        while stream_position(after) < stream_position(until):
            found = cast(
                "list[tuple[bytes, list[bytes]]]",
                await ask("XRANGE", self._stream, f"({after}", until, "COUNT", _MOST_READ),
            )
            for id, fields in found:
                after = id.decode()
                kept += self._kept(dict(zip(fields[::2], fields[1::2], strict=False)))
            if not found:
                break
        return kept

    def _kept(self, entry: Entry) -> list[Kept]:
        if entry.get(b"nsp") != self._namespace.encode() or entry.get(b"type") != _BROADCAST:
            return []
        try:
            message = message_of(entry)
            data = cast("dict[str, object]", message["data"])
            target, _ = decode_target(data.get("opts"))
            packet = decode_packet(data.get("packet"), self._namespace)
        except RemoteProtocolError:
            # The log has it from when it was read first.
            return []
        return [Kept(cast("str", message["uid"]), _number_of(entry) or 0, packet, target)]


# Of this process: a namespace may end and begin again.
_numbers = count(1)
# KEYS: stream, what of a node and namespace came last. ARGV: which number this is there, how many are kept, fields.
# One that is sent again, because nobody knows whether it came, is not added twice. For a minute: no connection brings
# anything so much later.
_ADD = """
local last = redis.call('GET', KEYS[2])
if last and tonumber(last) >= tonumber(ARGV[1]) then return false end
redis.call('SET', KEYS[2], ARGV[1], 'PX', 60000)
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
"""
_NUMBER = "hf"
_BROADCAST = str(MessageType.BROADCAST.value).encode()
_MOST_READ = 500
_QUESTIONS = (MessageType.FETCH_SOCKETS, MessageType.SERVER_SIDE_EMIT)


def _number_of(entry: Entry) -> int | None:
    digits = entry.get(_NUMBER.encode(), b"")
    return int(digits) if digits.isdigit() else None


def message_of(entry: Entry) -> ClusterMessage:
    """What an entry of a stream says.

    Raises:
        RemoteProtocolError: nothing.
    """
    text, type = entry.get(b"data", b"{}"), entry.get(b"type", b"")
    if not type.isdigit():
        raise RemoteProtocolError("an entry of a stream is of no kind")
    if text.startswith(b"{"):
        data = read_json(text)
    else:
        try:
            data = unpack(base64.b64decode(text, validate=True))
        except binascii.Error as error:
            raise RemoteProtocolError("an entry of a stream is not base64") from error
    return {
        "uid": entry.get(b"uid", b"").decode(errors="replace"),
        "nsp": entry.get(b"nsp", b"").decode(errors="replace"),
        "type": int(type),
        "data": data,
    }


def stream_of(namespace: str, name: str, count: int) -> str:
    """The stream of a namespace, by the rule of that package."""
    if count == 1:
        return name
    number = 0
    units = namespace.encode("utf-16-le", "surrogatepass")
    for at in range(0, len(units), 2):
        number = (number * 31 + int.from_bytes(units[at : at + 2], "little")) & 0xFFFFFFFF
    # In JavaScript it is a number with a sign, and so is what is left of it.
    number -= (number & 0x80000000) << 1
    rest = abs(number) % count
    return f"{name}-{-rest if number < 0 else rest}"
