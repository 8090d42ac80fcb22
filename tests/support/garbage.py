"""What the collector of garbage would find."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest

__all__ = ["left", "left_by_another", "uncollected"]


@pytest.fixture
def uncollected() -> Iterator[None]:
    # What is logged is kept, with all frames of its traceback.
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.disable()
    yield
    logging.disable(logging.NOTSET)
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def left() -> Counter[str]:
    """Of what classes of ours the collector finds something."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    names = [f"{type(found).__module__}.{type(found).__qualname__}" for found in gc.garbage]
    return Counter(name for name in names if name.startswith("holdfast."))


async def left_by_another(visit: Callable[[], Awaitable[None]]) -> Counter[str]:
    """`left` by a second visit: what is made once is made by the first."""
    await visit()
    gc.collect()
    await visit()
    return left()
