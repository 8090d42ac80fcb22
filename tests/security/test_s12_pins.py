"""S12: nothing with a known hole can be installed beside us, nor is in use here."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = {"msgpack": "1.2", "starlette": "1.0.1", "uvicorn": "0.40", "h11": "0.16"}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def requirements() -> dict[str, set[str]]:
    """Name to what is demanded of it, whoever demands it."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: dict[str, set[str]] = {}
    for line in [*project["dependencies"], *chain(*project["optional-dependencies"].values())]:
        match = re.fullmatch(r"([\w-]+)(?:\[.*?\])?(.*)", line)
        assert match is not None, line
        name, demand = match.groups()
        found.setdefault(name, set()).add(demand)
    return found


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_s12_version_with_a_known_hole_is_neither_allowed_nor_used(name: str, floor: str) -> None:
    demands = requirements()[name]
    assert all(demand.startswith(">=") and numbers(demand) >= numbers(floor) for demand in demands), demands
    assert numbers(version(name)) >= numbers(floor)


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_s12_documents_name_the_floor(name: str, floor: str) -> None:
    assert f"{name} {floor}" in (ROOT / "docs" / "security.md").read_text()


def test_cve_2021_31597_cve_2022_1650_javascript_client_depends_on_nothing() -> None:
    package = json.loads((ROOT / "client_js" / "package.json").read_text())
    assert "dependencies" not in package
    assert "bundledDependencies" not in package
    assert set(package.get("peerDependencies", {})) <= {"react"}
