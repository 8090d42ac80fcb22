"""What a connected session that does nothing costs in memory: ours by each transport, python-socketio, Socket.IO on
Node, and a bare WebSocket of ASGI.

    make bench-idle                                   at 1,000, 5,000 and 10,000 sessions; some 25 minutes
    make bench-idle ARGS="--sessions 500 --rest 1 --rows uvicorn/websocket,socket.io/websocket"

A row is a server and a transport; "+" in front of the transport is our own protocol, else the client speaks Socket.IO.
The figure is how much more memory (RSS) the server's process occupies with so many sessions than after the first fifty
had come and gone, per session; garbage is collected before each look. Clients are in other processes, connected
directly, and a look is taken half a minute after the last has come. WebSockets are not compressed, but in the row of
that name. Each session takes a file descriptor at either end.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from load_report import kilobytes, show
from load_servers import Process, raise_file_limit, serving, until

HERE = Path(__file__).resolve().parent
USUAL = [
    "uvicorn/websocket",
    "fast/websocket",
    "python-socketio/websocket",
    "socket.io/websocket",
    "bare/bare",
    "uvicorn/polling",
    "fast/polling",
    "python-socketio/polling",
    "socket.io/polling",
]
ROWS = [
    *USUAL,
    "uvicorn/+websocket",
    "uvicorn/+stream",
    "uvicorn/+polling",
    "fast/+websocket",
    "fast/+stream",
    "uvicorn-legacy/websocket",
    "uvicorn-wsproto/websocket",
    "uvicorn-h11/polling",
    "uvicorn-deflate/websocket",
    "hypercorn/websocket",
    "hypercorn/polling",
]
SETTINGS = {
    "grace_period": 5.0,
    # So that ten thousand clients in one process keep up.
    "counting_ping_interval": 60.0,
    "counting_ping_timeout": 60.0,
    # They all come at once, from one address.
    "max_unused_sessions_per_address": 100_000,
}
# Longer than any heartbeat: what is seen is a session that has been idle for some time.
REST = 35.0


@contextmanager
def clients(server: Process, transport: str, count: int) -> Iterator[None]:
    """So many clients, connected and idle."""
    command = [sys.executable, str(HERE / "idle_clients.py"), f"--port={server.port}", f"--count={count}"]
    command.append(f"--transport={transport.removeprefix('+')}")
    if transport.startswith("+"):
        command.append("--counting")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if (said := process.stdout.readline()) != "ready\n":
            raise SystemExit(f"the clients did not connect: {said}")
        yield
        process.stdin.close()
        if lost := process.stdout.read():
            raise SystemExit(lost)


def measure(row: str, counts: Sequence[int], rest: float) -> dict[str, object]:
    """Kilobytes of a session at each of these numbers of them."""
    name, transport = row.split("/")
    found: dict[str, object] = {"server": name, "transport": transport}
    with serving(name, options={"SETTINGS": json.dumps(SETTINGS)}) as server:
        with clients(server, transport, 50):
            pass
        until(lambda: server.state()["sessions"] == 0, "the end of the first sessions", seconds=150)
        before = server.memory()
        with ExitStack() as stack:
            here = 0
            for count in counts:
                stack.enter_context(clients(server, transport, count - here))
                here = count
                time.sleep(rest)
                state = server.state()
                assert state["sessions"] == count, state["sessions"]
                found[f"kB at {count:,}"] = round((server.memory() - before) / count / 1e3, 1)
            found["tasks per session"] = round(state["tasks"] / here, 1)
    found["MB before"] = round(before / 1e6)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sessions", default="1000,5000,10000", help="how many, by commas, ascending (default: %(default)s)")
    add("--rows", default=",".join(USUAL), help="which, by commas, or all (default: %(default)s)")
    add("--rest", type=float, default=REST, help="seconds before a look (default: %(default)g)")
    add("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    counts = sorted(int(count) for count in options.sessions.split(","))
    if counts[-1] + 200 > raise_file_limit():
        raise SystemExit("the limit of open files (ulimit -Hn) is lower than the number of sessions")
    wanted = ROWS if options.rows == "all" else options.rows.split(",")
    if importlib.util.find_spec("holdfast.fast") is None:
        wanted = [row for row in wanted if not row.startswith("fast/")]
    rows: list[dict[str, object]] = []
    for row in wanted:
        rows.append(measure(row, counts, options.rest))
        last = float(str(rows[-1][f"kB at {counts[-1]:,}"]))
        print(f"{row}: {kilobytes(last * 1e3)}", file=sys.stderr, flush=True)
        if options.json:
            # A run is long: what is known is kept.
            options.json.write_text(json.dumps(rows, indent=1))
    show(rows, title="memory of idle sessions")


if __name__ == "__main__":
    main()
