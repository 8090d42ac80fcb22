"""A server that is told to end while it has many sessions tells every client, in time and without a traceback.

In its full size: `python benchmarks/shutdown.py --sessions 1000`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.servers

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "shutdown.py"
SESSIONS = 90


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn-asyncio"])
def test_every_client_is_told_before_the_server_ends(server: str) -> None:
    command = [sys.executable, str(PROGRAM), f"--sessions={SESSIONS}", "--period=0.3", f"--server={server}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])[0]
    told = {"told": SESSIONS // 3}
    assert result["ends"] == {"websocket": told, "stream": told, "polling": told}
    assert result["lost before"] == 0
    assert result["tracebacks"] == 0
    # The drain has twenty seconds, and the server five.
    assert result["seconds"] < 20
