"""docs/moving-from-socket.io.md has a row for every public name of the published server; what it names here exists."""

from __future__ import annotations

import inspect
import json
import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from asgi_driver import settled
from counting_peer import client_of
from published_types import emitted, exports, members, strings
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import holdfast
from holdfast.engine.adapters import RoomChange
from holdfast.engine.dispatch import Events
from holdfast.engine.live import LiveSession
from holdfast.engine.settings.names import SOCKET_IO, Absent, Renamed

PAGE = (Path(__file__).parents[2] / "docs" / "moving-from-socket.io.md").read_text("utf-8")

SERVER = "socket.io/dist/"
ENGINE = "engine.io/build/"
ADAPTER = "socket.io-adapter/dist/in-memory-adapter"
# Of other packages, which are not installed here.
PACKAGES = {"instrument", "setupMaster", "setupWorker", "createAdapter", "Emitter", "encode", "decode"}
RECOVERY = {"maxDisconnectionDuration", "skipMiddlewares"}


class Part(NamedTuple):
    """What a heading is about: their names, and the class of ours that the rows below it speak of."""

    names: set[str]
    ours: Any


def parts() -> dict[str, Part]:
    io = holdfast.Server()

    def names(file: str, kind: str, name: str) -> set[str]:
        return members(SERVER + file, kind, name, internal=True)

    def engine(file: str, name: str) -> set[str]:
        return members(ENGINE + file, "class", name, internal=True)

    socket_events = emitted(ENGINE + "socket.js")
    server_events = emitted(ENGINE + "server.js", until="class WebSocketResponse") | emitted(
        ENGINE + "socket.js", by=r"this\.server"
    )
    emitter = members("@types/node/events.d.ts", "interface", "EventEmitter", within="namespace NodeJS {")
    strict = names("typed-events.d.ts", "abstract class", "StrictEventEmitter")
    options = (
        names("index.d.ts", "interface", "ServerOptions")
        | members(ENGINE + "server.d.ts", "interface", "ServerOptions")
        | members(ENGINE + "server.d.ts", "interface", "AttachOptions")
    )
    return {
        "Exports": Part(exports(SERVER + "index.d.ts") | {"Event"}, holdfast),
        "Server": Part(names("index.d.ts", "class", "Server"), io),
        "Server: events": Part(
            names("namespace.d.ts", "interface", "NamespaceReservedEventsMap")
            | names("namespace.d.ts", "interface", "ServerReservedEventsMap"),
            io,
        ),
        "Namespace": Part(names("namespace.d.ts", "class", "Namespace"), holdfast.Namespace),
        "ParentNamespace": Part(
            names("parent-namespace.d.ts", "class", "ParentNamespace"), holdfast.ParentNamespace
        ),
        "Socket": Part(names("socket.d.ts", "class", "Socket"), holdfast.Socket),
        "Socket: events": Part(
            names("socket-types.d.ts", "interface", "SocketReservedEventsMap"), holdfast.Socket
        ),
        "Socket: reasons of a disconnect": Part(
            strings(SERVER + "socket-types.d.ts", "DisconnectReason"), holdfast.CloseReason
        ),
        "Socket: handshake": Part(
            names("socket-types.d.ts", "interface", "Handshake"), holdfast.SocketHandshake
        ),
        "BroadcastOperator": Part(
            names("broadcast-operator.d.ts", "class", "BroadcastOperator"), holdfast.BroadcastOperator
        ),
        "RemoteSocket": Part(
            names("broadcast-operator.d.ts", "class", "RemoteSocket"), holdfast.RemoteSocket
        ),
        "Client (`socket.client`)": Part(names("client.d.ts", "class", "Client"), holdfast.Socket),
        'Adapter (`io.of("/").adapter`)': Part(
            members(ADAPTER + ".d.ts", "class", "Adapter", internal=True), holdfast.Namespace
        ),
        "Adapter: events": Part(emitted(ADAPTER + ".js"), holdfast.Namespace),
        "Engine (`io.engine`)": Part(
            engine("server.d.ts", "BaseServer") | engine("server.d.ts", "Server"), io
        ),
        "Engine: events": Part(server_events, io),
        "Engine: sockets (`socket.conn`)": Part(engine("socket.d.ts", "Socket"), holdfast.Socket),
        "Engine: sockets: events": Part(socket_events, holdfast.Socket),
        "Engine: transport (`socket.conn.transport`)": Part(
            engine("transport.d.ts", "Transport"), holdfast.Socket
        ),
        "Listeners, of servers, namespaces and sockets": Part(emitter | strict, holdfast.Socket),
        "Listeners: events": Part(
            names("socket-types.d.ts", "interface", "EventEmitterReservedEventsMap"), holdfast.Socket
        ),
        "Options": Part(options | RECOVERY, io.settings),
        "Packages": Part(PACKAGES, io),
    }


PARTS = parts()
# Where a path goes on: what these give.
NEXT = {
    "handshake": holdfast.SocketHandshake,
    "session": LiveSession,
    "settings": holdfast.Settings(),
}


class Row(NamedTuple):
    names: list[str]
    verdict: str
    ours: list[str]
    note: str


def rows(heading: str) -> Iterator[Row]:
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n#")[0]
    for line in re.findall(r"^\| `.*\|$", section, re.MULTILINE):
        names, verdict, ours, note = (cell.strip() for cell in line[1:-1].split("|"))
        quoted = re.findall(r"`(.*?)`", ours)
        assert ours == ", ".join(f"`{name}`" for name in quoted), line
        yield Row(re.findall(r"`(.*?)`", names), verdict, quoted, note)


def exists(name: str, at: Any) -> bool:
    """Whether a name of ours leads to something: from a class of the package, or from ``at``."""
    if name.endswith("="):
        return (
            name[:-1] in holdfast.Settings.__dataclass_fields__
            or name[:-1] in inspect.signature(holdfast.Server).parameters
        )
    first, *others = name.split(".")
    if hasattr(holdfast, first):
        at = getattr(holdfast, first)
    elif hasattr(at, first):
        at = NEXT.get(first)
    else:
        return False
    for other in others:
        if not hasattr(at, other):
            return False
        at = NEXT.get(other)
    return True


def ours_of(name: str) -> str:
    """In Python's spelling."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return snake + "_" if keyword.iskeyword(snake) else snake


@pytest.mark.parametrize("heading", PARTS)
def test_every_public_name_has_its_row(heading: str) -> None:
    listed = [name for row in rows(heading) for name in row.names]
    assert len(listed) == len(set(listed))
    assert set(listed) == PARTS[heading].names


@pytest.mark.parametrize("heading", PARTS)
def test_every_row_says_what_became_of_it_and_why(heading: str) -> None:
    for row in rows(heading):
        assert row.verdict in {"same", "renamed", "absent", "type"}, row
        assert row.ours or row.verdict != "renamed", row
        assert row.note or row.verdict not in {"absent", "type"}, f"{row}: there is no reason"


@pytest.mark.parametrize("heading", PARTS)
def test_names_of_ours_exist(heading: str) -> None:
    at = PARTS[heading].ours
    unknown = [name for row in rows(heading) for name in row.ours if not exists(name, at)]
    assert unknown == []


NAMED = [
    heading
    for heading in PARTS
    if "events" not in heading and "reasons" not in heading and heading not in {"Exports", "Options"}
]


@pytest.mark.parametrize("heading", NAMED)
def test_what_is_the_same_has_the_same_name(heading: str) -> None:
    same = [name for row in rows(heading) if row.verdict == "same" for name in row.names]
    at = PARTS[heading].ours
    assert [name for name in same if name != "constructor" and not hasattr(at, ours_of(name))] == []


@pytest.mark.parametrize("heading", ["Server", "Namespace", "Socket", "BroadcastOperator", "RemoteSocket"])
def test_what_is_absent_has_not_come_since(heading: str) -> None:
    at = PARTS[heading].ours
    absent = {name for row in rows(heading) if row.verdict == "absent" for name in row.names}
    assert [name for name in absent if not name.startswith("_") and hasattr(at, ours_of(name))] == []


def test_same_exports_are_exported() -> None:
    same = {name for row in rows("Exports") if row.verdict == "same" for name in row.names}
    assert same <= set(holdfast.__all__)


def test_same_events_are_handled_under_their_names() -> None:
    io = Events()
    for heading in ("Server: events", "Socket: events"):
        for row in rows(heading):
            for name in row.names if row.verdict == "same" else ():
                io.of("/" + name).on(name, lambda socket: None)
    changes = {name for row in rows("Adapter: events") for name in row.names}
    assert changes == set(get_args(RoomChange))


def test_same_reasons_are_ours_and_those_of_our_own_are_named() -> None:
    ours = {str(reason) for reason in holdfast.CloseReason}
    same = {name for row in rows("Socket: reasons of a disconnect") for name in row.names}
    assert same <= ours
    assert [reason for reason in ours - same if f"`{reason}`" not in PAGE] == []


def test_options_are_what_the_settings_say_of_them() -> None:
    for row in rows("Options"):
        for name in row.names:
            said = SOCKET_IO[name]
            if isinstance(said, Renamed):
                here = ours_of(name) if row.verdict == "same" else row.ours[0][:-1]
                assert here == said.here, name
            else:
                assert isinstance(said, Absent)
                is_argument = "argument" in said.reason
                assert is_argument == (row.verdict != "absent"), name


def test_every_heading_is_known_and_every_row_is_read() -> None:
    tables = PAGE.partition("## Every name")[2]
    assert re.findall(r"^### (.*)$", tables, re.MULTILINE) == list(PARTS)
    assert len(re.findall(r"^\| `", tables, re.MULTILINE)) == sum(len(list(rows(each))) for each in PARTS)


def test_the_types_are_read_whole() -> None:
    assert {"serverSideEmitWithAck", "_nsps", "volatile", "of", "httpServer"} <= PARTS["Server"].names
    assert "onconnection" not in PARTS["Server"].names
    assert {"new_namespace", "connection"} <= PARTS["Server: events"].names
    assert {"nsp", "prependAnyOutgoing", "conn", "_onclose"} <= PARTS["Socket"].names
    assert {"clientsCount", "generateId", "handleUpgrade"} <= PARTS["Engine (`io.engine`)"].names
    assert {"connection_error", "initial_headers", "headers"} <= PARTS["Engine: events"].names
    assert {"prependOnceListener", "eventNames", "emit"} <= PARTS[
        "Listeners, of servers, namespaces and sockets"
    ].names
    assert {"perMessageDeflate", "addTrailingSlash", "cleanupEmptyChildNamespaces"} <= PARTS["Options"].names


async def test_sessions_users_and_headers_are_as_the_page_shows() -> None:
    program = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
    names: dict[str, Any] = {}
    exec(compile(program, "the page", "exec"), names)
    app, io = names["app"], names["io"]

    async def login(request: Request) -> PlainTextResponse:
        request.session["user"] = "mia"
        return PlainTextResponse("welcome")

    app.router.routes.append(Route("/login", login))
    url = "/socket.io/?EIO=4&transport="
    async with client_of(app) as client:
        stranger = client.get(url + "polling")
        assert await stranger.start() == 403
        assert stranger.headers["x-region"] == "eu"
        welcome = client.get("/login")
        await welcome.start()
        cookie = {"cookie": welcome.headers["set-cookie"].partition(";")[0]}
        opening = client.get(url + "polling", headers=cookie)
        sid = json.loads((await opening.text())[1:])["sid"]
        assert opening.headers["x-region"] == "eu"
        assert await client.post(f"{url}polling&sid={sid}", "40", headers=cookie).text() == "ok"
        await settled()
        socket = client.websocket(url + "websocket", headers=cookie)
        accepted = await socket.next()
        assert accepted["type"] == "websocket.accept"
        assert (b"x-region", b"eu") in accepted["headers"]
        await socket.receive()
        socket.send("40")
        assert str(await socket.receive()).startswith("40")
        assert len(io.rooms["user:mia"]) == 2
