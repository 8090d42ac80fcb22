"""R19: our client through an nginx with hostile settings, busy and idle: what is numbered arrives once and in order."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from node_program import node_command
from real_nginx import nginx_before
from real_server import Running, free_port, running, server_command

pytestmark = pytest.mark.servers

BUSY = 150
PROGRAM = """
import { io } from "ROOT/client_js/index.js";
import WebSocket from "ROOT/client_js/node_modules/ws/wrapper.mjs";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const run = async (transports) => {
  const socket = io(URL, { forceNew: true, transports, WebSocket });
  const told = { transports, connects: 0, disconnects: 0, heard: [], answers: [], ways: [] };
  socket.on("connect", () => told.connects++);
  socket.on("disconnect", () => told.disconnects++);
  socket.on("echo", (n) => told.heard.push(n));
  socket.io.on("transport", ({ to }) => told.ways.push(to));
  let number = 0;
  const say = (length) => socket.emit("echo", ++number, "x".repeat(length), (n) => told.answers.push(n));
  const level = async () => {
    while (Math.min(told.answers.length, told.heard.length) < number) await pause(5);
  };
  for (let n = 0; n < BUSY; n++) say((n * 37) % 600);
  await level();
  // Idle, until nginx has waited long enough for an answer.
  for (const ways = told.ways.length; told.ways.length == ways; ) await pause(5);
  for (let n = 0; n < 5; n++) say(n);
  await level();
  // What is longer than nginx takes at once is told, and nothing is tried for ever.
  const over = new Promise((resolve) => {
    socket.once("disconnect", (reason, { description, unconfirmed }) =>
      resolve([reason, description.message, unconfirmed.length]));
  });
  socket.emit("echo", 0, "y".repeat(2000));
  told.tooLong = await over;
  socket.disconnect();
  return told;
};
console.log(JSON.stringify(await Promise.all([undefined, ["polling"]].map(run))));
process.exit(0);
"""


def test_r19_nothing_is_lost_behind_an_nginx_with_hostile_settings(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers: list[Running] = []
        clients: list[subprocess.Popen[str]] = []
        # They mostly wait.
        for name in ("uvicorn", "hypercorn-trio"):
            port = free_port()
            server = stack.enter_context(running(server_command(name, "server_app:app", port), port))
            folder = tmp_path / name
            folder.mkdir()
            nginx = stack.enter_context(nginx_before(server, folder))
            command = node_command(PROGRAM, URL=nginx.hostile, BUSY=BUSY)
            client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.callback(client.kill)
            servers.append(server)
            clients.append(client)
        outputs = [client.communicate(timeout=50) for client in clients]
        for client, (_, errors) in zip(clients, outputs, strict=True):
            assert client.returncode == 0, errors
        for server in servers:
            assert "Traceback" not in server.log(), server.log()
    for output, _ in outputs:
        for told in json.loads(output):
            expected = list(range(1, BUSY + 6))
            assert (told["heard"], told["answers"]) == (expected, expected), told
            assert (told["connects"], told["disconnects"]) == (1, 1), told
            assert told["tooLong"] == ["transport error", "HTTP 413", 1], told
            # By HTTP alone; what nginx has ended is followed by the next, without a word to the application.
            assert "websocket" not in told["ways"], told
