"""Wherever the application puts it: mounted, at the root, round another app, behind a proxy's prefix."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from asgi_driver import Client, ManualClock, drive, settled
from counting_peer import client_of
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from holdfast import Engine, Handshake, Server, Session, Socket
from holdfast.transports.client_files import CLIENT_FILES

QUERY = "?EIO=4&transport="


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


def engine(**options: Any) -> Engine:
    return Engine(echo, clock=ManualClock(), **options)


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello from {request.url.path}")


async def hello_websocket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


async def works(client: Client, path: str) -> None:
    """A session over HTTP and one over a WebSocket, each with an echo."""
    text = await client.get(f"{path}{QUERY}polling").text()
    assert text.startswith('0{"sid":'), text
    sid = json.loads(text[1:])["sid"]
    assert await client.post(f"{path}{QUERY}polling&sid={sid}", "4hello").text() == "ok"
    await settled()
    assert await client.get(f"{path}{QUERY}polling&sid={sid}").text() == "4hello"
    socket = client.websocket(f"{path}{QUERY}websocket")
    await socket.accept()
    await socket.receive()
    socket.send("4hello")
    assert await socket.receive() == "4hello"


async def test_under_a_starlette_mount() -> None:
    app = Starlette(routes=[Route("/", hello), Mount("/socket.io", app=engine())])
    async with client_of(app) as client:
        await works(client, "/socket.io/")
        assert await client.get("/").text() == "hello from /"


async def test_under_a_fastapi_mount() -> None:
    app = FastAPI()
    app.mount("/socket.io", engine())
    async with client_of(app) as client:
        await works(client, "/socket.io/")


class Named(AuthenticationBackend):
    """Who calls is who the query says."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        name = conn.query_params.get("name")
        return None if name is None else (AuthCredentials(), SimpleUser(name))


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_handlers_see_what_middleware_knows_of_the_request(transport: str) -> None:
    asked: list[str] = []

    def allow_request(handshake: Handshake) -> bool:
        asked.append(handshake.scope["user"].display_name)
        return handshake.scope["user"].is_authenticated

    io = Server(clock=ManualClock(), allow_request=allow_request)

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        await socket.emit("hello", socket.handshake.scope["user"].display_name)

    app = Starlette(
        routes=[Mount("/socket.io", app=io)],
        middleware=[Middleware(AuthenticationMiddleware, backend=Named())],
    )
    url = f"/socket.io/{QUERY}{transport}"
    async with client_of(app) as client:
        if transport == "websocket":
            refused = client.websocket(url)
            assert (await refused.next())["status"] == 403
            socket = client.websocket(f"{url}&name=mia")
            await socket.accept()
            await socket.receive()
            socket.send("40")
            answers = [await socket.receive(), await socket.receive()]
        else:
            assert await client.get(url).start() == 403
            sid = json.loads((await client.get(f"{url}&name=mia").text())[1:])["sid"]
            await client.post(f"{url}&sid={sid}", "40").text()
            await settled()
            answers = (await client.get(f"{url}&sid={sid}").text()).split("\x1e")
        assert answers[1] == '42["hello","mia"]'
    assert asked == ["", "mia"]


async def test_middleware_takes_a_client_that_leaves_for_no_failure() -> None:
    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app = Starlette(
        routes=[Mount("/socket.io", app=engine())],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)],
    )
    async with client_of(app) as client:
        url = f"/socket.io/{QUERY}polling"
        sid = json.loads((await client.get(url).text())[1:])["sid"]
        post = client.request("POST", f"{url}&sid={sid}", body="4", more_body=True)
        poll = client.get(f"{url}&sid={sid}")
        await settled()
        for exchange in (post, poll):
            exchange.disconnect()
            await exchange.finished()


async def test_under_a_mount_of_any_name_and_depth() -> None:
    inner = Starlette(routes=[Mount("/live", app=engine())])
    async with client_of(Starlette(routes=[Mount("/api/v1", app=inner)])) as client:
        await works(client, "/api/v1/live/")
        assert await client.get(f"/api/v1/other/{QUERY}polling").start() == 404


async def test_mounted_at_the_root_it_answers_at_its_own_path() -> None:
    async with client_of(Starlette(routes=[Mount("/", app=engine(path="/live"))])) as client:
        await works(client, "/live/")


@pytest.mark.asgi
@pytest.mark.parametrize("path", ["/engine.io", "engine.io/", "/a/b/c"])
async def test_at_the_root_it_answers_at_its_own_path_with_and_without_a_slash(path: str) -> None:
    async with client_of(engine(path=path)) as client:
        name = "/" + path.strip("/")
        await works(client, name)
        await works(client, name + "/")
        for other in ("/", name + "x/", "/x" + name, name.upper() + "/"):
            exchange = client.get(f"{other}{QUERY}polling")
            assert await exchange.start() == 404
            assert f"below {name}/" in await exchange.text()
            assert await client.websocket(f"{other}{QUERY}websocket").closed_at_once() == 1000


@pytest.mark.asgi
@pytest.mark.parametrize("root_path", ["", "/socket.io"])
async def test_with_the_path_of_the_root_it_answers_at_the_root(root_path: str) -> None:
    async with client_of(engine(path="/"), root_path=root_path) as client:
        await works(client, "/")
        # Litestar takes its mount point off the path, names it nowhere and appends a slash.
        for name in CLIENT_FILES:
            for path in (f"/{name}", f"/{name}/"):
                assert "This server answers" not in await client.get(path).text()
        exchange = client.get("/other")
        assert await exchange.start() == 404
        assert "below /\n" in await exchange.text()
        assert await client.websocket("/other").closed_at_once() == 1000


async def test_with_the_path_of_the_root_another_app_gets_every_other_path() -> None:
    async with client_of(engine(path="/", app=Starlette(routes=[Route("/other", hello)]))) as client:
        await works(client, "/")
        assert await client.get("/other").text() == "hello from /other"


async def test_server_answers_at_the_path_that_clients_use() -> None:
    async with client_of(Server(clock=ManualClock())) as client:
        assert (await client.get(f"/socket.io/{QUERY}polling").text()).startswith("0{")


async def test_round_another_app_that_gets_everything_else() -> None:
    other = Starlette(routes=[Route("/{path:path}", hello), WebSocketRoute("/ws", hello_websocket)])
    async with client_of(engine(app=other)) as client:
        await works(client, "/engine.io/")
        assert await client.get("/").text() == "hello from /"
        assert await client.get("/engine.iox").text() == "hello from /engine.iox"
        socket = client.websocket("/ws")
        await socket.accept()
        assert await socket.receive() == "hello"


async def test_one_round_the_other() -> None:
    async with client_of(engine(app=engine(path="/second"))) as client:
        await works(client, "/engine.io/")
        await works(client, "/second/")


# A proxy that strips its prefix leaves the path bare; some servers put the prefix back, as ASGI says.
@pytest.mark.parametrize("path", ["/engine.io/", "/prefix/engine.io/"])
async def test_behind_a_prefix_of_a_proxy(path: str) -> None:
    async with client_of(engine(), root_path="/prefix") as client:
        await works(client, path)
    other = Starlette(routes=[Route("/other", hello)])
    async with client_of(engine(app=other), root_path="/prefix") as client:
        await works(client, path)
        assert (await client.get("/prefix/other").text()).startswith("hello")
    async with client_of(
        Starlette(routes=[Mount("/engine.io", app=engine())]), root_path="/prefix"
    ) as client:
        await works(client, path)


async def test_unknown_path_below_its_own_is_not_found() -> None:
    async with client_of(engine()) as client:
        for path in ("/engine.io/unknown", "/engine.io/../secret", "/engine.io/a/b"):
            assert await client.get(path).start() == 404


@pytest.mark.asgi
async def test_websocket_to_an_unknown_path_below_its_own_is_refused() -> None:
    async with client_of(engine()) as client:
        socket = client.websocket("/engine.io/unknown")
        assert await socket.closed_at_once() == 1000


# -- lifespan


class Lifespan:
    """What a server does at its start and its end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.sent: list[str] = []
        self._to_app, self._given = anyio.create_memory_object_stream[dict[str, Any]](5)

    async def run(self) -> None:
        await self.app({"type": "lifespan", "asgi": {"version": "3.0"}}, self._given.receive, self._send)

    async def _send(self, message: Any) -> None:
        self.sent.append(message["type"])

    async def say(self, kind: str) -> None:
        self._to_app.send_nowait({"type": f"lifespan.{kind}"})
        await settled()

    def close(self) -> None:
        self._to_app.close()
        self._given.close()


async def test_lifespan_is_used_if_offered_and_ends_all_sessions() -> None:
    app = engine()
    async with client_of(app) as client:
        lifespan = Lifespan(app)
        client.tasks.start_soon(lifespan.run)
        await lifespan.say("startup")
        assert lifespan.sent == ["lifespan.startup.complete"]
        socket = client.websocket(f"/engine.io/{QUERY}websocket")
        await socket.accept()
        await socket.receive()
        await lifespan.say("shutdown")
        assert lifespan.sent[-1] == "lifespan.shutdown.complete"
        assert await socket.receive() == "1"
        assert await socket.closed_at_once() == 1012
        lifespan.close()


async def test_lifespan_reaches_the_app_inside_and_ends_all_sessions_first() -> None:
    order: list[str] = []

    @asynccontextmanager
    async def inner_lifespan(app: Starlette) -> AsyncIterator[None]:
        order.append("inner starts")
        yield
        order.append(f"inner ends with {len(outer.table.sessions)} sessions")

    outer = engine(app=Starlette(lifespan=inner_lifespan))
    async with client_of(outer) as client:
        lifespan = Lifespan(outer)
        client.tasks.start_soon(lifespan.run)
        await lifespan.say("startup")
        socket = client.websocket(f"/engine.io/{QUERY}websocket")
        await socket.accept()
        await socket.receive()
        await lifespan.say("shutdown")
        await socket.closed()
        assert order == ["inner starts", "inner ends with 0 sessions"]
        assert lifespan.sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        lifespan.close()


async def test_app_inside_that_knows_no_lifespan_is_not_asked_to_have_one() -> None:
    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await PlainTextResponse("bare")(scope, receive, send)

    async with client_of(engine(app=bare)) as client:
        # A server takes this for "no lifespan" and goes on.
        lifespan = Lifespan(client.app)
        with pytest.raises(AssertionError):
            await lifespan.run()
        lifespan.close()
        await works(client, "/engine.io/")
        assert await client.get("/").text() == "bare"


async def test_lifespan_of_the_outer_application_opens_and_closes_a_mounted_server() -> None:
    io = Server()
    app = Starlette(routes=[Mount("/socket.io", app=io)], lifespan=io.lifespan)
    for _ in range(2):
        async with app.router.lifespan_context(app), drive(app) as client:
            assert await client.get(f"/socket.io/{QUERY}polling").start() == 200
        async with drive(app) as client:
            assert await client.get(f"/socket.io/{QUERY}polling").start() == 503


@pytest.mark.parametrize("wrapped", [False, True])
async def test_server_starts_again_with_the_next_lifespan(wrapped: bool) -> None:
    io = Server(app=Starlette() if wrapped else None)
    for _ in range(2):
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        told: list[str] = []

        async def receive(messages: list[dict[str, str]] = messages) -> dict[str, str]:
            return messages.pop(0)

        async def send(message: MutableMapping[str, Any], told: list[str] = told) -> None:
            told.append(message["type"])
            if message["type"] == "lifespan.startup.complete":
                async with drive(io) as client:
                    assert await client.get(f"/socket.io/{QUERY}polling").start() == 200

        await io({"type": "lifespan"}, receive, send)
        assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
