"""The servers that `make bench` compares, each a process of its own on one core, and the CPU time that it has used."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from load_servers import HERE, HOST, end, family, free_port, is_listening, until

__all__ = ["SERVERS", "USUAL", "Running", "Subject", "available", "cores", "running"]


@dataclass(frozen=True)
class Subject:
    """A server to measure.

    Args:
        protocol: "socket.io"; "holdfast", which is Socket.IO and its extension; or "bare", texts without a protocol.
        needs: A Python module, or an npm package of this folder, without which it cannot run.
    """

    name: str
    protocol: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: str = ""


def _uvicorn(app: str, ws: str, *options: str) -> tuple[str, ...]:
    quiet = ("--log-level=warning", "--no-access-log", "--ws-per-message-deflate=false", "--backlog=8192")
    fast = ("--loop=uvloop", "--http=httptools", f"--ws={ws}")
    stop = "--timeout-graceful-shutdown=1"
    return (sys.executable, "-m", "uvicorn", *quiet, *fast, stop, *options, "--port={port}", f"{app}:app")


def _hypercorn(app: str) -> tuple[str, ...]:
    options = ("--worker-class=uvloop", "--graceful-timeout=1", "--backlog=8192")
    return (sys.executable, "-m", "hypercorn", *options, f"--bind={HOST}:{{port}}", f"{app}:app")


def _granian(app: str) -> tuple[str, ...]:
    options = (
        "--interface=asgi",
        "--loop=uvloop",
        "--log-level=warning",
        "--no-access-log",
        "--backlog=8192",
    )
    return (sys.executable, "-m", "granian", *options, f"--host={HOST}", "--port={port}", f"{app}:app")


def _node(kind: str) -> tuple[str, ...]:
    return ("node", str(HERE / "bench_server.mjs"), kind, "{port}")


_SANSIO = "websockets-sansio"

SERVERS = {
    subject.name: subject
    for subject in (
        Subject("holdfast", "holdfast", _uvicorn("bench_app", _SANSIO)),
        Subject(
            "holdfast-fast",
            "holdfast",
            _uvicorn("bench_app_lane", _SANSIO, "--http=bench_app_lane:lane.http"),
            needs="holdfast.fast",
        ),
        Subject("holdfast-wsproto", "holdfast", _uvicorn("bench_app", "wsproto")),
        Subject("holdfast-websockets", "holdfast", _uvicorn("bench_app", "websockets")),
        Subject("holdfast-granian", "holdfast", _granian("bench_app"), needs="granian"),
        Subject("holdfast-hypercorn", "holdfast", _hypercorn("bench_app")),
        Subject("python-socketio", "socket.io", _uvicorn("bench_app_peer", _SANSIO)),
        Subject("node", "socket.io", _node("socket.io"), needs="npm:socket.io"),
        Subject("node-cws", "socket.io", _node("cws"), needs="npm:@encharm/cws"),
        Subject("bare-asgi", "bare", _uvicorn("bench_app_bare", _SANSIO)),
        Subject("bare-ws", "bare", _node("ws"), needs="npm:ws"),
    )
}
USUAL = ("holdfast", "holdfast-fast", "python-socketio", "node", "node-cws", "bare-asgi", "bare-ws")


def available(subject: Subject) -> bool:
    """Whether what it needs is installed."""
    if subject.needs.startswith("npm:"):
        # What needs to be compiled may be there and not load.
        script = f"await import({json.dumps(subject.needs[4:])})"
        command = ["node", "--input-type=module", "--eval", script]
        return subprocess.run(command, cwd=HERE, stderr=subprocess.DEVNULL, check=False).returncode == 0
    return not subject.needs or importlib.util.find_spec(subject.needs) is not None


def cores() -> tuple[int, int] | None:
    """One core for the server that is measured and one for the clients, where there are two.

    To be asked before either has gone to its own.
    """
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[1]) if len(found) > 1 else None


@dataclass(frozen=True)
class Running:
    """A server that accepts connections."""

    subject: Subject
    port: int
    pids: tuple[int, ...]
    log_path: Path

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def host(self) -> str:
        return f"{HOST}:{self.port}"

    def log(self) -> str:
        """All that it has written."""
        return self.log_path.read_text(errors="replace")

    def cpu_seconds(self) -> float:
        """User and system time of all its threads, of its workers too, to the nanosecond."""
        # How Linux names the CPU clock of another process: clock_getcpuclockid(3).
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.pids)

    def cores(self) -> set[int]:
        """Where all threads of all its processes may run."""
        threads = [int(task.name) for pid in self.pids for task in Path(f"/proc/{pid}/task").iterdir()]
        return set[int]().union(*map(os.sched_getaffinity, threads))

    def memory(self) -> int:
        """Bytes that it occupies (RSS), its workers too."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in self.pids)


@contextmanager
def running(subject: Subject, *, core: int | None = None) -> Iterator[Running]:
    """Start a server on a free port, on that core alone, and end it."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(HERE), **subject.environment}
    command = [part.format(port=port) for part in subject.command]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        ours = os.sched_getaffinity(0)
        if core is not None:
            # It inherits this, and its threads and workers do.
            os.sched_setaffinity(0, {core})
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=HERE)
        finally:
            os.sched_setaffinity(0, ours)
        try:
            until(lambda: is_listening(port) or process.poll() is not None, f"the start of {subject.name}")
            if process.poll() is not None:
                raise SystemExit(f"{subject.name} did not start:\n{log.read_text()}")
            yield Running(subject, port, tuple(family(process.pid)), log)
        finally:
            end(process)
