"""`ASGIApp`: alone, mounted, round another application, with files and with a lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from asgi_driver import drive, settled
from memory_client import join
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.compat import socketio


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"other: {scope['path']}")(scope, receive, send)


@pytest.mark.parametrize(
    ("socketio_path", "path"),
    [
        ("socket.io", "/socket.io/"),
        ("socket.io", "/socket.io"),
        ("/deep/path/", "/deep/path/"),
        (None, "/anything/at/all"),
        (None, "/"),
        ("", "/anything/"),
        ("/", "/"),
    ],
)
async def test_the_path_is_the_one_that_was_given(socketio_path: str | None, path: str) -> None:
    sio = socketio.AsyncServer()
    async with drive(socketio.ASGIApp(sio, socketio_path=socketio_path)) as client:
        assert (await join(client, path=path)).sid


@pytest.mark.parametrize("socketio_path", ["socket.io", "/ws/socket.io"])
@pytest.mark.parametrize("mount", ["/ws", "/ws/"])
async def test_below_a_mount_point_the_path_may_be_meant_with_it_or_without(
    socketio_path: str, mount: str
) -> None:
    sio = socketio.AsyncServer()
    app = Starlette(routes=[Mount(mount, socketio.ASGIApp(sio, socketio_path=socketio_path))])
    async with drive(app) as client:
        assert (await join(client, path="/ws/socket.io/")).sid


async def test_mounted_at_the_root_it_leaves_the_rest_to_others() -> None:
    sio = socketio.AsyncServer()
    app = Starlette(
        routes=[Route("/page", lambda request: PlainTextResponse("page")), Mount("/", socketio.ASGIApp(sio))]
    )
    async with drive(app) as client:
        assert (await join(client)).sid
        assert await client.get("/page").text() == "page"


async def test_all_else_goes_to_the_other_application() -> None:
    sio = socketio.AsyncServer()
    async with drive(socketio.ASGIApp(sio, other)) as client:
        assert await client.get("/socket.ioelse").text() == "other: /socket.ioelse"
        assert (await join(client)).sid


async def test_without_one_it_is_not_found() -> None:
    async with drive(socketio.ASGIApp(socketio.AsyncServer())) as client:
        assert await client.get("/elsewhere").start() == 404
        assert await client.websocket("/elsewhere").closed_at_once() == 1000


async def test_what_lies_below_the_path_is_not_the_other_applications() -> None:
    """The JavaScript client, where it is built."""
    async with drive(socketio.ASGIApp(socketio.AsyncServer(), other)) as client:
        assert not (await client.get("/socket.io/holdfast.min.js").text()).startswith("other")


async def test_handle_request_answers_whatever_the_path_is() -> None:
    sio = socketio.AsyncServer()
    async with drive(sio.handle_request) as client:
        assert (await join(client, path="/some/where/")).sid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    public = tmp_path / "public"
    (public / "deep").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (public / "index.html").write_text("index")
    (public / "start.htm").write_text("start")
    (public / "deep" / "a.js").write_text("script")
    return public


@pytest.mark.parametrize(
    ("path", "content", "type"),
    [
        ("/", "index", "text/html"),
        ("/static/", "index", "text/html"),
        ("/static/index.html", "index", "text/html"),
        ("/static/deep/a.js", "script", "text/javascript"),
        ("/slash/deep/a.js", "script", "text/javascript"),
        ("/one", "script", "text/x-one"),
    ],
)
async def test_static_files_are_found_by_path_and_by_folder(
    folder: Path, path: str, content: str, type: str
) -> None:
    files = {
        "/": str(folder / "index.html"),
        "/static": str(folder),
        "/slash/": f"{folder}/",
        "/one": {"filename": str(folder / "deep" / "a.js"), "content_type": "text/x-one"},
    }
    async with drive(socketio.ASGIApp(socketio.AsyncServer(), static_files=files)) as client:
        answer = client.get(path)
        assert await answer.text() == content
        assert answer.headers["content-type"].startswith(type)


async def test_the_index_of_folders_may_be_named(folder: Path) -> None:
    for index in ("start.htm", {"filename": "start.htm"}):
        files = {"/static": str(folder), "": index}
        async with drive(socketio.ASGIApp(socketio.AsyncServer(), static_files=files)) as client:
            assert await client.get("/static/").text() == "start"


@pytest.mark.parametrize(
    "path",
    ["/static/../secret.txt", "/static/deep/..\\..\\..\\secret.txt", "/static/a\0", "/static/deep", "/none"],
)
async def test_nothing_outside_a_folder_is_served(folder: Path, path: str) -> None:
    app = socketio.ASGIApp(socketio.AsyncServer(), static_files={"/static": f"{folder}"})
    async with drive(app) as client:
        assert await client.get(path).start() == 404


@asynccontextmanager
async def living(app: ASGIApp) -> AsyncIterator[list[str]]:
    """The lifespan of an application, and what it answers."""
    answers: list[str] = []
    to_app, given = anyio.create_memory_object_stream[Message](2)

    async def send(message: Message) -> None:
        answers.append(message["type"].removeprefix("lifespan."))

    with given, to_app:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app, {"type": "lifespan"}, given.receive, send)
            to_app.send_nowait({"type": "lifespan.startup"})
            await settled()
            yield answers
            to_app.send_nowait({"type": "lifespan.shutdown"})


async def test_hooks_run_at_start_and_end() -> None:
    steps: list[str] = []

    async def start() -> None:
        steps.append("start")

    def stop() -> None:
        steps.append("stop")

    app = socketio.ASGIApp(socketio.AsyncServer(), other, on_startup=start, on_shutdown=stop)
    async with living(app) as answers:
        assert steps == ["start"]
    assert steps == ["start", "stop"]
    assert answers == ["startup.complete", "shutdown.complete"]


async def test_without_hooks_the_other_application_has_the_lifespan() -> None:
    steps: list[str] = []

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            steps.append(step)
            await send({"type": f"lifespan.{step}.complete"})

    async with living(socketio.ASGIApp(socketio.AsyncServer(), lifespan)):
        assert steps == ["startup"]
    assert steps == ["startup", "shutdown"]


async def test_a_hook_that_fails_stops_the_start_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    def start() -> None:
        raise ValueError("no database")

    async with living(socketio.ASGIApp(socketio.AsyncServer(), on_startup=start)) as answers:
        assert answers == ["startup.failed"]
    assert "on_startup failed" in caplog.text


async def test_the_end_of_the_application_ends_its_sessions() -> None:
    sio = socketio.AsyncServer()
    reasons: list[str] = []
    sio.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with drive(socketio.ASGIApp(sio)) as client:
        peer = await join(client)
        await sio.shutdown()
        assert await peer.exchange.closed()
    assert reasons == [socketio.AsyncServer.reason.SERVER_DISCONNECT]


async def test_server_starts_again_with_the_next_lifespan() -> None:
    sio = socketio.AsyncServer(async_mode="asgi")
    app = socketio.ASGIApp(sio)
    for _ in range(2):
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        statuses: list[int | None] = []

        async def receive(messages: list[dict[str, str]] = messages) -> dict[str, str]:
            return messages.pop(0)

        async def send(message: MutableMapping[str, Any], statuses: list[int | None] = statuses) -> None:
            if message["type"] == "lifespan.startup.complete":
                async with drive(app) as client:
                    statuses.append(await client.get("/socket.io/?EIO=4&transport=polling").start())

        await app({"type": "lifespan"}, receive, send)
        assert statuses == [200]
