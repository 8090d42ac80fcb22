"""Known faults of this kind of software that need no real server to be tried; see also test_history_http.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from asgi_driver import ManualClock, drive, settled
from counting_peer import HttpCarrier, WebSocketCarrier, client_of, open_site
from starlette.applications import Starlette
from starlette.routing import Mount

from holdfast import Server, SessionClosed
from holdfast.compat import socketio

ROOT = Path(__file__).parents[2]
PACKAGES = ("compat", "demo", "engine", "transports")
PLAIN = "/engine.io/?EIO=4&transport="


@pytest.mark.parametrize("size", [1_000_001, 20_000_000])
@pytest.mark.parametrize("kind", ["text", "bytes"])
async def test_cve_2026_44545_message_over_the_limit_ends_the_session_whatever_the_server_lets_pass(
    size: int, kind: str
) -> None:
    async with open_site() as site:
        socket = site.client.websocket(f"{PLAIN}websocket")
        await socket.accept()
        socket.send("4" * size if kind == "text" else b"4" * size)
        assert await socket.closed() == 1009
        await settled()
        assert site.received == []
        assert site.engine.session_count == 0


@pytest.mark.parametrize("transport", ["stream", "websocket", "polling"])
async def test_cve_2026_25224_reader_that_stalls_holds_up_who_writes_to_it(transport: str) -> None:
    """200 MB for a peer that takes nothing: no more of it is made than the buffer keeps."""
    made, told = 0, False
    async with open_site(transport) as site:
        _, carrier = await site.opened()
        if isinstance(carrier, WebSocketCarrier):
            carrier.socket.hang()
        else:
            carrier = await carrier.peer.attach(transport)
            assert isinstance(carrier, HttpCarrier)
            carrier.exchange.hang()

        async def write() -> None:
            nonlocal made, told
            with suppress(SessionClosed):
                for _ in range(20_000):
                    made += 1
                    await site.session.send("x" * 10_000)
            told = True

        site.client.tasks.start_soon(write)
        await settled()
        assert 1 < made < 100
        assert not told
        await site.clock.advance(300)
        assert told
        assert site.engine.session_count == 0


@pytest.mark.parametrize(
    "path",
    ["/", "/socket.io/", "/socket.io/holdfast.min.js", "/socket.io/none", "/none", "//", "/socket.io/../x"],
)
@pytest.mark.parametrize("kind", ["server", "mounted", "python-socketio"])
@pytest.mark.parametrize("denial", [True, False])
async def test_cve_2020_7693_websocket_to_a_path_that_takes_none_is_refused(
    path: str, kind: str, denial: bool
) -> None:
    server = Server(clock=ManualClock())
    app = {
        "server": server,
        "mounted": Starlette(routes=[Mount("/socket.io", app=server)]),
        "python-socketio": socketio.ASGIApp(socketio.AsyncServer()),
    }[kind]
    async with client_of(app) as client:
        client.denial = denial
        socket = client.websocket(path)
        message = await socket.next()
        assert message["type"] in ("websocket.close", "websocket.http.response.start")
        await socket.finished()
    assert server.session_count == 0


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "..%2fsecret",
        "..\\secret",
        "a/../../secret",
        "\0",
        "secret\0.txt",
        "/etc/passwd",
        "...",
        "",
    ],
)
async def test_cve_2023_29159_static_files_of_python_socketio_stay_in_their_folder(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "public-not").mkdir()
    (tmp_path / "public-not" / "file").write_text("secret")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "file").write_text("public")
    files = {"/static": str(tmp_path / "public")}
    async with drive(socketio.ASGIApp(socketio.AsyncServer(), static_files=files)) as client:
        assert await client.get("/static/file").text() == "public"
        for path in (f"/static/{name}", f"/static{name}", "/static-not/file"):
            exchange = client.get(path)
            assert await exchange.start() == 404
            assert "secret" not in await exchange.text()


async def test_cve_2025_62727_thousands_of_ranges_of_a_static_file_cost_no_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 10_000)
    app = socketio.ASGIApp(socketio.AsyncServer(), static_files={"/static": str(tmp_path)})
    ranges = "bytes=" + ",".join(f"{number}-{number}" for number in range(0, 10_000, 2))
    async with drive(app) as client:
        exchange = client.get("/static/file", headers={"range": ranges})
        assert await exchange.start() in (200, 206, 400, 416)
        assert len(await exchange.body()) < 2_000_000


async def test_cve_2024_47874_cve_2026_54283_cve_2025_54121_form_is_a_body_as_any() -> None:
    async with open_site() as site:
        opened = await site.client.get(f"{PLAIN}polling").text()
        sid = opened.split('"')[3]
        body = '--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + "x" * 100_000
        headers = {"content-type": "multipart/form-data; boundary=x"}
        exchange = site.client.post(f"{PLAIN}polling&sid={sid}", body, headers=headers)
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 3


def trees() -> Iterator[tuple[Path, ast.AST]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def test_cve_2025_61765_nothing_is_unpickled_or_evaluated() -> None:
    modules = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "jsonpickle"}
    calls = {"eval", "exec", "compile", "__import__"}
    found: list[str] = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
                names, modules = {node.func.id}, modules | {node.func.id}
            else:
                continue
            found += [f"{path}:{node.lineno} {name}" for name in names & modules]
    assert found == []


def test_cve_2024_47874_nobody_asks_for_a_form_or_for_the_address_in_the_host_header() -> None:
    """CVE-2026-48710 too: `request.url` is made of the Host header."""
    found = [
        f"{path}:{node.lineno} {node.attr}"
        for path, tree in trees()
        if path.is_relative_to(ROOT / "transports") or path.is_relative_to(ROOT / "compat")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("form", "url_for", "base_url")
    ]
    assert found == []
