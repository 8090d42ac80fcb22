"""`benchmarks/chaos.py`, run as its users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

Chaos = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture(scope="session")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    """Run it with these options; its exit status, its figures and what it printed."""

    def chaos(*options: str) -> tuple[int, list[dict[str, Any]], str]:
        figures = tmp_path_factory.mktemp("chaos") / "figures.json"
        command = [sys.executable, str(ROOT / "benchmarks" / "chaos.py"), f"--json={figures}", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280)
        assert figures.exists(), done.stderr
        return done.returncode, json.loads(figures.read_text()), done.stdout + done.stderr

    return chaos
