"""Two hundred clients for an hour, and a fault at random every five seconds: nothing lost, and nothing that grows.

    make soak                                an hour; or: python benchmarks/soak.py --minutes 10
    python benchmarks/soak.py --minutes 2 --clients 40 --seed 7

Real clients (by WebSocket, streaming, polling and by what they choose themselves) talk through a TCP proxy, which
resets or closes some or all of its connections, lets them hang before it resets them, takes none for a while, or is
slow. Each sends a number a second and is sent one a second. Then is looked at: numbers lost, repeated and out of
order; memory (a line through what it was every ten seconds, after a warm-up of a tenth of the time); tasks and files
when all have left, beside those before they came. Ends with status 1 if the bar is not held.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from load_clients import Proxy, clients, compare_all, proxy
from load_report import show
from load_servers import Process, serving, until

# Transports, and how many of five clients take them.
GROUPS: list[tuple[dict[str, object], int]] = [
    ({}, 2),
    ({"transports": ["websocket"]}, 1),
    ({"transports": ["stream"]}, 1),
    ({"transports": ["polling"]}, 1),
]
SETTINGS = {"max_unused_sessions_per_address": 1_000}


def fault(chance: random.Random, between: Proxy) -> str:
    """One of them; what the proxy says of it."""
    share = chance.choice([0.05, 0.2, 0.5, 1.0])
    commands = [f"reset {share}", f"fin {share}", f"hang {share} {chance.choice([300, 1000, 4000])}"]
    commands += [f"refuse {chance.choice([200, 1000])}", f"slow {chance.choice([10, 50])}"]
    command = chance.choice(commands)
    said = between.do(command)
    return f"{command}: {said}"


def slope(samples: list[tuple[float, int]]) -> float:
    """Megabytes an hour, by least squares."""
    if len(samples) < 3:
        return 0.0
    middle = sum(when for when, _ in samples) / len(samples), sum(size for _, size in samples) / len(samples)
    above = sum((when - middle[0]) * (size - middle[1]) for when, size in samples)
    below = sum((when - middle[0]) ** 2 for when, _ in samples)
    return above / below * 3_600 / 1e6


def counts(server: Process) -> dict[str, int]:
    return {"tasks": server.state()["tasks"], "files": server.descriptors()}


def soak(minutes: float, count: int, seed: int, pause: float) -> dict[str, object]:
    chance = random.Random(seed)
    samples: list[tuple[float, int]] = []
    faults = 0
    with ExitStack() as stack:
        server = stack.enter_context(
            serving(
                "uvicorn", options={"TICK_MS": "1000", "SETTINGS": json.dumps(SETTINGS), "LOG_LEVEL": "INFO"}
            )
        )
        between = stack.enter_context(proxy(server))
        # One that comes and goes, for what a server has from its first client on.
        with clients("holdfast", between.port, 1, {"first": 9_000_000}):
            pass
        until(lambda: server.state()["sessions"] == 0, "the end of the first client")
        base = counts(server)
        with ExitStack() as crowd:
            talks = []
            for number, (options, share) in enumerate(GROUPS):
                own = {**options, "first": number * 100_000}
                talks.append(
                    crowd.enter_context(clients("holdfast", between.port, count * share // 5, own))[0]
                )
            began, warm = time.monotonic(), minutes * 60 * 0.1
            after = minutes * 60
            while (now := time.monotonic() - began) < after:
                if now > warm and (not samples or now - samples[-1][0] >= 10):
                    server.state()
                    samples.append((now, server.memory()))
                    print(f"{now:6.0f} s {samples[-1][1] / 1e6:7.1f} MB", file=sys.stderr, flush=True)
                said = fault(chance, between)
                faults += 1
                print(f"{now:6.0f} s {said}", file=sys.stderr, flush=True)
                time.sleep(pause)
                between.do("slow 0")
            time.sleep(10)
            total = compare_all(talks, server)
            for talk in talks:
                talk.tell("leave")
        until(lambda: server.state()["sessions"] == 0, "the end of all sessions", seconds=200)
        time.sleep(6)
        left = counts(server)
        traces = server.log().count("Traceback")
        said = [line for line in server.log().splitlines() if "closed:" in line]
        print(*said[:50], sep="\n", file=sys.stderr)
    return {
        "minutes": minutes,
        "clients": count,
        "faults": faults,
        "events": total["down"] + total["up"],
        "lost": total["lost down"] + total["lost up"],
        "dup": total["dup"],
        "ooo": total["ooo"],
        "disconnect events": total["disconnects"],
        "MB an hour": round(slope(samples), 2),
        "MB from, to": f"{samples[0][1] / 1e6:.1f}, {samples[-1][1] / 1e6:.1f}" if samples else "",
        "tasks": left["tasks"] - base["tasks"],
        "files": left["files"] - base["files"],
        "traces": traces,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=5, help="seconds between two faults (default: 5)")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    row = soak(options.minutes, options.clients, options.seed, options.pause)
    show([row], path=options.json, title="soak")
    lossless = row["lost"] == row["dup"] == row["ooo"] == row["traces"] == 0
    flat = all(abs(int(str(row[name]))) <= 5 for name in ("tasks", "files"))
    # In a few minutes a line through the memory says nothing.
    flat = flat and (options.minutes < 30 or float(str(row["MB an hour"])) <= 1)
    if not (lossless and flat):
        raise SystemExit("beyond the bar")


if __name__ == "__main__":
    main()
