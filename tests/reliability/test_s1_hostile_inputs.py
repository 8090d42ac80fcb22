"""S1 and S11: a thousand hostile inputs, and hostile frames to each WebSocket implementation, leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmark import BENCHMARKS, benchmark
from real_server import free_port, running

pytestmark = pytest.mark.servers

# That others do not wait is for the full size, on a quiet machine; here the healthy client is served, and that is all.
PACE = ["--worst-ms=10000", "--p99-ms=10000"]

# As docs/load.md has it.
OWN = """
from holdfast import Server, Socket

io = Server(max_unused_sessions_per_address={most})


@io.on("echo")
async def echo(socket: Socket, value: object) -> object:
    return value
"""


def test_s1_a_thousand_hostile_inputs_leave_no_trace_and_harm_nobody() -> None:
    (row,) = benchmark("hostile", "--inputs=1000", "--seeds=1", *PACE)
    assert row["inputs"] == 1000
    assert row["alive"]
    assert (row["traces"], row["5xx"], row["unanswered"], row["sessions left"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("server", ["uvicorn", "uvicorn-wsproto", "uvicorn-legacy", "hypercorn"])
def test_s11_hostile_frames_end_their_websocket_only(server: str) -> None:
    (row,) = benchmark("hostile", f"--servers={server}", "--inputs=600", "--seeds=5", "--kinds=frames", *PACE)
    assert row["inputs"] > 40
    assert row["alive"]


def test_hostile_inputs_are_the_same_for_the_same_seed_and_of_every_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from hostile_inputs import KINDS, inputs

    some = inputs(7, 500)
    assert some == inputs(7, 500) != inputs(8, 500)
    assert {one.kind for one in some} == set(KINDS)


@pytest.mark.parametrize(("most", "status"), [(100_000, 0), (2, 1)], ids=["raised", "as most have it"])
def test_of_an_application_of_ones_own_only_what_was_looked_at_is_said(
    most: int, status: int, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.format(most=most))
    port = free_port()
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "uvicorn", "own:io", f"--app-dir={tmp_path}", f"--port={port}"]
    with running(command, port) as server:
        done = subprocess.run(
            [
                *[sys.executable, str(BENCHMARKS / "hostile.py"), f"--url={server.url}"],
                *[f"--pid={server.process.pid}", "--inputs=300", "--seeds=3", f"--json={figures}", *PACE],
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    (row,) = json.loads(figures.read_text())
    assert done.returncode == status, done.stdout
    assert ("refused with 429" in done.stdout.splitlines()[-1]) == bool(status)
    assert {row["traces"], row["sessions left"], row["tasks left"]} == {"–"}
