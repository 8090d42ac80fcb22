"""S6: what a client has gathered while it was not connected is no flood: 500 events at once, by any client."""

from __future__ import annotations

import pytest
from node_program import run_program
from real_server import free_port, running, server_command

pytestmark = pytest.mark.servers

PROGRAM = """
import { io as ours } from "ROOT/client_js/index.js";
import { io as official } from "ROOT/tests/clients/node_modules/socket.io-client/build/esm-debug/index.js";
import WebSocket from "ROOT/client_js/node_modules/ws/wrapper.mjs";

const run = (io, name, transports, times) =>
  new Promise((resolve) => {
    const socket = io(URL, { forceNew: true, transports, WebSocket, reconnection: false });
    const told = { name, transports, right: 0, wrong: 0 };
    const flush = () => {
      for (let number = 0; number < 500; number++) {
        const args = number % 50 ? [number] : [number, new Uint8Array(3)];
        socket.emit("echo", ...args, (answer) => (answer === number ? told.right++ : told.wrong++));
      }
    };
    const end = (why) => {
      clearInterval(looking);
      resolve({ ...told, why });
      socket.disconnect();
    };
    // Half of them before it is connected, half in one go afterwards.
    flush();
    socket.on("connect", () => setTimeout(flush, 50));
    socket.on("disconnect", end);
    socket.on("connect_error", (error) => end(String(error)));
    const looking = setInterval(() => told.right + told.wrong === 1000 && end("done"), 10);
  });

const runs = [];
for (const transports of [["polling"], ["websocket"]]) runs.push(run(official, "official", transports));
for (const transports of [["polling"], ["stream"], ["websocket"]]) runs.push(run(ours, "ours", transports));
console.log(JSON.stringify(await Promise.all(runs)));
process.exit(0);
"""


def test_s6_flush_of_500_events_is_accepted() -> None:
    port = free_port()
    with running(server_command("uvicorn", "server_app:app", port), port) as server:
        results = run_program(PROGRAM, URL=server.url)
    assert len(results) == 5
    for result in results:
        assert (result["right"], result["wrong"], result["why"]) == (1000, 0, "done"), result
