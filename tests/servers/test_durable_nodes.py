"""Two real servers and a real Redis: the short form of `benchmarks/cluster_faults.py`, which has more of everything."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from benchmark import BENCHMARKS

pytestmark = pytest.mark.servers

CLIENTS = 6


@pytest.mark.parametrize("fault", ["kill", "freeze"])
@pytest.mark.timeout(120)
def test_clients_go_on_with_another_node_and_nothing_is_lost_or_repeated(fault: str) -> None:
    command = [
        sys.executable,
        str(BENCHMARKS / "cluster_faults.py"),
        "--sessions",
        "durable",
        "--fault",
        fault,
    ]
    short = ["--clients", str(CLIENTS), "--seconds", "1.5", "--frozen", "4"]
    done = subprocess.run([*command, *short], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(json.loads(line) for line in done.stderr.splitlines() if line.startswith("{"))
    assert row["same"] == CLIENTS, row
    assert row["silent"] == 0, row
    assert row["ends"] == "0+0", row
    assert row["down"] > 20 * CLIENTS, row
