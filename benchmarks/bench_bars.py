"""What holdfast may cost, as parts of what the others do: each bar of `make bench`, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterator

from bench_report import Figures, markdown, ratio

__all__ = ["bar_table"]

# By server and workload: the others, each with the largest ratio.
BARS: dict[str, dict[str, dict[str, float]]] = {
    "holdfast": {
        "echo": {"bare-asgi": 1.5, "python-socketio": 0.32},
        "broadcast": {"bare-asgi": 1.15, "python-socketio": 0.20},
        "one-way": {"bare-asgi": 1.6, "python-socketio": 0.24},
        "polling": {"python-socketio": 0.45},
        "connect": {"python-socketio": 0.55},
        "upgrade": {"python-socketio": 0.52},
    },
    "holdfast-fast": {
        "echo": {"node": 0.70, "node-cws": 1.25},
        "broadcast": {"node": 0.60, "node-cws": 1.0},
        "one-way": {"node": 1.0, "node-cws": 1.25},
        "polling": {"node": 0.65, "node-cws": 1.0},
        "connect": {"node": 0.45, "node-cws": 1.0},
        "upgrade": {"node": 0.30, "node-cws": 1.0},
    },
}
COUNTING = 0.5


def _rows(figures: Figures) -> Iterator[tuple[str, str, str, float, float]]:
    for server, workloads in BARS.items():
        for workload, others in workloads.items():
            found = figures.get(workload, {})
            for other, bar in others.items():
                if server in found and other in found:
                    yield server, workload, other, ratio(found[server], found[other]), bar
        plain, counting = figures.get("load", {}), figures.get("load-counting", {})
        if server in plain and server in counting:
            part = ratio(counting[server], plain[server])
            yield server, "load-counting", "its own load", part, COUNTING


def bar_table(figures: Figures) -> str:
    """Each bar of which both sides were measured."""
    rows = [
        [server, workload, other, f"{part:.2f}", f"{bar:.2f}", "yes" if part <= bar else "no"]
        for server, workload, other, part, bar in _rows(figures)
    ]
    return markdown([["server", "workload", "÷", "is", "at most", "holds"], *rows]) if rows else ""
