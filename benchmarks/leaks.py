"""Thousands of clients that come, say one thing and go: are tasks, files and memory where they were before?

    python benchmarks/leaks.py                                    10,000 cycles by each transport; some 10 minutes
    python benchmarks/leaks.py --cycles 300 --transports websocket,+polling

The server runs as ``python -X dev -W error`` with asyncio's debug mode: a coroutine that nobody awaits, a socket that
is not closed or a task that is forgotten is an error there, and stands in its log. A cycle is a session: it is opened,
has an event answered, and ends: by its client's word, by a closed connection, or by one that is cut, in turn; every
tenth client leaves in the middle of its opening. "+" in front of a transport is our own protocol. Half as many before
them are not counted. Ends with status 1 if anything is left, or the memory has grown by more than --most-mb.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from idle_clients import CLIENTS, Idle, IdleStream, IdleWebSocket
from load_report import megabytes, show
from load_servers import SERVERS, Process, serving, until

TRANSPORTS = ["websocket", "+websocket", "+stream", "polling", "+polling"]
SETTINGS = {
    "max_unused_sessions_per_address": 100_000,
    "grace_period": 1.0,
    # A standard client that does not poll any more is missed by its heartbeat.
    "ping_interval": 1.0,
    "ping_timeout": 1.0,
    "handshake_timeout": 1.0,
    "connect_timeout": 2.0,
    # What is left of ended sessions, by intention, is as good as nothing.
    "tombstone_period": 0.1,
    "max_tombstones": 10,
}


async def cycle(port: int, transport: str, number: int) -> None:
    """One client, from its coming to its going."""
    client = CLIENTS[transport.removeprefix("+")](port, counting=transport.startswith("+"))
    if number % 10 == 9:
        await client.open()
        client.ask(transport.removeprefix("+"))
        await client.writer.drain()
        client.writer.transport.abort()
        return
    await client.connect()
    if isinstance(client, IdleWebSocket):
        client.send('421["echo",1]')
        while "431[1]" not in await client.frame():
            pass
        if number % 3 == 0:
            client.send("1")
            await client.reader.readexactly(2)
            client.writer.write(b"\x88\x80" + bytes(4))
    else:
        await _echo_by_post(client, number)
    if number % 3 == 2:
        client.writer.transport.abort()
    else:
        client.writer.close()


async def _echo_by_post(client: Idle, number: int) -> None:
    await client.bring(*(["92"] if client.counting else []), '421["echo",1]')
    while "431[1]" not in (await client.event() if isinstance(client, IdleStream) else await client.body()):
        pass
    if number % 3 == 0:
        await client.bring("1")


async def cycles(port: int, transport: str, numbers: range) -> None:
    left = iter(numbers)

    async def work() -> None:
        for number in left:
            await cycle(port, transport, number)

    await asyncio.gather(*(work() for _ in range(8)))


def settle(server: Process, before: dict[str, int] | None = None) -> dict[str, int]:
    """What there is when all have gone: looked at until it is no more than before; at first, until it stays the same.

    A server itself gives a connection some seconds for its end.
    """
    until(lambda: server.state()["sessions"] == 0, "the end of all sessions")
    found: dict[str, int] = {}
    for _ in range(40):
        last, found = found, {"tasks": server.state()["tasks"], "files": server.descriptors()}
        if (found == last) if before is None else all(found[name] <= before[name] for name in found):
            break
        time.sleep(3 if before is None else 0.5)
    return {**found, "memory": server.memory()}


def measure(name: str, transport: str, count: int) -> dict[str, object]:
    # Any warning is an error, but for those of the libraries that an ASGI server imports.
    flags = ["-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning"]
    command = SERVERS[name]
    SERVERS["checked"] = [command[0], *flags, *command[1:]]
    with serving("checked", options={"SETTINGS": json.dumps(SETTINGS), "PYTHONASYNCIODEBUG": "1"}) as server:
        asyncio.run(cycles(server.port, transport, range(max(50, count // 2))))
        before = settle(server)
        began = time.monotonic()
        asyncio.run(cycles(server.port, transport, range(count)))
        seconds = time.monotonic() - began
        after = settle(server, before)
        state, log = server.state(), server.log()
    # Debug mode tells of every step that takes longer than 100 ms, which on a busy machine some do.
    log = "\n".join(line for line in log.splitlines() if "Executing <" not in line)
    if log:
        print(log[-3_000:], file=sys.stderr)
    return {
        "server": name,
        "transport": transport,
        "cycles": count,
        "tasks": after["tasks"] - before["tasks"],
        "files": after["files"] - before["files"],
        "memory": megabytes(after["memory"] - before["memory"]),
        "never disconnected": state["connects"] - state["disconnects"],
        "lines in the log": len(log.splitlines()),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", default="uvicorn-h11", help="which, by commas (default: uvicorn-h11)")
    parser.add_argument("--transports", default=",".join(TRANSPORTS), help="by commas (default: all)")
    parser.add_argument("--cycles", type=int, default=10_000, help="of each (default: 10,000)")
    parser.add_argument("--most-mb", type=float, default=3.0, help="by how much memory may grow (default: 3)")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name in options.servers.split(","):
        for transport in options.transports.split(","):
            rows.append(measure(name, transport, options.cycles))
            print(rows[-1], file=sys.stderr, flush=True)
    show(rows, path=options.json, title="clients that come and go")
    left = ("tasks", "files", "never disconnected", "lines in the log")
    if any(int(str(row[name])) > 0 for row in rows for name in left) or any(
        float(str(row["memory"]).split()[0]) > options.most_mb for row in rows
    ):
        raise SystemExit("something is left of them")


if __name__ == "__main__":
    main()
