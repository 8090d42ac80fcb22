"""A page of one origin and a server of another, in a real browser, whoever writes the CORS headers."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from browser import launch, open_page, serve, until
from playwright.async_api import Browser
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from holdfast import Server

pytestmark = [pytest.mark.browser, pytest.mark.servers]

PAGE = """<!doctype html><title>elsewhere</title><script type="module">
const address = new URL(location).searchParams.get("server");
const transports = new URL(location).searchParams.get("transports").split(",");
const withCredentials = !new URL(location).searchParams.has("anonymous");
const { io } = await import(address + "/socket.io/holdfast.esm.min.js");
const t = window.t = { carriers: [], errors: [], answer: undefined };
const socket = io(address, { transports, withCredentials });
socket.on("connect_error", (error) => t.errors.push(error.message));
socket.io.on("transport", ({ to }) => t.carriers.push(to));
t.answer = await socket.emitWithAck("echo", "hello", new Uint8Array([1, 2]));
</script>"""


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


ELSEWHERE = Starlette(routes=[Route("/", page)])


def server(cors: Literal["own", "app"], origin: str, **options: Any) -> Starlette:
    io = Server(origins=[origin], cors=cors, credentials=cors == "own", cookie="io", **options)

    @io.on("echo")
    async def echo(socket: object, text: str, data: bytes) -> list[object]:
        return [text, list(data)]

    middleware = Middleware(
        CORSMiddleware,
        allow_origins=[origin],
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "holdfast-attach"],
        allow_credentials=True,
    )
    routes = [Mount("/socket.io", app=io)]
    return Starlette(routes=routes, middleware=[middleware] if cors == "app" else [])


async def talk(browser: Browser, pages: int, port: int, transports: str, carrier: str) -> None:
    # Another port is another origin, and still the same site: the cookie comes back.
    address = f"http://127.0.0.1:{port}"
    page, errors = await open_page(
        browser, f"http://127.0.0.1:{pages}/?server={address}&transports={transports}"
    )
    await until(page, f"window.t && t.answer && t.carriers.at(-1) == '{carrier}'")
    assert await page.evaluate("t.answer") == ["hello", [1, 2]]
    cookies = await page.context.cookies(address)
    assert [cookie.get("name") for cookie in cookies] == ["io"]
    assert errors == []
    await page.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("cors", ["own", "app"])
async def test_page_of_a_listed_origin_is_served_on_every_transport(
    anyio_backend: str, cors: Literal["own", "app"]
) -> None:
    async with (
        serve(ELSEWHERE) as pages,
        launch() as browser,
        serve(server(cors, f"http://127.0.0.1:{pages}")) as port,
    ):
        await talk(browser, pages, port, "polling", "polling")
        await talk(browser, pages, port, "stream,polling", "stream")
        await talk(browser, pages, port, "websocket,stream,polling", "websocket")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("offered", ["websocket", "stream", "polling"])
async def test_client_goes_by_whatever_the_server_offers(anyio_backend: str, offered: str) -> None:
    async with (
        serve(ELSEWHERE) as pages,
        launch() as browser,
        serve(server("own", f"http://127.0.0.1:{pages}", transports=[offered])) as port,
    ):
        await talk(browser, pages, port, "websocket,stream,polling", offered)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_page_of_another_origin_is_refused_and_only_the_log_says_why(
    anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve(ELSEWHERE) as pages,
        launch() as browser,
        serve(server("own", "https://listed.example")) as port,
    ):
        address = f"http://127.0.0.1:{port}"
        url = f"http://127.0.0.1:{pages}/?server={address}&transports=polling&anonymous"
        page, _ = await open_page(browser, url)
        await until(page, "window.t && t.errors.length")
        assert "Forbidden" not in (await page.evaluate("t.errors"))[0]
    [warning] = [record.getMessage() for record in caplog.records if "may not connect" in record.getMessage()]
    assert f'origins=["http://127.0.0.1:{pages}"]' in warning
