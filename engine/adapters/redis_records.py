"""Records of durable sessions in Redis: see docs/durable.md.

A session has a hash with what is one value, a list with its messages and a hash with those of its peer that are not
done; all three expire together. A node has a key that expires soon unless it is there, and a set of what others want of
it. Every script looks at the epoch first.

One that is killed closes its connections, and Redis knows at once that nobody listens to its channel any more. So a
node without a listener is believed to be there only while its key is fresh. A node that lives renews the key all the
time, whether it listens at that moment or not.

While Redis is away nobody can say anything. When it is there again, the others have not all found it yet: for a while
nobody is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ..errors import BrokerRefused, BrokerUnavailable
from ..live.records import LEASE, HandOver, Held, Outcome, Over, Put, Taken, Task
from ..redis import RedisConnection, RedisScript, Reply, Word
from ..session.record import Record, Write
from ..wire.message import Message

__all__ = ["RECORD_SCRIPTS", "RedisRecords"]

# For how long nobody needs to listen for a node that has just said that it is there: longer than a BEAT.
_UNHEARD = 0.6
# For how long after Redis was away nobody is gone: longer than most take to connect again.
_RETURN = 3.0
# What is asked of a node is forgotten, if it does not hear of it.
_WANTED_MS = 10_000

# KEYS: hash, list, hash of the peer's messages.
# ARGV: epoch, node, time in ms, whether it is whole, first, acknowledged, received, carrier, whether there is a state,
# state, meta, how many messages, how many of the peer's, how many that are done; then those.
_PUT = RedisScript("""
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
local whole = ARGV[4] == '1'
if not epoch and not whole then return 2 end
local acknowledged, first = tonumber(ARGV[6]), tonumber(ARGV[5])
if whole then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'owner', ARGV[2], 'meta', ARGV[11])
  redis.call('HSET', KEYS[1], 'state', '', 'acknowledged', ARGV[6])
end
local before = tonumber(redis.call('HGET', KEYS[1], 'acknowledged'))
local last = before + redis.call('LLEN', KEYS[2])
local at = 14
for number = first, first + tonumber(ARGV[12]) - 1 do
  at = at + 1
  if number > last then redis.call('RPUSH', KEYS[2], ARGV[at]) end
end
if acknowledged > before then redis.call('LTRIM', KEYS[2], acknowledged - before, -1) end
for _ = 1, tonumber(ARGV[13]) do
  redis.call('HSET', KEYS[3], ARGV[at + 1], ARGV[at + 2])
  at = at + 2
end
for _ = 1, tonumber(ARGV[14]) do
  at = at + 1
  redis.call('HDEL', KEYS[3], ARGV[at])
end
redis.call('HSET', KEYS[1], 'received', ARGV[7], 'carrier', ARGV[8], 'acknowledged', math.max(before, acknowledged))
if ARGV[9] == '1' then redis.call('HSET', KEYS[1], 'state', ARGV[10]) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[3]) end
return 1
""")

# ARGV: epoch, owner.
_HAND_OVER = RedisScript("""
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return 2 end
if tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'owner', '')
return 1
""")

# ARGV: epoch, received, time in ms.
_END = RedisScript("""
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'over', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")

# ARGV: the epoch and the owner that were seen, node, time in ms.
_TAKE = RedisScript("""
local seen = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'over')
if seen[1] ~= ARGV[1] or seen[2] ~= ARGV[2] or seen[3] then return 0 end
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[3])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[4]) end
local values = redis.call('HMGET', KEYS[1], 'acknowledged', 'received', 'carrier', 'state', 'meta')
return {epoch, values, redis.call('LRANGE', KEYS[2], 0, -1), redis.call('HGETALL', KEYS[3])}
""")

RECORD_SCRIPTS = (_PUT, _HAND_OVER, _END, _TAKE)
"""Those that a `RedisConnection` for records is made with."""

_OUTCOMES = {0: Outcome.REFUSED, 1: Outcome.DONE, 2: Outcome.MISSING}


class RedisRecords:
    """See `Records`.

    Args:
        connection: Made with `RECORD_SCRIPTS`.
        seconds: For how long a record is kept.
        tombstone_seconds: For how long one that is over is known to be.
        prefix: Of all keys.
        channels: What the channels begin with that nodes listen to; they end with the names of these.
        witness: Another connection to the same Redis, which is there before this one is needed.
    """

    def __init__(
        self,
        connection: RedisConnection,
        *,
        seconds: float,
        tombstone_seconds: float,
        prefix: str = "holdfast-durable",
        channels: str,
        witness: RedisConnection | None = None,
    ) -> None:
        self._connection = connection
        self._witness = witness or connection
        self._prefix = prefix
        self._channels = channels
        self._ms = round(seconds * 1000)
        self._tombstone_ms = round(max(seconds, tombstone_seconds) * 1000)

    def open(self) -> None:
        """Begin to connect; idempotent."""
        self._connection.open()

    def close(self) -> None:
        """End it; idempotent."""
        self._connection.close()

    def _keys(self, sid: str) -> tuple[str, str, str]:
        # What is in braces decides where a cluster keeps it.
        key = f"{self._prefix}:session:{{{sid}}}"
        return key, f"{key}:sent", f"{key}:taken"

    def _node_key(self, node: str) -> str:
        return f"{self._prefix}:node:{node}"

    def _wanted_key(self, node: str) -> str:
        return f"{self._prefix}:wanted:{node}"

    async def run(self, node: str, tasks: Sequence[Task]) -> list[Outcome]:
        """See `Records.run`."""
        self.open()
        replies = await self._connection.pipeline([self._words(node, task) for task in tasks])
        return [_OUTCOMES[cast("int", _good(reply))] for reply in replies]

    def _words(self, node: str, task: Task) -> tuple[Word, ...]:
        keys = self._keys(task.sid)
        if isinstance(task, Put):
            return _PUT.words(keys, (*self._put_head(node, task), *_put_body(task.write)))
        if isinstance(task, HandOver):
            return _HAND_OVER.words(keys, (task.epoch,))
        return _END.words(keys, (task.epoch, task.received, self._tombstone_ms))

    def _put_head(self, node: str, task: Put) -> tuple[Word, ...]:
        write = task.write
        return (
            write.epoch,
            node,
            self._ms,
            int(write.is_whole),
            write.first,
            write.acknowledged,
            write.received,
            write.carrier,
            int(write.state is not None),
            write.state or b"",
            task.meta if write.is_whole else b"",
            len(write.sent),
            len(write.taken),
            len(write.done),
        )

    async def take_over(self, node: str, sid: str, *, force: bool) -> Taken | Held | Over | None:
        """See `Records.take_over`."""
        self.open()
        keys = self._keys(sid)
        ask = self._connection.command
        epoch, owner, over = cast("list[bytes | None]", await ask("HMGET", keys[0], "epoch", "owner", "over"))
        if epoch is None:
            return None
        if over is not None:
            return Over(int(over))
        owner = owner or b""
        # One that we have, and have let go of in the middle of it, is nobody's.
        if owner and owner != node.encode() and not force and await self._is_held(owner.decode(), sid):
            return Held(owner.decode())
        taken = await self._connection.run(_TAKE, keys, epoch, owner, node, self._ms)
        # Another one was quicker: it is asked in turn.
        return Held(node) if taken == 0 else _taken(cast("list[Reply]", taken))

    async def owner(self, sid: str) -> str | None:
        """See `Records.owner`."""
        self.open()
        found = await self._connection.command("HGET", self._keys(sid)[0], "owner")
        owner = cast("bytes | None", found)
        if owner is None:
            return None
        return owner.decode() if owner and await self.is_there(owner.decode()) else ""

    async def is_there(self, node: str) -> bool:
        """See `Records.is_there`."""
        return self._may_return() or _is_there(await self._connection.pipeline(self._look_for(node)))

    def _may_return(self) -> bool:
        return min(self._connection.seconds_back, self._witness.seconds_back) < _RETURN

    def _look_for(self, node: str) -> list[tuple[Word, ...]]:
        return [("PTTL", self._node_key(node)), ("PUBSUB", "NUMSUB", self._channels + node)]

    async def _is_held(self, owner: str, sid: str) -> bool:
        wanted = self._wanted_key(owner)
        want: list[tuple[Word, ...]] = [("SADD", wanted, sid), ("PEXPIRE", wanted, _WANTED_MS)]
        replies = await self._connection.pipeline([*self._look_for(owner), *want])
        return _is_there(replies) or self._may_return()

    async def beat(self, node: str) -> list[str]:
        """See `Records.beat`."""
        self.open()
        wanted = self._wanted_key(node)
        _, members, _ = await self._connection.pipeline(
            [
                ("SET", self._node_key(node), "1", "PX", round(LEASE * 1000)),
                ("SMEMBERS", wanted),
                ("DEL", wanted),
            ],
            atomic=True,
        )
        return [member.decode() for member in cast("set[bytes]", _good(members))]

    async def leave(self, node: str) -> None:
        """See `Records.leave`."""
        await self._connection.command("DEL", self._node_key(node))


def _put_body(write: Write) -> list[Word]:
    words: list[Word] = [_encode(message.data) for message in write.sent]
    for number, data in write.taken:
        words += (number, _encode(data))
    words += write.done
    return words


def _encode(data: str | bytes) -> bytes:
    # A lone surrogate can come of a peer, but is never sent to one.
    return b"b" + data if isinstance(data, bytes) else b"t" + data.encode(errors="surrogatepass")


def _decode(data: bytes) -> str | bytes:
    return data[1:] if data[:1] == b"b" else data[1:].decode(errors="surrogatepass")


def _good(reply: Reply) -> Reply:
    """Raises:
    BrokerUnavailable: the broker could not do it. It may be loading its data, or have lost the scripts.
    """
    if isinstance(reply, BrokerRefused):
        raise BrokerUnavailable(f"records of sessions: {reply}", uncertain=True) from reply
    return reply


def _is_there(replies: Sequence[Reply]) -> bool:
    left_ms, listeners = cast("int", _good(replies[0])), _good(replies[1])
    # A flat list, or with RESP3 a map.
    (count,) = (
        cast("dict[bytes, int]", listeners).values()
        if isinstance(listeners, dict)
        else cast("list[int]", listeners)[1::2]
    )
    return left_ms > (0 if count else (LEASE - _UNHEARD) * 1000)


def _taken(reply: list[Reply]) -> Taken:
    epoch = cast("int", reply[0])
    acknowledged, received, carrier, state, meta = cast("list[bytes]", reply[1])
    sent = cast("list[bytes]", reply[2])
    # A flat list, or with RESP3 a map.
    pairs = cast("list[bytes] | dict[bytes, bytes]", reply[3])
    items = (
        list(pairs.items()) if isinstance(pairs, dict) else list(zip(pairs[::2], pairs[1::2], strict=True))
    )
    position = int(acknowledged)
    write = Write(
        epoch=epoch,
        first=position + 1,
        sent=tuple([Message(_decode(data)) for data in sent]),
        acknowledged=position,
        received=int(received),
        taken=tuple(sorted([(int(number), _decode(data)) for number, data in items])),
        done=(),
        carrier=int(carrier),
        state=state,
        is_whole=True,
    )
    return Taken(Record(write), meta)
