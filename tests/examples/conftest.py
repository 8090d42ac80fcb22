"""One Chromium for the tests of a module, and visitors for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import ARGUMENTS, CHROMIUM
from example_pages import Visitors
from playwright.sync_api import Browser, expect, sync_playwright


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visitors(browser: Browser) -> Iterator[Visitors]:
    expect.set_options(timeout=15_000)
    visitors = Visitors(browser)
    yield visitors
    visitors.close()
    assert visitors.errors == []
