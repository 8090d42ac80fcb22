"""The figures of `make bench` are shown three times: in docs/performance.md, in README and in the chart."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAD = "µs of the server's CPU"


def first_table(page: str) -> dict[tuple[str, str], str]:
    """The medians of the first table of figures, by workload and server."""
    text = (ROOT / page).read_text("utf-8")
    lines = next(lines for lines in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE) if HEAD in lines)
    [head, _, *rows] = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in lines.splitlines()
    ]
    return {
        (row[0], server): cell.partition(" ")[0]
        for row in rows
        for server, cell in zip(head[1:], row[1:], strict=True)
    }


def test_readme_shows_the_figures_of_the_page() -> None:
    shown, all_of_them = first_table("README.md"), first_table("docs/performance.md")
    assert len(shown) == 50
    assert shown == {key: all_of_them[key] for key in shown}


def test_chart_shows_the_figures_of_the_page() -> None:
    chart = (ROOT / "docs" / "performance.svg").read_text("utf-8")
    shown = Counter(re.findall(r'class="value"[^>]*>([^<]+)<', chart))
    # Where there is nobody to compare with, there is nothing to be drawn.
    assert shown.total() > 50
    assert shown <= Counter(first_table("docs/performance.md").values())
