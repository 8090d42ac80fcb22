"""The example of STOMP, as a browser shows it."""

from __future__ import annotations

import importlib

import pytest
from anyio.from_thread import start_blocking_portal
from browser import serve
from playwright.sync_api import Browser, expect

pytestmark = [pytest.mark.browser, pytest.mark.servers]


def test_what_is_said_on_one_side_is_heard_on_both(browser: Browser) -> None:
    app = importlib.import_module("examples.stomp.app").app
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serve(app)) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("body[data-ready]")).to_be_visible()
        for side in ("Socket.IO", "STOMP"):
            page.get_by_label(f"Say by {side}").fill(f"héllo by {side}")
            page.get_by_label(f"Say by {side}").press("Enter")
            for section in ("#events", "#stomp"):
                expect(page.locator(f"{section} li").last).to_have_text(f"{side}: héllo by {side}")
        page.close()
