"""The benchmark of clients in bad networks still runs, and its page in the documentation has its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "hostile-networks.md"

pytestmark = [pytest.mark.browser, pytest.mark.servers]


def benchmark(*options: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / "browser.py"), *options]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_it_measures_our_client(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    benchmark("--rows=open,cut", "--clients=holdfast", "--runs=1", f"--json={figures}")
    runs = {row["row"]: row["runs"] for row in json.loads(figures.read_text())}
    for row in ("open", "cut"):
        (run,) = runs[row]
        assert 0 < run["ms"] < 60_000
        assert run["carrier"] == "websocket"
        assert run["missing"] == 0


def test_the_page_has_its_rows(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.json"
    nothing.write_text("[]")
    rows = [line.split(" | ")[0] for line in benchmark("--markdown", f"--read={nothing}").splitlines()]
    page = [line.split(" | ")[0] for line in PAGE.read_text().splitlines()]
    titles = [row for row in rows if row.startswith("| ")]
    assert len(titles) > 20
    assert [line for line in page if line in titles] == titles
    assert [row for row in rows if row.startswith("- ") and row not in page] == []
