"""The transports' tests run over ASGI, on both event loops, and over the fast lane, which is asyncio's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from counting_peer import Lane


@pytest.fixture(params=["asyncio", "trio", "fast"])
def anyio_backend(request: pytest.FixtureRequest) -> Iterator[str]:
    Lane.is_fast = request.param == "fast"
    yield "asyncio" if Lane.is_fast else request.param
    Lane.is_fast = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about an ASGI server's calls themselves, is not for the lane."""
    others = [item for item in items if "[fast" in item.name and _is_of_asgi(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _is_of_asgi(item: pytest.Item) -> bool:
    return item.get_closest_marker("asgi") is not None or "that_its_server_cancels" in item.name
