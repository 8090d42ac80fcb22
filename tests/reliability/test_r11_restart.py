"""Row R11, small: a server is killed and comes back. At full size: `python benchmarks/restart.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.servers

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "restart.py"


def test_r11_clients_of_a_killed_server_are_told_once_and_miss_nothing_silently() -> None:
    command = [sys.executable, str(PROGRAM), "--fault=kill", "--clients=3", "--rounds=1"]
    done = subprocess.run([*command, "--rows", "holdfast/auto"], capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert (result["back"], result["ends told"]) == (3, 3)
    for fault in ("silent", "repeated", "down lost", "down repeated", "down out of order"):
        assert result[fault] == 0, result
    # What was sent into the gap comes back to who has sent it, and nothing of what a server has confirmed.
    assert result["returned"] > 100
    assert result["in doubt"] <= 30
