"""The packed client in a real Chromium: in a page, in workers, and in a frame that may store nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from browser import launch, open_page, serve
from playwright.async_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from holdfast import Server

pytestmark = [pytest.mark.browser, pytest.mark.servers]

WAYS = ["websocket", "stream", "polling"]

# Talks each way, and says by which it went.
TALK = """
const talk = async (io, url) => {
  const went = [];
  for (const transport of ["websocket", "stream", "polling"]) {
    const socket = io(url, { transports: [transport], forceNew: true });
    await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
    const news = new Promise((resolve) => socket.on("news", resolve));
    const { text, bytes } = await socket.emitWithAck("echo", { text: "é", bytes: new Uint8Array([0, 255]) });
    const same = text == "é" && new Uint8Array(bytes).join() == "0,255" && (await news) == 1;
    if (!same) throw new Error("not what was sent");
    went.push(socket.io.engine.transport.name);
    socket.disconnect();
  }
  return went;
};
"""

WORKER = f"""import {{ io }} from "/socket.io/holdfast.esm.min.js";
{TALK}
const went = (port) => talk(io, location.origin).catch(String).then((ways) => port.postMessage(ways));
if (self.registration) onmessage = ({{ source }}) => went(source);
else went(self);
"""

PAGE = f"<!doctype html><title>page</title><script>{TALK}</script>"

# Its origin is of its own: storage throws, and every request is of another origin.
FRAME = f"""<!doctype html><title>frame</title><script type="module">
const {{ io }} = await import("/socket.io/holdfast.esm.min.js");
{TALK}
let stored;
try {{ stored = localStorage; }} catch (error) {{ stored = error.name; }}
const said = await talk(io, new URL(document.baseURI).origin).catch((error) => String(error));
parent.postMessage([stored, said], "*");
</script>"""


def page(html: str, kind: str = "text/html") -> Route:
    async def answer(request: Request) -> Response:
        return HTMLResponse(html, media_type=kind)

    return Route({PAGE: "/", FRAME: "/frame", WORKER: "/worker.js"}[html], answer)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def visited(application: Path, anyio_backend: str) -> AsyncIterator[tuple[Browser, str]]:
    """A browser, and the address of a server with the pages above and the packed client's files."""
    io = Server(origins="*")

    @io.on("echo")
    async def echo(socket: object, value: object) -> object:
        await socket.emit("news", 1)  # type: ignore[attr-defined]
        return value

    client = StaticFiles(directory=application / "node_modules" / "holdfast-client")
    routes = [page(PAGE), page(FRAME), page(WORKER, "text/javascript")]
    app = Starlette(routes=[*routes, Mount("/client", app=client), Mount("/socket.io", app=io)])
    async with serve(app) as port, launch() as browser:
        yield browser, f"http://127.0.0.1:{port}"


async def evaluate(visited: tuple[Browser, str], program: str) -> object:
    browser, url = visited
    opened, errors = await open_page(browser, url)
    try:
        found = await opened.evaluate(program)
        assert errors == []
        return found
    finally:
        await opened.close()


@pytest.mark.parametrize(
    "file",
    [
        "index.js",
        "compat.js",
        "dist/holdfast.esm.min.js",
        "dist/holdfast.compat.esm.min.js",
        "dist/holdfast.msgpack.esm.min.js",
    ],
)
async def test_the_packed_files_run_in_a_page(visited: tuple[Browser, str], file: str) -> None:
    program = f"""async () => {{
        const {{ io }} = await import("/client/{file}");
        return [new URL("{file}", location).pathname, await talk(io, location.origin)];
    }}"""
    found = await evaluate(visited, program)
    assert found == [f"/{file}", WAYS]


@pytest.mark.parametrize("file", ["holdfast.min.js", "holdfast.msgpack.min.js", "holdfast.compat.min.js"])
async def test_a_script_tag_is_enough(visited: tuple[Browser, str], file: str) -> None:
    program = f"""async () => {{
        const script = Object.assign(document.createElement("script"), {{ src: "/client/dist/{file}" }});
        document.head.append(script);
        await new Promise((resolve, reject) => Object.assign(script, {{ onload: resolve, onerror: reject }}));
        return talk(window.holdfast?.io ?? window.io, location.origin);
    }}"""
    assert await evaluate(visited, program) == WAYS


async def test_a_worker_has_no_page_and_needs_none(visited: tuple[Browser, str]) -> None:
    program = """() => new Promise((resolve, reject) => {
        const worker = new Worker("/worker.js", { type: "module" });
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.onmessage = ({ data }) => resolve(data);
    })"""
    assert await evaluate(visited, program) == WAYS


async def test_a_service_worker_has_only_fetch(visited: tuple[Browser, str]) -> None:
    program = """async () => {
        const registration = await navigator.serviceWorker.register("/worker.js", { type: "module" });
        await navigator.serviceWorker.ready;
        const answer = new Promise((resolve) => (navigator.serviceWorker.onmessage = ({ data }) => resolve(data)));
        navigator.serviceWorker.startMessages();
        registration.active.postMessage("talk");
        const went = await answer;
        await registration.unregister();
        return went;
    }"""
    assert await evaluate(visited, program) == WAYS


async def test_a_sandboxed_frame_can_store_nothing_and_talks(visited: tuple[Browser, str]) -> None:
    program = """() => new Promise((resolve) => {
        onmessage = ({ data }) => resolve(data);
        const frame = Object.assign(document.createElement("iframe"), { src: "/frame" });
        frame.sandbox = "allow-scripts";
        document.body.append(frame);
    })"""
    assert await evaluate(visited, program) == ["SecurityError", WAYS]
