"""The same program on python-socketio's server and on holdfast: only its import is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from real_server import APPS, Running, free_port, running, server_command

CHANGED_IMPORT = ("import socketio\n", "from holdfast.compat import socketio\n")
SERVERS = ("python-socketio", "holdfast")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """Both, started at once."""
    folder = tmp_path_factory.mktemp("moved")
    source = (APPS / "ported_app.py").read_text()
    assert source.count(CHANGED_IMPORT[0]) == 1
    (folder / "moved_app.py").write_text(source.replace(*CHANGED_IMPORT))
    ports = free_port(), free_port()
    with (
        running(server_command("uvicorn", "ported_app:app", ports[0]), ports[0]) as theirs,
        _ours(folder, ports[1]) as ours,
    ):
        yield dict(zip(SERVERS, (theirs, ours), strict=True))
        assert "Traceback" not in ours.log(), ours.log()


def _ours(folder: Path, port: int) -> AbstractContextManager[Running]:
    path = os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))
    return running(server_command("uvicorn", "moved_app:app", port), port, PYTHONPATH=path)


# A client that leaves python-socketio's server while it polls waits for that poll to end, which takes its server long.
WAYS = (("python-socketio", "websocket"), ("holdfast", "websocket"), ("holdfast", "polling"))


@pytest.fixture(params=WAYS, ids="-".join)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Which server, and how it is reached."""
    return request.param


@pytest.fixture
def url(place: tuple[str, str], servers: dict[str, Running]) -> str:
    return servers[place[0]].url


@pytest.fixture
def way(place: tuple[str, str]) -> list[str]:
    return [place[1]]
