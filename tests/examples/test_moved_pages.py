"""The examples that were moved: pages as they were with sockjs-node and with Spring, by each way."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal
from browser import serve
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.servers]


def served(name: str) -> Iterator[str]:
    app = importlib.import_module(f"examples.{name}.app").app
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serve(app)) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def chat() -> Iterator[str]:
    yield from served("sockjs")


@pytest.fixture(scope="module")
def greetings() -> Iterator[str]:
    yield from served("spring")


def opened(browser: Browser, address: str) -> Page:
    page = browser.new_page()
    page.goto(address)
    return page


def test_a_chat_of_sockjs_node(browser: Browser, chat: str) -> None:
    one, other = opened(browser, chat), opened(browser, f"{chat}?transport=xhr-polling")
    expect(one.locator("#state")).to_have_text("connected by websocket")
    expect(other.locator("#state")).to_have_text("connected by xhr-polling")
    expect(one.locator("li")).to_have_text(["1 are here", "2 are here"])
    for number, page in enumerate((one, other)):
        page.get_by_label("Say").fill(f"héllo {number}")
        page.get_by_label("Say").press("Enter")
        for each in (one, other):
            expect(each.locator("li").last).to_have_text(f"héllo {number}")
    other.get_by_label("Say").fill("/quit")
    other.get_by_label("Say").press("Enter")
    expect(other.locator("#state")).to_have_text("closed: 3001, as you wish")
    expect(one.locator("li").last).to_have_text("1 are here")
    one.close()
    other.close()


def test_greetings_of_spring(browser: Browser, greetings: str) -> None:
    pages: list[Page] = []
    for number, query in enumerate(("", "?transport=xhr-streaming", "?websocket")):
        page = opened(browser, greetings + query)
        pages.append(page)
        expect(page.locator("#count")).to_have_text(str(number))
        expect(page.locator("#me")).not_to_have_text("?")
        page.get_by_label("Your name").fill(f"<Ann> {number}")
        page.get_by_role("button").click()
        for each in pages:
            expect(each.locator("li").last).to_have_text(f"Hello, <Ann> {number}!")
        page.get_by_label("Your name").fill(" ")
        page.get_by_role("button").click()
        expect(page.locator("#error")).to_have_text("a greeting needs a name")
    for page in pages:
        page.close()
