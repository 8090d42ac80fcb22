"""Nodes that are killed or frozen, a Redis that is restarted or cut off: who is back when, and what was lost?

    python benchmarks/cluster_faults.py
    python benchmarks/cluster_faults.py --fault kill freeze --clients 50 --sessions durable
    python benchmarks/cluster_faults.py --fault kill --clients 1000 --per-second 1 --bystanders 200

Real servers (uvicorn), a real Redis, our client in Node.js, and a load balancer in front that gives each connection to
the next node that takes one. Each client sends numbers and hears numbers; its session begins on the first node, unless
it is one of the bystanders, who are on the second from the beginning.

`kill`: kill -9 of the first node; `worker`: of one of its four workers. `drain`: SIGTERM. `freeze`: it gets SIGSTOP for
20 s (`--frozen`), and the load balancer leaves it out after one. `redis`: Redis is killed, and started again with its
data (append-only file) two seconds later; `amnesia`: without its data. `cut`: the connections of the first node to
Redis are cut and none is let through for five seconds; `hole`: they stay, and bring nothing. `partition`: the first
node is a host of its own (a network namespace, for which this must run as root), whose link to Redis and to the other
node is down for five seconds, while that to its clients is not.

`back` is from the fault until a client says that it is connected again, or hears the first number after a silence:
median and longest. `silent` are clients that noticed nothing, `same` those that have kept their socket. Of `down`
numbers, those lost and repeated (in another order than theirs is both); of `all`, which both nodes say to a room with
all clients in it, too; of `up` numbers, those that no node got and the
client was not told of, those that it was told of, those that came again, and those of them that were not marked. `ends`
are disconnects that clients and handlers heard of.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load_servers import HERE, HOST, end, free_port, is_listening, raise_file_limit, until

FAULTS = ("kill", "worker", "drain", "freeze", "redis", "amnesia", "cut", "hole", "partition")
NOTICED = 1.0


class Way:
    """Carries TCP connections to the next of some ports that takes them. Told what to do by any thread.

    Attributes:
        targets: In turns: address and port.
        is_open: Whether new ones are taken.
    """

    def __init__(self, *targets: tuple[str, int]) -> None:
        self.targets = list(targets)
        self.port = free_port()
        self.is_open = True
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._turn = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_server(self._carry, HOST, self.port, backlog=8192)
        self._server = self._loop.run_until_complete(serving)
        started.set()
        self._loop.run_forever()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await self._reach() if self.is_open else None
        if far is None:
            writer.close()
            return
        self._writers |= {writer, far[1]}
        # Of a cancellation the server that has made this task would complain.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self._pump(reader, far[1]), self._pump(far[0], writer))
        self._writers -= {writer, far[1]}

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self.targets)):
            self._turn += 1
            target = self.targets[self._turn % len(self.targets)]
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*target)
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._speaking.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """End all that there are, and take none."""
        self.is_open = False
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self._writers])

    def hold(self, held: bool) -> None:
        """Carry nothing; what comes meanwhile is kept."""
        self._loop.call_soon_threadsafe(self._speaking.clear if held else self._speaking.set)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Island:
    """A network namespace with a link to its clients and another to Redis."""

    name = f"holdfast-{os.getpid()}"
    # For benchmarks alone (RFC 2544).
    address, here = "198.18.213.2", "198.18.213.1"
    inner_address, inner_here = "198.18.214.2", "198.18.214.1"

    def __init__(self) -> None:
        self.prefix = ["ip", "netns", "exec", self.name]
        self._run("ip", "netns", "add", self.name)
        self._run(*self.prefix, "ip", "link", "set", "lo", "up")
        self._link("hf-out", self.here, self.address)
        self._link("hf-in", self.inner_here, self.inner_address)

    def _run(self, *words: str) -> None:
        subprocess.run(words, check=True)

    def _link(self, name: str, here: str, there: str) -> None:
        self._run(
            "ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-far", "netns", self.name
        )
        self._run("ip", "addr", "add", f"{here}/30", "dev", name)
        self._run("ip", "link", "set", name, "up")
        self._run(*self.prefix, "ip", "addr", "add", f"{there}/30", "dev", f"{name}-far")
        self._run(*self.prefix, "ip", "link", "set", f"{name}-far", "up")

    def cut(self, is_cut: bool) -> None:
        """The link to Redis."""
        self._run("ip", "link", "set", "hf-in", "down" if is_cut else "up")

    def end(self) -> None:
        for name in ("hf-out", "hf-in"):
            self._run("ip", "link", "del", name)
        self._run("ip", "netns", "del", self.name)


class Redis:
    """A real one, with an append-only file."""

    def __init__(self, folder: Path, *addresses: str) -> None:
        self._addresses = addresses
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        assert binary is not None, "redis-server is missing: make setup"
        # Without a password it would answer on no link but loopback.
        open_to_all = ["--protected-mode", "no"] if self._addresses else []
        options = [
            *open_to_all,
            "--bind",
            HOST,
            *self._addresses,
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ]
        command = [binary, "--port", str(self.port), "--dir", str(self._folder), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(lambda: is_listening(self.port), "Redis")

    def kill(self, *, forget: bool = False) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        if forget:
            shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)


@dataclass
class Node:
    """One server, and its way to Redis."""

    target: tuple[str, int]
    process: subprocess.Popen[bytes]
    way: Way
    seen: Path

    def worker(self) -> int:
        """The process of one of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(
            int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )


@dataclass
class Crowd:
    """The process of some clients, and what it has said."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def said(self, key: str) -> Callable[[], bool]:
        return lambda: any(key in line for line in self.lines)

    def end(self) -> list[dict[str, Any]]:
        assert self.process.stdin is not None
        self.process.stdin.write("end\n")
        self.process.stdin.flush()
        until(self.said("talks"), "the end of the clients", seconds=90)
        return next(line["talks"] for line in self.lines if "talks" in line)


@contextlib.contextmanager
def node(
    redis: Redis, folder: Path, options: dict[str, str], *, workers: int = 1, island: Island | None = None
) -> Iterator[Node]:
    port, way = free_port(), Way((HOST, redis.port))
    seen = folder / f"seen-{port}"
    where = f"{HOST}:{way.port}" if island is None else f"{island.inner_here}:{redis.port}"
    address = HOST if island is None else island.address
    environment = {**os.environ, "REDIS": f"redis://{where}", "SEEN": str(seen), **options}
    limits = ["--backlog=8192", "--timeout-graceful-shutdown=5", "--log-level=warning", "--no-access-log"]
    if workers > 1:
        limits.append(f"--workers={workers}")
    command = [sys.executable, "-m", "uvicorn", *limits, f"--host={address}", f"--port={port}"]
    prefix = [] if island is None else island.prefix
    process = subprocess.Popen([*prefix, *command, "cluster_faults_app:app"], cwd=HERE, env=environment)
    try:
        until(lambda: is_listening(port, address), "a node")
        yield Node((address, port), process, way, seen)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            end(process)
        way.end()


@contextlib.contextmanager
def crowd(
    port: int, count: int, transports: list[str] | None, per_second: float, spread: float, first: int = 0
) -> Iterator[Crowd]:
    given = {
        "url": f"http://{HOST}:{port}",
        "transports": transports,
        "count": count,
        "perSecond": per_second,
        "spread": spread,
        "first": first,
    }
    command = ["node", str(HERE / "cluster_faults_client.mjs"), json.dumps(given)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    found = Crowd(process)
    threading.Thread(target=found.read, daemon=True).start()
    try:
        until(found.said("ready"), "the clients", seconds=120)
        yield found
    finally:
        process.kill()
        process.wait()


def strike(
    fault: str,
    first: Node,
    front: Way,
    redis: Redis,
    rest: list[tuple[str, int]],
    frozen: float,
    island: Island | None,
) -> None:
    """Do it, and undo what is to be undone."""
    if fault == "kill":
        first.process.kill()
        first.process.wait()
    elif fault == "worker":
        os.kill(first.worker(), signal.SIGKILL)
    elif fault == "drain":
        first.process.terminate()
        front.targets = rest
        first.process.wait(30)
    elif fault == "freeze":
        first.process.send_signal(signal.SIGSTOP)
        time.sleep(NOTICED)
        front.targets = rest
        time.sleep(frozen - NOTICED)
        first.process.send_signal(signal.SIGCONT)
    elif fault in ("redis", "amnesia"):
        redis.kill(forget=fault == "amnesia")
        time.sleep(2.0)
        redis.start()
    elif fault == "cut":
        first.way.cut()
        time.sleep(5.0)
        first.way.is_open = True
    elif island is not None:
        island.cut(True)
        time.sleep(5.0)
        island.cut(False)
    else:
        first.way.hold(True)
        time.sleep(5.0)
        first.way.hold(False)


def one(options: argparse.Namespace, fault: str, sessions: str, transport: str) -> dict[str, Any]:
    """One fault, to all clients of a row at once."""
    transports = None if transport == "auto" else [transport]
    rate = options.per_second
    environment = {
        "DURABLE": str(int(sessions == "durable")),
        "PER_SECOND": str(rate),
        "ADAPTER": options.adapter,
    }
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        island = Island() if fault == "partition" else None
        if island is not None:
            stack.callback(island.end)
        redis = Redis(folder, *([] if island is None else [island.inner_here]))
        redis.start()
        stack.callback(redis.kill)
        workers = 4 if fault == "worker" else 1
        first = stack.enter_context(node(redis, folder, environment, workers=workers, island=island))
        second = stack.enter_context(node(redis, folder, environment))
        front = Way(first.target)
        stack.callback(front.end)
        clients = stack.enter_context(
            crowd(front.port, options.clients, transports, rate, options.clients * 3.0)
        )
        others = None
        if options.bystanders:
            others = stack.enter_context(
                crowd(second.target[1], options.bystanders, transports, rate, 500.0, options.clients)
            )
        front.targets = [first.target, second.target]
        time.sleep(2.0)
        struck = time.time()
        strike(fault, first, front, redis, [second.target], options.frozen, island)
        time.sleep(options.seconds)
        talks = clients.end()
        found = judge(talks, struck, [first.seen, second.seen])
        found["ends"] = f"{sum(talk['disconnects'] for talk in talks)}+{found.pop('ends')}"
        if others is not None:
            gaps = [now - last for talk in others.end() for last, now in talk["returns"] if now > struck]
            found["bystanders"] = f"{max(gaps, default=0):.2f} s"
    return {"fault": fault, "sessions": sessions, "transport": transport, **found}


def judge(talks: list[dict[str, Any]], struck: float, files: list[Path]) -> dict[str, Any]:
    back: list[float] = []
    for talk in talks:
        later = [now - struck for last, now in talk["returns"] if now > struck]
        back += later[:1]
    times: Counter[int] = Counter()
    unmarked = ends = 0
    for line in "".join([path.read_text() for path in files if path.exists()]).splitlines():
        if line == "-":
            ends += 1
            continue
        number, replayed, _ = line.split()
        if times[int(number)] and replayed == "0":
            unmarked += 1
        times[int(number)] += 1
    sent = sum(talk["sent"] for talk in talks)
    told = sum(talk["unconfirmed"] for talk in talks)
    return {
        "back": f"{statistics.median(back):.2f} / {max(back):.2f}" if back else "-",
        "silent": len(talks) - len(back),
        "same": sum(len(talk["ids"]) == 1 for talk in talks),
        "down": sum(talk["heard"] for talk in talks),
        "down lost": sum(talk["lost"] for talk in talks),
        "down again": sum(talk["repeated"] for talk in talks),
        "all": sum(talk["all"] for talk in talks),
        "all lost": sum(talk["missed"] for talk in talks),
        "all again": sum(talk["again"] for talk in talks),
        "up": sent,
        "up lost": max(0, sent - told - len(times)),
        "up told": told,
        "up again": sum(count - 1 for count in times.values()),
        "unmarked": unmarked,
        "ends": ends,
    }


def table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [names, *[[str(row.get(name, "")) for name in names] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fault", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--sessions", nargs="+", choices=("durable", "plain"), default=["durable", "plain"])
    parser.add_argument("--transport", nargs="+", default=["auto"], help="auto, websocket, stream, polling")
    parser.add_argument("--adapter", choices=("pubsub", "streams"), default="streams")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--bystanders", type=int, default=0)
    parser.add_argument("--per-second", type=float, default=20.0, help="numbers of each client, each way")
    parser.add_argument("--frozen", type=float, default=20.0, help="seconds that `freeze` takes")
    parser.add_argument("--seconds", type=float, default=8.0, help="after the fault")
    options = parser.parse_args()
    raise_file_limit()
    rows: list[dict[str, Any]] = []
    for fault in options.fault:
        for sessions in options.sessions:
            for transport in options.transport:
                rows.append(one(options, fault, sessions, transport))
                sys.stderr.write(json.dumps(rows[-1]) + "\n")
    sys.stdout.write(table(rows) + "\n")
    durable = [row for row in rows if row["sessions"] == "durable"]
    bad = ("down lost", "down again", "up lost", "up told", "unmarked", "all again")
    found = any(row[name] for row in durable for name in bad)
    # What Redis was told and has forgotten before the other node has read it, only its sender knows.
    kept = [row for row in durable if row["fault"] != "amnesia" and options.adapter == "streams"]
    return int(found or any(row["all lost"] for row in kept))


if __name__ == "__main__":
    raise SystemExit(main())
