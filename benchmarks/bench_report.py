"""The figures of `make bench`: tables for people, and JSON for machines. The chart is in `bench_chart.py`."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = [
    "Figures",
    "Measured",
    "client_share",
    "machine",
    "markdown",
    "median",
    "ratio",
    "ratio_table",
    "rounded",
    "table",
    "to_json",
]


@dataclass(frozen=True)
class Measured:
    """One run: how many operations, and seconds of the server's CPU, of the clients' CPU, and by the clock."""

    operations: int
    cpu: float
    own_cpu: float
    wall: float

    @property
    def microseconds(self) -> float:
        """Of the server's CPU per operation."""
        return self.cpu / self.operations * 1e6


# By workload and server.
Figures = Mapping[str, Mapping[str, Sequence[Measured]]]


def median(runs: Sequence[Measured]) -> float:
    """Microseconds per operation."""
    return statistics.median(run.microseconds for run in runs)


def ratio(one: Sequence[Measured], other: Sequence[Measured]) -> float:
    """What the one costs as a part of what the other does: the median of the rounds, for in each of them the machine
    was as quick for both."""
    return statistics.median(a.microseconds / b.microseconds for a, b in zip(one, other, strict=True))


def rounded(number: float) -> str:
    """As many digits as mean something."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 1 else f"{number:.2f}"


def _spread(runs: Sequence[Measured]) -> str:
    found = [run.microseconds for run in runs]
    return f"{rounded(median(runs))} ({rounded(min(found))}–{rounded(max(found))})"


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return "\n".join([texts[0], "| " + " | ".join("-" * width for width in widths) + " |", *texts[1:]])


def _servers(figures: Figures) -> list[str]:
    return list(dict.fromkeys(server for servers in figures.values() for server in servers))


def table(figures: Figures, titles: Mapping[str, str]) -> str:
    """Medians, lowest and highest of each workload and server."""
    columns = _servers(figures)
    head = ["µs of the server's CPU", *columns]
    body = (
        [titles[name], *(_spread(servers[column]) if column in servers else "–" for column in columns)]
        for name, servers in figures.items()
    )
    return markdown([head, *body])


def ratio_table(figures: Figures, server: str) -> str:
    """What one server costs, as parts of what each of the others does."""
    columns = [name for name in _servers(figures) if name != server]
    rows = [[f"{server} ÷", *columns]]
    for name, servers in figures.items():
        if server in servers:
            own = servers[server]
            rows.append(
                [name, *(f"{ratio(own, servers[it]):.2f}" if it in servers else "–" for it in columns)]
            )
    return markdown(rows)


def client_share(figures: Figures) -> str:
    """How busy the clients were where they were busiest: above some 95 % they would be the limit."""
    shares = {
        f"{server} in {name}": statistics.median(run.own_cpu / run.wall for run in runs)
        for name, servers in figures.items()
        for server, runs in servers.items()
    }
    if not shares:
        return ""
    worst = max(shares, key=lambda name: shares[name])
    return f"busiest clients: {shares[worst]:.0%} of their core ({worst})"


def machine() -> dict[str, object]:
    """Where this is measured."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version()}


def to_json(figures: Figures, more: Mapping[str, object]) -> str:
    """All runs, and what `more` says of them."""
    found = {
        name: {
            server: {"median": median(runs), "runs": [asdict(run) for run in runs]}
            for server, runs in servers.items()
        }
        for name, servers in figures.items()
    }
    return json.dumps({"machine": machine(), **more, "microseconds": found}, indent=1)
