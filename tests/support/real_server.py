"""Real servers in other processes: started on a free port, waited for by condition, ended by their own process id."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "APPS",
    "SERVERS",
    "UVICORN_WEBSOCKETS",
    "Running",
    "free_port",
    "running",
    "server_command",
    "until",
]

HOST = "127.0.0.1"
APPS = Path(__file__).resolve().parent.parent / "apps"
PATIENCE = 40.0

SERVERS: dict[str, list[str]] = {
    "uvicorn": ["uvicorn", "--timeout-graceful-shutdown=2", "--log-level=warning"],
    "uvicorn-sansio-h11": [
        "uvicorn",
        "--timeout-graceful-shutdown=2",
        "--log-level=warning",
        "--ws=websockets-sansio",
        "--http=h11",
        "--loop=asyncio",
    ],
    # Below ASGI, by `lane` of the same module.
    "uvicorn-fast": ["uvicorn", "--timeout-graceful-shutdown=2", "--log-level=warning", "--no-access-log"],
    "hypercorn-asyncio": ["hypercorn", "--worker-class=asyncio", "--graceful-timeout=2"],
    "hypercorn-trio": ["hypercorn_on_trio", "--worker-class=trio", "--graceful-timeout=2"],
}

# Besides "auto", which is one of them.
UVICORN_WEBSOCKETS = ["websockets", "websockets-sansio", "wsproto"]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def server_command(name: str, app: str, port: int, *more: str) -> list[str]:
    """How to start an application of `tests/apps` on one of the `SERVERS`, with ``more`` options."""
    module, *options = [*SERVERS[name], *more]
    if name == "uvicorn-fast":
        options.append(f"--http={app.partition(':')[0]}:lane.http")
    if module == "uvicorn":
        options.append(f"--port={port}")
    else:
        options.append(f"--bind={HOST}:{port}")
    return [sys.executable, "-m", module, *options, app]


def until(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.01)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


class Running:
    """A server process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log_path = log

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def log(self) -> str:
        """What it has written so far."""
        return self.log_path.read_text(errors="replace")

    def end(self) -> int:
        """Ask it to end, and wait for that."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def running(
    command: Sequence[str], port: int, *, folder: Path | None = None, **environment: str
) -> Iterator[Running]:
    """A server that accepts connections on ``port``, started in a folder."""
    paths = [environment.pop("PYTHONPATH", ""), str(APPS), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=folder)
        server = Running(process, port, log)
        try:
            until(lambda: _accepts(port) or process.poll() is not None, "the server's start")
            assert process.poll() is None, server.log()
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
