"""A page in a real Chromium, an application on a real uvicorn, the misbehaving proxy between. All in one loop."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn
from playwright.async_api import Browser, Page, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from holdfast import Server

__all__ = ["CHROMIUM", "ARGUMENTS", "eventually", "launch", "open_page", "serve", "until", "with_page"]

# Without one of these, Playwright takes the browser that it has downloaded.
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


def with_page(io: Server, html: str) -> Starlette:
    """An application with one page beside the server."""

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(html)

    return Starlette(routes=[Route("/", page), Mount("/socket.io", app=io)])


@asynccontextmanager
async def serve(app: Any) -> AsyncIterator[int]:
    """Run an application on a real uvicorn; yields its port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started:
            await asyncio.sleep(0)
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def launch() -> AsyncIterator[Browser]:
    """A headless Chromium with a fresh profile."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(browser: Browser, url: str) -> tuple[Page, list[str]]:
    """A page, and the list in which its uncaught errors will stand."""
    page = await browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(url)
    return page, errors


async def until(page: Page, condition: str, *, timeout_ms: float = 20_000) -> None:
    """Wait until an expression is true in the page."""
    await page.wait_for_function(f"() => {condition}", timeout=timeout_ms)


async def eventually(condition: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Wait until something holds on this side.

    Raises:
        TimeoutError: It took longer.
    """
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)
