"""Clients that come and go leave no task, no file, no memory and no warning; with Python's development mode on."""

from __future__ import annotations

import pytest
from benchmark import benchmark

pytestmark = pytest.mark.servers


def test_nothing_is_left_of_clients_that_come_and_go() -> None:
    rows = benchmark("leaks", "--cycles=150", "--transports=+websocket,polling", "--most-mb=10")
    assert len(rows) == 2
    for row in rows:
        # One file less than before is no leak.
        assert row["tasks"] <= 0
        assert row["files"] <= 0
        assert row["never disconnected"] == 0
