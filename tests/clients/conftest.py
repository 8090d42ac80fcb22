from __future__ import annotations

from collections.abc import Iterator

import pytest
from real_server import Running, free_port, running, server_command


def _started(name: str) -> Iterator[Running]:
    port = free_port()
    with running(server_command(name, "server_app:app", port), port) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    yield from _started("uvicorn")


@pytest.fixture(scope="session")
def trio_server() -> Iterator[Running]:
    yield from _started("hypercorn-trio")
