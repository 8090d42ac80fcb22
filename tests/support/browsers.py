"""Chromium and Firefox behind one small interface, so that a test is written once.

Both are stock browsers with a fresh profile, and their tabs lie in one window: one that is not in front is hidden, and
its timers are throttled, as with people.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio
from browser import ARGUMENTS, CHROMIUM
from browser_process import browser_process
from firefox import Bidi, firefox
from playwright.async_api import Browser as PlaywrightBrowser
from playwright.async_api import CDPSession, Page, async_playwright

__all__ = ["BROWSERS", "Browser", "Chromium", "ChromiumTab", "Firefox", "Tab", "launched"]

CONNECT_MS = 90_000
LISTENING = "DevTools listening on "


class Tab(Protocol):
    """One tab, and what went wrong in it."""

    @property
    def errors(self) -> list[str]:
        """Its uncaught errors."""
        ...

    async def goto(self, url: str) -> None:
        """Open another page in it."""
        ...

    async def back(self) -> None:
        """Go back, to a page that may have been kept."""
        ...

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, if JSON can say it; a promise is awaited."""
        ...

    async def to_front(self) -> None:
        """Show it; the one in front until now is hidden."""
        ...

    async def close(self) -> None:
        """Close it, as its user does."""
        ...

    async def until(self, condition: str, *, seconds: float = 20.0) -> None:
        """Wait until an expression is true in the page.

        Raises:
            TimeoutError: It took longer.
        """
        ...


class Browser(Protocol):
    """A browser with one profile."""

    name: str

    async def open(self, url: str) -> Tab:
        """A new tab, in front."""
        ...


async def _until(evaluate: Callable[[str], Awaitable[Any]], condition: str, seconds: float) -> None:
    # Asked from outside: a hidden page has hardly any timers.
    with anyio.fail_after(seconds):
        while not await evaluate(f"!!({condition})"):
            await anyio.sleep(0.02)


class ChromiumTab:
    """A tab of Chromium, with its DevTools session for what only those can do."""

    def __init__(self, page: Page, devtools: CDPSession) -> None:
        self.page = page
        self.devtools = devtools
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def goto(self, url: str) -> None:
        await self.page.goto(url)

    async def back(self) -> None:
        # A page that was kept is not loaded again.
        await self.page.go_back(wait_until="commit")

    async def evaluate(self, expression: str) -> Any:
        return await self.page.evaluate(expression)

    async def to_front(self) -> None:
        await self.page.bring_to_front()

    async def close(self) -> None:
        await self.page.close()

    async def until(self, condition: str, *, seconds: float = 20.0) -> None:
        await _until(self.evaluate, condition, seconds)


class Chromium:
    """Chromium as it is: Playwright speaks to it, but sets nothing up."""

    name = "chromium"

    def __init__(self, browser: PlaywrightBrowser) -> None:
        self._browser = browser
        self._context = browser.contexts[0]

    async def open(self, url: str) -> ChromiumTab:
        page = await self._context.new_page()
        tab = ChromiumTab(page, await self._context.new_cdp_session(page))
        await tab.to_front()
        await tab.goto(url)
        return tab

    async def sleep(self, seconds: float) -> None:
        """Stop all its processes for a time, as a laptop does that is closed."""
        devtools = await self._browser.new_browser_cdp_session()
        info = await devtools.send("SystemInfo.getProcessInfo")
        await devtools.detach()
        pids = [process["id"] for process in info["processInfo"]]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            await anyio.sleep(seconds)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


class FirefoxTab:
    """A tab of Firefox."""

    def __init__(self, bidi: Bidi, context: str, errors: list[str]) -> None:
        self._bidi = bidi
        self._context = context
        self.errors = errors

    async def goto(self, url: str) -> None:
        await self._bidi.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def back(self) -> None:
        await self._bidi.command("browsingContext.traverseHistory", context=self._context, delta=-1)

    async def evaluate(self, expression: str) -> Any:
        # What is no JSON is none in the answer either.
        said = await self._bidi.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        if said["type"] == "exception":
            raise AssertionError(said["exceptionDetails"]["text"])
        return json.loads(said["result"].get("value", "null"))

    async def offline(self, is_offline: bool) -> None:
        """Let the page believe that there is no network, or that there is one again. Requests fail meanwhile."""
        conditions = {"type": "offline"} if is_offline else None
        await self._bidi.command(
            "emulation.setNetworkConditions", networkConditions=conditions, contexts=[self._context]
        )

    async def to_front(self) -> None:
        await self._bidi.command("browsingContext.activate", context=self._context)

    async def close(self) -> None:
        await self._bidi.command("browsingContext.close", context=self._context)

    async def until(self, condition: str, *, seconds: float = 20.0) -> None:
        await _until(self.evaluate, condition, seconds)


class Firefox:
    """Firefox as it is."""

    name = "firefox"

    def __init__(self, bidi: Bidi) -> None:
        self._bidi = bidi
        self._errors: dict[str, list[str]] = {}
        bidi.on("script.message", self._hear)

    def _hear(self, message: Any) -> None:
        self._errors.setdefault(message["source"]["context"], []).append(message["data"]["value"])

    async def open(self, url: str) -> FirefoxTab:
        created = await self._bidi.command("browsingContext.create", type="tab")
        context = created["context"]
        tab = FirefoxTab(self._bidi, context, self._errors.setdefault(context, []))
        await tab.goto(url)
        return tab


@asynccontextmanager
async def _chromium() -> AsyncIterator[Chromium]:
    async with async_playwright() as playwright:
        program = CHROMIUM or playwright.chromium.executable_path
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            own = ["--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
            async with browser_process(program, *ARGUMENTS, *own, says=LISTENING) as (_, address):
                browser = await playwright.chromium.connect_over_cdp(
                    address, no_defaults=True, timeout=CONNECT_MS
                )
                yield Chromium(browser)
                await browser.close()


@asynccontextmanager
async def _firefox() -> AsyncIterator[Firefox]:
    async with firefox() as bidi:
        yield Firefox(bidi)


_LAUNCHERS: dict[str, Callable[[], Any]] = {"chromium": _chromium, "firefox": _firefox}

BROWSERS = sorted(_LAUNCHERS)


@asynccontextmanager
async def launched(name: str) -> AsyncIterator[Browser]:
    """One of the `BROWSERS`, headless, with a fresh profile."""
    async with _LAUNCHERS[name]() as browser:
        yield browser
