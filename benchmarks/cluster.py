"""What a cluster over Redis costs: CPU time per broadcast and per request, of the servers and of Redis.

    .venv/bin/python benchmarks/cluster.py             holdfast, python-socketio, Node; about two minutes
    .venv/bin/python benchmarks/cluster.py --quick

Two servers of a kind share one Redis. Twenty clients are connected by WebSocket; one more, at the first server, lets it
send an event to all of them, the next when all have it ("alone") or with twenty under way ("load").

- here: the twenty are at the first server too; the second one only hears of it.
- there: the twenty are at the second server: what a broadcast to another node costs both.
- polling: an echo by long-polling, POST and GET, where the requests reach the server that has the session…
- forwarded: …or the other one. Of holdfast alone: the others refuse that.

The figures are microseconds of CPU time (user and system) per broadcast or per echo: of the server that the client is
at, of the other, and of Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import uvloop
from bench_http import round_trips
from bench_peers import Http, dial, hang_up
from bench_report import machine, rounded
from bench_servers import SERVERS, Running, available, cores, running
from bench_sessions import Polling, crowd, expect, leave, websocket
from bench_work import all_finished, events, payload
from load_servers import end, free_port, is_listening, until

__all__ = ["KINDS", "measure"]

MEMBERS = 20
KINDS = {
    "none": ("holdfast", ""),
    "holdfast, publish and subscribe": ("holdfast", "pubsub"),
    "holdfast, streams": ("holdfast", "streams"),
    "python-socketio": ("python-socketio", "redis"),
    "Node, publish and subscribe": ("node", "pubsub"),
    "Node, streams": ("node", "streams"),
}
# Of the first server, the second, and Redis.
Cost = tuple[float, float, float]


@contextmanager
def redis(core: int | None) -> Iterator[tuple[str, int]]:
    """Address and process id of a Redis that keeps nothing."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        raise SystemExit("there is no redis-server: apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--port {port}", "--bind 127.0.0.1", "--appendonly no", f"--dir {folder}"]
        command = [binary, *" ".join(options).split(), "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            until(lambda: is_listening(port), "the start of Redis")
            yield f"redis://127.0.0.1:{port}", process.pid
        finally:
            end(process)


def cpu_of(pid: int) -> float:
    # As in `Running.cpu_seconds`.
    return time.clock_gettime(~pid << 3 | 2)


async def broadcasts(first: Running, there: Running, number: int, under_way: int) -> None:
    """So many events from a client of the first server to members at ``there``."""
    members = await crowd(MEMBERS, lambda: websocket(there.host))
    teller = await websocket(first.host)
    texts = [payload(at, 64) for at in range(number)]
    heard = 0

    def tell(at: int) -> None:
        if at < number:
            teller.send(f'42["cast","{texts[at]}"]')

    def take(found: str, came: list[str]) -> None:
        nonlocal heard
        came.append(found)
        heard += 1
        if heard % MEMBERS == 0:
            tell(heard // MEMBERS + under_way - 1)
        if heard == number * MEMBERS:
            teller.finish()

    came = [list[str]() for _ in members]
    for member, its in zip(members, came, strict=True):
        member.partner = teller
        member.on_item = partial(take, came=its)
    # Everybody hears it, the teller too; what it hears is not looked at.
    teller.on_item = lambda found: None
    for at in range(min(under_way, number)):
        tell(at)
    await teller.finished()
    # What it has not read yet may still come.
    await asyncio.sleep(0.05)
    await leave([*members, teller])
    wanted = [f'42["news","{text}"]' for text in texts]
    # Not all of these servers keep the order of what comes at once.
    expect(all(sorted(its) == wanted for its in came), [its[:3] for its in came])


async def polls(first: Running, there: Running, number: int, under_way: int) -> None:
    """So many echoes of sessions at the first server, by requests to ``there``."""
    share = max(1, number // 10)
    asked, answers = events(False, share, 64)
    sessions = await crowd(10, lambda: Polling.open(first.host))
    own = [(session.polls, session.posts) for session in sessions]
    for session in sessions:
        if there is not first:
            session.polls, session.posts = await dial(Http, there.host), await dial(Http, there.host)
        posts = [session.post(event) for event in asked]
        ok = lambda found, _: found.lower() == "ok"  # noqa: E731
        round_trips(session.posts, posts, ok, session.polls, answers, session.poll_request)
    await all_finished([session.posts for session in sessions])
    for session, (one, two) in zip(sessions, own, strict=True):
        await session.close()
        for link in (one, two) if there is not first else ():
            link.transport.close()


ROWS = {
    "here, alone": (broadcasts, False, 1),
    "here, load": (broadcasts, False, 20),
    "there, alone": (broadcasts, True, 1),
    "there, load": (broadcasts, True, 20),
    "polling": (polls, False, 1),
    "forwarded": (polls, True, 1),
}


def measure(kind: str, number: int, rounds: int, core: int | None) -> dict[str, list[Cost]]:
    """Microseconds per operation, by row."""
    name, cluster = KINDS[kind]
    subject = SERVERS[name]
    found: dict[str, list[Cost]] = {}
    with ExitStack() as stack:
        url, broker = stack.enter_context(redis(core))
        environment: Mapping[str, str] = {"CLUSTER": cluster, "REDIS_URL": url} if cluster else {}
        subject = replace(subject, environment={**subject.environment, **environment})
        one, two = (stack.enter_context(running(subject, core=core)) for _ in range(2))
        for row, (work, is_there, under_way) in ROWS.items():
            if is_there and (not cluster or (work is polls and name != "holdfast")):
                continue
            operations = number if under_way == 1 else number * 4
            there = two if is_there else one
            for at in range(rounds + 1):
                before = (one.cpu_seconds(), two.cpu_seconds(), cpu_of(broker))
                uvloop.run(bounded(work(one, there, operations, under_way)))
                after = (one.cpu_seconds(), two.cpu_seconds(), cpu_of(broker))
                if at:
                    cost = [(now - then) / operations * 1e6 for then, now in zip(before, after, strict=True)]
                    found.setdefault(row, []).append((cost[0], cost[1], cost[2]))
    return found


async def bounded(work: object) -> None:
    try:
        async with asyncio.timeout(120):
            await work  # type: ignore[misc]
    finally:
        await hang_up()


def shown(costs: list[Cost]) -> str:
    """The medians: first + second + Redis = all."""
    parts = [statistics.median(cost[at] for cost in costs) for at in range(3)]
    return f"{' + '.join(rounded(part) for part in parts)} = **{rounded(sum(parts))}**"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer operations, one round")
    parser.add_argument("--kinds", help=f"by semicolons, of {list(KINDS)}")
    options = parser.parse_args()
    kinds = options.kinds.split(";") if options.kinds else list(KINDS)
    pair = cores()
    if pair:
        os.sched_setaffinity(0, {pair[1]})
    number, rounds = (100, 1) if options.quick else (500, 3)
    print(f"{machine()}; microseconds of CPU per operation: first server + second + Redis = all\n")
    print(f"| | {' | '.join(ROWS)} |\n| --- |{' ---: |' * len(ROWS)}")
    for kind in kinds:
        if not available(SERVERS[KINDS[kind][0]]):
            print(f"| {kind} | not installed |")
            continue
        found = measure(kind, number, rounds, pair and pair[0])
        cells = [shown(found[row]) if row in found else "–" for row in ROWS]
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
