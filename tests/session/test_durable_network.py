from __future__ import annotations

import pytest
from durable_network import DurableNetwork, node_schedules
from hypothesis import given, settings

OPENINGS = ("websocket", "stream", "polling")
SCHEDULES = max(200, settings().max_examples // len(OPENINGS) + 1)


@pytest.mark.parametrize("opening", OPENINGS)
@settings(max_examples=SCHEDULES)
@given(schedule=node_schedules())
def test_nothing_is_lost_or_repeated_whenever_a_node_dies_or_freezes(
    opening: str, schedule: list[tuple[str, int]]
) -> None:
    network = DurableNetwork(opening)
    for kind, choice in schedule:
        network.step(kind, choice)
    network.heal()
