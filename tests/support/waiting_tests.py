"""Ends an async test that waits for ever.

pytest-timeout interrupts the main thread, and on Trio that ends anyio's runner but not the test: the runner then waits
for it. Cancelled from within, a test ends on both event loops, and says where it waited.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Generator
from typing import Any

import anyio
import pytest

__all__ = ["pytest_pyfunc_call"]

# Of the time that pytest-timeout would give it.
_SHARE = 0.75


def _limit(item: pytest.Function) -> float:
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.kwargs.get("timeout", marker.args[0] if marker.args else 0))
    return float(item.config.getoption("timeout", None) or item.config.getini("timeout") or 0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Give the test less time than pytest-timeout does."""
    test, limit = pyfuncitem.obj, _limit(pyfuncitem) * _SHARE
    if not limit or not inspect.iscoroutinefunction(test):
        return (yield)

    @functools.wraps(test)
    async def limited(*args: Any, **kwargs: Any) -> None:
        with anyio.fail_after(limit):
            await test(*args, **kwargs)

    pyfuncitem.obj = limited
    try:
        return (yield)
    finally:
        pyfuncitem.obj = test
