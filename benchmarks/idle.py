"""What a connected session that does nothing costs in memory: ours by each transport, python-socketio, Socket.IO on
Node.

    python benchmarks/idle.py                              10,000 sessions each; 10 minutes
    python benchmarks/idle.py --sessions 500 --rows uvicorn/websocket,socket.io/websocket

A row is a server and a transport; "+" in front of the transport is our own protocol, else the client speaks Socket.IO.
The figure is how much more memory (RSS) the server's process occupies with so many sessions than after the first fifty
had come and gone, per session; garbage is collected before each look. Clients are in another process, connected
directly, and the look is taken half a minute after the last has come. WebSockets are not compressed, but in the row of
that name. Each session takes a file descriptor at either end: `ulimit -n` must be higher than --sessions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load_report import kilobytes, show
from load_servers import Process, serving, until

HERE = Path(__file__).resolve().parent
ROWS = [
    "uvicorn/websocket",
    "uvicorn/+websocket",
    "uvicorn/+stream",
    "uvicorn/polling",
    "uvicorn/+polling",
    "uvicorn-legacy/websocket",
    "uvicorn-wsproto/websocket",
    "uvicorn-h11/polling",
    "uvicorn-deflate/websocket",
    "hypercorn/websocket",
    "hypercorn/polling",
    "python-socketio/websocket",
    "python-socketio/polling",
    "socket.io/websocket",
    "socket.io/polling",
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
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the clients did not connect; their message stands above")
        yield
        process.stdin.close()
        if lost := process.stdout.read():
            raise SystemExit(lost)


def measure(row: str, count: int) -> dict[str, object]:
    name, transport = row.split("/")
    options = {"SETTINGS": json.dumps(SETTINGS)}
    with serving(name, options=options) as server:
        with clients(server, transport, 50):
            pass
        until(lambda: server.state()["sessions"] == 0, "the end of the first sessions", seconds=150)
        before = server.memory()
        began = time.monotonic()
        with clients(server, transport, count):
            seconds = time.monotonic() - began
            time.sleep(REST)
            found = server.state()
            assert found["sessions"] == count, found["sessions"]
            occupied = server.memory()
        until(lambda: server.state()["sessions"] == 0, "the end of the sessions", seconds=300)
        after = server.memory()
    return {
        "server": name,
        "transport": transport,
        "sessions": count,
        "kB per session": round((occupied - before) / count / 1e3, 1),
        "tasks per session": round((found["tasks"]) / count, 1),
        "MB before / with / after": f"{before / 1e6:.0f} / {occupied / 1e6:.0f} / {after / 1e6:.0f}",
        "connected in s": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rows", default=",".join(ROWS), help="which, by commas (default: all)")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for row in options.rows.split(","):
        rows.append(measure(row, options.sessions))
        print(
            f"{row}: {kilobytes(float(str(rows[-1]['kB per session'])) * 1e3)}", file=sys.stderr, flush=True
        )
    show(rows, path=options.json, title="memory of idle sessions")


if __name__ == "__main__":
    main()
