"""The chart of `make bench`: bars for each workload, as an SVG that is read on light pages and on dark ones."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from bench_report import Figures, median, rounded

__all__ = ["chart"]

NAMES, BARS, VALUES = 160, 480, 90
LINE, GAP, TITLE = 20, 14, 26
# Ours strong, the others by family; each is told from both backgrounds.
COLOURS = {"holdfast": "#2f81f7", "python": "#bf8700", "node": "#3fb950", "bare": "#8b949e"}
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}"
    ".title{font-weight:600;fill:#24292f}"
    ".value{font-variant-numeric:tabular-nums}"
    "@media(prefers-color-scheme:dark){text{fill:#9aa4b0}.title{fill:#e6edf3}}"
)


def _colour(server: str) -> str:
    return COLOURS[server.partition("-")[0]]


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def chart(figures: Figures, titles: Mapping[str, str]) -> str:
    """Medians. Within a workload the longest bar is the slowest server's; what only ours can do is left out."""
    y = float(LINE)
    parts = [
        _text(0, y - 6, "Microseconds of the server’s CPU for each operation; shorter is better", "name")
    ]
    for name, servers in figures.items():
        if all(server.startswith("holdfast") for server in servers):
            continue
        y += TITLE
        parts.append(_text(0, y - 8, titles[name], "title"))
        most = max(median(runs) for runs in servers.values())
        for server, runs in servers.items():
            value = median(runs)
            width = max(1.0, value / most * BARS)
            parts.append(_text(NAMES - 8, y + 14, server, "name", "end"))
            parts.append(
                f'<rect x="{NAMES}" y="{y + 3:g}" width="{width:.1f}" height="{LINE - 5}" rx="2" '
                f'fill="{_colour(server)}"/>'
            )
            parts.append(_text(NAMES + width + 6, y + 14, rounded(value), "value"))
            y += LINE
        y += GAP
    width = NAMES + BARS + VALUES
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y:g}" width="{width}" role="img">'
        "<title>What each kind of message costs the server</title>"
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])
