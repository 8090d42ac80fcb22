"""Frames from one server to another through a real Redis: in order, or the end of what they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import anyio
import httpx
import pytest
from real_redis import Redis, redis_server, until

from holdfast import BrokerUnavailable, RedisAdapter, RedisStreamsAdapter, Server
from holdfast.engine.adapters import RedisCourier
from holdfast.engine.adapters.redis_node import RedisNode
from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.node import NodeName

pytestmark = [pytest.mark.servers, pytest.mark.anyio]

_keys = count()


class End:
    """One server's end of it (what a courier calls `Frames`).

    Attributes:
        heard: What came, from whom; None where somebody has left.
    """

    def __init__(self, url: str, key: str) -> None:
        self.name = NodeName()
        self.adapter = RedisAdapter(url, key=key)
        self.courier: RedisCourier = self.adapter.courier(self.name)
        self.courier.join(self)
        self.heard: list[tuple[str, bytes | None]] = []

    def frame(self, courier: RedisCourier, node: str, data: bytes) -> None:
        if data == b"nonsense":
            raise RemoteProtocolError("it makes no sense")
        self.heard.append((node, data))

    def node_left(self, courier: RedisCourier, node: str) -> None:
        self.heard.append((node, None))

    def said(self, other: End) -> list[bytes | None]:
        """What came from the other one."""
        return [data for node, data in self.heard if node == str(other.name)]


@asynccontextmanager
async def two_ends(url: str) -> AsyncIterator[tuple[End, End]]:
    key = f"courier-{next(_keys)}"
    ends = End(url, key), End(url, key)
    for end in ends:
        await end.courier.begin()
    try:
        yield ends
    finally:
        for end in ends:
            end.courier.close()
        await until(lambda: all(end.adapter._nodes[0][0].commands.is_over for end in ends))


async def test_frames_keep_their_order_both_ways(shared_redis: Redis) -> None:
    async with two_ends(shared_redis.url) as (one, two):
        assert await one.courier.finds(str(two.name))
        assert not await one.courier.finds("nobody__")
        for number in range(1000):
            one.courier.send(str(two.name), b"to two %d" % number)
            two.courier.send(str(one.name), b"to one %d" % number)
        await until(lambda: len(one.heard) == len(two.heard) == 1000)
        assert one.said(two) == [b"to one %d" % number for number in range(1000)]
        assert two.said(one) == [b"to two %d" % number for number in range(1000)]


async def test_who_has_gone_is_noticed_with_and_without_a_word_to_it(shared_redis: Redis) -> None:
    async with two_ends(shared_redis.url) as (one, two), two_ends(shared_redis.url) as (three, four):
        one.courier.send(str(two.name), b"x")
        three.courier.send(str(four.name), b"x")
        await until(lambda: bool(two.heard and four.heard))
        for gone in (two, four):
            gone.courier._passages.clear()
            gone.courier.close()
        # To one something is said; of the other it is noticed by looking.
        await until(lambda: not two.adapter._nodes[0][0].commands.is_open)
        one.courier.send(str(two.name), b"y")
        await until(lambda: one.said(two) == [None] and three.said(four) == [None])
        # Who was there a moment ago may be back.
        with pytest.raises(BrokerUnavailable):
            await one.courier.finds(str(two.name))
        one.courier._seen.clear()
        assert not await one.courier.finds(str(two.name))


async def test_a_lost_connection_ends_what_was_under_way_at_both_ends_and_nothing_else(
    shared_redis: Redis,
) -> None:
    async with two_ends(shared_redis.url) as (one, two):
        one.courier.send(str(two.name), b"before")
        await until(lambda: two.said(one) == [b"before"])
        two.courier.send(str(one.name), b"answer")
        await until(lambda: one.said(two) == [b"answer"])
        two.adapter._nodes[0][0].subscriber.connection.reset("as if the network had gone")
        await until(lambda: two.said(one) == [b"before", None] and one.said(two) == [b"answer", None])
        await two.adapter._nodes[0][0].subscriber.ready(20)
        one.courier.send(str(two.name), b"after")
        await until(lambda: two.said(one) == [b"before", None, b"after"])


async def test_a_frame_that_was_lost_is_an_end(shared_redis: Redis) -> None:
    async with two_ends(shared_redis.url) as (one, two):
        one.courier.send(str(two.name), b"first")
        await until(lambda: two.said(one) == [b"first"])
        # As if the next one had not come.
        one.courier._passages[str(two.name)].said += 1
        one.courier.send(str(two.name), b"third")
        await until(lambda: two.said(one) == [b"first", None] and one.said(two) == [None])
        one.courier.send(str(two.name), b"anew")
        await until(lambda: two.said(one) == [b"first", None, b"anew"])


async def test_what_makes_no_sense_is_an_end(shared_redis: Redis) -> None:
    async with two_ends(shared_redis.url) as (one, two):
        channel = two.courier._channel(str(two.name))
        for data in (b"", b"short", b"x" * 24, b"x" * 100):
            await one.adapter._nodes[0][0].commands.command("PUBLISH", channel, data)
        one.courier.send(str(two.name), b"nonsense")
        await until(lambda: one.said(two) == [None])
        one.courier.send(str(two.name), b"sense")
        await until(lambda: two.said(one)[-1:] == [b"sense"])
        with anyio.fail_after(20):
            assert await one.courier.finds(str(two.name))


async def test_a_session_goes_on_when_the_way_to_its_server_is_there_again() -> None:
    with redis_server() as broker:
        key = f"courier-{next(_keys)}"
        servers = [
            Server(adapter=RedisAdapter(broker.url, key=key, timeout=0.5), workers=None) for _ in range(2)
        ]
        async with AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server.lifespan())
            one, two = [
                await stack.enter_async_context(
                    httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://test")
                )
                for server in servers
            ]
            opened = await one.get("/socket.io/", params={"EIO": "4", "transport": "polling"})
            asked = {"EIO": "4", "transport": "polling", "sid": opened.text[9:].partition('"')[0]}
            assert (await two.post("/socket.io/", params=asked, content="40")).text == "ok"
            assert (await two.get("/socket.io/", params=asked)).text.startswith("40{")
            # A poll whose end was under way would be as one whose client has left.
            await until(lambda: not servers[0].forwarding._here)
            await anyio.to_thread.run_sync(broker.stop)
            refused = await two.post("/socket.io/", params=asked, content='42["x"]')
            assert (refused.status_code, refused.json()["code"]) == (503, 4)
            assert "cannot be reached at this moment" in refused.text
            await anyio.to_thread.run_sync(broker.start)
            for server in servers:
                await redis_of(server).commands.up(20)
                await redis_of(server).subscriber.ready(20)
            assert (await two.post("/socket.io/", params=asked, content='42["x"]')).text == "ok"
            unknown = {**asked, "sid": "nobody__" + asked["sid"][8:]}
            # That server may be on its way back to Redis, too.
            over = await two.post("/socket.io/", params=unknown, content='42["x"]')
            assert (over.status_code, over.json()["code"]) == (503, 4)
            courier = servers[1]._courier
            assert courier is not None
            courier._back_at -= 3
            over = await two.post("/socket.io/", params=unknown, content='42["x"]')
            assert (over.status_code, over.json()["code"]) == (400, 1)
        await until(lambda: all(redis_of(server).commands.is_over for server in servers))


def redis_of(server: Server) -> RedisNode:
    assert server._courier is not None
    return server._courier._redis


@pytest.mark.parametrize("kind", [RedisAdapter, RedisStreamsAdapter])
async def test_shutdown_leaves_nothing_for_an_event_loop_that_ends_right_after_it(
    kind: type[RedisAdapter | RedisStreamsAdapter], shared_redis: Redis
) -> None:
    adapter = kind(shared_redis.url)
    io = Server(adapter=adapter)
    for _ in range(2):
        async with io.lifespan():
            await io.emit("x")
            await until(lambda: adapter.is_up)
        connections = [redis_of(io).commands, redis_of(io).subscriber.connection]
        connections += [streams.reader.connection for streams in getattr(adapter, "_streams", {}).values()]
        assert all(connection.is_over for connection in connections)
