"""Each option of our own JavaScript client does what it says, against our own server.

The same checks run against the official server in `client_js` (test/options.test.js).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_server import Running, free_port, running, server_command

pytestmark = pytest.mark.servers

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def option_server() -> Iterator[Running]:
    port = free_port()
    with running(server_command("uvicorn", "option_app:app", port), port) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


@pytest.mark.parametrize(("entry", "least"), [("main", 16), ("compat", 22)])
def test_every_option_does_what_it_says(option_server: Running, entry: str, least: int) -> None:
    node = shutil.which("node")
    assert node is not None
    command = [node, str(HERE / "option_checks.js"), option_server.url, entry]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) >= least
    assert [result for result in results if result["error"]] == []
