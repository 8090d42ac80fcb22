"""What holds with the published socket.io-client holds after its import was changed to ours: the same tests."""

from __future__ import annotations

import importlib.util
import inspect
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from real_server import PATIENCE, Running

pytestmark = pytest.mark.servers

HERE = Path(__file__).parent


def load() -> Any:
    """A copy of the tests of the published client, whose driver is ours."""
    spec = importlib.util.spec_from_file_location("moved_tests", HERE / "test_socketio_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TESTS = load()


def run(server: Running, way: str, *steps: dict[str, Any]) -> list[dict[str, Any]]:
    node = shutil.which("node")
    assert node is not None
    scenario = json.dumps({"url": server.url, "options": {"transports": [way]}, "steps": list(steps)})
    command = [node, str(HERE / "moved.js")]
    done = subprocess.run(
        command, input=scenario, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


TESTS.run = run


def names() -> list[str]:
    """Those that need a server and a way, and nothing that only the published client has."""
    functions = inspect.getmembers(TESTS, inspect.isfunction)
    return [
        name
        for name, function in functions
        if name.startswith("test_") and list(inspect.signature(function).parameters) == ["server", "way"]
    ]


def test_there_are_tests() -> None:
    assert len(names()) >= 8


# Who begins by polling is a matter of socket.io-client: ours begins with the best that gets through.
@pytest.mark.parametrize("way", ["polling", "websocket", "stream"])
@pytest.mark.parametrize("name", names())
def test_after_the_import_was_changed(server: Running, way: str, name: str) -> None:
    getattr(TESTS, name)(server, way)
