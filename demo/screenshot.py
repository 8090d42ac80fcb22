"""Takes docs/demo.png: `python demo/screenshot.py`, in the repository, with Playwright and Chromium."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

__all__ = ["break_things"]

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "demo.png"


def break_things(page: Page) -> None:
    """Give the timeline something to show."""
    page.get_by_label("Events per second, each way").fill("60")
    says = [("Ada", "Is this still a WebSocket?"), ("Grace", "It was, a moment ago. Did you notice?")]
    for name, text in says:
        page.get_by_label("Your name").fill(name)
        page.get_by_label("Message", exact=True).fill(text)
        page.get_by_role("button", name="Send").click()
    page.wait_for_timeout(6000)
    flip(page, "Refuse WebSocket", "stream", on=True)
    flip(page, "Hold back streaming", "polling", on=True)
    flip(page, "Hold back streaming", "stream", on=False)
    flip(page, "Refuse WebSocket", "websocket", on=False)
    page.get_by_label("Seconds to cut everything").fill("4")
    page.get_by_role("button", name="Cut everything").click()
    carried_by(page, "none")
    carried_by(page, "websocket")
    page.wait_for_timeout(3000)
    page.get_by_role("button", name="Cut the carrier").click()
    page.wait_for_timeout(5000)
    flip(page, "Swallow WebSocket", "stream", on=True)


def flip(page: Page, name: str, transport: str, *, on: bool) -> None:
    page.get_by_role("switch", name=name, exact=True).set_checked(on)
    carried_by(page, transport)
    page.wait_for_timeout(4000)


def carried_by(page: Page, transport: str) -> None:
    page.wait_for_function(f"() => __holdfast.carrier === '{transport}'")


def main() -> None:
    """Start the demo, break things, and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURE)
    parser.add_argument("--width", type=int, default=1180)
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    command = [sys.executable, "-m", "holdfast.demo", "--port", "0"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo,
        sync_playwright() as playwright,
    ):
        assert demo.stdout is not None
        found = re.search(r"http://\S+", demo.stdout.readline())
        assert found is not None
        path = CHROMIUM if CHROMIUM.exists() else None
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = chromium.new_page(
            viewport={"width": options.width, "height": 900},
            color_scheme="dark" if options.dark else "light",
        )
        page.goto(found[0])
        carried_by(page, "websocket")
        break_things(page)
        page.screenshot(path=options.out, full_page=True)
        chromium.close()
        demo.terminate()


if __name__ == "__main__":
    main()
