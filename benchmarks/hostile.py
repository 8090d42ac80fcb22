"""Thousands of hostile inputs to a real server, with a healthy client beside them whose round trips are watched.

    python benchmarks/hostile.py                                   10,000 inputs of each of 3 seeds to ours, on uvicorn
    python benchmarks/hostile.py --servers uvicorn,hypercorn,python-socketio,socket.io --inputs 10000 --seeds 1
    python benchmarks/hostile.py --url http://127.0.0.1:8000 --pid 1234 --inputs 1000      an application of your own

Inputs are requests, bodies, WebSocket frames and packets, mutated at random and the same for the same seed: see
`hostile_inputs.py`. Each is a connection of its own. Afterwards is looked at: does the server live, what has it
written, which answers were 5xx (503, that it is full, and 501 are none), which inputs were left without answer or end
for three seconds, how many sessions and tasks are left, and how much memory. An application of your own should have a
handler for "echo" that returns its argument; start it with `max_unused_sessions_per_address=100000`, or most inputs
are refused with 429 after the first hundred. Ends with status 1 if a server does not hold the bar.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import sys
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from hostile_inputs import FLOODS, KINDS, SEPARATOR, Input, frame, inputs
from load_report import megabytes, show
from load_servers import Process, attached, serving, until
from probe import watching

PATIENCE = 3.0
# Of an application of one's own only what shows from outside is known.
NOT_SEEN = "–"
SETTINGS = {
    # All of them come from one address.
    "max_unused_sessions_per_address": 100_000,
    # So that its end can be waited for.
    "ping_interval": 1.0,
    "ping_timeout": 1.0,
    "counting_ping_interval": 1.0,
    "counting_ping_timeout": 1.0,
    # Longer: whom the server itself sends away, it gives half a minute to fetch the reason.
    "connect_timeout": 20.0,
    "handshake_timeout": 1.0,
    "grace_period": 1.0,
    "body_timeout": 1.0,
    "upgrade_timeout": 1.0,
    "attachment_timeout": 1.0,
    "tombstone_period": 1.0,
}
KEY = base64.b64encode(bytes(16)).decode()


@dataclass
class Outcome:
    """What became of the inputs."""

    statuses: Counter[str] = field(default_factory=Counter[str])
    unanswered: list[Input] = field(default_factory=list[Input])
    failed: list[tuple[int, Input]] = field(default_factory=list[tuple[int, Input]])


class Sender:
    """Sends inputs to one server."""

    def __init__(self, port: int, outcome: Outcome) -> None:
        self._port = port
        self._outcome = outcome

    async def send(self, one: Input) -> None:
        """One of them, to its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            if one.kind == "half":
                writer.write(one.data)
                # Long enough for it to be read, then gone.
                await asyncio.sleep(0.01)
            elif one.kind == "post":
                await self._post(one, reader, writer)
            elif one.kind == "http":
                writer.write(one.data)
                await self._answer(one, reader)
            else:
                await self._websocket(one, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self._outcome.statuses["cut"] += 1
        finally:
            writer.transport.abort()

    async def _answer(self, one: Input, reader: asyncio.StreamReader) -> None:
        """Whatever comes, or the end."""
        try:
            async with asyncio.timeout(PATIENCE):
                self._note(one, await reader.read(65_536))
        except TimeoutError:
            self._outcome.unanswered.append(one)

    def _note(self, one: Input, data: bytes) -> None:
        found = re.match(rb"HTTP/1.[01] (\d{3})", data)
        status = found[1].decode() if found else "closed" if not data else "other"
        self._outcome.statuses[status] += 1
        # 501 is an HTTP server's word for a transfer coding that it does not have (RFC 9112, section 6.1).
        if status.startswith("5") and status not in ("501", "503"):
            self._outcome.failed.append((int(status), one))

    async def _post(self, one: Input, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = "/socket.io/?EIO=4&transport=polling" + ("&holdfast=1" if one.counting else "")
        writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        try:
            async with asyncio.timeout(PATIENCE):
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(re.findall(rb"content-length: (\d+)", head)[0])
                body = await reader.readexactly(size)
        except (TimeoutError, IndexError):
            self._outcome.unanswered.append(one)
            return
        if b" 200 " not in head.partition(b"\r\n")[0]:
            self._note(one, head.upper())
            return
        opened, data = json.loads(body[1:].partition(b"\x1e")[0]), one.data
        if one.honest and "holdfast" in opened:
            attach = {"key": opened["holdfast"]["key"], "received": 0}
            data = f"7{json.dumps(attach)}{SEPARATOR}91{SEPARATOR}".encode() + data
        request = [
            f"POST {target}&sid={opened['sid']} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Content-Length: {len(data)}",
        ]
        writer.write("\r\n".join([*request, "", ""]).encode() + data)
        await self._answer(one, reader)

    async def _websocket(
        self, one: Input, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        target = "/socket.io/?EIO=4&transport=websocket" + ("&holdfast=1" if one.counting else "")
        upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY}",
        ]
        writer.write("\r\n".join([f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *upgrade, "", ""]).encode())
        try:
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
            self._note(one, head)
            if b" 101 " not in head.partition(b"\r\n")[0]:
                return
            # What was said before the close has its answers; then the server says good-bye and ends the connection.
            writer.write(b"".join(one.frames) + frame(8, b"\x03\xe8"))
            async with asyncio.timeout(PATIENCE):
                while await self._goes_on(one, reader):
                    pass
        except TimeoutError:
            self._outcome.unanswered.append(one)

    async def _goes_on(self, one: Input, reader: asyncio.StreamReader) -> bool:
        first, size = await reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2))
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8))
        data = await reader.readexactly(size)
        if first & 0x0F == 8:
            self._outcome.statuses[f"close {int.from_bytes(data[:2])}"] += 1
            return False
        return True


# A frame that announces more than comes makes what follows part of it: its answer is nothing, until the client leaves.
def may_be_silent(one: Input) -> bool:
    # PRI is how HTTP/2 begins: a parser of HTTP/1 that knows it waits for the rest of that.
    if one.data.startswith(b"PRI "):
        return True
    return one.kind == "frames" or (
        one.kind == "http"
        and (b"Content-Length" in one.data or b"chunked" in one.data or b"Expect" in one.data)
    )


async def send_all(port: int, some: list[Input], *, at_once: int) -> Outcome:
    """All of them, so many at a time."""
    outcome = Outcome()
    sender, left = Sender(port, outcome), iter(some)

    async def work() -> None:
        for one in left:
            await sender.send(one)

    try:
        await asyncio.gather(*(work() for _ in range(at_once)))
    except OSError as error:
        # Nobody listens any more: that is what "alive" says.
        print(f"the server is gone: {error}", file=sys.stderr)
    return outcome


def settle(server: Process, tasks: int = 1_000_000) -> dict[str, int]:
    """What is left when all that has a time limit has met it; looked at until it is nothing."""

    def is_over() -> bool:
        found = server.state()
        return found["sessions"] <= 1 and found["tasks"] <= tasks

    try:
        until(is_over, "the end of the sessions", seconds=50)
    except TimeoutError:
        pass
    return server.state()


def traces(log: str) -> list[str]:
    """Tracebacks of Python, and stacks of Node."""
    python = re.findall(
        r"^Traceback .*\n(?:(?: .*|During handling .*|The above .*|Traceback .*|)\n)*", log, re.MULTILINE
    )
    return python + re.findall(r"^\w*Error\b.*\n(?:    at .*\n)+", log, re.MULTILINE)


def is_of_the_server(trace: str) -> bool:
    """Whether no application had a part in it: the ASGI server has failed by itself, before or after."""
    files = re.findall(r'File "([^"]+)"', trace)
    servers = ("uvicorn", "uvloop", "hypercorn", "websockets", "wsproto", "h11", "asyncio")
    return bool(files) and all(any(f"/{name}/" in f"/{file}" for name in servers) for file in files)


def measure(
    server: Process, seed: int, some: list[Input], *, at_once: int, stateful: bool, verbose: bool
) -> dict[str, object]:
    # A first few, so that what a server keeps for good is there: code, caches, pools.
    asyncio.run(send_all(server.port, inputs(0, 100), at_once=at_once))
    with watching(server.port, pause=0.02) as probe:
        before = settle(server) if stateful else {}
        memory, written = server.memory(), len(server.log())
        began = time.monotonic()
        outcome = asyncio.run(send_all(server.port, some, at_once=at_once))
        seconds = time.monotonic() - began
        after = settle(server, before["tasks"]) if stateful and server.lives else {}
        grown = server.memory() - memory if server.lives else 0
    log = server.log()[written:]
    if verbose:
        for one in outcome.unanswered:
            print("unanswered:", one, file=sys.stderr)
        for status, one in outcome.failed:
            print(status, one, file=sys.stderr)
        print(dict(outcome.statuses), file=sys.stderr)
        print(log[-5000:], file=sys.stderr)
    return {
        "server": server.name,
        "seed": seed,
        "inputs": len(some),
        "alive": server.lives,
        "traces": len([trace for trace in traces(log) if not is_of_the_server(trace)])
        if stateful
        else NOT_SEEN,
        "of uvicorn or hypercorn alone": len([trace for trace in traces(log) if is_of_the_server(trace)])
        if stateful
        else NOT_SEEN,
        "5xx": len(outcome.failed),
        "unanswered": len([one for one in outcome.unanswered if not may_be_silent(one)]),
        "refused with 429": outcome.statuses["429"],
        "open by their own word": len([one for one in outcome.unanswered if may_be_silent(one)]),
        "sessions left": after.get("sessions", 0) - before.get("sessions", 0) if stateful else NOT_SEEN,
        "tasks left": after.get("tasks", 0) - before.get("tasks", 0) if stateful else NOT_SEEN,
        "memory": megabytes(grown),
        "healthy client, worst": f"{probe.get('worst_ms', 1e9):.0f} ms",
        "p99": f"{probe.get('p99_ms', 1e9):.0f} ms",
        "seconds": round(seconds, 1),
    }


def faults(row: dict[str, object], options: argparse.Namespace) -> list[str]:
    """What of it is beyond the bar."""
    found = [
        name for name in ("traces", "5xx", "unanswered", "sessions left") if row[name] not in (0, NOT_SEEN)
    ]
    # A request that is just being answered may be one of them.
    found += [] if row["tasks left"] == NOT_SEEN or int(str(row["tasks left"])) <= 3 else ["tasks left"]
    # Who is refused at the door is not tried at all.
    found += (
        [] if int(str(row["refused with 429"])) <= int(str(row["inputs"])) // 20 else ["refused with 429"]
    )
    found += [] if row["alive"] else ["alive"]
    found += [] if float(str(row["memory"]).split()[0]) <= 30 else ["memory"]
    for name, most in (("healthy client, worst", options.worst_ms), ("p99", options.p99_ms)):
        found += [] if float(str(row[name]).split()[0]) <= most else [name]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", default="uvicorn", help="which, by commas (default: uvicorn)")
    parser.add_argument(
        "--url", help="an application of your own that runs on this machine: http://127.0.0.1:PORT"
    )
    parser.add_argument("--pid", type=int, help="its process")
    parser.add_argument("--inputs", type=int, default=10_000, help="per seed (default: 10,000)")
    parser.add_argument("--seeds", default="1,2,3", help="by commas (default: 1,2,3)")
    parser.add_argument("--kinds", help=f"only these, by commas, of {', '.join(KINDS)}")
    parser.add_argument(
        "--floods", action="store_true", help="and a message in 900,000 frames of one byte, and 900,000 pings"
    )
    parser.add_argument("--at-once", type=int, default=16, help="connections at the same time (default: 16)")
    parser.add_argument(
        "--worst-ms", type=float, default=250, help="longest round trip of the healthy client"
    )
    parser.add_argument("--p99-ms", type=float, default=250, help="and the hundredth longest")
    parser.add_argument(
        "--verbose", action="store_true", help="show the inputs that were left unanswered, and the log"
    )
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    if options.url and not options.pid:
        parser.error("--url needs --pid, the process whose memory is watched")
    rows: list[dict[str, object]] = []
    beyond: list[str] = []
    for name in [options.url] if options.url else options.servers.split(","):
        for seed in map(int, options.seeds.split(",")):
            some = [
                one for one in inputs(seed, options.inputs) if not options.kinds or one.kind in options.kinds
            ]
            if options.floods:
                some += FLOODS
            server: AbstractContextManager[Process]
            own = {"SETTINGS": json.dumps(SETTINGS), "PING_SECONDS": "2"}
            server = attached(name, options.pid) if options.url else serving(name, options=own)
            with server as process:
                row = measure(
                    process,
                    seed,
                    some,
                    at_once=options.at_once,
                    stateful=not options.url,
                    verbose=options.verbose,
                )
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
            ours = options.url or "load_app" in " ".join(_command(name))
            beyond += [f"{name}, seed {seed}: {fault}" for fault in faults(row, options)] if ours else []
    show(
        rows,
        path=options.json,
        title=f"hostile inputs, {os.getloadavg()[0]:.1f} processes waited for the cores",
    )
    if beyond:
        raise SystemExit("beyond the bar: " + "; ".join(beyond))


def _command(name: str) -> list[str]:
    from load_servers import SERVERS

    return SERVERS[name]


if __name__ == "__main__":
    main()
