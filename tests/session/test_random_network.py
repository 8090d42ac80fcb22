from __future__ import annotations

import pytest
from hypothesis import given, settings
from random_network import EndingNetwork, RandomNetwork, schedules

OPENINGS = ("websocket", "stream", "polling")
# At least 200 schedules for each way to open in the small profile, 20,000 in all in the large one.
SCHEDULES = max(200, settings().max_examples // len(OPENINGS) + 1)


@pytest.mark.parametrize("opening", OPENINGS)
@settings(max_examples=SCHEDULES)
@given(schedule=schedules())
def test_each_side_hears_a_prefix_and_in_the_end_everything(
    opening: str, schedule: list[tuple[str, int]]
) -> None:
    network = RandomNetwork(opening)
    for kind, choice in schedule:
        network.step(kind, choice)
    network.heal()


@pytest.mark.parametrize("opening", OPENINGS)
@settings(max_examples=SCHEDULES // 2)
@given(schedule=schedules(ends=True))
def test_r16_end_leaves_a_prefix_and_nothing_that_is_kept(
    opening: str, schedule: list[tuple[str, int]]
) -> None:
    network = EndingNetwork(opening)
    for kind, choice in schedule:
        network.step(kind, choice)
    network.heal()
