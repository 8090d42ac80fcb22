"""Who meets whom: each client by each way, with servers and client processes that live as long as the run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from client_driver import EVERYBODY, STANDARD_WAYS, Driver, Peer, driving, ways_of
from network import Network, network_to
from real_server import Running, free_port, running, server_command

HERE = Path(__file__).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`pair` is a client and its server, `way` a transport or the upgrade: all of them, unless a test names its own."""
    if "pair" not in metafunc.fixturenames:
        return
    named = {mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")}
    if not {"pair", "way"} & named:
        metafunc.parametrize("pair, way", [(pair, way) for pair in EVERYBODY for way in ways_of(pair)])
    elif "way" not in named:
        metafunc.parametrize("way", STANDARD_WAYS)
    elif "pair" not in named:
        metafunc.parametrize("pair", EVERYBODY)


def _node() -> str:
    assert (HERE / "node_modules").exists(), "run: make setup"
    node = shutil.which("node")
    assert node is not None
    return node


def _started(name: str) -> Iterator[Running]:
    port = free_port()
    with running(server_command(name, "server_app:app", port), port) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


# Who finds our server on the fast lane: of each kind of client, one half.
FAST = ("socket.io-client-4.8-msgpack", "socket.io-client-4.0", "python-AsyncClient", "holdfast-client")


@pytest.fixture(scope="session")
def own_server() -> Iterator[Running]:
    yield from _started("uvicorn")


@pytest.fixture(scope="session")
def fast_server() -> Iterator[Running]:
    yield from _started("uvicorn-fast")


@pytest.fixture(scope="session")
def trio_server() -> Iterator[Running]:
    yield from _started("hypercorn-trio")


@pytest.fixture(scope="session")
def node_server() -> Iterator[Running]:
    port = free_port()
    with running([_node(), str(HERE / "server.js"), str(port)], port) as server:
        yield server


@pytest.fixture
def server(pair: str, request: pytest.FixtureRequest) -> Running:
    """The one that the pair is about."""
    ours = "fast_server" if pair in FAST else "own_server"
    return request.getfixturevalue("node_server" if pair.endswith("@socket.io") else ours)


@pytest.fixture(scope="session")
def _javascript(application: Path) -> Iterator[Driver]:
    with driving([_node(), str(HERE / "driver.js"), str(application)]) as driver:
        yield driver


@pytest.fixture(scope="session")
def _python() -> Iterator[Driver]:
    with driving([sys.executable, str(HERE / "driver.py")]) as driver:
        yield driver


@pytest.fixture
def new_peer(pair: str, way: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], Peer]]:
    """Makes clients of the pair's kind that go its way; they are disconnected at the end."""
    client = pair.partition("@")[0]
    driver = request.getfixturevalue("_python" if client.startswith("python") else "_javascript")
    with ExitStack() as stack:

        def make() -> Peer:
            peer = Peer(driver, client, way)
            stack.callback(peer.disconnect)
            return peer

        yield make


@pytest.fixture
def peer(new_peer: Callable[[], Peer]) -> Peer:
    """One client, not connected yet."""
    return new_peer()


@pytest.fixture(scope="session")
def _portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def network(_portal: BlockingPortal, server: Running) -> Iterator[Network]:
    with network_to(server.address, _portal) as network:
        yield network
