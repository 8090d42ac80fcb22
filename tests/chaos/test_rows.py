"""The rows of the fault harness in their small form: our client and our server, through everything it can do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "chaos.md"

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(300)]

# R2 is hard, R3 and R7 take their time.
SMALL = {"R1": 8, "R4": 4, "R5": 1, "R6": 6, "R8": 2, "R9": 6, "R10": 1}

Chaos = Callable[..., tuple[int, list[dict[str, Any]], str]]


def test_nothing_is_lost_whatever_the_network_does(chaos: Chaos) -> None:
    status, cases, printed = chaos("--small", "--parallel=8", *SMALL)
    missed = [case for case in cases if not case["passed"]]
    assert (status, missed) == (0, []), printed
    for row, count in SMALL.items():
        assert sum(case["row"] == row for case in cases) == count
    for case in cases:
        figures = case["figures"]
        assert figures["down"]["received"] == figures["down"]["sent"] > 0
        assert figures["up"]["received"] == figures["up"]["sent"] > 0
        if case["row"] == "R1":
            assert len(figures["outages"]) >= 3, case


def test_a_server_that_loses_events_is_found_out(chaos: Chaos) -> None:
    """What is sent to somebody who is away is lost with a standard server, and the checker says so."""
    status, cases, _ = chaos(
        "--small", "--with-peers", "--only=socket.io socket.io websocket", "--parallel=2", "R1"
    )
    (case,) = cases
    figures = case["figures"]
    assert figures["down"]["lost"] > 0
    assert figures["disconnects"] > 0
    assert (status, case["passed"]) == (0, None)


def test_the_page_has_its_rows() -> None:
    rows = re.findall(r"^\| (R\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert set(rows) == {*SMALL, "R2", "R3", "R7"}
