"""Known faults of clients of WebSockets, tried on the JavaScript client."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.servers

CLIENT = Path(__file__).parents[2] / "client_js"
PROGRAM = """
import { io } from "CLIENT/index.js";
import WebSocket from "CLIENT/node_modules/ws/wrapper.mjs";

const socket = io(URL, { transports: ["websocket"], WebSocket, reconnectionDelay: 10, reconnectionDelayMax: 20 });
let failures = 0;
socket.on("connect_error", () => {
  failures += 1;
  if (failures === 3) {
    console.log("still trying");
    socket.close();
  }
});
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "extensions",
    [
        "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits=-1",
        ";;=",
    ],
)
async def test_cve_2026_2229_answer_that_cannot_be_ends_one_attempt_and_not_the_process(
    anyio_backend: str, extensions: str
) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        found = re.search(r"sec-websocket-key: (\S+)", request, re.IGNORECASE)
        assert found is not None, request
        asked += 1
        digest = hashlib.sha1((found[1] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
            f"Sec-WebSocket-Extensions: {extensions}",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        program = PROGRAM.replace("CLIENT", str(CLIENT)).replace("URL", json.dumps(url))
        node = str(shutil.which("node"))
        command = [node, "--input-type=module", "--eval", program]
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.stdout, done.stderr, done.returncode) == ("still trying\n", "", 0)
    assert asked >= 3
