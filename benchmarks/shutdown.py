"""How a server with many open sessions ends: is every client told, when, and does it end in time without a traceback?

    python benchmarks/shutdown.py --sessions 1000 --server uvicorn hypercorn-asyncio

A third of the sessions by WebSocket, stream and polling each; the signal is SIGTERM (SIGINT for hypercorn on Trio,
which has no handler for the other). Once drained by `drain_on_signal`, and with `--plain` once left to the server. The
last line is JSON. hypercorn is measured on asyncio; on Trio it may end before all are told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO

from shutdown_crowd import TRANSPORTS, hold

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
GRACE = 5
SERVERS = {
    "uvicorn": (["uvicorn", f"--timeout-graceful-shutdown={GRACE}", "--log-level=warning"], signal.SIGTERM),
    "hypercorn-asyncio": (["hypercorn", "--workers=0", f"--graceful-timeout={GRACE}"], signal.SIGTERM),
    "hypercorn-trio": (
        ["hypercorn", "--workers=0", "--worker-class=trio", f"--graceful-timeout={GRACE}"],
        signal.SIGINT,
    ),
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


async def started(process: subprocess.Popen[bytes], port: int) -> None:
    async with asyncio.timeout(30):
        while process.poll() is None:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
    raise SystemExit("the server has not started")


def launch(command: list[str], drain: str | None, log: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(HERE), **({} if drain is None else {"DRAIN": drain})}
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


async def measure(name: str, sessions: int, drain: str | None) -> dict[str, object]:
    """End one server."""
    (module, *options), number = SERVERS[name]
    port = free_port()
    options += [f"--port={port}"] if module == "uvicorn" else [f"--bind={HOST}:{port}"]
    with tempfile.TemporaryFile() as log:
        process = launch([sys.executable, "-m", module, *options, "shutdown_app:app"], drain, log)
        try:
            await started(process, port)
            members, tasks = await hold(HOST, port, sessions)
            begun = time.monotonic()
            process.send_signal(number)
            code = await asyncio.to_thread(process.wait, 120)
            seconds = time.monotonic() - begun
            await asyncio.wait(tasks, timeout=30)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        output = log.read().decode(errors="replace")
    ends = [(member.transport, member.end) for member in members]
    times = sorted(end.at - begun for _, end in ends if end is not None)
    return {
        "server": name,
        "sessions": sessions,
        "drained": drain is not None,
        "seconds": round(seconds, 2),
        "exit code": code,
        "tracebacks": output.count("Traceback"),
        "log lines": output.count("\n"),
        "lost before": sum(end is not None and end.at < begun for _, end in ends),
        "heard after": {
            share: round(times[min(len(times) - 1, int(len(times) * part))], 2)
            for share, part in (("p50", 0.5), ("p99", 0.99), ("last", 1.0))
        },
        "ends": {
            transport: dict(
                Counter("never" if end is None else end.how for kind, end in ends if kind == transport)
            )
            for transport in TRANSPORTS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument(
        "--server", nargs="+", choices=list(SERVERS), default=["uvicorn", "hypercorn-asyncio"]
    )
    parser.add_argument("--period", type=float, default=5.0)
    parser.add_argument("--timeout", type=float, default=20.0)
    parser.add_argument("--plain", action="store_true", help="also without a drain")
    options = parser.parse_args()
    results: list[dict[str, object]] = []
    for name in options.server:
        for drain in [f"{options.period} {options.timeout}", *([None] if options.plain else [])]:
            results.append(asyncio.run(measure(name, options.sessions, drain)))
            print(results[-1], file=sys.stderr)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
