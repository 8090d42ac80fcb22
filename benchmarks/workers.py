"""Many clients at servers with several workers, where each request comes by a TCP connection of its own.

    python benchmarks/workers.py                     200 clients of each kind at `uvicorn --workers 4`
    python benchmarks/workers.py --clients 50 --workers 8

Each client sends forty events that are acknowledged and forty that are not, gets forty, and hears ten broadcasts, all
numbered: `problems` are errors, disconnects, and whatever came twice, not at all or out of order. `workers` is how many
of them had sessions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from bench_servers import Subject, running
from load_report import show
from load_servers import raise_file_limit

TESTS = Path(__file__).resolve().parent.parent / "tests"
NODE = ("node", str(TESTS / "support" / "crowd.mjs"))
PYTHON = (sys.executable, str(TESTS / "support" / "crowd.py"))
CROWDS = {
    "socket.io-client": (*NODE, "official"),
    "socket.io-client, polling alone": (*NODE, "official-polling"),
    "ours": (*NODE, "ours"),
    "ours, polling alone": (*NODE, "ours-polling"),
    "python-socketio": (*PYTHON, "websocket"),
    "python-socketio, polling alone": (*PYTHON, "polling"),
}


def subject(workers: int) -> Subject:
    options = (
        "--log-level=warning",
        "--no-access-log",
        "--backlog=4096",
        f"--workers={workers}",
        "--port={port}",
    )
    environment = {"PYTHONPATH": str(TESTS / "apps"), "CLOSE": "1"}
    command = (sys.executable, "-m", "uvicorn", *options, "workers_app:app")
    return Subject("uvicorn", "socket.io", command, environment)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200, help="of each kind (default: 200)")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    raise_file_limit()
    rows: list[dict[str, object]] = []
    with running(subject(options.workers)) as server:
        for name, (program, script, kind) in CROWDS.items():
            began = time.monotonic()
            command = [program, script, f"http://{server.host}", kind, str(options.clients)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
            found = json.loads(done.stdout)
            row = {"clients": f"{options.clients} x {name}", "workers": found["workers"]}
            seconds = f"{time.monotonic() - began:.1f} s"
            rows.append({**row, "problems": "; ".join(found["problems"]) or "none", "took": seconds})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        if log := server.log():
            print(log, file=sys.stderr)
    show(
        rows,
        path=options.json,
        title=f"uvicorn --workers {options.workers}, a TCP connection for each request",
    )


if __name__ == "__main__":
    main()
