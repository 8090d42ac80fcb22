"""Takes the pictures in the READMEs: `python -m examples.screenshots`, with Playwright and Chromium."""

from __future__ import annotations

import math
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["main"]

HERE = Path(__file__).resolve().parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
PAUSE_MS = 400

Points = list[tuple[float, float]]


def open_page(browser: Browser, address: str, client: str) -> Page:
    page = browser.new_context(viewport={"width": 1000, "height": 620}).new_page()
    page.goto(f"{address}?client={client}")
    page.locator('#connection[data-transport="websocket"]').wait_for()
    return page


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send").click()
    page.wait_for_timeout(PAUSE_MS)


def take_chat(ada: Page, grace: Page) -> None:
    for page, name in ((ada, "Ada"), (grace, "Grace")):
        page.get_by_label("Your name").fill(name)
        page.get_by_role("button", name="Join").click()
        page.get_by_label("Rooms").wait_for()
    say(grace, "Good morning! Did you notice the tunnel?")
    say(ada, "What tunnel?")
    say(ada, "I saw “waiting” for a moment, and there it was.")
    grace.get_by_label("Name of a room").fill("compilers")
    grace.get_by_role("button", name="Enter the room").click()
    grace.get_by_label("People").get_by_role("button", name="Ada").click()
    say(grace, "Come over to #compilers")
    grace.get_by_label("Rooms").get_by_role("button", name="lobby").click()
    grace.get_by_label("Message", exact=True).press_sequentially("Told you")
    ada.get_by_text("Grace is typing").wait_for()
    ada.screenshot(path=HERE / "chat" / "chat.png")


def draw(page: Page, colour: str, width: str, points: Points, *, lift: bool = True) -> None:
    page.get_by_role("radio", name=colour).check(force=True)
    page.get_by_role("radio", name=width, exact=True).check(force=True)
    box = page.locator("#sketch").bounding_box()
    assert box is not None
    scale = box["width"] / 1600
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * scale, box["y"] + y * scale)
        if not number:
            page.mouse.down()
    if lift:
        page.mouse.up()
    page.wait_for_timeout(PAUSE_MS)


def curve(
    begin: float, end: float, centre: float, height: float, length: float, slope: float = 0.0
) -> Points:
    """A wave from left to right."""
    steps = int((end - begin) / 12)
    return [
        (begin + 12 * step, centre + slope * step + height * math.sin(12 * step / length))
        for step in range(steps)
    ]


def circle(x: float, y: float, radius: float, turns: float = 1.02) -> Points:
    angles = [step / 6 for step in range(int(turns * 38))]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def rays(x: float, y: float) -> Iterator[Points]:
    for step in range(9):
        angle = step * math.tau / 9
        yield [(x + far * math.cos(angle), y + far * math.sin(angle)) for far in (125, 150, 180)]


def take_whiteboard(ada: Page, grace: Page) -> None:
    draw(ada, "Orange", "Broad", circle(1270, 240, 90))
    for ray in rays(1270, 240):
        draw(ada, "Orange", "Medium", ray)
    draw(grace, "Green", "Broad", curve(60, 760, 520, 70, 130, -2.5))
    draw(grace, "Green", "Medium", curve(420, 1540, 470, 45, 170, 1.2))
    for row in range(3):
        draw(ada, "Blue", "Medium", curve(90 + 60 * row, 1500 - 40 * row, 720 + 80 * row, 18, 36))
    draw(grace, "Ink", "Medium", [(600, 660), (640, 720), (860, 720), (910, 660), (600, 660)])
    draw(grace, "Ink", "Medium", [(750, 655), (750, 500), (750, 380)])
    draw(grace, "Red", "Medium", [(765, 390), (830, 500), (880, 620), (820, 632), (765, 635), (765, 390)])
    for x, y in ((330, 200), (450, 150), (520, 240)):
        draw(ada, "Ink", "Fine", [(x, y), (x + 22, y - 18), (x + 40, y + 6), (x + 60, y - 16), (x + 84, y)])
    draw(
        grace,
        "Violet",
        "Medium",
        [(x, 330 - 60 * math.sin((x - 900) / 50)) for x in range(900, 1080, 8)],
        lift=False,
    )
    ada.wait_for_timeout(2 * PAUSE_MS)
    ada.screenshot(path=HERE / "whiteboard" / "whiteboard.png")


def main() -> None:
    """Run both examples, play two people in each, and take the pictures."""
    command = [sys.executable, "-m", "examples", "--port", "0"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent) as runner,
        sync_playwright() as playwright,
    ):
        try:
            path = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            for take in (take_chat, take_whiteboard):
                assert runner.stdout is not None
                found = re.search(r"http://\S+", runner.stdout.readline())
                assert found is not None
                take(open_page(browser, found[0], "holdfast"), open_page(browser, found[0], "official"))
            browser.close()
        finally:
            runner.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
