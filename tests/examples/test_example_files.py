from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from browser import serve
from example_events import EXAMPLES, fresh
from playwright.sync_api import Browser, expect
from starlette.applications import Starlette
from starlette.routing import Mount


def app(official: Path | None = None) -> Starlette:
    events = fresh("chat")
    from examples.shared.files import files  # type: ignore[import-not-found]

    options = {} if official is None else {"official": official}
    return Starlette(routes=[Mount("/socket.io", events.io), Mount("/", files("chat", **options))])


def client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://chat")


@pytest.mark.anyio
async def test_only_the_page_is_served() -> None:
    async with client(app()) as http:
        for name in ("/", "/app.js", "/style.css", "/shared/client.js", "/shared/base.css"):
            assert (await http.get(name)).status_code == 200, name
        for name in ("/events.py", "/../events.py", "/%2e%2e/events.py", "/shared/files.py", "/package.json"):
            assert (await http.get(name)).status_code == 404, name


@pytest.mark.anyio
async def test_a_missing_official_client_is_answered_with_the_remedy(tmp_path: Path) -> None:
    async with client(app(tmp_path / "nowhere.js")) as http:
        answer = await http.get("/official/socket.io.esm.min.js")
        assert answer.status_code == 404
        assert "npm ci" in answer.text


@pytest.mark.browser
@pytest.mark.servers
def test_the_page_says_what_to_do_where_the_official_client_is_missing(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(app(tmp_path / "nowhere.js"))) as port,
    ):
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/?client=official")
        expect(page.locator("#problem")).to_have_text(re.compile("not installed.*npm ci"))
        page.close()


@pytest.mark.servers
@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_the_runner_prints_addresses_that_answer_and_ends_when_told(framework: str) -> None:
    command = [sys.executable, "-m", "examples", "--port", "0", "--framework", framework]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=EXAMPLES.parent) as runner:
        try:
            assert runner.stdout is not None
            for name in ("chat", "whiteboard"):
                line = runner.stdout.readline()
                assert f"({name}, {framework})" in line
                found = re.search(r"http://\S+", line)
                assert found is not None
                assert f"<title>{name.capitalize()}</title>" in httpx.get(found[0]).text
                assert "people" in httpx.get(f"{found[0]}online").json()
        finally:
            runner.send_signal(signal.SIGINT)
    assert runner.returncode == 0


def test_nothing_comes_from_another_host() -> None:
    pages = [path for path in EXAMPLES.glob("*/static/*") if path.suffix in (".html", ".js", ".css")]
    assert len(pages) > 8
    for path in pages:
        assert not re.search(r"https?://|['\"(]//\w", path.read_text()), path
