"""Heartbeats by real time, on short intervals."""

from __future__ import annotations

import pytest
from real_peer import TIMEOUT, http_client, rest_of, websocket
from real_server import free_port, running, server_command, until

pytestmark = pytest.mark.servers

PLAIN = "/socket.io/?EIO=4&transport="


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn-trio"])
def test_peer_that_answers_lives_and_a_silent_one_does_not(name: str) -> None:
    port = free_port()
    command = server_command(name, "server_app:app", port)
    with running(command, port, PING_INTERVAL="0.3", PING_TIMEOUT="0.2") as server:
        with websocket(f"{server.url}{PLAIN}websocket") as socket:
            socket.recv(TIMEOUT)
            socket.send("40")
            while not str(socket.recv(TIMEOUT)).startswith("42"):
                pass
            for _ in range(5):
                assert socket.recv(TIMEOUT) == "2"
                socket.send("3")
            rest_of(socket)
        with http_client(server.url) as client:
            until(lambda: client.get("/reasons").json() == ["ping timeout"], "the disconnect")
