"""A healthy client beside a load: one event at a time, its answer waited for. In a process of its own, so that the
generator's own work does not count. Prints what it saw, in JSON, when its standard input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.sync.client import connect

__all__ = ["watching"]


def run(port: int, pause: float) -> None:
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    times: list[float] = []
    with connect(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket", compression=None) as socket:
        socket.recv(60)
        socket.send("40")
        while not str(socket.recv(60)).startswith("40"):
            pass
        print("ready", flush=True)
        number = 0
        while not stop.wait(pause):
            number += 1
            began = time.monotonic()
            socket.send(f'42{number}["echo",{number}]')
            while (answer := socket.recv(60)) != f"43{number}[{number}]":
                if answer == "2":
                    socket.send("3")
            times.append(time.monotonic() - began)
    times.sort()
    found = {
        "answers": len(times),
        "worst_ms": 1e3 * times[-1],
        "p99_ms": 1e3 * times[int(len(times) * 0.99)],
    }
    print(json.dumps(found), flush=True)


@contextmanager
def watching(port: int, *, pause: float = 0.02) -> Iterator[dict[str, float]]:
    """A healthy client while something else happens; what is yielded has its figures afterwards."""
    found: dict[str, float] = {}
    command = [sys.executable, __file__, str(port), str(pause)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the healthy client could not connect"
        yield found
        process.stdin.close()
        found.update(json.loads(process.stdout.readline() or "{}"))


if __name__ == "__main__":
    run(int(sys.argv[1]), float(sys.argv[2]))
