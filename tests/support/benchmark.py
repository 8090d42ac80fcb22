"""The commands in `benchmarks/`, run small: they hold the bar as they do at their full size, or end with status 1."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["BENCHMARKS", "benchmark"]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def benchmark(name: str, *options: str) -> list[dict[str, Any]]:
    """The rows that it measured."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *options, f"--json={figures}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        # Any: JSON, of each benchmark its own.
        rows: list[dict[str, Any]] = json.loads(figures.read_text())
    return rows
