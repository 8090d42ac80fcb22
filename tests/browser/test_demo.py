"""The demo in a real browser: whatever is switched, the session moves and the counters stay at zero."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.servers]

PATIENCE_MS = 20_000
CLIENTS = Path(__file__).parents[1] / "clients"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A running demo."""
    command = [sys.executable, "-m", "holdfast.demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            found = re.search(r"http://\S+", demo.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            demo.send_signal(signal.SIGINT)
    assert demo.returncode == 0


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    return open_page(context, address)


def open_page(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.get_by_role("button", name="All clear").click()
    carried_by(page, "websocket")
    assert errors == []
    return page


def until(page: Page, condition: str) -> None:
    page.wait_for_function(f"() => {{ const h = window.__holdfast; return {condition}; }}")


def carried_by(page: Page, transport: str) -> None:
    until(page, f"h.carrier === '{transport}'")


def flows(page: Page, events: int = 20) -> None:
    """Wait until so many more events have arrived at both ends."""
    up, down = page.evaluate("[__holdfast.counters.up.received, __holdfast.counters.down.received]")
    until(page, f"h.counters.up.received >= {up + events} && h.counters.down.received >= {down + events}")


def flip(page: Page, name: str, on: bool) -> None:
    page.get_by_role("switch", name=name, exact=True).set_checked(on)


def set_slider(page: Page, name: str, value: int) -> None:
    page.get_by_label(name, exact=True).fill(str(value))


def assert_whole(page: Page) -> None:
    """Nothing is under way, and what was sent is what was received."""
    set_slider(page, "Events per second, each way", 0)
    until(page, "['up', 'down'].every((way) => h.counters[way].sent === h.counters[way].received)")
    for way, numbers in page.evaluate("__holdfast.counters").items():
        assert numbers["sent"] > 0, way
        assert {key: numbers[key] for key in ("lost", "repeated", "disordered")} == {
            "lost": 0,
            "repeated": 0,
            "disordered": 0,
        }
    assert page.evaluate("__holdfast.disconnects") == 0
    expect(page.locator("#verdict")).to_have_text("Nothing lost, all in order")


@pytest.mark.timeout(180)
def test_every_switch_moves_the_session_and_no_counter(page: Page) -> None:
    set_slider(page, "Events per second, each way", 60)
    flows(page)

    flip(page, "Refuse WebSocket", True)
    carried_by(page, "stream")
    flows(page)
    flip(page, "Hold back streaming", True)
    carried_by(page, "polling")
    flows(page)
    flip(page, "Hold back streaming", False)
    carried_by(page, "stream")
    flip(page, "Refuse WebSocket", False)
    carried_by(page, "websocket")
    flows(page)

    flip(page, "Swallow WebSocket", True)
    until(page, "h.carrier === 'stream' || h.carrier === 'polling'")
    flows(page)
    flip(page, "Swallow WebSocket", False)
    carried_by(page, "websocket")

    changes = page.evaluate("__holdfast.changes")
    page.get_by_role("button", name="Cut the carrier").click()
    until(page, f"h.changes > {changes}")
    carried_by(page, "websocket")
    flows(page)

    page.get_by_label("Seconds to cut everything").fill("1")
    page.get_by_role("button", name="Cut everything").click()
    carried_by(page, "none")
    carried_by(page, "websocket")
    flows(page)

    set_slider(page, "Delay each way", 150)
    until(page, "h.roundTrip >= 300")
    page.get_by_role("button", name="All clear").click()
    until(page, "h.roundTrip < 300")
    assert_whole(page)


@pytest.mark.timeout(90)
def test_plain_polling_shows_its_price_and_loses_nothing(page: Page) -> None:
    flows(page)
    flip(page, "Plain polling", True)
    carried_by(page, "polling")
    flows(page)
    until(page, "Number(document.getElementById('requests').textContent) > 5")
    flip(page, "Plain polling", False)
    carried_by(page, "websocket")
    flows(page)
    assert_whole(page)


def test_two_tabs_talk_while_one_of_them_is_cut(page: Page, context: BrowserContext, address: str) -> None:
    other = open_page(context, address)
    for tab, name in ((page, "Ada"), (other, "Grace")):
        tab.get_by_label("Your name").fill(name)
        tab.get_by_label("Message", exact=True).fill(f"hello from {name}")
        page.get_by_role("button", name="Cut the carrier").click()
        tab.get_by_role("button", name="Send").click()
    for tab in (page, other):
        for name in ("Ada", "Grace"):
            expect(tab.get_by_role("list", name="Messages")).to_contain_text(f"hello from {name}")


def test_an_outage_is_shown_as_it_is(page: Page) -> None:
    flows(page)
    until(page, "h.counters.up.underway < 20 && h.counters.down.underway < 20")
    page.get_by_label("Seconds to cut everything").fill("60")
    page.get_by_role("button", name="Cut everything").click()
    carried_by(page, "none")
    page.get_by_label("Message", exact=True).fill("said in the dark")
    page.get_by_role("button", name="Send").click()
    messages = page.get_by_role("list", name="Messages").get_by_role("listitem")
    expect(messages.filter(has_text="said in the dark")).to_have_class(re.compile("waiting"))
    until(page, "h.counters.up.underway > 30 && h.counters.down.underway > 30")
    expect(page.locator("#round-trip")).to_have_text(re.compile(r"> \d+ s"))
    page.get_by_role("button", name="All clear").click()
    carried_by(page, "websocket")
    expect(messages.filter(has_text="said in the dark")).to_have_class("mine")
    expect(page.locator("#round-trip")).to_have_text(re.compile(r"\d+ ms"))
    until(page, "h.counters.up.underway < 20 && h.counters.down.underway < 20")
    assert_whole(page)


def test_the_diagnosis_names_what_was_tried(page: Page) -> None:
    page.locator("#diagnosis summary").click()
    expect(page.locator("#inspection")).to_contain_text('"verdict": "carries"')
    seen = json.loads(page.locator("#inspection").inner_text())
    assert seen["status"] == "connected"
    assert seen["attempts"][0]["transport"] == "websocket"


def test_the_page_fits_a_phone_and_both_color_schemes(browser: Browser, address: str) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
        page = open_page(context, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        context.close()


def test_everything_that_can_be_operated_has_a_name(page: Page) -> None:
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, a, [tabindex]")]
            .filter((e) => !e.labels?.length && !e.textContent.trim() && !e.getAttribute("aria-label"))
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []


SEATS = {"Socket.IO": "#by-events", "SockJS": "#by-sockjs", "STOMP": "#by-stomp"}


def sit_down(page: Page) -> None:
    page.get_by_text("One conversation, three protocols").click()
    for by in SEATS:
        expect(page.get_by_label(f"Say by {by}", exact=True)).to_be_enabled()


def say_by_each(page: Page, text: str) -> None:
    for by in SEATS:
        page.get_by_label(f"Say by {by}", exact=True).fill(text)
        page.get_by_label(f"Say by {by}", exact=True).press("Enter")


def heard_by_each(page: Page, count: int) -> list[list[str]]:
    for seat in SEATS.values():
        expect(page.locator(f"{seat} li")).to_have_count(count)
    return [sorted(page.locator(f"{seat} li").all_text_contents()) for seat in SEATS.values()]


def test_three_protocols_at_one_table(page: Page, address: str) -> None:
    sit_down(page)
    node = shutil.which("node")
    assert node is not None
    command = [node, str(CLIENTS / "table.js"), address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as published:
        try:
            assert published.stdout is not None
            assert json.loads(published.stdout.readline()) == "ready"
            assert heard_by_each(page, 3) == [sorted(f"{by}node" for by in SEATS)] * 3
            say_by_each(page, "page")
            heard = json.loads(published.stdout.readline())
        finally:
            published.kill()
    all_of_it = sorted(f"{by}: {place}" for by in SEATS for place in ("node", "page"))
    assert [sorted(lines) for lines in heard.values()] == [all_of_it] * 3
    assert heard_by_each(page, 6) == [sorted(line.replace(": ", "") for line in all_of_it)] * 3


def test_conversation_goes_on_where_no_websocket_gets_through(page: Page) -> None:
    sit_down(page)
    flip(page, "Refuse WebSocket", True)
    carried_by(page, "stream")
    say_by_each(page, "still here")
    assert heard_by_each(page, 3) == [sorted(f"{by}still here" for by in SEATS)] * 3
    flip(page, "Refuse WebSocket", False)
