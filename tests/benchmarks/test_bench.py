"""`make bench`, tiny: every workload gives figures, and a server that answers wrongly does not pass.

At full size: `make bench` and `make bench-growth`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmark import BENCHMARKS
from real_server import APPS

sys.path.append(str(BENCHMARKS))

from bench import check_cores, run_once
from bench_servers import SERVERS, Running, available, running
from bench_workloads import WORKLOADS

pytestmark = pytest.mark.servers

SUBJECTS = [name for name in ("holdfast", "holdfast-fast", "bare-asgi") if available(SERVERS[name])]
WRONG = replace(
    SERVERS["holdfast"],
    name="wrong",
    command=tuple(part.replace("bench_app:", "wrong_app:") for part in SERVERS["holdfast"].command),
    environment={"PYTHONPATH": str(APPS)},
)
TINY = {"share": 0.004, "scale": 0.02}


@pytest.fixture(scope="module", params=SUBJECTS)
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(SERVERS[request.param]) as found:
        yield found


@pytest.fixture(scope="module")
def wrong_server() -> Iterator[Running]:
    with running(WRONG) as found:
        yield found


def test_every_workload_gives_figures(server: Running) -> None:
    workloads = [work for work in WORKLOADS.values() if server.subject.protocol in work.protocols]
    assert len(workloads) >= 6
    total = 0.0
    for workload in workloads:
        found = run_once(workload, server, **TINY)
        assert found.operations >= 1, workload.name
        # So few may cost less than the clock of a process shows.
        assert 0 <= found.cpu <= found.wall, workload.name
        total += found.cpu
    assert total > 0


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name != "connect"])
def test_wrong_answer_ends_the_run(wrong_server: Running, name: str) -> None:
    with pytest.raises(SystemExit, match=f"wrong failed in {name}: WrongAnswer"):
        run_once(WORKLOADS[name], wrong_server, **{**TINY, "share": 0.02})


def test_server_that_shares_a_core_with_the_clients_is_not_measured(server: Running) -> None:
    core = min(os.sched_getaffinity(0))
    with pytest.raises(SystemExit, match=f"{server.name} stands on .* the servers belong on {core}, alone"):
        check_cores(server, core)
    check_cores(server, None)


def test_command_writes_figures_and_a_chart(tmp_path: Path) -> None:
    figures, chart = tmp_path / "figures.json", tmp_path / "chart.svg"
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--quick", "--workloads=one-way"]
    command += ["--servers=holdfast,bare-asgi", f"--json={figures}", f"--chart={chart}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())["microseconds"]
    assert all(found["one-way"][server]["median"] > 0 for server in ("holdfast", "bare-asgi"))
    cores = sorted(os.sched_getaffinity(0))
    stand = json.loads(figures.read_text())["cores"]
    assert [stand["servers"], stand["clients"]] == (cores[:2] if len(cores) > 1 else [None, None])
    assert WORKLOADS["one-way"].title in done.stdout
    bars = [part for part in ElementTree.parse(chart).getroot() if part.tag.endswith("rect")]
    assert len(bars) == 2


def test_growth_is_measured_for_rooms_changes_and_the_loop(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(BENCHMARKS / "bench_growth.py"), "--quick", "--sessions=100"]
    command += ["--servers=holdfast", f"--json={figures}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())["holdfast"]["100"]
    assert found.keys() >= {"delivery, room of 10", "delivery, room of 100", "join and leave", "disconnect"}
    costs = (
        "join and leave",
        "disconnect",
        "leave and come",
        "blocked by a broadcast, ms",
        "blocked by that, ms",
    )
    assert all(run > 0 for name in costs for run in found[name])
