"""Two servers with the same behaviour: ours, and the published Node `socket.io`.

What Node passes too is run against both: so it is known to be a fair demand. What shows a fault of Node, marked
``node_fails``, is run against ours alone. To see Node fail, and everything else there too::

    AGAINST=node .venv/bin/python -m pytest -q tests/clients/recovery
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from official_client import ControlledServer, Network, bad_network, controlled, node
from real_server import free_port, running, server_command

AGAINST = os.environ.get("AGAINST", "")
NODE_SERVER = Path(__file__).parent / "node_server.js"

Start = Callable[..., AbstractContextManager[ControlledServer]]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "node_fails(how): what a Node server does instead; not run against it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        fails = metafunc.definition.get_closest_marker("node_fails") is not None
        kinds = [AGAINST] if AGAINST else ["holdfast"] if fails else ["holdfast", "node"]
        metafunc.parametrize("kind", kinds, scope="session")


def commands(kind: str, port: int) -> list[str]:
    return (
        [node(), str(NODE_SERVER)] if kind == "node" else server_command("uvicorn", "recovery_app:app", port)
    )


@pytest.fixture(scope="session")
def start(kind: str) -> Start:
    """Start a server of one's own."""

    @contextmanager
    def start(port: int | None = None, **environment: str) -> Iterator[ControlledServer]:
        port = port or free_port()
        with running(commands(kind, port), port, PORT=str(port), **environment) as process:
            with controlled(port) as server:
                yield server
            assert "Traceback" not in process.log(), process.log()

    return start


@pytest.fixture(scope="session")
def server(start: Start) -> Iterator[ControlledServer]:
    """The server that the tests share; each knows its clients by their ids."""
    with start() as server:
        yield server


@pytest.fixture
def network(server: ControlledServer) -> Iterator[Network]:
    """A way to `server` that breaks as told."""
    with bad_network(server.port) as network:
        yield network
