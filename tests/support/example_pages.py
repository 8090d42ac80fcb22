"""An example on a real server, and its page in a real Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from example_events import EXAMPLES
from playwright.sync_api import Browser, Page, expect
from real_server import Running, free_port, running, server_command

__all__ = ["CLIENTS", "FRAMEWORKS", "Visitors", "connected", "start_example"]

CLIENTS = ("holdfast", "official")
FRAMEWORKS = ("fastapi", "starlette")
PATIENCE_MS = 15_000


@contextmanager
def start_example(name: str, framework: str = "fastapi", port: int = 0) -> Iterator[Running]:
    """An example on a real server."""
    port = port or free_port()
    command = server_command("uvicorn", f"examples.{name}.{framework}_app:app", port)
    path = os.pathsep.join(filter(None, [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]))
    with running(command, port, PYTHONPATH=path) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


class Visitors:
    """Pages of an example, each in a profile of its own, and what went wrong in them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.errors: list[str] = []
        self.hosts: set[str] = set()

    def open(self, address: str, client: str) -> Page:
        """A page that is connected by WebSocket."""
        context = self._browser.new_context(viewport={"width": 1000, "height": 700})
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))
        page.goto(f"{address}/?client={client}")
        connected(page)
        expect(page.locator("[data-client][aria-current]")).to_have_attribute("data-client", client)
        return page

    def close(self) -> None:
        for context in self._browser.contexts:
            context.close()


def connected(page: Page) -> None:
    """Wait until the page says so."""
    expect(page.locator("#connection")).to_have_text("connected by WebSocket", timeout=PATIENCE_MS)
