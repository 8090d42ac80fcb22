"""A server that is killed and comes back, or stops, or a client that does, or a clock that jumps: who is back when, and
what was lost?

    python benchmarks/restart.py --fault kill --clients 10 --rounds 2
    python benchmarks/restart.py --fault stop freeze clock --rows holdfast/auto

Real servers and clients, each client 50 numbers a second, which its server writes down and sends back. `kill`: kill
-9, and another server in its place two seconds later. `stop`: the server gets SIGSTOP for ten seconds; `freeze`: the
process of the clients, for sixty (`--seconds`). `clock`: the server's clock jumps an hour on and then back (ours alone
can be moved), the clients' time of day too.

`back` is from when the server accepts connections again (goes on, jumps) to the first number that is sent back. Of the
numbers that clients have sent, `silent` are those that no server got, and of which the client was not told; `returned`
those that it was handed back, `in doubt` those of them that a server had got; `repeated` what a server got twice.
`down lost` are numbers that a server got and that were not sent back to its client, which was not told of an end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from load_servers import SERVERS, Process, serving, until

HERE = Path(__file__).resolve().parent
SERVERS["holdfast"] = [part.replace("load_app:app", "restart_app:app") for part in SERVERS["uvicorn"]]
SERVERS["python-socketio"] = [part.replace("load_app:app", "restart_peer:app") for part in SERVERS["uvicorn"]]
SERVERS["socket.io"] = ["node", str(HERE / "restart_server.mjs"), "{port}"]

# Server, client, transports, environment.
ROWS: dict[str, tuple[str, str, list[str] | None, dict[str, str]]] = {
    "holdfast/auto": ("holdfast", "holdfast", None, {}),
    "holdfast/websocket": ("holdfast", "holdfast", ["websocket"], {}),
    "holdfast/stream": ("holdfast", "holdfast", ["stream"], {}),
    "holdfast/polling": ("holdfast", "holdfast", ["polling"], {}),
    "socket.io/default": ("socket.io", "socket.io", None, {}),
    "socket.io/default+recovery": ("socket.io", "socket.io", None, {"CSR": "1"}),
    "socket.io/polling": ("socket.io", "socket.io", ["polling"], {}),
    "python-socketio/default": ("python-socketio", "socket.io", None, {}),
    "python-socketio/polling": ("python-socketio", "socket.io", ["polling"], {}),
}
AWAY = 2.0


class Clients:
    """The process of the clients, and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def back(self, since: float) -> dict[int, float]:
        """When each has heard something first, after a time."""
        found: dict[int, float] = {}
        for line in list(self.lines):
            if "heard" in line and line["at"] >= since:
                found.setdefault(line["index"], line["at"] - since)
        return found

    def end(self) -> list[dict[str, Any]]:
        self.tell("end")
        until(lambda: any("talks" in line for line in self.lines), "the end of the clients")
        return next(line["talks"] for line in self.lines if "talks" in line)


@contextmanager
def talking(port: int, client: str, transports: list[str] | None, count: int) -> Iterator[Clients]:
    given = {
        "url": f"http://127.0.0.1:{port}",
        "client": client,
        "transports": transports,
        "count": count,
        "perSecond": 50,
    }
    command = ["node", str(HERE / "restart_client.mjs"), json.dumps(given)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    clients = Clients(process)
    try:
        until(lambda: len(clients.back(0)) == count, "the clients")
        # Some second of ordinary talk.
        time.sleep(1.5)
        yield clients
    finally:
        process.kill()
        process.wait()


def one(row: str, fault: str, count: int, seconds: float) -> dict[str, Any]:
    """One fault, to all clients of a row at once."""
    name, client, transports, environment = ROWS[row]
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "seen"
        options = {"SEEN": str(seen), **environment}
        with (
            serving(name, options=options) as server,
            talking(server.port, client, transports, count) as clients,
        ):
            if fault == "kill":
                assert server.process is not None
                server.process.kill()
                server.process.wait()
                time.sleep(AWAY)
                with serving(name, port=server.port, options=options):
                    return finish(clients, count, time.time(), seen)
            strike(fault, server, clients, seconds)
            return finish(clients, count, time.time(), seen, must_return=fault != "clock")


def strike(fault: str, server: Process, clients: Clients, seconds: float) -> None:
    if fault == "clock":
        for number, jump in ((signal.SIGUSR1, 3_600_000), (signal.SIGUSR2, -3_600_000)):
            os.kill(server.pid, number)
            clients.tell(f"jump {jump}")
            time.sleep(seconds)
        return
    pid = server.pid if fault == "stop" else clients.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def finish(
    clients: Clients, count: int, since: float, seen: Path, *, must_return: bool = True
) -> dict[str, Any]:
    deadline = time.time() + 60
    while must_return and len(clients.back(since)) < count and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(2)
    talks = clients.end()
    got = Counter(int(line) for line in seen.read_text().split())
    result: Counter[str] = Counter()
    for talk in talks:
        sent = {talk["index"] * 1_000_000 + number for number in range(1, talk["sent"] + 1)}
        returned, down = set(talk["lost"]), talk["down"]
        result["sent"] += len(sent)
        result["silent"] += len(sent - set(got) - returned)
        result["returned"] += len(returned)
        result["in doubt"] += len(returned & set(got))
        result["repeated"] += sum(got[number] - 1 for number in sent if number in got)
        result["down lost"] += 0 if talk["disconnects"] else len((sent & set(got)) - set(down))
        result["down repeated"] += len(down) - len(set(down))
        result["down out of order"] += sum(a > b for a, b in zip(down, down[1:], strict=False))
        result["ends told"] += talk["disconnects"]
        result["recovered"] += talk["recovered"]
    return {"back": sorted(clients.back(since).values()), **result}


def summary(row: str, fault: str, results: list[dict[str, Any]], clients: int) -> dict[str, Any]:
    back = sorted(time for result in results for time in result["back"])
    total: Counter[str] = Counter()
    for result in results:
        total.update({key: value for key, value in result.items() if key != "back"})
    shares = {"p50": 0.5, "p99": 0.99}
    return {
        "row": row,
        "fault": fault,
        "clients": clients * len(results),
        "back": len(back),
        **{
            name: round(back[min(len(back) - 1, int(part * len(back)))], 2) if back else None
            for name, part in shares.items()
        },
        **total,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fault", nargs="+", choices=["kill", "stop", "freeze", "clock"], default=["kill"])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, help="how long a stop or a freeze lasts")
    options = parser.parse_args()
    lasting = {"stop": 10.0, "freeze": 60.0, "clock": 20.0, "kill": AWAY}
    for fault in options.fault:
        for row in options.rows:
            seconds = options.seconds or lasting[fault]
            results = [one(row, fault, options.clients, seconds) for _ in range(options.rounds)]
            print(json.dumps(summary(row, fault, results, options.clients)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
