"""Servers with several workers, each request by a TCP connection of its own: any worker may take it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from real_server import APPS, HOST, PATIENCE, Running, free_port, running, until

pytestmark = pytest.mark.servers

SUPPORT = Path(__file__).parent.parent / "support"
NODE, PYTHON = ("node", str(SUPPORT / "crowd.mjs")), (sys.executable, str(SUPPORT / "crowd.py"))
CROWDS = {
    **{
        f"{kind} in Node.js": (*NODE, kind)
        for kind in ("official", "official-polling", "ours", "ours-polling")
    },
    **{f"python-socketio by {kind}": (*PYTHON, kind) for kind in ("websocket", "polling")},
}


def command(server: str, port: int, workers: int) -> list[str]:
    module, *options = {
        "uvicorn": ["uvicorn", "--log-level=warning", "--timeout-graceful-shutdown=2"],
        "uvicorn-fast": ["uvicorn", "--log-level=warning", "--no-access-log", "--http=workers_app:lane.http"],
        "hypercorn": ["hypercorn_on_trio", "--worker-class=trio"],
        "granian": ["granian", "--interface=asgi", "--log-level=warning", f"--host={HOST}"],
        "gunicorn": ["gunicorn", "--worker-class=uvicorn_worker.UvicornWorker"],
    }[server]
    where = f"--port={port}" if module in ("uvicorn", "granian") else f"--bind={HOST}:{port}"
    return [sys.executable, "-m", module, *options, f"--workers={workers}", where, "workers_app:app"]


class Visitor:
    """A plain client by polling, with a new TCP connection for each request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._asked = 0
        status, text = self.request("GET")
        assert status == 200, text
        self.sid: str = json.loads(text[1:])["sid"]
        assert self.request("POST", "40") == (200, "ok")
        assert self.request("GET")[1].startswith("40")

    sid = ""

    def request(self, method: str, body: str | None = None) -> tuple[int, str]:
        connection = HTTPConnection(HOST, self._port, timeout=PATIENCE)
        path = "/socket.io/?EIO=4&transport=polling" + (f"&sid={self.sid}" if self.sid else "")
        connection.request(method, path, body, {"connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def ask(self, event: str, *args: object) -> Any:
        """The answer to an event, which is the next thing that comes."""
        self._asked += 1
        assert self.request("POST", f"42{self._asked}{json.dumps([event, *args])}") == (200, "ok")
        status, text = self.request("GET")
        assert status == 200, text
        assert text.startswith(f"43{self._asked}["), text
        return (json.loads(text.removeprefix(f"43{self._asked}")) or [None])[0]


def of_each_worker(port: int, workers: int = 4) -> dict[int, Visitor]:
    """A visitor with a session in each of so many workers, by the number of its process."""
    found: dict[int, Visitor] = {}

    def all_are_met() -> bool:
        visitor = Visitor(port)
        found.setdefault(visitor.ask("where"), visitor)
        return len(found) == workers

    until(all_are_met, f"{workers} workers")
    return found


@pytest.fixture(scope="module")
def uvicorn() -> Iterator[Running]:
    port = free_port()
    with running(command("uvicorn", port, 4), port, CLOSE="1") as server:
        until(lambda: len(Visitor(port).ask("workers")) == 4, "four workers that know each other")
        yield server
        assert "Traceback" not in server.log(), server.log()


def test_every_client_is_served_by_every_way_and_nothing_is_lost_or_late(uvicorn: Running) -> None:
    crowds = {
        name: subprocess.Popen(
            [program, script, uvicorn.url, kind, "6"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, (program, script, kind) in CROWDS.items()
    }
    for name, crowd in crowds.items():
        said, _ = crowd.communicate(timeout=120)
        assert crowd.returncode == 0, f"{name}: {said}"
        found = json.loads(said)
        assert found["problems"] == [], name
        assert found["clients"] == 6


def test_rooms_and_questions_reach_all_workers(uvicorn: Running) -> None:
    visitors = of_each_worker(uvicorn.port)
    one, *others = visitors.values()
    for visitor in visitors.values():
        visitor.ask("join", "all")
    assert one.ask("count") >= 4
    assert set(one.ask("workers")) == set(visitors)
    assert one.request("POST", '42["say","all",5]') == (200, "ok")
    for visitor in (one, *others):
        assert visitor.request("GET") == (200, '42["said",5]')


def test_worker_that_is_killed_takes_nobody_with_it_and_its_successor_is_one_of_them(
    uvicorn: Running,
) -> None:
    visitors = of_each_worker(uvicorn.port)
    pid, dead = visitors.popitem()
    os.kill(pid, signal.SIGKILL)

    def is_refused() -> bool:
        status, text = dead.request("POST", '42["number",1]')
        assert (status, text) == (200, "ok") or (status == 400 and json.loads(text)["code"] == 1), text
        return status == 400

    def others_go_on() -> bool:
        for number, visitor in enumerate(visitors.values()):
            assert visitor.ask("echo", number) == number
        return True

    until(lambda: others_go_on() and is_refused(), "the refusal of a session of a dead worker")
    until(lambda: others_go_on() and len(visitors[min(visitors)].ask("workers")) == 4, "its successor")
    assert pid not in of_each_worker(uvicorn.port)
    assert "find each other" not in uvicorn.log()


def test_worker_that_is_stopped_lets_nobody_wait_for_what_it_carries() -> None:
    port = free_port()
    with running(command("uvicorn", port, 2), port, CLOSE="1", DRAIN="1") as server:
        visitors = of_each_worker(port, 2)
        leaving, staying = visitors
        crowd = [visitors[staying]]
        while len(crowd) < 12:
            visitor = Visitor(port)
            if visitor.ask("where") == staying:
                crowd.append(visitor)
        for visitor in crowd:
            visitor.ask("join", "crowd")
        answered: list[str] = []

        def hear(visitor: Visitor) -> list[str]:
            heard: list[str] = []
            while '42["said",5]' not in heard:
                begun = time.monotonic()
                try:
                    status, text = visitor.request("GET")
                except ConnectionError:
                    # Without an answer is only who came while that worker closed its socket.
                    assert time.monotonic() - begun < 0.3
                    continue
                assert status == 200, text
                answered.append(text)
                heard += text.split("\x1e")
            return heard

        with ThreadPoolExecutor(len(crowd)) as pool:
            polls = [pool.submit(hear, visitor) for visitor in crowd]
            # About half of them are held at the other worker.
            until(lambda: all(poll.running() for poll in polls), "polls")
            os.kill(leaving, signal.SIGTERM)
            until(lambda: not _is_alive(leaving), "the end of that worker")
            assert "6" in answered
            until(lambda: len(Visitor(port).ask("workers")) == 2, "its successor")
            assert crowd[0].request("POST", '42["say","crowd",5]') == (200, "ok")
            for poll in polls:
                heard = poll.result()
                assert [text for text in heard if text not in ("2", "6")] == ['42["said",5]']
        assert "Traceback" not in server.log(), server.log()
        assert "Cancel" not in server.log(), server.log()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("server", ["uvicorn-fast", "hypercorn", "granian", "gunicorn"])
def test_other_servers_workers_find_each_other_too(server: str) -> None:
    port = free_port()
    # Granian takes a folder above for a package.
    with running(command(server, port, 2), port, folder=APPS) as served:
        visitors = of_each_worker(port, 2)
        for pid, visitor in visitors.items():
            assert [visitor.ask("where") for _ in range(6)] == [pid] * 6
        assert set(next(iter(visitors.values())).ask("workers")) == set(visitors)
        assert "Traceback" not in served.log(), served.log()
