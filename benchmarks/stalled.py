"""Clients that read nothing any more while the server sends them 200 MB: what does that cost it, and for how long?

    python benchmarks/stalled.py                             ours on uvicorn and hypercorn, python-socketio, Socket.IO
    python benchmarks/stalled.py --megabytes 20 --rows uvicorn/+stream,socket.io/websocket

The client connects, asks for so many events of 10 kB each, and reads no more. "+" in front of a transport is our own
protocol. `grown` is the most memory (RSS) that the server's process took above what it had before; `sent` is how many
of the events its handler got rid of: where `emit` waits, few. `ended` says how long after the client's stop the
handler was told that there is nobody any more, with the default heartbeats of the server, and `kept` what is occupied
five seconds after that, or after --watch seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from idle_clients import CLIENTS, Idle, IdleWebSocket
from load_report import megabytes, show
from load_servers import Process, serving, until

ROWS = [
    *(f"{server}/{transport}" for server in ("uvicorn", "hypercorn") for transport in ("websocket",
    "+websocket", "+stream", "polling",
    "+polling")),
    *(f"{server}/{transport}" for server in ("python-socketio",
    "socket.io") for transport in ("websocket", "polling")),
]  # fmt: skip
SIZE = 10_000


async def _stall(client: Idle, count: int) -> Idle:
    """Connect, ask for much, and read no more."""
    event = f'42["go","it",{count},{SIZE}]'
    await client.connect()
    if isinstance(client, IdleWebSocket):
        client.send(event)
    else:
        await client.bring(*(["92"] if client.counting else []), event)
    await client.writer.drain()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return client


async def stall(server: Process, transport: str, count: int, watch: float) -> dict[str, object]:
    client = CLIENTS[transport.removeprefix("+")](server.port, counting=transport.startswith("+"))
    before = server.memory()
    server.forget_peak()
    await _stall(client, count)
    began = time.monotonic()
    ended: float | None = None
    while (now := time.monotonic() - began) < watch:
        await asyncio.sleep(0.5)
        if ended is None and "it" in (await asyncio.to_thread(server.state))["ended"]:
            ended = now
        if ended is not None and now > ended + 5:
            break
    state = await asyncio.to_thread(server.state)
    kept, peak = server.memory(), server.peak()
    client.writer.transport.abort()
    return {
        "grown": megabytes(peak - before),
        "sent": state["sent"].get("it", 0),
        "of": count,
        "ended": f"{ended:.0f} s"
        if ended is not None and state["sent"].get("it", 0) < count
        else "not"
        if ended is None
        else "sent all",
        "sessions left": state["sessions"],
        "kept": megabytes(kept - before),
    }


def measure(row: str, total: int, watch: float) -> dict[str, object]:
    name, transport = row.split("/")
    # Clients of a first second bring what is needed of code.
    with serving(name, options={"SETTINGS": json.dumps({"grace_period": 10.0})}) as server:
        server.state()
        until(lambda: server.state()["sessions"] == 0, "an empty server")
        found = asyncio.run(stall(server, transport, total * 1_000_000 // SIZE, watch))
    return {"server": name, "transport": transport, **found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default=",".join(ROWS), help="by commas (default: all)")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--watch", type=float, default=75, help="seconds at most (default: 75)")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for row in options.rows.split(","):
        rows.append(measure(row, options.megabytes, options.watch))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    show(rows, path=options.json, title=f"{options.megabytes} MB to a client that reads nothing")


if __name__ == "__main__":
    main()
