"""A name that users bring with them is answered with the right one, or with why there is none."""

from __future__ import annotations

import inspect
from dataclasses import fields

import engineio
import pytest
import socketio
from engineio.base_server import BaseServer as EngineServer
from socketio.base_server import BaseServer as SocketServer

from holdfast import Server, Settings
from holdfast.engine.settings.names import PYTHON_SOCKETIO, SOCKET_IO, Absent, Renamed

OURS = {field.name for field in fields(Settings)}
# Arguments of Server and Engine themselves.
ARGUMENTS = set(inspect.signature(Server.__init__).parameters) - {"self", "options"}

# `ServerOptions` of socket.io 4.8, the options of `engine.io` and those of attaching it.
SOCKET_IO_OPTIONS = """
    path serveClient adapter parser connectTimeout connectionStateRecovery cleanupEmptyChildNamespaces
    maxDisconnectionDuration skipMiddlewares
    pingTimeout pingInterval upgradeTimeout maxHttpBufferSize allowRequest transports allowUpgrades perMessageDeflate
    httpCompression wsEngine initialPacket cookie cors cors.origin cors.credentials allowEIO3
    destroyUpgrade destroyUpgradeTimeout addTrailingSlash
"""


def said(name: str) -> str:
    with pytest.raises(TypeError) as caught:
        Settings.of({name: 1})
    assert str(caught.value).startswith(f"unknown setting {name!r}")
    return str(caught.value)


def test_every_option_of_socketio_has_an_answer() -> None:
    assert set(SOCKET_IO) == set(SOCKET_IO_OPTIONS.split())


def arguments(function: object) -> set[str]:
    assert callable(function)
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind not in kinds} - {"self"}


def test_every_argument_of_python_socketio_has_an_answer() -> None:
    theirs = set[str]()
    for server in (socketio.AsyncServer, socketio.Server, SocketServer, engineio.AsyncServer, EngineServer):
        theirs |= arguments(server.__init__)
    theirs |= arguments(socketio.ASGIApp.__init__) | arguments(engineio.ASGIApp.__init__)
    assert theirs - {"socketio_server", "engineio_server"} <= set(PYTHON_SOCKETIO)


@pytest.mark.parametrize("name", sorted({*SOCKET_IO, *PYTHON_SOCKETIO} - OURS))
def test_foreign_name_is_answered(name: str) -> None:
    answer = SOCKET_IO.get(name) or PYTHON_SOCKETIO[name]
    text = said(name)
    if isinstance(answer, Absent):
        assert text == f"unknown setting {name!r}: {answer.reason}"
        assert len(answer.reason) > 20
    else:
        assert f"it is called {answer.here!r} here" in text
        assert answer.note in text


@pytest.mark.parametrize("table", [SOCKET_IO, PYTHON_SOCKETIO])
def test_answers_name_what_is_there(table: dict[str, Renamed | Absent]) -> None:
    for answer in table.values():
        if isinstance(answer, Renamed):
            assert answer.here in OURS
        elif "it is the argument" in answer.reason:
            assert answer.reason.split()[4] in ARGUMENTS


def test_what_is_in_milliseconds_there_says_so() -> None:
    for name in (
        "pingInterval",
        "pingTimeout",
        "connectTimeout",
        "upgradeTimeout",
        "maxDisconnectionDuration",
    ):
        assert "in seconds" in said(name)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("corsAllowedOrigins", "it is called 'origins' here"),
        ("maxSessions", "it is called 'max_sessions' here"),
        ("PING_INTERVAL", "it is called 'ping_interval' here"),
        ("ping_intervall", "did you mean 'ping_interval'?"),
        ("pingIntervall", "did you mean 'ping_interval'?"),
        ("origin", "did you mean 'origins'?"),
        ("xyz", "known are ping_interval, ping_timeout, "),
        ("allow_request", "it is the argument allow_request of Server and Engine"),
        ("app", "it is the argument app of Server and Engine"),
    ],
)
def test_other_spellings_and_slips_are_answered(name: str, right: str) -> None:
    assert right in said(name)


def test_it_is_the_same_wherever_the_name_is_said() -> None:
    text = "unknown setting 'pingInterval': it is called 'ping_interval' here \\(in seconds, not in milliseconds\\)"
    for make in (Settings, Settings().replace, Server):
        with pytest.raises(TypeError, match=text):
            make(pingInterval=25)  # pyright: ignore[reportCallIssue]
