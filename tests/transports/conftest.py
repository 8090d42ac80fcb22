"""The transports' tests run over ASGI, on both event loops, and over the fast lane, which is asyncio's.

Some run with every request carried from another node, too; all that can, if they are asked for: ``-k carried``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from counting_peer import Lane


@pytest.fixture(params=["asyncio", "trio", "fast", "carried", "carried-trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Iterator[str]:
    Lane.is_fast = request.param == "fast"
    Lane.is_carried = request.param.startswith("carried")
    yield "trio" if request.param.endswith("trio") else "asyncio"
    Lane.is_fast = Lane.is_carried = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about an ASGI server's calls themselves, is not for the lane."""
    all_carried = "carried" in config.getoption("keyword")
    others = [
        item
        for item in items
        if ("[fast" in item.name and _is_of_asgi(item))
        or ("[carried" in item.name and not (_is_carried(item) or (all_carried and not _counts_logs(item))))
    ]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _is_carried(item: pytest.Item) -> bool:
    """Whether it is one of those that find most of what may go wrong on the way."""
    return item.path.stem in (
        ("test_check",) if "carried-trio" in item.name else ("test_check", "test_plain")
    )


def _counts_logs(item: pytest.Item) -> bool:
    """Two nodes say it, each once."""
    return "log_names_the_remedy_once" in item.name


def _is_of_asgi(item: pytest.Item) -> bool:
    return item.get_closest_marker("asgi") is not None or "that_its_server_cancels" in item.name
