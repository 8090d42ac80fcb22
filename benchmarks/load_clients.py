"""The two ends between which a load benchmark stands: Node clients (`load_client.mjs`), and a proxy that fails."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from load_servers import HERE, Process, until

__all__ = ["Clients", "Proxy", "clients", "compare", "compare_all", "proxy"]


class _Talk:
    """A process that is told lines and says lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark has ended; its message stands above")
        return line.strip()


class Proxy(_Talk):
    """`load_proxy.mjs`."""

    port = 0

    def do(self, command: str) -> str:
        self.tell(command)
        return self.hear()


class Clients(_Talk):
    """`load_client.mjs`."""

    def ask(self, command: str) -> dict[str, Any]:
        # Any: JSON.
        self.tell(command)
        found: dict[str, Any] = json.loads(self.hear())
        return found


def _start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["node", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
    )


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def proxy(server: Process) -> Iterator[Proxy]:
    """A proxy in front of a server."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    process = _start(str(Path("load_proxy.mjs")), str(port), str(server.port))
    try:
        found = Proxy(process)
        assert found.hear() == "ready"
        found.port = port
        yield found
    finally:
        _end(process)


@contextmanager
def clients(
    kind: str, port: int, count: int, options: Mapping[str, object]
) -> Iterator[tuple[Clients, dict[str, Any]]]:
    """So many clients, and how they came in."""
    url = f"http://127.0.0.1:{port}"
    process = _start("load_client.mjs", kind, url, str(count), json.dumps(options))
    try:
        found = Clients(process)
        yield found, json.loads(found.hear())
    finally:
        _end(process)


def compare(talk: Clients, server: Process) -> dict[str, int]:
    """`compare_all` for one process of clients."""
    return compare_all([talk], server)


def compare_all(talks: Sequence[Clients], server: Process) -> dict[str, int]:
    """Stop the numbers at both ends, wait until nothing moves any more, and compare what was sent with what came."""
    for talk in talks:
        talk.ask("stop")
    server.get("/stop")
    before: object = None

    def is_quiet() -> bool:
        nonlocal before
        now = [
            [one["down"]["received"] for talk in talks for one in talk.ask("report")["clients"]],
            {id: one["received"] for id, one in server.state()["up"].items()},
        ]
        same, before = now == before, now
        time.sleep(2)
        return same

    until(is_quiet, "that nothing moves any more", seconds=120)
    found = dict.fromkeys(("lost down", "lost up", "dup", "ooo", "down", "up", "connects", "disconnects"), 0)
    state = server.state()
    reports = [talk.ask("report") for talk in talks]
    if any(report["reasons"] for report in reports):
        print("disconnected:", *(report["reasons"] for report in reports), file=sys.stderr, flush=True)
    for one in [one for report in reports for one in report["clients"]]:
        up, down, sent = state["up"][one["id"]], one["down"], state["down"][one["id"]]
        found["lost down"] += down["lost"] + sent - down["sent"]
        found["lost up"] += up["lost"] + one["sent"] - up["sent"]
        found["dup"] += up["repeated"] + down["repeated"]
        found["ooo"] += up["disordered"] + down["disordered"]
        found["down"] += sent
        found["up"] += one["sent"]
        found["connects"] += one["connects"]
        found["disconnects"] += one["disconnects"]
    return found
