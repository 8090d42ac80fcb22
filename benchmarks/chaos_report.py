"""What `chaos.py` prints: a line for each case as it is done, and all of them as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from chaos_cells import Figures
from chaos_rows import Case

__all__ = ["HEAD", "as_json", "line", "markdown"]

HEAD = [
    "row",
    "client → server",
    "what",
    "down: sent, lost/dup/ooo",
    "up: sent, lost/dup/ooo",
    "disconnects",
    "down time mean, worst",
    "longest silence",
    "besides",
    "",
]


def verdict(counts: dict[str, int]) -> str:
    wrong = "/".join(f"{counts[name]:,}" for name in ("lost", "repeated", "disordered"))
    return f"{counts['sent']:,}: {wrong}" + (f", {counts['damaged']} damaged" if counts["damaged"] else "")


def milliseconds(seconds: list[float]) -> str:
    if not seconds:
        return "–"
    return f"{1000 * sum(seconds) / len(seconds):.0f}, {1000 * max(seconds):.0f} ms"


def besides(figures: Figures) -> str:
    more = [f"{name.replace('_', ' ')} {plain(value)}" for name, value in figures.more.items()]
    if figures.acks.get("asked"):
        more.append("acks " + plain({name: times for name, times in figures.acks.items() if times}))
    if figures.recovered:
        more.append(f"recovered {figures.recovered}")
    if figures.talks > 1:
        more.append(f"talks {figures.talks}")
    return "; ".join(more)


def plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}:{times}" for name, times in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def passed(case: Case, figures: Figures | None) -> str:
    if figures is None:
        return "FAILED"
    return "" if case.passes is None else "ok" if case.passes(figures) else "NOT MET"


def cells(case: Case, figures: Figures | None) -> list[str]:
    head = [case.row, f"{case.client} → {case.server}", case.what]
    if figures is None:
        return [*head, *[""] * (len(HEAD) - 4), "FAILED"]
    return [
        *head,
        verdict(figures.down),
        verdict(figures.up),
        str(figures.disconnects),
        milliseconds(figures.outages),
        f"{figures.longest:.2f} s",
        besides(figures),
        passed(case, figures),
    ]


def line(case: Case, figures: Figures | None) -> str:
    """For the terminal."""
    return " | ".join(cells(case, figures))


def markdown(done: list[tuple[Case, Figures | None]]) -> str:
    """All of it as a table."""
    rows = [HEAD, ["---"] * len(HEAD), *(cells(case, figures) for case, figures in done)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def as_json(done: list[tuple[Case, Figures | None]]) -> list[dict[str, Any]]:
    return [
        {
            "row": case.row,
            "client": case.client,
            "server": case.server,
            "what": case.what,
            "passed": None if case.passes is None else passed(case, figures) == "ok",
            "figures": None if figures is None else asdict(figures),
        }
        for case, figures in done
    ]
