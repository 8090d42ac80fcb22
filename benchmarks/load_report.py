"""What the load benchmarks share: a table for people, JSON for machines, and the line that says where it was
measured.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["kilobytes", "megabytes", "show"]

Row = Mapping[str, object]


def megabytes(size: float) -> str:
    return f"{size / 1e6:+.1f} MB"


def kilobytes(size: float) -> str:
    return f"{size / 1e3:.1f} kB"


def show(rows: Sequence[Row], *, path: Path | None = None, title: str = "") -> None:
    """Print rows that have the same keys as a table in Markdown; write them as JSON too."""
    if rows:
        cells = [[str(name) for name in rows[0]], *([str(value) for value in row.values()] for row in rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in cells
        ]
        lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
        print("\n".join(lines))
    print(f"{title}; Python {platform.python_version()}, {os.cpu_count()} cores" if title else "")
    if path is not None:
        path.write_text(json.dumps(list(rows), indent=1))
