"""One connection to a real Redis, and what becomes of it when that goes away."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from real_redis import Redis, redis_server, until
from real_server import free_port

from holdfast import BrokerRefused, BrokerUnavailable
from holdfast.engine.host import Host
from holdfast.engine.redis import RedisAddress, RedisConnection, RedisScript

pytestmark = pytest.mark.servers


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(RedisAddress.parse(url), Host(), **options)
    connection.open()
    try:
        yield connection
    finally:
        connection.close()
        await until(lambda: connection.is_over)


async def test_commands_pipelines_and_transactions(shared_redis: Redis) -> None:
    async with connected(shared_redis.url) as redis:
        assert await redis.command("SET", "number", 1) == b"OK"
        replies = await redis.pipeline([("INCR", "number"), ("LPUSH", "number", b"x"), ("GET", "number")])
        assert (replies[0], replies[2]) == (2, b"2")
        assert isinstance(replies[1], BrokerRefused)
        assert await redis.pipeline([("INCR", "number"), ("GET", "number")], atomic=True) == [3, b"3"]
        with pytest.raises(BrokerRefused, match="wrong number"):
            await redis.command("GET")
        with pytest.raises(BrokerRefused, match="previous errors"):
            await redis.pipeline([("INCR", "number"), ("GET",)], atomic=True)
        assert await redis.command("GET", "number") == b"3"


async def test_commands_are_carried_out_in_the_order_of_the_calls(shared_redis: Redis) -> None:
    async with connected(shared_redis.url) as redis:
        await redis.command("DEL", "list")
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(redis.command, "RPUSH", "list", number)
        found = await redis.command("LRANGE", "list", 0, -1)
        assert isinstance(found, list)
        assert sorted(map(int, found)) == list(range(100))
        replies = await redis.pipeline([("INCR", "count") for _ in range(500)])
        assert replies == sorted(replies, key=lambda reply: int(str(reply)))


async def test_a_script_is_there_on_every_connection(shared_redis: Redis) -> None:
    script = RedisScript("return {KEYS[1], ARGV[1]}")
    stale = RedisScript("return redis.error_reply('STALE that was ' .. ARGV[1])")
    async with connected(shared_redis.url, scripts=[script]) as redis:
        assert await redis.command(*script.words(["key"], ["value"])) == [b"key", b"value"]
        with pytest.raises(BrokerRefused) as refused:
            await redis.run(stale, [], 5)
        assert refused.value.kind == "STALE"
        await redis.command("SCRIPT", "FLUSH")
        assert await redis.run(script, ["key"], "again") == [b"key", b"again"]


async def test_who_waits_for_a_reply_and_is_cancelled_disturbs_nobody(shared_redis: Redis) -> None:
    async with connected(shared_redis.url) as redis:
        await redis.up()
        with anyio.move_on_after(0.05) as scope:
            await redis.command("BLPOP", "nothing", 0.3)
        assert scope.cancelled_caught
        assert await redis.command("ECHO", "me") == b"me"


async def test_what_comes_unasked_is_heard_again_after_a_loss(shared_redis: Redis) -> None:
    heard: list[object] = []
    lost: list[bool] = []

    async def prepare() -> None:
        ears.write("SUBSCRIBE", "news")

    async with connected(shared_redis.url) as mouth:
        ears = RedisConnection(
            RedisAddress.parse(shared_redis.url + "?client_name=ears"),
            Host(),
            on_push=lambda push: heard.append(push[-1]),
            prepare=prepare,
            on_lost=lambda: lost.append(True),
        )
        ears.open()
        await until(lambda: heard == [1])
        await mouth.command("PUBLISH", "news", "first")
        await until(lambda: heard == [1, b"first"])
        await mouth.command("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: heard == [1, b"first", 1])
        await mouth.command("PUBLISH", "news", "second")
        await until(lambda: heard[-1] == b"second")
        assert lost == [True]
        ears.close()
        assert lost == [True, True]
        await until(lambda: ears.is_over)


async def test_a_broker_that_is_started_again_is_found_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "holdfast.redis")
    with redis_server("--requirepass hush") as broker:
        url = broker.url.replace("redis://", "redis://:hush@")
        async with connected(url) as redis:
            assert await redis.command("SET", "key", "value") == b"OK"
            async with anyio.create_task_group() as tasks:

                async def fails() -> None:
                    with pytest.raises(BrokerUnavailable) as lost:
                        await redis.command("BLPOP", "nothing", 0)
                    assert lost.value.uncertain

                tasks.start_soon(fails)
                await anyio.wait_all_tasks_blocked()
                await anyio.to_thread.run_sync(broker.stop)
            with pytest.raises(BrokerUnavailable, match="cannot be reached") as gone:
                await redis.command("GET", "key", timeout=0.05)
            assert not gone.value.uncertain
            async with anyio.create_task_group() as tasks:

                async def waits() -> None:
                    assert await redis.command("GET", "key", timeout=20) is None

                tasks.start_soon(waits)
                await anyio.to_thread.run_sync(broker.start)
    said = [record.message for record in caplog.records]
    assert ["cannot be reached" in text for text in said[:1]] == [True]
    assert "is there again after" in said[1]
    assert "hush" not in caplog.text


async def test_a_broker_that_is_there_and_says_nothing_is_given_up_and_found_again() -> None:
    with redis_server() as broker:
        async with connected(broker.url, quiet_seconds=0.1, timeout_seconds=0.3) as redis:
            await redis.up(timeout=20)
            with broker.frozen():
                await until(lambda: not redis.is_up)
                with pytest.raises(BrokerUnavailable):
                    await redis.up()
            assert await redis.command("ECHO", "me", timeout=20) == b"me"


async def test_a_wrong_password_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server("--requirepass hush") as broker:
        async with connected(broker.url.replace("redis://", "redis://:loud@")) as redis:
            with pytest.raises(BrokerUnavailable, match="invalid username-password"):
                await redis.up(timeout=0.3)
            async with connected(broker.url.replace("redis://", "redis://:hush@")) as other:
                await other.command("CONFIG", "SET", "requirepass", "loud")
            await redis.up(timeout=20)
        assert "loud" not in caplog.text


async def test_a_socket_and_a_database_of_its_own(shared_redis: Redis) -> None:
    async with connected(f"unix://{shared_redis.socket}?db=3") as redis, connected(shared_redis.url) as other:
        await redis.command("SET", "here", 1)
        assert await other.command("GET", "here") is None


async def test_encrypted_and_checked(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command = f"openssl {kind} -keyout {key} -out {certificate}"
    extension = "subjectAltName=DNS:localhost"
    await anyio.run_process([*command.split(), "-addext", extension], stderr=subprocess.DEVNULL)
    tls_port = free_port()
    options = (
        f"--tls-port {tls_port} --tls-cert-file {certificate} --tls-key-file {key} --tls-auth-clients no"
    )
    with redis_server(options):
        async with connected(f"rediss://localhost:{tls_port}?ssl_ca_certs={certificate}") as redis:
            assert await redis.command("PING", timeout=20) == b"PONG"
        async with connected(f"rediss://localhost:{tls_port}") as redis:
            with pytest.raises(BrokerUnavailable, match="certificate"):
                await redis.up(timeout=0.3)
        async with connected(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificate}") as redis:
            with pytest.raises(BrokerUnavailable, match="certificate"):
                await redis.up(timeout=0.3)
