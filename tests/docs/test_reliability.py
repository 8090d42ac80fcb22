"""docs/reliability.md: every row of the bar is there, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PAGE = ROOT / "docs/reliability.md"
ROWS = {
    *(f"R{number}" for number in range(1, 20)),
    *(f"M{number}" for number in range(1, 6)),
    *(f"S{number}" for number in range(1, 13)),
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows() -> dict[str, list[str]]:
    found = [cells(line) for line in PAGE.read_text().splitlines() if re.match(r"\| [RMS]\d+ \|", line)]
    names = [row[0] for row in found]
    assert len(names) == len(set(names)), "a row is there twice"
    return {row[0]: row for row in found}


def test_every_row_is_there() -> None:
    assert rows().keys() == ROWS


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_names_what_shows_it(name: str) -> None:
    row = rows()[name]
    seen = row[-1]
    commands = re.findall(r"`([^`]+)`", seen)
    assert commands, f"{name}: nothing shows it"
    for command in commands:
        if command.startswith("make "):
            target = command.split()[1]
            assert re.search(
                rf"^[a-z -]*\b{target}\b[a-z -]*:", (ROOT / "Makefile").read_text(), re.MULTILINE
            ), command
        else:
            path, _, test = command.partition("::")
            assert (ROOT / path).exists(), command
            assert not test or f"def {test}(" in (ROOT / path).read_text(), command


def test_figures_are_there() -> None:
    missing = [name for name, row in rows().items() if not Path(row[0]).name or any(not cell for cell in row)]
    assert not missing
