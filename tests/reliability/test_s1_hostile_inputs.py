"""S1 and S11: a thousand hostile inputs, and hostile frames to each WebSocket implementation, leave nothing behind."""

from __future__ import annotations

import pytest
from benchmark import BENCHMARKS, benchmark

pytestmark = pytest.mark.servers

# That others do not wait is for the full size, on a quiet machine; here the healthy client is served, and that is all.
PACE = ["--worst-ms=10000", "--p99-ms=10000"]


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
