"""docs/security.md: how ids of sessions stay out of uvicorn's log."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from real_peer import http_client, websocket
from real_server import free_port, running, server_command

DOCS = Path(__file__).parents[2] / "docs"
APP = "from holdfast import Server\n\napp = Server()\n"
URL = "/socket.io/?EIO=4&transport="


@pytest.mark.servers
def test_filter_of_the_documents_keeps_ids_out_of_uvicorns_log(tmp_path: Path) -> None:
    [block] = re.findall(
        r"^```python\n(.*?)^```$", (DOCS / "security.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "quiet_app.py").write_text(block + APP)
    port = free_port()
    command = server_command("uvicorn", "quiet_app:app", port, "--log-level=info", f"--app-dir={tmp_path}")
    with running(command, port) as server, http_client(server.url) as client:
        sid = json.loads(client.get(f"{URL}polling").text[1:])["sid"]
        assert client.post(f"{URL}polling&sid={sid}", content="40").text == "ok"
        with websocket(f"{server.url}{URL}websocket&sid={sid}") as socket:
            socket.send("2probe")
            assert socket.recv(5) == "3probe"
        with websocket(f"{server.url}{URL}websocket") as socket:
            socket.recv(5)
        server.end()
        log = server.log()
    assert '"POST /socket.io/ HTTP/1.1" 200' in log
    assert '"WebSocket /socket.io/" [accepted]' in log
    assert sid not in log
    assert "transport" not in log
    assert "Traceback" not in log
