"""What the figures of `browser.py` say: the table, as text and for the documentation, and what was promised of it."""

from __future__ import annotations

import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from browser_rows import Row
from browser_visit import BOUND_SECONDS, CLIENTS, Outcome

__all__ = ["Table", "markdown", "text", "verdicts"]

OURS, POLLING_FIRST = "holdfast", "socket.io"
WEBSOCKET_FIRST = ("socket.io ws", "sockjs")
LEVEL_MS = 25.0
LEVEL_SHARE = 0.1
"""Medians are level if they differ by no more than the noise of the machine: so many ms, or this share."""
STAGGER_MS = 250.0
STAGGER_SLACK_MS = 100.0


@dataclass
class Table:
    """The outcomes of all runs."""

    rows: list[Row]
    clients: list[str]
    runs: int
    outcomes: dict[tuple[str, str], list[Outcome]] = field(
        default_factory=lambda: defaultdict[tuple[str, str], list[Outcome]](list)
    )

    def add(self, row: Row, client: str, outcome: Outcome) -> None:
        """Take a run in; a row that is complete is told at once."""
        self.outcomes[row.key, client].append(outcome)
        clients = [client for client in self.clients if not row.only or client in row.only]
        if all(len(self.outcomes[row.key, client]) == self.runs for client in clients):
            print(
                f"{row.title}: " + ", ".join(f"{c} {self.cell(row, c)}" for c in clients),
                file=sys.stderr,
                flush=True,
            )

    def median(self, row: Row, client: str) -> float | None:
        figures = [outcome.ms for outcome in self.outcomes[row.key, client]]
        return statistics.median_high(figures) if figures else None

    def cell(self, row: Row, client: str) -> str:
        median = self.median(row, client)
        if median is None:
            return "–"
        worst = max(outcome.ms for outcome in self.outcomes[row.key, client])
        return f"{duration(median)} ({duration(worst)})"

    def json(self) -> list[dict[str, Any]]:
        return [
            {
                "row": row.key,
                "client": client,
                "runs": [
                    {**asdict(outcome), "ms": outcome.ms if math.isfinite(outcome.ms) else None}
                    for outcome in self.outcomes[row.key, client]
                ],
            }
            for row in self.rows
            for client in self.clients
        ]

    def take(self, rows: list[dict[str, Any]]) -> None:
        """The opposite of `json`."""
        for row in rows:
            for run in row["runs"]:
                outcome = Outcome(**{**run, "ms": math.inf if run["ms"] is None else run["ms"]})
                self.outcomes[row["row"], row["client"]].append(outcome)


def duration(ms: float) -> str:
    if math.isinf(ms):
        return f"> {BOUND_SECONDS:.0f} s"
    return f"{ms:.0f} ms" if ms < 995 else f"{ms / 1000:.1f} s"


def ratio(theirs: float | None, ours: float | None) -> str:
    if theirs is None or ours is None or math.isinf(ours):
        return "–"
    return f"> {BOUND_SECONDS * 1000 / ours:.0f}×" if math.isinf(theirs) else f"{theirs / ours:.1f}×"


def _lines(table: Table) -> Iterator[list[str]]:
    others = [client for client in table.clients if client != OURS]
    yield ["", *table.clients, *(f"{client} / {OURS}" for client in others)]
    for row in table.rows:
        ours = table.median(row, OURS)
        ratios = [ratio(table.median(row, client), ours) for client in others]
        yield [row.title, *(table.cell(row, client) for client in table.clients), *ratios]


def text(table: Table) -> str:
    """For a terminal."""
    lines = list(_lines(table))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def markdown(table: Table) -> str:
    """For docs/hostile-networks.md: the table, and what each row does."""
    rows = [["", *(CLIENTS[client] for client in table.clients)]]
    for row in table.rows:
        medians = {client: table.median(row, client) for client in table.clients}
        best = min((median for median in medians.values() if median is not None), default=math.inf)
        cells = [
            f"**{table.cell(row, client)}**" if medians[client] == best else table.cell(row, client)
            for client in table.clients
        ]
        rows.append([row.title, *cells])
    rows.insert(1, ["---"] * len(rows[0]))
    notes = [f"- {row.title}: {row.note}." for row in table.rows]
    return "\n".join([*_piped(rows), "", *notes, "", LOST, "", *_piped(_lost(table))])


LOST = "Numbers that never came, of 20 per second: median and most of those runs in which the page came back at all."


def _lost(table: Table) -> list[list[str]]:
    lines = [["", *(CLIENTS[client] for client in table.clients)], ["---"] * (len(table.clients) + 1)]
    for row in table.rows:
        # A server that was restarted counts anew: what it said before is not missed.
        if not row.traffic or row.own == "server":
            continue
        line = [row.title]
        for client in table.clients:
            outcomes = table.outcomes[row.key, client]
            counts = [outcome.missing for outcome in outcomes if math.isfinite(outcome.ms)]
            line.append(f"{statistics.median_high(counts)} ({max(counts)})" if counts else "–")
        lines.append(line)
    return lines


def _piped(lines: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in lines]


def is_level(ours: float, theirs: float) -> bool:
    return ours <= max(theirs + LEVEL_MS, theirs * (1 + LEVEL_SHARE))


def verdicts(table: Table) -> Iterator[tuple[bool, str]]:
    """Each clause of what is promised, for each row it is about, and whether the medians hold it."""
    for row in table.rows:
        ours = table.median(row, OURS)
        if ours is None:
            continue
        for client in table.clients:
            theirs = table.median(row, client)
            if client == OURS or theirs is None:
                continue
            figures = f"{row.title}: {duration(ours)}, {client} {duration(theirs)}"
            if client in WEBSOCKET_FIRST:
                yield is_level(ours, theirs) and math.isfinite(ours), f"first or level: {figures}"
            else:
                yield (
                    ours <= theirs + STAGGER_MS + STAGGER_SLACK_MS,
                    f"at most 350 ms behind polling first: {figures}",
                )
            factor = _factor(row.key, client)
            if factor:
                yield (
                    min(theirs, BOUND_SECONDS * 1000) >= factor * ours,
                    f"at least {factor} times sooner: {figures}",
                )


def _factor(row: str, client: str) -> float:
    if row == "swallowed":
        return 5.0 if client in WEBSOCKET_FIRST else 0.0
    return {"blackhole": 5.0, "blackhole-down": 5.0, "idle": 2.5}.get(row, 0.0)
