"""A server for the programs, and the programs' own tools."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from packed_client import RUNTIMES
from real_server import Running, free_port, running, server_command


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    assert (RUNTIMES / "node_modules").exists(), "run: make setup"


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    port = free_port()
    with running(server_command("uvicorn", "server_app:app", port), port) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()
