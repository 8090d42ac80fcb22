"""S7 with the JavaScript client on a real server: it comes back with fresh credentials, and not with old ones."""

from __future__ import annotations

import pytest
from node_program import run_program
from real_server import free_port, running, server_command

pytestmark = pytest.mark.servers

PROGRAM = """
import { io } from "ROOT/client_js/index.js";
import WebSocket from "ROOT/client_js/node_modules/ws/wrapper.mjs";

const run = async (transport) => {
  const headers = {};
  const fresh = () => (headers.cookie = `user=${transport}; since=${Date.now() / 1000}`);
  fresh();
  const socket = io(URL, { forceNew: true, transports: [transport], WebSocket, extraHeaders: headers });
  const told = { transport, connects: 0, disconnects: 0, errors: 0, echoes: 0, wrong: 0, answers: 0 };
  let over;
  const end = new Promise((resolve) => (over = resolve));
  socket.on("connect", () => (told.connects += 1));
  socket.on("disconnect", (reason) => ((told.disconnects += 1), (told.reason = reason), over()));
  socket.on("connect_error", () => (told.errors += 1));
  socket.on("echo", (value) => (value === told.echoes + 1 ? (told.echoes = value) : (told.wrong += 1)));
  let refreshing = setInterval(fresh, 100);
  let number = 0;
  const started = Date.now();
  const talking = setInterval(() => {
    const value = ++number;
    socket.emit("number", value, (answer) => (answer === value ? (told.answers += 1) : (told.wrong += 1)));
    if (value < 300) return;
    clearInterval(talking);
  }, 10);
  while (told.answers < 300 || told.echoes < 300) await new Promise((resolve) => setTimeout(resolve, 10));
  told.soFar = { connects: told.connects, disconnects: told.disconnects };
  clearInterval(refreshing);
  const stale = Date.now();
  await end;
  told.lasted = Date.now() - stale;
  await new Promise((resolve) => setTimeout(resolve, 300));
  told.connected = socket.connected;
  socket.disconnect();
  return told;
};
console.log(JSON.stringify(await Promise.all(["websocket", "stream", "polling"].map(run))));
process.exit(0);
"""


def test_s7_real_client_renews_unnoticed_and_is_put_out_with_credentials_that_have_expired() -> None:
    port = free_port()
    with running(server_command("uvicorn", "expiring_app:app", port), port) as server:
        results = run_program(PROGRAM, URL=server.url)
        log = server.log()
    for told in results:
        assert told["soFar"] == {"connects": 1, "disconnects": 0}, told
        assert (told["echoes"], told["wrong"]) == (300, 0), told
        assert told["disconnects"] == 1, told
        assert not told["connected"]
        # The cookie is good for a second, then the client has to come back and be refused.
        assert told["lasted"] < 5000, told
    assert "Traceback" not in log
