"""One run of `browser.py`: a fresh browser context, a proxy of its own, a page with one client, and its server."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Playwright

from holdfast.demo.proxy import MisbehavingProxy

__all__ = [
    "BOUND_SECONDS",
    "CLIENTS",
    "Bench",
    "Outcome",
    "Server",
    "Visit",
    "freeze",
    "launch",
    "now_ms",
    "visit",
]

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
TICK_MS = 50
BOUND_SECONDS = 60.0
LANE_SECONDS = 2.0
"""A run that has connected and is not done after so long only waits: another may begin."""
SETTLE_SECONDS = 1.0

CLIENTS = {
    "holdfast": "holdfast",
    "socket.io": "socket.io, its defaults (polling first)",
    "socket.io ws": "socket.io, WebSocket first, tryAllTransports",
    "sockjs": "sockjs (WebSocket first)",
}

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def now_ms() -> float:
    return time.time() * 1000


def launch(playwright: Playwright) -> Any:
    """A headless Chromium with a fresh profile, to be awaited."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


class Server:
    """The server of one client, in a process of its own."""

    def __init__(self, client: str, *, traffic: bool) -> None:
        self._client = client
        self.traffic = traffic
        with socket.socket() as sock:
            sock.bind((HOST, 0))
            self.port: int = sock.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when it accepts connections."""
        env = {**os.environ, "TICK_MS": str(TICK_MS if self.traffic else 0)}
        self._process = await asyncio.create_subprocess_exec(*self._command(), env=env)
        while True:
            if self._process.returncode is not None:
                raise SystemExit(f"the server of {self._client} did not start; its message stands above")
            with socket.socket() as sock:
                if sock.connect_ex((HOST, self.port)) == 0:
                    return
            await asyncio.sleep(0.01)

    def _command(self) -> list[str]:
        if self._client != "holdfast":
            kind = "sockjs" if self._client == "sockjs" else "socketio"
            return ["node", str(HERE / "browser_server.mjs"), kind, str(self.port)]
        command = [sys.executable, "-m", "uvicorn", "browser_app:app", "--app-dir", str(HERE)]
        return [*command, "--port", str(self.port), "--log-level", "error", "--no-access-log"]

    async def kill(self) -> None:
        """End it at once. Idempotent."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Outcome:
    """What one run has shown.

    Attributes:
        ms: The figure; infinite if nothing came within the bound.
        carrier: What carried the event, in the client's own words.
        missing: Numbers that never came.
        received: How many events did.
    """

    ms: float
    carrier: str = ""
    missing: int = 0
    received: int = 0


@dataclass
class Bench:
    """What all runs share."""

    playwright: Playwright
    browser: Browser
    runs: int
    _servers: dict[tuple[str, bool], Server] = field(default_factory=dict[tuple[str, bool], Server])
    _spare: list[Browser] = field(default_factory=list[Browser])

    def server(self, client: str, *, traffic: bool) -> Server:
        """The server of a client; one process for all its runs, that `prepare` has started."""
        return self._servers["socket.io" if client == "socket.io ws" else client, traffic]

    async def prepare(self, clients: list[str]) -> None:
        for client in {"socket.io" if client == "socket.io ws" else client for client in clients}:
            for traffic in (False, True):
                server = self._servers[client, traffic] = Server(client, traffic=traffic)
                await server.start()

    async def borrow(self) -> Browser:
        """A browser for one run alone at a time."""
        return self._spare.pop() if self._spare else await launch(self.playwright)

    def give_back(self, browser: Browser) -> None:
        self._spare.append(browser)

    async def end(self) -> None:
        for browser in self._spare:
            await browser.close()
        for server in self._servers.values():
            await server.kill()


@dataclass
class Visit:
    """One run, as a row sees it.

    Attributes:
        number: Which one of its row.
        alone: No other run goes on at the same time.
        idle: Set when it only waits, so that another may begin.
    """

    bench: Bench
    client: str
    number: int
    server: Server
    proxy: MisbehavingProxy
    context: BrowserContext
    alone: bool
    page: Page | None = None
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Load the page, which does not connect yet."""
        if self.page is not None:
            await self.page.close()
        self.page = await self.context.new_page()
        await self.page.goto(self.proxy.url)
        await self.page.wait_for_function("window.check")

    async def begin(self) -> None:
        """Let the client connect."""
        assert self.page is not None
        await self.page.evaluate("client => begin(client)", self.client)
        if not self.alone:
            asyncio.get_running_loop().call_later(LANE_SECONDS, self.idle.set)

    async def next(self, since: float | None = None) -> Outcome:
        """The first event that was sent after a moment, or ever, as ms from that moment or from `begin`."""
        assert self.page is not None
        try:
            async with asyncio.timeout(BOUND_SECONDS):
                event = await self.page.evaluate("since => next(since)", since)
        except TimeoutError:
            event = {"ms": math.inf, "carrier": ""}
        counts = self.server.traffic and math.isfinite(event["ms"])
        seen = await self.page.evaluate("counts => check(counts)", counts)
        if seen["problems"]:
            raise SystemExit(f"{self.client} received {seen['problems'][:3]}")
        return Outcome(event["ms"], event["carrier"], seen["missing"], seen["heard"])

    async def settle(self) -> None:
        """Open, connect and stay for a moment, so that the client has the transport that it wants."""
        await self.open()
        await self.begin()
        if math.isinf((await self.next()).ms):
            raise SystemExit(f"{self.client} did not connect on an open network")
        if not self.alone:
            self.idle.set()
        await asyncio.sleep(SETTLE_SECONDS)

    async def phase(self) -> None:
        """Stay until a moment between two heartbeats: the runs are spread evenly over 25 s, for each client alike."""
        await asyncio.sleep(25 * (self.number + 0.5) / self.bench.runs)


@asynccontextmanager
async def visit(
    bench: Bench, client: str, number: int, *, traffic: bool, alone: bool, own: str = ""
) -> AsyncIterator[Visit]:
    """Everything for one run.

    Args:
        traffic: Whether the server sends numbers.
        alone: Whether it is the only run.
        own: What it must not share with other runs: "server", "browser" or "".
    """
    async with AsyncExitStack() as stack:
        if own == "server":
            server = Server(client, traffic=traffic)
            stack.push_async_callback(server.kill)
            await server.start()
        else:
            server = bench.server(client, traffic=traffic)
        browser = bench.browser
        if own == "browser":
            browser = await bench.borrow()
            stack.callback(bench.give_back, browser)
        proxy = await stack.enter_async_context(MisbehavingProxy(HOST, server.port))
        context = await browser.new_context()
        stack.push_async_callback(context.close)
        yield Visit(bench, client, number, server, proxy, context, alone)


async def process_ids(browser: Browser) -> list[int]:
    """The processes of a browser that we started, itself first."""
    session = await browser.new_browser_cdp_session()
    answer = await session.send("SystemInfo.getProcessInfo")
    await session.detach()
    return [
        process["id"]
        for process in sorted(answer["processInfo"], key=lambda process: process["type"] != "browser")
    ]


async def freeze(browser: Browser, seconds: float) -> float:
    """Stop a browser for some seconds; returns when it went on, in ms."""
    pids = await process_ids(browser)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
    finally:
        woken = now_ms()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    return woken
