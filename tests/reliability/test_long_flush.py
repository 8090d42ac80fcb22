"""What a client has gathered while it was not connected arrives, in order and once, however much more it is than
`max_events_per_second`."""

from __future__ import annotations

import pytest
from node_program import run_program
from real_server import free_port, running, server_command

pytestmark = pytest.mark.servers

EVENTS = 30_000
PROGRAM = """
import { io as ours } from "ROOT/client_js/index.js";
import { io as official } from "ROOT/tests/clients/node_modules/socket.io-client/build/esm-debug/index.js";
import WebSocket from "ROOT/client_js/node_modules/ws/wrapper.mjs";

const run = (io, name, transports) =>
  new Promise((resolve) => {
    const socket = io(URL, { forceNew: true, transports, WebSocket, reconnection: false });
    const end = (why) => resolve({ name, transports, why }) ?? socket.disconnect();
    for (let number = 0; number < EVENTS; number++) socket.emit("number", number);
    socket.emit("sum", (count, isInOrder) => end([count, isInOrder]));
    socket.on("disconnect", (reason, details) => end(reason + details?.description?.message));
    socket.on("connect_error", (error) => end(String(error)));
  });

const runs = [run(official, "official", ["polling"]), run(official, "official", ["websocket"])];
for (const transports of [["polling"], ["websocket"]]) runs.push(run(ours, "ours", transports));
console.log(JSON.stringify(await Promise.all(runs)));
process.exit(0);
"""


def test_long_flush_is_slowed_down_and_not_cut_off() -> None:
    port = free_port()
    with running(server_command("uvicorn", "flush_app:app", port), port) as server:
        results = run_program(PROGRAM, URL=server.url, EVENTS=EVENTS, timeout=55)
        assert len(results) == 4
        assert [result for result in results if result["why"] != [EVENTS, True]] == []
        assert server.log() == ""
