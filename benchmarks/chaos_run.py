"""One talk, or several, through a proxy of its own: what `chaos.py` makes its rows of, and tests use too."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.streams.buffered import BufferedByteReceiveStream

from holdfast.demo.proxy import Faults, MisbehavingProxy
from holdfast.demo.weather import Struck

__all__ = ["SERVERS", "Client", "Outcome", "Weather", "clean", "run", "serving"]

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
LINE_LIMIT_BYTES = 16_000_000
# A gap that begins no later than this after a cut is the cut's: what was on its way may still arrive.
CUT_SECONDS = 0.01
NODE = shutil.which("node") or "node"

SERVERS: dict[str, tuple[str, dict[str, str]]] = {
    "holdfast": ("chaos_app:app", {}),
    "holdfast recovery": ("chaos_app:app", {"RECOVERY": "1"}),
    "python-socketio": ("chaos_app:socketio_app", {}),
    "socket.io": ("chaos_server.mjs", {}),
    "socket.io recovery": ("chaos_server.mjs", {"RECOVERY": "1"}),
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def command(server: str, port: int) -> list[str]:
    application, _ = SERVERS[server]
    if application.endswith(".mjs"):
        return [NODE, str(HERE / application)]
    options = [f"--port={port}", "--log-level=warning", f"--app-dir={HERE}", "--ws-per-message-deflate=false"]
    return [sys.executable, "-m", "uvicorn", application, *options, "--timeout-graceful-shutdown=1"]


@asynccontextmanager
async def serving(server: str) -> AsyncIterator[str]:
    """One of `SERVERS` in a process of its own; its URL, as soon as it answers."""
    port = free_port()
    environment = {**os.environ, **SERVERS[server][1], "PORT": str(port)}
    # What ours has to say is a fault of ours; others log much.
    errors = sys.stderr if server.startswith("holdfast") else DEVNULL
    process = await anyio.open_process(command(server, port), stdout=DEVNULL, stderr=errors, env=environment)
    try:
        with anyio.fail_after(40):
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex((HOST, port)) == 0:
                        break
                await anyio.sleep(0.02)
        yield f"http://{HOST}:{port}"
    finally:
        with anyio.CancelScope(shield=True):
            process.terminate()
            with anyio.move_on_after(10):
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()


@dataclass
class Outcome:
    """What one talk has come to. `down` and `up` are verdicts, as of `holdfast.demo.checker.Verdict`."""

    result: dict[str, Any]
    struck: list[Struck] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def down(self) -> dict[str, int]:
        return self.result["down"]

    @property
    def up(self) -> dict[str, int]:
        return self.result["up"]

    @property
    def first(self) -> float:
        """Seconds until the first event from the server; infinite, if there was none."""
        milliseconds = self.result["firstMs"]
        return math.inf if milliseconds is None else milliseconds / 1000

    @property
    def outages(self) -> list[float]:
        """Seconds from the end of each cut connection until the next event from the server was heard."""
        return [self._outage(cut.ended + CUT_SECONDS) + CUT_SECONDS for cut in self.struck]

    def _outage(self, moment: float) -> float:
        for began, ended in self.result["gaps"]:
            if began <= moment < ended:
                return ended - moment
        return 0.0

    @property
    def longest_gap(self) -> float:
        """Seconds in which nothing was heard from the server, at most."""
        return max((ended - began for began, ended in self.result["gaps"]), default=0.0)


def clean(verdict: dict[str, int]) -> bool:
    """Whether each number came once, in its place and undamaged."""
    wrong = sum(verdict[name] for name in ("lost", "repeated", "disordered", "damaged"))
    return not wrong and verdict["received"] == verdict["sent"]


class Client:
    """`chaos_client.mjs` in a process of its own.

    Attributes:
        said: All that it has said so far.
    """

    def __init__(self, process: anyio.abc.Process) -> None:
        self._process = process
        self._changed = anyio.Event()
        self._over = anyio.Event()
        self.said: list[dict[str, Any]] = []

    async def read(self) -> None:
        assert self._process.stdout is not None
        lines = BufferedByteReceiveStream(self._process.stdout)
        try:
            while True:
                self.said.append(json.loads(await lines.receive_until(b"\n", LINE_LIMIT_BYTES)))
                self._wake()
        except anyio.IncompleteRead:
            self._over.set()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def all(self, event: str) -> list[dict[str, Any]]:
        """What it has said of this kind."""
        return [line for line in self.said if line["event"] == event]

    @property
    def transport(self) -> str:
        """What carries its session, by the last change it told of."""
        changes = self.all("transport")
        return changes[-1]["to"] if changes else ""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; for ever, if the client has come to its end before."""
        await anyio.lowlevel.checkpoint()
        while not condition():
            await self._changed.wait()

    async def finish(self) -> None:
        """Let the talk come to its end in a second."""
        assert self._process.stdin is not None
        await self._process.stdin.send(b"finish\n")

    async def results(self) -> list[dict[str, Any]]:
        """Of all its talks, when it is done.

        Raises:
            RuntimeError: It has failed.
        """
        await self._over.wait()
        if await self._process.wait():
            raise RuntimeError("the client has failed; what it said stands above")
        return self.all("result")


Weather = Callable[[MisbehavingProxy, Client, Callable[[Struck], None]], Awaitable[object]]


async def run(
    url: str,
    given: dict[str, Any],
    *,
    faults: Faults | None = None,
    weather: Weather | None = None,
    seed: int = 0,
    bound: float = 560.0,
) -> list[Outcome]:
    """Let a client talk through a proxy.

    Args:
        url: The server's.
        given: What `chaos_client.mjs` is told, without the URL.
        faults: From the start.
        weather: What befalls the talk while it lasts; told the proxy, the client and whom to tell of each cut. It is
            cancelled when the client is done.
        seed: Of all that is random in the proxy.
        bound: Seconds after which it is given up.

    Raises:
        TimeoutError: It was not done by then.
    """
    target = urlsplit(url)
    struck: list[Struck] = []
    async with MisbehavingProxy(
        target.hostname or HOST, target.port or 80, faults=faults, seed=seed
    ) as proxy:
        async with client_of(proxy.url, given) as client, anyio.create_task_group() as tasks:
            if weather is not None:
                tasks.start_soon(weather, proxy, client, struck.append)
            with anyio.fail_after(bound):
                results = await client.results()
            tasks.cancel_scope.cancel()
        happened = {str(name): times for name, times in proxy.stats.faults.items()}
    return [Outcome(result, struck, happened) for result in results]


@asynccontextmanager
async def client_of(url: str, given: dict[str, Any]) -> AsyncIterator[Client]:
    told = json.dumps({**given, "url": url})
    process = await anyio.open_process([NODE, str(HERE / "chaos_client.mjs"), told], stderr=sys.stderr)
    client = Client(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.read)
            yield client
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()
