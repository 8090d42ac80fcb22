"""A thousand clients are cut off at once: how soon are all of them served again, and what was lost?

    python benchmarks/storm.py        ours by each transport, Socket.IO and python-socketio
    python benchmarks/storm.py --sockets 100 --rows holdfast/websocket

Real clients with their default options, in one Node process, talk through a TCP proxy that resets all its connections
at the same moment. Each sends a number every five seconds and is sent one as often. "back" is when an event that the
client emits after the cut is answered. `connected` is how all of them came in at first, at once, from one address. The
three processes share this machine's cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from load_clients import clients, compare, proxy
from load_report import show
from load_servers import serving

ROWS: dict[str, tuple[str, str, dict[str, str], dict[str, object]]] = {
    "holdfast/websocket": ("uvicorn", "holdfast", {}, {"transports": ["websocket"]}),
    "holdfast/stream": ("uvicorn", "holdfast", {}, {"transports": ["stream"]}),
    "holdfast/polling": ("uvicorn", "holdfast", {}, {"transports": ["polling"]}),
    "holdfast/auto": ("uvicorn", "holdfast", {}, {}),
    "holdfast, socket.io-client/auto": ("uvicorn", "socketio", {}, {}),
    "socket.io/websocket": ("socket.io", "socketio", {}, {"transports": ["websocket"]}),
    "socket.io/auto": ("socket.io", "socketio", {}, {}),
    "socket.io with recovery/auto": ("socket.io", "socketio", {"CSR": "1"}, {}),
    "python-socketio/websocket": ("python-socketio", "socketio", {}, {"transports": ["websocket"]}),
    "python-socketio/auto": ("python-socketio", "socketio", {}, {}),
}


def measure(row: str, count: int, cuts: int, every: int) -> dict[str, object]:
    name, kind, environment, options = ROWS[row]
    back: list[dict[str, int]] = []
    with (
        serving(name, options={"TICK_MS": str(every), "LOG_LEVEL": "INFO", **environment}) as server,
        proxy(server) as between,
        clients(kind, between.port, count, {**options, "upMs": every}) as (talk, came),
    ):
        for _ in range(cuts):
            time.sleep(5)
            between.do("reset 1")
            back.append(talk.ask("back"))
        found = compare(talk, server)
        said = [line for line in server.log().splitlines() if "closed:" in line]
        print(*said[:20], sep="\n", file=sys.stderr)
    return {
        "row": row,
        "sockets": count,
        "connected p99": f"{came['connected']['p99']} ms",
        "refused at first": sum(came["failures"].values()),
        "back p50": f"{max(one['p50'] for one in back)} ms",
        "back p99": f"{max(one['p99'] for one in back)} ms",
        "last": f"{max(one['worst'] for one in back)} ms",
        "lost down / up": f"{found['lost down']} / {found['lost up']}",
        "dup / ooo": f"{found['dup']} / {found['ooo']}",
        "of": found["down"] + found["up"],
        "disconnect events": found["disconnects"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", help=f"by semicolons, of: {'; '.join(ROWS)}")
    parser.add_argument("--sockets", type=int, default=1_000)
    parser.add_argument("--every", type=float, default=5, help="seconds between two numbers (default: 5)")
    parser.add_argument("--cuts", type=int, default=2, help="the slower one counts (default: 2)")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for row in options.rows.split(";") if options.rows else ROWS:
        rows.append(measure(row.strip(), options.sockets, options.cuts, round(options.every * 1000)))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    show(rows, path=options.json, title="a storm of reconnections")


if __name__ == "__main__":
    main()
