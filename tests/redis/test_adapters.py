"""Servers joined by a real Redis, in this process: what becomes of them when it, or one of them, is not what it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import anyio
import pytest
from event_peer import EventPeer, Wire
from real_redis import Redis, redis_server, until

from holdfast import AckTimeout, BrokerUnavailable, RedisAdapter, RedisEmitter, RedisStreamsAdapter, Server
from holdfast.engine.adapters.packing import unpack
from holdfast.engine.dispatch import Events
from holdfast.engine.host import Host
from holdfast.engine.redis import RedisAddress, RedisConnection
from holdfast.engine.settings import Settings

pytestmark = [pytest.mark.servers, pytest.mark.anyio]

Kind = Callable[..., RedisAdapter | RedisStreamsAdapter]
_names = count()


def pubsub(url: str, name: str, **options: Any) -> RedisAdapter:
    return RedisAdapter(url, key=name, **options)


def streams(url: str, name: str, **options: Any) -> RedisStreamsAdapter:
    return RedisStreamsAdapter(url, stream_name=name, channel_prefix=name, **options)


both = pytest.mark.parametrize("kind", [pubsub, streams])


class Cluster:
    """Servers, each with its own adapter to the same Redis."""

    def __init__(self, kind: Kind, url: str, number: int, name: str = "", **options: Any) -> None:
        self.name = name or f"cluster-{next(_names)}"
        self.url = url
        self.adapters = [kind(url, self.name, **options) for _ in range(number)]
        self.servers = [Events(Settings(), adapter=adapter) for adapter in self.adapters]

    def redis(self, number: int) -> Any:
        return self.adapters[number]._nodes[0][0]

    async def ready(self) -> None:
        await until(lambda: all(adapter.is_up for adapter in self.adapters))
        for adapter in self.adapters:
            await adapter._nodes[0][0].subscriber.ready(20)
            reader = getattr(adapter, "_streams", {}).get(adapter._nodes[0][0])
            if reader is not None:
                await until(lambda reader=reader: bool(reader.reader._positions))

    async def join(self, number: int) -> EventPeer:
        return await Wire(self.servers[number]).connect()


@asynccontextmanager
async def cluster_of(kind: Kind, url: str, number: int = 2, **options: Any) -> AsyncIterator[Cluster]:
    cluster = Cluster(kind, url, number, **options)
    await cluster.ready()
    try:
        yield cluster
    finally:
        for server in cluster.servers:
            server.leave_adapters()
        await over(*cluster.adapters)


async def over(*adapters: RedisAdapter | RedisStreamsAdapter) -> None:
    """Nothing of them runs any more."""
    connections: list[RedisConnection] = []
    for adapter in adapters:
        for redis, _ in adapter._nodes:
            connections += [redis.commands, redis.subscriber.connection]
        connections += [streams.reader.connection for streams in getattr(adapter, "_streams", {}).values()]
    await until(lambda: all(connection.is_over for connection in connections))


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(RedisAddress.parse(url), Host())
    connection.open()
    try:
        yield connection
    finally:
        connection.close()
        await until(lambda: connection.is_over)


@asynccontextmanager
async def silent_node(cluster: Cluster, kind: Kind) -> AsyncIterator[None]:
    """One that listens, as they all do, and never says anything."""
    middle = "-response" if kind is pubsub else ""

    async def prepare() -> None:
        ghost.write("SUBSCRIBE", f"{cluster.name}{middle}#/#ghost#")

    ghost = RedisConnection(RedisAddress.parse(cluster.url), Host(), prepare=prepare)
    ghost.open()
    await ghost.up()
    await ghost.command("PING")
    try:
        yield
    finally:
        ghost.close()
        await until(lambda: ghost.is_over)


@both
async def test_a_broker_that_starts_again_joins_them_again(kind: Kind) -> None:
    with redis_server() as broker:
        async with cluster_of(kind, broker.url, timeout=0.5) as cluster:
            here, there = await cluster.join(0), await cluster.join(1)
            await cluster.servers[0].emit("before")
            assert await there.receive() == await here.receive() == '2["before"]'
            await anyio.to_thread.run_sync(broker.stop)
            await until(lambda: not any(adapter.is_up for adapter in cluster.adapters))
            assert cluster.adapters[0].health.last_error
            await cluster.servers[0].emit("meanwhile")
            assert await here.receive() == '2["meanwhile"]'
            assert cluster.adapters[0].health.waiting_bytes > 0
            await anyio.to_thread.run_sync(broker.start)
            await cluster.ready()
            await cluster.servers[0].emit("after")
            heard = [await there.receive()]
            if heard == ['2["meanwhile"]']:
                # By publish and subscribe it depends on who is there again first.
                heard = [await there.receive()]
            assert heard == ['2["after"]']
            await until(lambda: cluster.adapters[0].health.waiting_bytes == 0)
            health = cluster.adapters[0].health
            assert (health.lost, health.last_error) == (0, "")
            assert health.reconnections >= 2


@both
async def test_what_finds_no_room_while_the_broker_is_away_is_reported(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server() as broker:
        async with cluster_of(kind, broker.url, outbox_limit=1500, timeout=0.5) as cluster:
            await anyio.to_thread.run_sync(broker.stop)
            await until(lambda: not cluster.adapters[0].is_up)
            for number in range(10):
                await cluster.servers[0].emit("text", "x" * 200, number)
            lost = cluster.adapters[0].health.lost
            assert 0 < lost < 10
            assert "messages to other servers are not published" in caplog.text
            await anyio.to_thread.run_sync(broker.start)
            await until(lambda: cluster.adapters[0].health.waiting_bytes == 0)
            assert cluster.adapters[0].health.lost == lost
            assert f"{lost} messages to other servers were not published" in caplog.text


async def test_a_subscription_that_the_broker_has_forgotten_is_made_again(shared_redis: Redis) -> None:
    async with cluster_of(pubsub, shared_redis.url, quiet=0.1) as cluster:
        peer = await cluster.join(1)
        ears = cluster.redis(1).subscriber
        # Nothing tells the subscriber, as nothing would if the broker had lost it.
        ears.connection.write("UNSUBSCRIBE")
        ears.connection.write("PUNSUBSCRIBE")
        await until(lambda: cluster.adapters[1].health.deaf == 1)
        await cluster.ready()
        await cluster.servers[0].emit("heard")
        assert await peer.receive() == '2["heard"]'


async def test_what_a_stream_brought_while_a_connection_was_lost_is_read_later(shared_redis: Redis) -> None:
    async with cluster_of(streams, shared_redis.url) as cluster, client_of(shared_redis.url) as admin:
        peer = await cluster.join(1)
        reader = cluster.adapters[1]._streams[cluster.redis(1)].reader
        for number in range(5):
            reader.connection.reset("as if the network had gone")
            await cluster.servers[0].emit("number", number)
            assert await peer.receive() == f'2["number",{number}]'
        await admin.command("DEL", cluster.name)
        await cluster.servers[0].emit("anew")
        assert await peer.receive() == '2["anew"]'
        assert reader.trimmed == 0


class Lossy:
    """A way to a broker that loses the next script that goes there or its reply, and then the connection.

    Attributes:
        loses: "requests" or "replies", or nothing.
        has_lost: Something.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.loses = ""
        self.has_lost = anyio.Event()
        self.port = 0

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
            task_status.started()
            await listener.serve(self._carry)

    async def _carry(self, near: anyio.abc.SocketStream) -> None:
        async with near, await anyio.connect_tcp("127.0.0.1", self._target) as far:
            is_asked = anyio.Event()

            async def bring() -> None:
                async for data in near:
                    if b"XADD" in data and self.loses:
                        is_asked.set()
                        if self.loses == "requests":
                            break
                    await far.send(data)

            async def bring_back() -> None:
                async for data in far:
                    if is_asked.is_set():
                        break
                    await near.send(data)

            async def end_with(pump: Callable[[], Awaitable[None]]) -> None:
                with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await pump()
                tasks.cancel_scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end_with, bring)
                tasks.start_soon(end_with, bring_back)
            if is_asked.is_set():
                self.has_lost.set()


@pytest.mark.parametrize("what", ["requests", "replies"])
async def test_what_was_under_way_to_a_stream_when_the_connection_was_lost_comes_once(
    shared_redis: Redis, what: str
) -> None:
    way = Lossy(shared_redis.port)
    async with anyio.create_task_group() as tasks:
        await tasks.start(way.run)
        async with (
            cluster_of(streams, shared_redis.url) as cluster,
            cluster_of(streams, f"redis://127.0.0.1:{way.port}", name=cluster.name) as sender,
        ):
            peer = await cluster.join(1)
            await sender.servers[0].emit("first")
            assert await peer.receive() == '2["first"]'
            commands = sender.redis(0).commands
            for number in range(3):
                way.has_lost = anyio.Event()
                way.loses = what
                await sender.servers[0].emit("under way", number)
                await sender.servers[0].emit("behind it", number)
                with anyio.fail_after(20):
                    await way.has_lost.wait()
                way.loses = ""
                assert await peer.receive() == f'2["under way",{number}]'
                assert await peer.receive() == f'2["behind it",{number}]'
                await commands.up(20)
            await sender.servers[0].emit("last")
            assert await peer.receive() == '2["last"]'
            assert sender.adapters[0].health.lost == 0
        tasks.cancel_scope.cancel()


async def test_entries_that_were_trimmed_before_they_were_read_are_noted(
    shared_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster_of(streams, shared_redis.url) as cluster, client_of(shared_redis.url) as admin:
        peer = await cluster.join(1)
        await cluster.servers[0].emit("first")
        assert await peer.receive() == '2["first"]'
        reader = cluster.adapters[1]._streams[cluster.redis(1)].reader
        fields = ("uid", "emitter", "nsp", "/other", "type", "3")
        async with admin_hold(reader.connection):
            for _ in range(3):
                await admin.command("XADD", cluster.name, "*", *fields)
            await admin.command("XTRIM", cluster.name, "MAXLEN", 1)
        await until(lambda: reader.trimmed == 1)
        assert "may have been trimmed" in caplog.text
        await cluster.servers[0].emit("last")
        assert await peer.receive() == '2["last"]'


@asynccontextmanager
async def admin_hold(connection: RedisConnection) -> AsyncIterator[None]:
    """No connection for a while."""
    connection.close()
    await until(lambda: not connection.is_up)
    yield
    connection.open()


@both
async def test_who_says_nothing_is_named_and_the_rest_returned(kind: Kind, shared_redis: Redis) -> None:
    async with cluster_of(kind, shared_redis.url, 2, requests_timeout=0.3) as cluster:
        one, two = cluster.servers
        peers = [await cluster.join(0), await cluster.join(1)]

        @two.on_server_side("asked")
        async def asked() -> str:
            return "two"

        async with silent_node(cluster, kind):
            found = await one.fetch_sockets()
            assert {socket.id for socket in found} == {peer.ids["/"] for peer in peers}
            assert found.missing == {"ghost"}
            with pytest.raises(AckTimeout) as late:
                await one.server_side_emit_with_ack("asked", timeout=0.3)
            assert (late.value.answers, late.value.missing) == (["two"], {"ghost"})
            async with anyio.create_task_group() as tasks:

                async def answer() -> None:
                    for peer in peers:
                        question = str(await peer.receive())
                        peer.send("3" + question[1 : question.index("[")] + '["mine"]')

                tasks.start_soon(answer)
                with pytest.raises(AckTimeout) as late:
                    await one.timeout(0.5).emit_with_ack("question")
            assert (late.value.answers, late.value.missing) == (["mine", "mine"], {"ghost"})
        with anyio.fail_after(20):
            while (await one.fetch_sockets()).missing:
                # The broker has not heard yet that it has gone.
                await anyio.sleep(0.01)


@both
async def test_who_leaves_while_asked_is_waited_for_no_longer(kind: Kind, shared_redis: Redis) -> None:
    async with cluster_of(kind, shared_redis.url, 1, requests_timeout=60) as cluster:

        async def fetch() -> None:
            with anyio.fail_after(20):
                assert not (await cluster.servers[0].fetch_sockets()).missing

        async with anyio.create_task_group() as tasks, silent_node(cluster, kind):
            tasks.start_soon(fetch)
            adapter: Any = cluster.servers[0]._registry.adapter
            await until(lambda: bool(adapter._exchange.questions))


async def test_servers_of_one_process_may_share_an_adapter(shared_redis: Redis) -> None:
    adapter = RedisAdapter(shared_redis.url, key=f"cluster-{next(_names)}")
    one, two = (Events(Settings(), adapter=adapter) for _ in range(2))
    await until(lambda: adapter.is_up)
    for redis, _ in adapter._nodes:
        await redis.subscriber.ready(20)
    peer = await Wire(two).connect()
    await one.emit("heard")
    assert await peer.receive() == '2["heard"]'
    assert len(await one.fetch_sockets()) == 1
    for server in (one, two):
        server.leave_adapters()
    await over(adapter)
    one.join_adapters()
    await until(lambda: adapter.is_up)
    assert len(adapter._nodes) == 2
    one.leave_adapters()
    await over(adapter)


@both
async def test_a_server_that_leaves_says_what_it_had_to_and_leaves_nothing(
    kind: Kind, shared_redis: Redis
) -> None:
    async with client_of(shared_redis.url) as admin, cluster_of(kind, shared_redis.url) as cluster:
        peer = await cluster.join(1)
        await cluster.servers[0].emit("last words")
        cluster.servers[0].leave_adapters()
        assert await peer.receive() == '2["last words"]'
        cluster.servers[1].leave_adapters()
        await over(*cluster.adapters)
        with anyio.fail_after(20):
            while await admin.command("PUBSUB", "CHANNELS", f"{cluster.name}*"):
                await anyio.sleep(0.01)


@both
async def test_what_nobody_should_publish_harms_nobody(
    kind: Kind, shared_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster_of(kind, shared_redis.url) as cluster, client_of(shared_redis.url) as admin:
        peer = await cluster.join(1)
        name, uid = cluster.name, cluster.redis(1).uid
        channels = [f"{name}#/#", f"{name}-request#/#", f"{name}-response#/#", f"{name}-response#/#{uid}#"]
        wrong = [
            b"",
            b"{",
            b"[]",
            b"\xc1",
            b"\x93\x01\x02\x03",
            b"{}",
            b'{"type":99}',
            b'{"requestId":1}',
            b"\x80",
        ]
        wrong += [b'{"type":2}', b'{"type":5,"requestId":[]}', b'{"type":6,"data":{}}', b'{"uid":1,"type":1}']
        for data in wrong:
            for channel in [*channels, f"{name}#/#{uid}#"]:
                await admin.command("PUBLISH", channel, data)
            for entry in (
                ("data", data),
                ("type", data),
                ("type", "3", "data", data),
                ("type", "7", "data", data),
            ):
                await admin.command("XADD", name, "*", "nsp", "/", "uid", "x", *entry)
        await cluster.servers[0].emit("unharmed")
        assert await peer.receive() == '2["unharmed"]'
        assert "not understood" in caplog.text
        assert not [record for record in caplog.records if record.exc_info]


async def test_who_asks_as_older_servers_do_is_told_who_is_there(shared_redis: Redis) -> None:
    heard: list[object] = []

    async def prepare() -> None:
        old.write("SUBSCRIBE", f"{cluster.name}-response#/#")

    async with cluster_of(pubsub, shared_redis.url, 1) as cluster:
        peers = [await cluster.join(0), await cluster.join(0)]
        ids = [peer.ids["/"] for peer in peers]
        cluster.servers[0].sockets[ids[0]].join("room")
        old = RedisConnection(
            RedisAddress.parse(cluster.url),
            Host(),
            prepare=prepare,
            on_push=lambda push: heard.append(push[-1]),
        )
        old.open()
        await until(lambda: heard == [1])
        for request in (
            b'{"type":0,"requestId":"a","rooms":[]}',
            b'{"type":0,"requestId":"b","rooms":["room"]}',
        ):
            await old.command("PUBLISH", f"{cluster.name}-request#/#", request)
        await until(lambda: len(heard) == 3)
        answers: list[Any] = [unpack(data) for data in heard[1:] if isinstance(data, bytes)]
        assert [(answer["requestId"], {*answer["sockets"]}) for answer in answers] == [
            ("a", {*ids}),
            ("b", {ids[0]}),
        ]
        old.close()
        await until(lambda: old.is_over)


@both
async def test_nothing_shows_a_password(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with redis_server("--requirepass hush") as broker:
        url = broker.url.replace("redis://", "redis://:quiet-please@")
        adapter = kind(url, "name", timeout=0.2, requests_timeout=0.5)
        server = Events(Settings(), adapter=adapter)
        await until(lambda: "WRONGPASS" in caplog.text or "invalid username" in caplog.text)
        assert (await server.fetch_sockets()).missing == {"?"}
        await server.emit("x")
        server.leave_adapters()
        await over(adapter)
        assert "quiet-please" not in caplog.text + repr(adapter) + repr(adapter.health)


async def test_an_emitter_says_that_nobody_is_there() -> None:
    with redis_server() as broker:
        async with RedisEmitter(broker.url, timeout=0.3) as emitter:
            await emitter.to("room").emit("before")
            await anyio.to_thread.run_sync(broker.stop)
            with pytest.raises(BrokerUnavailable):
                await emitter.emit("lost")
            await anyio.to_thread.run_sync(broker.start)
            await emitter._connection.up(20)
            await emitter.emit("after")


def test_without_the_package_the_adapter_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['coredis'] = sys.modules['coredis.connection'] = None\n"
        "import holdfast\n"
        "try: holdfast.RedisAdapter('redis://localhost')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'holdfast[redis]'" in done.stdout


@pytest.mark.parametrize("adapter", ["redis://:secret@localhost", RedisAdapter, 5])
def test_what_is_no_adapter_is_refused_with_the_remedy(adapter: Any) -> None:
    with pytest.raises(TypeError, match="RedisAdapter") as caught:
        Server(adapter=adapter)
    assert "secret" not in str(caught.value)
