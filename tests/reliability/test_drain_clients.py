"""What clients make of a server that drains: they hear of it, and come back by themselves to the one that follows."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

import pytest
from node_program import node_command
from real_server import free_port, running, server_command, until

pytestmark = pytest.mark.servers

PROGRAM = """
import { io as ours } from "ROOT/client_js/index.js";
import { io as official } from "ROOT/tests/clients/node_modules/socket.io-client/build/esm-debug/index.js";
import WebSocket from "ROOT/client_js/node_modules/ws/wrapper.mjs";

for (const [name, io] of Object.entries({ ours, official }))
  for (const transport of ["websocket", "polling"]) {
    const socket = io(URL, { forceNew: true, transports: [transport], WebSocket });
    const print = (what, more) =>
      console.log(JSON.stringify({ name, transport, what, at: performance.now(), ...more }));
    socket.on("connect", () => print("connect"));
    socket.on("disconnect", (reason, details) =>
      print("disconnect", { reason, retry: details?.description?.retry }),
    );
  }
"""


def test_clients_hear_of_a_drain_and_come_back() -> None:
    port, lines = free_port(), list[dict[str, Any]]()
    command = server_command("uvicorn", "drain_app:app", port)

    def said(what: str) -> list[dict[str, Any]]:
        return [line for line in list(lines) if line["what"] == what]

    with running(command, port) as first:
        clients = subprocess.Popen(node_command(PROGRAM, URL=first.url), stdout=subprocess.PIPE, text=True)
        output = clients.stdout
        assert output is not None
        try:
            reader = threading.Thread(target=lambda: lines.extend(map(json.loads, output)), daemon=True)
            reader.start()
            until(lambda: len(said("connect")) == 4, "the clients")
            first.end()
            until(lambda: len(said("disconnect")) == 4, "the end of their sessions")
            assert "Traceback" not in first.log()
            ends = said("disconnect")
            with running(command, port):
                until(lambda: len(said("connect")) == 8, "their return")
                back = said("connect")[4:]
        finally:
            clients.kill()
            clients.wait()
            reader.join()
            output.close()
    assert {line["reason"] for line in ends} == {"transport close"}
    assert len({(line["name"], line["transport"]) for line in back}) == 4
    # Ours has been asked to stay away for a second, and up to half as much.
    for line in ends:
        assert line["name"] == "official" or 1000 <= line["retry"] <= 1500
    for line in back:
        [end] = [one for one in ends if (one["name"], one["transport"]) == (line["name"], line["transport"])]
        assert line["name"] == "official" or line["at"] - end["at"] >= 990
