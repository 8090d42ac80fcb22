"""What README shows is run as a reader would run it: pasted into two files, served, and used in a browser."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")

pytestmark = pytest.mark.browser


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "server.py").write_text(block("python"))
    (tmp_path / "index.html").write_text(block("html"))
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "server:app")
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL) as server:
        try:
            wait_until_served(f"http://127.0.0.1:{port}/")
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()


def wait_until_served(address: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (ConnectionError, urllib.error.URLError):
            assert time.monotonic() < deadline, "the server in README did not start"
            time.sleep(0.05)


@pytest.fixture
def pages() -> Iterator[tuple[Page, Page]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
        )
        yield browser.new_page(), browser.new_page()
        browser.close()


def test_the_code_in_the_readme_works_when_it_is_pasted(address: str, pages: tuple[Page, Page]) -> None:
    errors: list[str] = []
    for page in pages:
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
    one, two = pages
    two.locator("input").fill("are you there?")
    two.locator("input").press("Enter")
    expect(two.locator("output")).to_have_text("seen")
    expect(one.locator("li")).to_have_text(["are you there?"])
    one.locator("input").fill("yes")
    one.locator("input").press("Enter")
    for page in pages:
        expect(page.locator("li")).to_have_text(["are you there?", "yes"])
    assert errors == []


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    if link.startswith("https://"):
        return
    path, _, heading = link.partition("#")
    assert (ROOT / path).is_file()
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text("utf-8"), re.MULTILINE) if heading else []
    assert not heading or heading in [each.lower().replace(" ", "-") for each in headings]
