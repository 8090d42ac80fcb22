"""One browser for the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from browser import ARGUMENTS, CHROMIUM
from browsers import BROWSERS, Chromium, launched
from browsers import Browser as AnyBrowser
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=BROWSERS)
async def each_browser(anyio_backend: str, request: pytest.FixtureRequest) -> AsyncIterator[AnyBrowser]:
    """Each of them in turn, for modules whose `anyio_backend` has their scope."""
    async with launched(request.param) as browser:
        yield browser


@pytest.fixture(scope="module")
async def real_chromium(anyio_backend: str) -> AsyncIterator[Chromium]:
    """Chromium as people have it, for what only it can do."""
    async with launched("chromium") as browser:
        assert isinstance(browser, Chromium)
        yield browser
