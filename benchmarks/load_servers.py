"""The servers that the load benchmarks start, and what the operating system says of them.

`load_app.py` is ours; `load_peer.py` (python-socketio) and `load_server.mjs` (Socket.IO on Node) answer the same
events and the same ``/state``.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "HERE",
    "HOST",
    "SERVERS",
    "Process",
    "attached",
    "end",
    "family",
    "free_port",
    "is_listening",
    "raise_file_limit",
    "serving",
    "until",
]

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
PATIENCE = 60.0

_UVICORN = ["uvicorn", "--log-level=warning", "--no-access-log", "--timeout-graceful-shutdown=2"]
_LIMITS = ["--backlog=8192", "--ws-per-message-deflate=false"]


def _uvicorn(app: str, *options: str) -> list[str]:
    return [sys.executable, "-m", *_UVICORN, *_LIMITS, *options, "--port={port}", app]


def _hypercorn(app: str, kind: str) -> list[str]:
    options = ["--graceful-timeout=2", "--backlog=8192", "--access-logfile=/dev/null"]
    return [
        sys.executable,
        "-m",
        "hypercorn",
        f"--worker-class={kind}",
        *options,
        f"--bind={HOST}:{{port}}",
        app,
    ]


# By the names that --servers takes.
SERVERS: dict[str, list[str]] = {
    "uvicorn": _uvicorn("load_app:app"),
    "fast": _uvicorn("load_lane:app", "--http=load_lane:lane.http"),
    "bare": _uvicorn("bench_app_bare:app"),
    "uvicorn-legacy": _uvicorn("load_app:app", "--ws=websockets"),
    "uvicorn-wsproto": _uvicorn("load_app:app", "--ws=wsproto"),
    "uvicorn-h11": _uvicorn("load_app:app", "--http=h11", "--loop=asyncio"),
    "uvicorn-deflate": [*_uvicorn("load_app:app"), "--ws-per-message-deflate=true"],
    "hypercorn": _hypercorn("load_app:app", "asyncio"),
    "hypercorn-trio": _hypercorn("load_app:app", "trio"),
    "python-socketio": _uvicorn("load_peer:app"),
    "socket.io": ["node", "--expose-gc", str(HERE / "load_server.mjs"), "{port}"],
}


def until(condition: Callable[[], bool], what: str, *, seconds: float = PATIENCE) -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true in {seconds:g} s")
        time.sleep(0.05)


def family(pid: int) -> Iterator[int]:
    """A process and those that it has started."""
    yield pid
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                yield from family(int(entry.name))


def raise_file_limit() -> int:
    """Let this process and those it starts have as many open sockets as they may; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass
class Process:
    """A server that runs; hypercorn's worker is the newest process of its family."""

    name: str
    port: int
    pid: int
    process: subprocess.Popen[bytes] | None = None
    log_path: Path | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def lives(self) -> bool:
        return Path(f"/proc/{self.pid}").exists() and (self.process is None or self.process.poll() is None)

    def log(self) -> str:
        """All that it has written."""
        return "" if self.log_path is None else self.log_path.read_text(errors="replace")

    def _status(self, what: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) * 1024
        raise LookupError(what)

    def memory(self) -> int:
        """Bytes that it occupies (RSS)."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most that it has occupied since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def state(self) -> dict[str, Any]:
        """What its ``/state`` says: sessions, tasks, and what it has counted. It collects garbage first."""
        return self.get("/state")

    def get(self, path: str) -> dict[str, Any]:
        """What it says at this path."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            # Any: JSON.
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def is_listening(port: int, host: str = HOST) -> bool:
    """Whether a connection to it is taken."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and see to it."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def serving(
    name: str, *, port: int | None = None, options: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """One of the `SERVERS`, on a free port, with ``options`` in its environment."""
    # So that it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    port = port or free_port()
    command = [part.format(port=port) for part in SERVERS[name]]
    environment = {**os.environ, "PYTHONPATH": str(HERE), **(options or {})}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=HERE
            )
        try:
            until(lambda: is_listening(port) or process.poll() is not None, f"the start of {name}")
            if process.poll() is not None:
                raise SystemExit(f"{name} did not start:\n{log.read_text()}")
            yield Process(name, port, max(family(process.pid)), process, log)
        finally:
            end(process)


@contextmanager
def attached(url: str, pid: int) -> Iterator[Process]:
    """A server that runs already, an application of your own: its address and its process id."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    if host not in (HOST, "localhost"):
        raise SystemExit(
            "the server must run on this machine, as http://127.0.0.1:PORT: its memory is watched"
        )
    yield Process(url, int(port or 80), pid)
