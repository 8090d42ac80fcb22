"""How far one Redis carries, and what a million connections take: measured costs, and a calculation with assumptions.

    .venv/bin/python benchmarks/capacity.py
    .venv/bin/python benchmarks/capacity.py --sent 0.05 --room 20

First the CPU time is measured that Redis spends on one message for so many servers, and a server on one that is for
none of its sockets: with publish and subscribe every server hears of every message. Then the table says for so many
connections how many servers it takes, and how busy they and Redis are. Its other figures are those of
docs/performance.md, and can be given. Connections that never share a room (tenants, regions) can be spread over
clusters that have nothing to do with each other, which is how a million of them are served.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import time
from dataclasses import dataclass

import uvloop
from cluster import cpu_of, redis

from holdfast import RedisAdapter, RedisEmitter
from holdfast.engine.dispatch import Events
from holdfast.engine.host import Host
from holdfast.engine.redis import RedisAddress, RedisConnection, RedisSubscriber
from holdfast.engine.settings import Settings

SERVERS = (1, 4, 16, 64)
NUMBER = 4000
# And over how many clusters they are spread, each with a Redis of its own.
CONNECTIONS = ((10_000, 1), (100_000, 1), (300_000, 1), (1_000_000, 1), (1_000_000, 4), (1_000_000, 10))


async def publishing(url: str, broker: int, servers: int) -> float:
    """Microseconds of Redis for one message that so many connections hear."""
    host = Host()
    address = RedisAddress.parse(url)
    commands = RedisConnection(address, host)
    commands.open()
    heard, done = 0, asyncio.Event()

    def hear(channel: bytes, data: bytes) -> None:
        nonlocal heard
        heard += 1
        if heard == number * servers:
            done.set()

    number = max(200, NUMBER // servers) // 50 * 50
    ears = [RedisSubscriber(address, host, commands) for _ in range(servers)]
    for ear in ears:
        ear.listen_to_pattern("socket.io#/#*", hear)
        ear.open()
        await ear.ready(20)
    before = cpu_of(broker)
    for _ in range(number // 50):
        await commands.pipeline([("PUBLISH", "socket.io#/#room#", b"x" * 200)] * 50)
    await done.wait()
    spent = cpu_of(broker) - before
    for ear in ears:
        ear.close()
    commands.close()
    await asyncio.sleep(0.05)
    return spent / number * 1e6


async def overhearing(url: str) -> float:
    """Microseconds of a server for one message that is for none of its sockets."""
    adapter = RedisAdapter(url)
    server = Events(Settings(), adapter=adapter)
    done = asyncio.Event()

    @server.on_server_side("done")
    async def note() -> None:
        done.set()

    # Looks who is there, which is when it is there itself.
    await server.fetch_sockets()
    port = url.rpartition(":")[2]
    options = f"-p {port} -c 1 -P 50 -n {NUMBER * 5} -q PUBLISH socket.io#/#room# {'x' * 200}"
    before = time.process_time()
    process = await asyncio.create_subprocess_exec(
        "redis-benchmark", *options.split(), stdout=asyncio.subprocess.DEVNULL
    )
    await process.wait()
    async with RedisEmitter(url) as emitter:
        await emitter.server_side_emit("done")
        await done.wait()
    spent = time.process_time() - before
    server.leave_adapters()
    await asyncio.sleep(0.1)
    return spent / (NUMBER * 5) * 1e6


@dataclass(frozen=True)
class Costs:
    """Microseconds: of Redis for a message and for each server that hears it; of a server for one that is not for its
    sockets, for an event that comes, for one that is delivered."""

    message: float
    hearing: float
    overheard: float
    event: float
    delivery: float


def plan(connections: int, costs: Costs, options: argparse.Namespace) -> tuple[int, float, float]:
    """How many processes of one core each, how busy each is, and how busy Redis is (1 is a whole core)."""
    said = connections * options.sent
    by_memory = math.ceil(connections * options.kilobytes / (options.gigabytes * 1e6))
    processes = max(1, by_memory)
    while True:
        own = said / processes
        busy = own * costs.event + own * options.room * costs.delivery + (said - own) * costs.overheard
        if busy / 1e6 <= options.busy or processes > 100_000:
            redis_busy = said * (costs.message + processes * costs.hearing) / 1e6
            return processes, busy / 1e6, redis_busy
        processes = math.ceil(processes * 1.1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sent", type=float, default=0.02, help="events that each connection sends to a room, a second")
    add("--room", type=int, default=50, help="how many get each")
    add("--kilobytes", type=float, default=40, help="of a server for each connection")
    add("--gigabytes", type=float, default=2, help="that each process may take")
    add("--busy", type=float, default=0.6, help="how much of its core a process may use")
    add("--event", type=float, default=42, help="µs for an event that comes (docs/performance.md)")
    add("--delivery", type=float, default=28, help="µs for one that is delivered (docs/performance.md)")
    options = parser.parse_args()
    if len(found := sorted(os.sched_getaffinity(0))) > 1:
        os.sched_setaffinity(0, {found[1]})
    with redis(found[0]) as (url, broker):
        spent = {servers: uvloop.run(publishing(url, broker, servers)) for servers in SERVERS}
        overheard = uvloop.run(overhearing(url))
    print(
        "| servers that hear a message | µs of Redis | messages a second, one core |\n| ---: | ---: | ---: |"
    )
    for servers, cost in spent.items():
        print(f"| {servers} | {cost:.1f} | {1e6 / cost:,.0f} |")
    hearing = (spent[SERVERS[-1]] - spent[1]) / (SERVERS[-1] - 1)
    costs = Costs(max(0.0, spent[1] - hearing), hearing, overheard, options.event, options.delivery)
    print(f"\nA server spends at most {overheard:.0f} µs on a message that is for none of its sockets.\n")
    print(
        "| connections | clusters | messages a second | processes | of its core, each | of each Redis' core |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for connections, clusters in CONNECTIONS:
        processes, busy, broker_busy = plan(connections // clusters, costs, options)
        said, whole = connections * options.sent, processes * clusters
        print(f"| {connections:,} | {clusters} | {said:,.0f} | {whole:,} | {busy:.0%} | {broker_busy:.0%} |")


if __name__ == "__main__":
    main()
