"""What a message costs the server: holdfast, python-socketio and a bare ASGI echo, side by side on the same uvicorn.

    make bench                          or: python benchmarks/run.py --messages 40000 --rounds 5 --size 1024

The figure is the server's CPU time per message (user and system, as the operating system counts it), not wall-clock
time, which on shared machines says little. All servers run at once; rounds go round them in turn, so that a slow
moment of the machine meets all alike; the median counts, lowest and highest are shown. Every answer is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

HERE = Path(__file__).resolve().parent
SEPARATOR = "\x1e"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Subject:
    """One row: a server, and how a client of it opens and what it sends."""

    name: str
    app: str
    query: str
    opens: Callable[[ClientConnection], Awaitable[None]]
    event: Callable[[int, str], str]
    answer: Callable[[int, str], str]
    pid: int = 0
    port: int = 0
    microseconds: list[float] = field(default_factory=list[float])


async def _open_bare(websocket: ClientConnection) -> None:
    pass


async def _open_socketio(websocket: ClientConnection) -> None:
    assert str(await websocket.recv()).startswith("0{")
    await websocket.send("40")
    assert str(await websocket.recv()).startswith("40{")


async def _open_counting(websocket: ClientConnection) -> None:
    assert '"holdfast"' in str(await websocket.recv())
    await websocket.send("40")
    packets = str(await websocket.recv()).split(SEPARATOR)
    assert packets[-1].startswith("40{"), packets


def _event(number: int, payload: str) -> str:
    return f'42{number}["echo","{payload}"]'


def _answer(number: int, payload: str) -> str:
    return f'43{number}["{payload}"]'


SUBJECTS = [
    Subject(
        "bare ASGI echo",
        "bare_app",
        "",
        _open_bare,
        _event,
        _event,
    ),
    Subject(
        "holdfast, plain peer",
        "holdfast_app",
        "/socket.io/?EIO=4&transport=websocket",
        _open_socketio,
        _event,
        _answer,
    ),
    Subject(
        "holdfast, counting peer",
        "holdfast_app",
        "/socket.io/?EIO=4&transport=websocket&holdfast=1",
        _open_counting,
        _event,
        _answer,
    ),
    Subject(
        "python-socketio",
        "socketio_app",
        "/socket.io/?EIO=4&transport=websocket",
        _open_socketio,
        _event,
        _answer,
    ),
]


@contextmanager
def serving(app: str, *, core: int | None) -> Iterator[tuple[int, int]]:
    """A uvicorn of its own for one application; yields its process id and port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", f"apps:{app}", "--app-dir", str(HERE), "--port", str(port)]
    command += ["--log-level", "error", "--no-access-log", "--lifespan", "off"]
    with subprocess.Popen(command) as process:
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            _wait_for(port, process)
            yield process.pid, port
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        if process.poll() is not None:
            raise SystemExit("a server did not start; its message stands above")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def load(subject: Subject, *, sockets: int, messages: int, payload: str) -> None:
    """Open the sockets, and let each send its share, one message in flight."""
    clients = [
        await connect(f"ws://127.0.0.1:{subject.port}{subject.query}", compression=None, max_queue=None)
        for _ in range(sockets)
    ]
    await asyncio.gather(*(subject.opens(client) for client in clients))
    before = cpu_seconds(subject.pid)
    share = messages // sockets
    await asyncio.gather(*(_talk(subject, client, share, payload) for client in clients))
    subject.microseconds.append((cpu_seconds(subject.pid) - before) / (share * sockets) * 1e6)
    await asyncio.gather(*(client.close() for client in clients))


async def _talk(subject: Subject, client: ClientConnection, messages: int, payload: str) -> None:
    for number in range(messages):
        await client.send(subject.event(number, payload))
        expected = subject.answer(number, payload)
        while True:
            packets = str(await client.recv()).split(SEPARATOR)
            if packets == ["2"]:
                await client.send("3")
            elif packets[-1] == expected:
                break
            elif not all(packet.startswith("8") for packet in packets):
                raise SystemExit(f"{subject.name} answered {packets!r}, not {expected!r}")


def report(subjects: list[Subject]) -> list[dict[str, object]]:
    floor = statistics.median(subjects[0].microseconds)
    rows: list[dict[str, object]] = []
    print(f"{'':26}{'µs CPU per message':>20}{'lowest':>9}{'highest':>9}{'× bare':>9}")
    for subject in subjects:
        figures = subject.microseconds
        median = statistics.median(figures)
        print(f"{subject.name:26}{median:20.1f}{min(figures):9.1f}{max(figures):9.1f}{median / floor:9.2f}")
        rows.append(
            {"name": subject.name, "microseconds": figures, "median": median, "ratio": median / floor}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=20_000, help="per round and server (default: 20,000)")
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="bytes of the event's argument")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pin = len(cores) > 1
    with ExitStack() as stack:
        for subject in SUBJECTS:
            subject.pid, subject.port = stack.enter_context(
                serving(subject.app, core=cores[0] if pin else None)
            )
        if pin:
            os.sched_setaffinity(0, set(cores[1:]))
        payload = "x" * options.size
        for _ in range(options.rounds):
            for subject in SUBJECTS:
                asyncio.run(
                    load(subject, sockets=options.sockets, messages=options.messages, payload=payload)
                )
    print(
        f"echo with acknowledgement over WebSocket, {options.size} bytes, {options.sockets} sockets, "
        f"{options.messages} messages × {options.rounds} rounds; Python {platform.python_version()}"
    )
    rows = report(SUBJECTS)
    if options.json:
        options.json.write_text(
            json.dumps({"options": vars(options) | {"json": None}, "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
