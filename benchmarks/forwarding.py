"""What a request costs that comes to another worker than its session's: server CPU per operation.

    python benchmarks/forwarding.py                  polling, WebSocket and a broadcast, by 2 workers of uvicorn
    python benchmarks/forwarding.py --count 20000    longer

Sixteen clients go on at the same time, each by TCP connections that were asked first which worker has taken them, so
that it is known which request is carried and which is not. `local` is the CPU of all workers for a request that came to
its session's worker, `carried` for one that came to another. An operation is an event with its acknowledgement: a POST
and a GET by polling, two messages by WebSocket. `broadcast` is one event for two: both in one worker, or one in each.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench_servers import Running, Subject, running
from load_report import show

CLIENTS = 16
APP = Path(__file__).resolve().parent.parent / "tests" / "apps"


def subject(lane: bool) -> Subject:
    quiet = ("--log-level=warning", "--no-access-log", "--ws-per-message-deflate=false")
    fast = ("--loop=uvloop", "--http=workers_app:lane.http" if lane else "--http=httptools")
    stop, keep = "--timeout-graceful-shutdown=1", "--timeout-keep-alive=600"
    options = (
        *quiet,
        *fast,
        "--ws=websockets-sansio",
        stop,
        "--workers=2",
        keep,
        "--port={port}",
        "workers_app:app",
    )
    name = "uvicorn, fast lane" if lane else "uvicorn"
    environment = {"PYTHONPATH": str(APP)}
    return Subject(name, "socket.io", (sys.executable, "-m", "uvicorn", *options), environment)


class Connection:
    """One TCP connection, which one worker has taken."""

    def __init__(self, server: Running) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self.pid = int(self.request("GET", "/pid"))

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        self.ask(method, path, body)
        return self.answer()

    def ask(self, method: str, path: str, body: bytes = b"") -> None:
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)

    def answer(self) -> bytes:
        answer = self._read_until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = int(answer.lower().partition(b"content-length:")[2].split()[0])
        return self._read(length)

    def upgrade(self, path: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        head += f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n"
        self._socket.sendall(head.encode())
        assert self._read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")

    def say(self, text: str) -> None:
        data = text.encode()
        assert len(data) < 126
        self._socket.sendall(bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data)

    def hear(self) -> str:
        head = self._read(2)
        return self._read(head[1]).decode()

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._rest:
            self._more()
        found, _, self._rest = self._rest.partition(end)
        return found + end

    def _read(self, length: int) -> bytes:
        while len(self._rest) < length:
            self._more()
        found, self._rest = self._rest[:length], self._rest[length:]
        return found

    def _more(self) -> None:
        data = self._socket.recv(65_536)
        assert data, "the server has closed the connection"
        self._rest += data


class Peer:
    """A Socket.IO client of the simplest kind: the session by one connection, the rest by another."""

    def __init__(self, opening: Connection, others: Connection) -> None:
        self.others = others
        content = opening.request("GET", "/socket.io/?EIO=4&transport=polling")
        self.sid = json.loads(content[1:])["sid"]
        self.path = f"/socket.io/?EIO=4&transport=polling&sid={self.sid}"
        self.post("40")
        assert self.poll().startswith("40")

    def post(self, text: str) -> None:
        assert self.others.request("POST", self.path, text.encode()) == b"ok"

    def poll(self) -> str:
        return self.others.request("GET", self.path).decode()

    def upgrade(self, connection: Connection) -> None:
        self.socket = connection
        connection.upgrade(self.path.replace("polling", "websocket"))
        connection.say("2probe")
        assert connection.hear() == "3probe"
        connection.say("5")

    def hear(self, expected: str) -> None:
        while (text := self.socket.hear()) != expected:
            # The last poll's noop is not for here, but a ping may be.
            assert text == "2", text
            self.socket.say("3")


def echo(peers: Sequence[Peer], number: int) -> None:
    """Each of them says something by polling, and gets its answer."""
    text = f'42{number}["echo",{number}]'.encode()
    for peer in peers:
        peer.others.ask("POST", peer.path, text)
    for peer in peers:
        assert peer.others.answer() == b"ok"
    for peer in peers:
        peer.others.ask("GET", peer.path)
    for peer in peers:
        while (text := peer.others.answer().decode()) != f"43{number}[{number}]":
            assert text == "2", text
            peer.post("3")
            peer.others.ask("GET", peer.path)


def echo_by_websocket(peers: Sequence[Peer], number: int) -> None:
    """The same by WebSocket."""
    for peer in peers:
        peer.socket.say(f'42{number}["echo",{number}]')
    for peer in peers:
        peer.hear(f"43{number}[{number}]")


def microseconds(server: Running, count: int, operation: Callable[[int], None]) -> float:
    """CPU of all workers for each, of operations that do several at a time."""
    rounds = count // CLIENTS
    for number in range(rounds // 10):
        operation(number)
    before = server.cpu_seconds()
    for number in range(rounds):
        operation(number)
    return (server.cpu_seconds() - before) / (rounds * CLIENTS) * 1e6


def connections(server: Running, number: int) -> list[list[Connection]]:
    """So many of each of both workers."""
    found: dict[int, list[Connection]] = {}
    for attempt in range(600):
        connection = Connection(server)
        if attempt > 100 and len(found) < 2:
            # They begin one after the other.
            time.sleep(0.05)
        found.setdefault(connection.pid, []).append(connection)
        if len(found) == 2 and all(len(some) >= number for some in found.values()):
            return list(found.values())
    raise SystemExit("not both workers take connections")


def measure(lane: bool, count: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with running(subject(lane)) as server:
        here, there = connections(server, 4 * CLIENTS + 8)
        server = Running(server.subject, server.port, (here[0].pid, there[0].pid), server.log_path)

        def row(what: str, local: float, carried: float) -> None:
            share = f"{carried / local:.1f} x"
            rows.append(
                {
                    "server": server.name,
                    "operation": what,
                    "local": f"{local:.0f} µs",
                    "carried": f"{carried:.0f} µs",
                    "": share,
                }
            )

        near = [Peer(here[0], here.pop()) for _ in range(CLIENTS)]
        far = [Peer(here[0], there.pop()) for _ in range(CLIENTS)]
        local = microseconds(server, count, partial(echo, near))
        row("event and answer by polling", local, microseconds(server, count, partial(echo, far)))
        for peer in near:
            peer.upgrade(here.pop())
        for peer in far:
            peer.upgrade(there.pop())
        local = microseconds(server, count, partial(echo_by_websocket, near))
        row(
            "event and answer by WebSocket",
            local,
            microseconds(server, count, partial(echo_by_websocket, far)),
        )
        peers = [Peer(some[0], some[1]) for some in (here, here, there)]
        for peer, some in zip(peers, (here, here, there), strict=True):
            peer.upgrade(some.pop())
        for peer, room in zip((*peers[:2], peers[0], peers[2]), ("one", "one", "both", "both"), strict=True):
            peer.socket.say(f'420["join","{room}"]')
            peer.hear("430[]")

        def broadcast(room: str, *members: Peer) -> Callable[[int], None]:
            def say(number: int) -> None:
                for each in range(CLIENTS):
                    members[0].socket.say(f'42["say","{room}",{number + each}]')
                for each in range(CLIENTS):
                    for member in members:
                        member.hear(f'42["said",{number + each}]')

            return say

        local = microseconds(server, count, broadcast("one", peers[0], peers[1]))
        row("broadcast to two", local, microseconds(server, count, broadcast("both", peers[0], peers[2])))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=5_000, help="operations of each row (default: 5000)")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    rows = [row for lane in (False, True) for row in measure(lane, options.count)]
    show(rows, path=options.json, title="CPU of both workers per operation")


if __name__ == "__main__":
    main()
