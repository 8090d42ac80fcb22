"""A page behind a real nginx: events flow by the best transport that it lets through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from real_nginx import Nginx, nginx_before
from real_server import free_port, running, server_command

pytestmark = [pytest.mark.browser, pytest.mark.servers]

START = """() => {
    window.log = { transports: [], echoed: [], disconnects: [], errors: [] };
    window.socket = holdfast.io();
    socket.io.on("transport", ({ to }) => log.transports.push(to));
    socket.on("echo", (number) => log.echoed.push(number));
    socket.on("disconnect", (reason) => log.disconnects.push(reason));
    socket.on("connect_error", (error) => log.errors.push(error.message));
}"""

ASK = """async () => {
    const replies = [];
    for (let number = 0; number < 200; number++)
        replies.push(socket.timeout(20000).emitWithAck("echo", number, new Uint8Array([number])));
    return (await Promise.all(replies)).length;
}"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    port = free_port()
    with (
        running(server_command("uvicorn", "server_app:app", port), port) as server,
        nginx_before(server, tmp_path_factory.mktemp("nginx")) as nginx,
    ):
        yield nginx


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(20_000)
    yield page
    page.close()


def start(page: Page, url: str) -> None:
    page.goto(f"{url}/page")
    page.evaluate(START)


@pytest.mark.parametrize(
    ("which", "transports"), [("complete", ["websocket"]), ("without_upgrade", ["stream", "polling"])]
)
def test_events_flow_by_the_best_way_that_is_open(
    page: Page, nginx: Nginx, which: str, transports: list[str]
) -> None:
    start(page, getattr(nginx, which))
    page.wait_for_function("() => socket.connected")
    assert page.evaluate(ASK) == 200
    page.wait_for_function("() => log.echoed.length == 200")
    log = page.evaluate("() => log")
    assert log["echoed"] == list(range(200))
    assert log["disconnects"] == []
    assert log["errors"] == []
    page.wait_for_function(f"() => {transports}.includes(log.transports.at(-1))")


def test_without_the_host_line_the_page_is_told_what_to_do(page: Page, nginx: Nginx) -> None:
    start(page, nginx.without_host)
    page.wait_for_function("() => log.errors.length > 0")
    message = page.evaluate("() => log.errors[0]")
    assert "proxy_set_header Host $http_host;" in message
    assert "origins=" in message
