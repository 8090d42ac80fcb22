"""What the scripts make of a record is what `Record` makes of it, in a real Redis."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import anyio
import anyio.lowlevel
import pytest
from asgi_driver import ManualClock
from real_redis import Redis

from holdfast.engine.adapters import redis_records
from holdfast.engine.adapters.redis_node import RedisNode
from holdfast.engine.adapters.redis_records import RECORD_SCRIPTS, RedisRecords
from holdfast.engine.host import Host
from holdfast.engine.live.records import End, HandOver, Held, Outcome, Over, Put, Taken
from holdfast.engine.redis import RedisAddress, RedisConnection
from holdfast.engine.session.record import Record, Write
from holdfast.engine.wire.message import Message

pytestmark = pytest.mark.servers

NODE = "node-a"


@asynccontextmanager
async def records_in(
    redis: Redis, host: Host | None = None, witness: RedisConnection | None = None
) -> AsyncIterator[RedisRecords]:
    connection = RedisConnection(RedisAddress.parse(redis.url), host or Host(), scripts=RECORD_SCRIPTS)
    prefix = f"t{token_hex(4)}"
    records = RedisRecords(
        connection,
        prefix=prefix,
        seconds=60.0,
        tombstone_seconds=60.0,
        channels=f"{prefix}-node#",
        witness=witness,
    )
    records.open()
    try:
        yield records
    finally:
        records.close()


def content(record: Record) -> tuple[object, ...]:
    sent = [message.data for message in record.sent]
    return sent, record.acknowledged, record.received, record.unfinished, record.carrier, record.state


def whole(epoch: int = 1, *, sent: tuple[Message, ...] = (), state: bytes = b"first") -> Write:
    return Write(epoch, 1, sent, 0, 0, (), (), 1, state, is_whole=True)


class Writer:
    """Writes as a session does, at random."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._last = self._acknowledged = self._received = 0
        self._unfinished: list[int] = []

    def write(self) -> Write:
        chance = self._random
        sent = tuple([Message(self._data()) for _ in range(chance.randrange(4))])
        first = self._last + 1
        self._last += len(sent)
        self._acknowledged = chance.randint(self._acknowledged, first - 1)
        done = tuple(chance.sample(self._unfinished, chance.randint(0, len(self._unfinished))))
        taken = tuple([(self._received + 1 + index, self._data()) for index in range(chance.randrange(4))])
        self._received += len(taken)
        self._unfinished = [n for n in self._unfinished if n not in done] + [number for number, _ in taken]
        state = chance.choice([None, b"", b"\x00\xff"])
        return Write(
            1, first, sent, self._acknowledged, self._received, taken, done, chance.randrange(99), state
        )

    def _data(self) -> str | bytes:
        return self._random.choice(["", "text", "é\x1e\r\n\U0001f600", b"", b"\x00\xff", "b", b"t"])


async def test_scripts_do_what_the_model_of_a_record_does(shared_redis: Redis) -> None:
    async with records_in(shared_redis) as records:
        for seed in range(25):
            sid, writer = f"session{seed}", Writer(seed)
            model = Record(whole())
            assert await records.run(NODE, [Put(sid, whole(), b"meta")]) == [Outcome.DONE]
            for step in range(12):
                write = writer.write()
                assert model.apply(write)
                # Each third comes twice, as after a lost connection.
                for _ in range(1 + (step % 3 == 0)):
                    assert await records.run(NODE, [Put(sid, write, b"")]) == [Outcome.DONE]
                    assert step % 3 or model.apply(write)
            taken = await records.take_over("node-b", sid, force=True)
            assert isinstance(taken, Taken)
            assert taken.meta == b"meta"
            assert taken.record.epoch == 2
            assert content(taken.record) == content(model), f"seed {seed}"
            assert await records.run(NODE, [Put(sid, writer.write(), b"")]) == [Outcome.REFUSED]
            assert await records.run("node-b", [Put(sid, writer.write()._replace(epoch=2), b"")]) == [
                Outcome.DONE
            ]


async def test_what_is_missing_is_said_and_made_anew(shared_redis: Redis) -> None:
    async with records_in(shared_redis) as records:
        assert await records.run(NODE, [Put("one", Writer(1).write(), b"")]) == [Outcome.MISSING]
        assert await records.run(NODE, [HandOver("one", 1)]) == [Outcome.MISSING]
        assert await records.take_over(NODE, "one", force=False) is None
        await records.run(NODE, [Put("one", whole(sent=(Message("a"),)), b"m")])
        # Lost, and made anew by the one that has it, in one go with others.
        outcomes = await records.run(
            NODE, [Put("one", whole(sent=(Message("b"),)), b"n"), Put("two", whole(), b"")]
        )
        assert outcomes == [Outcome.DONE, Outcome.DONE]
        taken = await records.take_over(NODE, "one", force=False)
        assert isinstance(taken, Taken)
        assert (taken.meta, content(taken.record)[0]) == (b"n", ["b"])


async def test_owner_that_is_there_keeps_it_until_it_hands_it_over_or_is_forced(shared_redis: Redis) -> None:
    async with records_in(shared_redis) as records:
        assert await records.beat(NODE) == []
        await records.run(NODE, [Put("one", whole(), b""), Put("two", whole(), b"")])
        assert await records.take_over("node-b", "one", force=False) == Held(NODE)
        assert await records.is_there(NODE)
        assert await records.beat(NODE) == ["one"]
        assert await records.beat(NODE) == []
        assert await records.run(NODE, [HandOver("one", 1)]) == [Outcome.DONE]
        assert isinstance(await records.take_over("node-b", "one", force=False), Taken)
        assert await records.run(NODE, [HandOver("one", 1)]) == [Outcome.REFUSED]
        assert isinstance(await records.take_over("node-b", "two", force=True), Taken)
        await records.run("node-b", [Put("three", whole(), b"")])
        # It has never said that it is there.
        assert isinstance(await records.take_over(NODE, "three", force=False), Taken)
        await records.leave(NODE)
        assert not await records.is_there(NODE)
        assert isinstance(await records.take_over("node-b", "three", force=False), Taken)


async def test_owner_that_nobody_listens_for_is_gone_as_soon_as_it_says_nothing(
    shared_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_records, "LEASE", 1_000.0)
    async with records_in(shared_redis) as records:
        await records.beat(NODE)
        await records.run(NODE, [Put("one", whole(), b"")])
        # Some heartbeats have not come.
        connection = records._connection  # pyright: ignore[reportPrivateUsage]
        await connection.command("PEXPIRE", records._node_key(NODE), 900_000)  # pyright: ignore[reportPrivateUsage]
        channel = records._channels + NODE  # pyright: ignore[reportPrivateUsage]
        node = RedisNode(
            RedisAddress.parse(shared_redis.url), outbox_limit=1_000_000, timeout=20.0, quiet=20.0
        )
        node.join(records, lambda: node.subscriber.listen(channel, lambda *_: None))
        await node.subscriber.ready()
        assert await records.is_there(NODE)
        assert await records.take_over("node-b", "one", force=False) == Held(NODE)
        node.leave(records)
        with anyio.fail_after(20):
            while await records.is_there(NODE):
                await anyio.lowlevel.checkpoint()
        assert isinstance(await records.take_over("node-b", "one", force=False), Taken)
        await records.beat(NODE)
        assert await records.is_there(NODE)


@pytest.mark.parametrize("which", ["_connection", "_witness"])
async def test_nobody_is_gone_as_soon_as_redis_is_there_again(shared_redis: Redis, which: str) -> None:
    clock = ManualClock()
    host = Host(clock)
    witness = RedisConnection(RedisAddress.parse(shared_redis.url), host)
    witness.open()
    await witness.up()
    async with records_in(shared_redis, host, witness) as records:
        await records.run(NODE, [Put("one", whole(), b"")])
        assert await records.owner("one") == ""
        connection: RedisConnection = getattr(records, which)
        assert not await records.is_there(NODE)
        connection.reset("as if Redis had been away")
        assert connection.seconds_back == 0.0
        with anyio.fail_after(10):
            while connection.made == 1:
                await anyio.lowlevel.checkpoint()
        # Its owner has not found Redis yet, so it could not say that it is there.
        assert await records.is_there(NODE)
        assert await records.owner("one") == NODE
        assert await records.take_over("node-b", "one", force=False) == Held(NODE)
        await clock.advance(3.0)
        witness.close()
        assert not await records.is_there(NODE)
        assert isinstance(await records.take_over("node-b", "one", force=False), Taken)


async def test_what_is_over_says_how_far_it_had_got(shared_redis: Redis) -> None:
    async with records_in(shared_redis) as records:
        await records.run(NODE, [Put("one", whole(), b""), End("one", 1, 7)])
        assert await records.take_over("node-b", "one", force=True) == Over(7)
        await records.run(NODE, [Put("two", whole(), b"")])
        await records.take_over("node-b", "two", force=True)
        assert await records.run(NODE, [End("two", 1, 7)]) == [Outcome.REFUSED]


async def test_records_expire_together(shared_redis: Redis) -> None:
    async with records_in(shared_redis) as records:
        write = whole(sent=(Message("a"),))._replace(taken=((1, "x"),), received=1)
        await records.run(NODE, [Put("one", write, b"")])
        connection = records._connection  # pyright: ignore[reportPrivateUsage]
        for key in records._keys("one"):  # pyright: ignore[reportPrivateUsage]
            left = await connection.command("PTTL", key)
            assert isinstance(left, int)
            assert 50_000 < left <= 60_000
