"""Real signals to real servers: the sessions are drained first, and then the server ends as it always does."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from real_peer import RealPeer, http_client, rest_of
from real_server import APPS, HOST, Running, free_port, running, server_command, until
from websockets.sync.client import ClientConnection

pytestmark = pytest.mark.servers

SERVERS = ["uvicorn", "uvicorn-sansio-h11", "hypercorn-asyncio", "serve-asyncio", "serve-trio"]


@contextmanager
def server(name: str, **environment: str) -> Iterator[Running]:
    port = free_port()
    if name.startswith("serve-"):
        command = [
            sys.executable,
            str(APPS / "drain_app.py"),
            name.removeprefix("serve-"),
            f"{HOST}:{port}",
        ]
    else:
        # hypercorn's parent process keeps the signals for itself; without workers it is one process.
        more = ["--workers=0"] if name.startswith("hypercorn") else []
        command = server_command(name, "drain_app:app", port, *more)
    with running(command, port, **environment) as process:
        yield process


def connected(process: Running, stack: ExitStack) -> ClientConnection:
    peer = RealPeer(process.url, "/socket.io/")
    connection = stack.enter_context(peer.websocket())
    connection.send("91\x1e40")
    while "40{" not in str(connection.recv(10)):
        pass
    return connection


def is_draining(process: Running) -> bool:
    with http_client(process.url) as client:
        return client.get("/stats").json()["draining"]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, signal.SIGTERM) for name in SERVERS),
        ("uvicorn", signal.SIGINT),
        ("serve-trio", signal.SIGINT),
    ],
)
def test_signal_drains_and_is_then_handed_on(name: str, number: signal.Signals) -> None:
    with server(name) as process, ExitStack() as stack:
        idle, busy = connected(process, stack), connected(process, stack)
        busy.send('421["wait"]')
        until(lambda: '"running":1' in stats_text(process), "the handler")
        process.process.send_signal(number)
        frames, code = rest_of(idle)
        closing = json.loads(str(frames[-1]).rpartition("\x1e")[2][1:])
        assert closing["message"] == "server shutting down"
        assert 1000 <= closing["retry"] <= 1500
        assert code == 1012
        # It serves on, and takes no new sessions.
        assert is_draining(process)
        with http_client(process.url) as client:
            refused = client.get("/socket.io/?EIO=4&transport=polling")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            client.get("/go")
        frames, code = rest_of(busy)
        text = "\x1e".join(map(str, frames))
        assert '431["done"]' in text
        assert text.index('431["done"]') < text.index('1{"message":"server shutting down"')
        assert code == 1012
        # uvicorn raises the signal once more when it is done.
        again = (-number, 130) if name.startswith("uvicorn") else ()
        assert process.process.wait(20) in (0, *again)
        log = process.log()
        assert "Traceback" not in log
        assert log.count("gone: server shutting down") == 2


@pytest.mark.parametrize("name", SERVERS)
def test_second_signal_is_handed_on_at_once(name: str) -> None:
    with server(name, DRAIN_TIMEOUT="600") as process, ExitStack() as stack:
        busy = connected(process, stack)
        busy.send('421["wait"]')
        until(lambda: '"running":1' in stats_text(process), "the handler")
        process.process.send_signal(signal.SIGTERM)
        until(lambda: is_draining(process), "the drain")
        assert accepts(process)
        process.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(process), "the server's own end")
        assert "gone: " not in process.log()
        # It would have to wait for the handler, which nobody lets go.
        process.process.kill()
        process.process.wait()


def accepts(process: Running) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, process.port)) == 0


def stats_text(process: Running) -> str:
    with http_client(process.url) as client:
        return client.get("/stats").text
