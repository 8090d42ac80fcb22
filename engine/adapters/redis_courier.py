"""Brings frames from one server to another through Redis: requests for sessions that another host has.

Redis forgets what nobody hears at that moment, so every frame has its number, and a gap is an end:

1. What one says to another is numbered from 1 within a *passage*, which has a name by chance. A frame of an unknown
   passage with another number than 1, or one that is not the next of its passage, ends it: whoever says it is gone.
2. Whoever ends a passage says so (number 0), whether it was his own or the other's, and the next frame begins a new
   one. One whose connection was lost ends all of them.
3. Who listens to his channel is there. One that we exchange frames with is looked for every second; a frame that
   nobody got tells it at once.
"""

from __future__ import annotations

import logging
import secrets
import struct
from dataclasses import dataclass
from typing import Protocol, cast

import anyio

from ..errors import BrokerRefused, BrokerUnavailable, RemoteProtocolError
from ..node import NodeName
from .redis_node import RedisNode

__all__ = ["RedisCourier"]

logger = logging.getLogger("holdfast.workers")

_LOOK_SECONDS = 1.0
# A server that is not there so many seconds after Redis was away, or after it was there itself, may be back at once.
_RETURN = 3.0
_AWAY = 1.5
_MOST_SEEN = 1_000
# Who speaks, in which passage, and the number of the frame; with number 0, the passage that is over.
_HEAD = struct.Struct(">16sII")
_OVER = 0


class _Frames(Protocol):
    def frame(self, courier: RedisCourier, node: str, data: bytes) -> None: ...

    def node_left(self, courier: RedisCourier, node: str) -> None: ...


@dataclass(slots=True)
class _Passage:
    """What goes to one other node, and what comes from it.

    Attributes:
        name: Of what goes there.
        said: The number of the last frame that went there.
        heard_name: Of what comes; 0 before anything has.
        heard: The number of the last frame that came.
    """

    name: int
    said: int = 0
    heard_name: int = 0
    heard: int = 0


class RedisCourier:
    """A `Courier` over the connections of one server.

    Args:
        name: Of this node, as the ids of its sessions begin.
        prefix: What the channels of all nodes begin with.
    """

    def __init__(self, redis: RedisNode, name: NodeName, prefix: str) -> None:
        self._redis = redis
        self._given_name = name
        self._prefix = prefix
        self._name = ""
        self._frames: _Frames | None = None
        self._passages: dict[str, _Passage] = {}
        self._looks: anyio.CancelScope | None = None
        # Whether Redis was lost since somebody was looked for; when it was back; who was there, and when.
        self._was_lost = False
        self._back_at = -_RETURN
        self._seen: dict[str, float] = {}

    def join(self, frames: _Frames) -> None:
        self._frames = frames

    def open(self) -> None:
        """Listen; idempotent. Outside an event loop it begins with the first call inside one."""
        self._redis.join(self, self._listen)

    def close(self) -> None:
        """Leave the others; idempotent."""
        self._redis.subscriber.ignore(self._channel(self._name))
        self._end_all()
        self._redis.leave(self)

    def _listen(self) -> None:
        self._name = str(self._given_name)
        self._redis.subscriber.listen(self._channel(self._name), self._hear)
        self._redis.on_lost(self, self._lost)

    def _channel(self, node: str) -> str:
        return f"{self._prefix}{node}"

    async def begin(self) -> None:
        """Return when others can find this node, or when it turns out that Redis cannot be reached."""
        self.open()
        try:
            await self._redis.subscriber.ready()
        except BrokerUnavailable as error:
            logger.warning("other servers do not find the sessions of this one: %s", error)

    async def finds(self, node: str) -> bool:
        """Whether a node is there.

        Raises:
            BrokerUnavailable: Redis cannot be reached, so nobody knows.
        """
        self.open()
        if node in self._passages:
            return True
        await self._redis.subscriber.ready()
        now = self._redis.host.now()
        if self._was_lost:
            self._was_lost, self._back_at = False, now
        if await self._listeners([node]):
            self._see(node)
            return True
        if now - self._back_at < _RETURN or now - self._seen.get(node, -_AWAY) < _AWAY:
            raise BrokerUnavailable("the server may be out of reach for a moment only")
        return False

    def _see(self, node: str) -> None:
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[node] = self._redis.host.now()

    async def is_over(self, node: str) -> bool:
        """Whether one that has left is gone, and not only out of reach for a moment."""
        try:
            return not await self.finds(node)
        except BrokerUnavailable:
            return False

    async def _listeners(self, nodes: list[str]) -> set[str]:
        channels = [self._channel(node) for node in nodes]
        try:
            reply = await self._redis.commands.command("PUBSUB", "NUMSUB", *channels)
        except BrokerRefused as error:
            raise BrokerUnavailable(str(error)) from error
        counts = (
            cast("list[int]", reply)[1::2]
            if isinstance(reply, list)
            else cast("dict[bytes, int]", reply).values()
        )
        return {node for node, number in zip(nodes, counts, strict=True) if number}

    def send(self, node: str, frame: bytes) -> None:
        """Say something to it. To one that is gone nothing is said."""
        passage = self._passages.get(node) or self._begin(node)
        passage.said += 1
        self._say(node, passage.name, passage.said, frame)

    def _say(self, node: str, name: int, number: int, frame: bytes = b"") -> None:
        data = _HEAD.pack(self._name.encode(), name, number) + frame

        def told(reply: object) -> None:
            if reply == 0 or isinstance(reply, Exception):
                self._lose(node, name)

        self._redis.publish(self._channel(node), data, told)

    def _end(self, node: str, passage: _Passage) -> None:
        """A passage is over, and the other node hears of it."""
        self._lose(node, passage.name)
        # It may know one of the two and not the other.
        for name in {passage.name, passage.heard_name} - {0}:
            self._say(node, name, _OVER)

    # -- what comes

    def _hear(self, channel: bytes, data: bytes) -> None:
        if self._frames is None or len(data) < _HEAD.size:
            return
        speaker, name, number = _HEAD.unpack_from(data)
        node = speaker.rstrip(b"\0").decode(errors="replace")
        passage = self._passages.get(node)
        if number == _OVER:
            if passage is not None and name in (passage.name, passage.heard_name):
                self._lose(node, passage.name)
            return
        if passage is None or passage.heard_name != name:
            if number != 1:
                # The beginning was lost, or it is a rest of what is over.
                self._say(node, name, _OVER)
                return
            if passage is not None and passage.heard_name:
                self._lose(node, passage.name)
                passage = None
            passage = passage or self._begin(node)
            passage.heard_name = name
        elif number != passage.heard + 1:
            self._end(node, passage)
            return
        passage.heard = number
        try:
            self._frames.frame(self, node, data[_HEAD.size :])
        except RemoteProtocolError as error:
            logger.warning("what the server %s says is not understood: %s", node, error)
            self._end(node, passage)

    def _begin(self, node: str) -> _Passage:
        passage = self._passages[node] = _Passage(secrets.randbits(32) or 1)
        if self._looks is None:
            self._looks = anyio.CancelScope()
            self._redis.host.spawn_aside(self._keep_looking, self._looks)
        return passage

    # -- who is there

    def _lose(self, node: str, name: int) -> None:
        """A passage of ours is over; idempotent."""
        passage = self._passages.get(node)
        if passage is not None and passage.name == name:
            del self._passages[node]
            self._see(node)
            if self._frames is not None:
                self._frames.node_left(self, node)

    def _lost(self) -> None:
        self._was_lost = True
        self._end_all()

    def _end_all(self) -> None:
        for node, passage in list(self._passages.items()):
            self._end(node, passage)

    async def _keep_looking(self, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                while self._passages:
                    await anyio.sleep(_LOOK_SECONDS)
                    await self._check()
            finally:
                self._looks = None

    async def _check(self) -> None:
        names = {node: passage.name for node, passage in self._passages.items()}
        if not names:
            return
        try:
            found = await self._listeners([*names])
        except BrokerUnavailable:
            # What becomes of the connection is heard elsewhere.
            return
        for node, name in names.items():
            if node not in found:
                self._lose(node, name)
