"""What a client has gathered while it was not connected arrives, in order and once, however much more it is than
`max_events_per_second`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from real_server import free_port, running, server_command

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
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
    node = shutil.which("node")
    assert node is not None
    port = free_port()
    with running(server_command("uvicorn", "flush_app:app", port), port) as server:
        program = PROGRAM.replace("ROOT", ROOT.as_uri()).replace("URL", json.dumps(server.url))
        done = subprocess.run(
            [node, "--input-type=module", "-e", program.replace("EVENTS", str(EVENTS))],
            capture_output=True,
            text=True,
            timeout=55,
        )
        assert done.returncode == 0, done.stderr
        results = json.loads(done.stdout)
        assert len(results) == 4
        assert [result for result in results if result["why"] != [EVENTS, True]] == []
        assert server.log() == ""
