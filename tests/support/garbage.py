"""What the collector of garbage would find."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

__all__ = ["left", "uncollected"]


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def left() -> Counter[str]:
    """Of what classes of ours the collector finds something."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    names = [f"{type(found).__module__}.{type(found).__qualname__}" for found in gc.garbage]
    return Counter(name for name in names if name.startswith("holdfast."))
