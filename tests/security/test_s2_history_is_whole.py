"""S2: each published fault of this kind of software that we know of is tried on us, by a test that bears its number."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

LIST = """
CVE-2014-4671 CVE-2016-10518 CVE-2016-10542 CVE-2017-16031 CVE-2018-1000518 CVE-2019-13611 CVE-2020-7693 CVE-2020-7694
CVE-2020-7695 CVE-2020-8823 CVE-2020-10735 CVE-2020-28481 CVE-2020-36048 CVE-2020-36049 CVE-2021-31597 CVE-2021-32640
CVE-2022-1650 CVE-2022-2421 CVE-2022-21676 CVE-2022-41940 CVE-2023-29159 CVE-2023-31125 CVE-2023-32695 CVE-2024-37890
CVE-2024-38355 CVE-2024-47874 CVE-2025-43859 CVE-2025-54121 CVE-2025-61765 CVE-2025-62727 CVE-2026-2229 CVE-2026-21452
CVE-2026-25224 CVE-2026-32689 CVE-2026-33151 CVE-2026-39804 CVE-2026-41838 CVE-2026-42786 CVE-2026-44545 CVE-2026-45736
CVE-2026-48710 CVE-2026-48779 CVE-2026-48802 CVE-2026-54283 GHSA-qjvr-435c-5fjh fc11285e python-socketio-5-16-2
"""
HISTORY = LIST.split()


def names() -> set[str]:
    """Of all tests of this folder, whether functions or methods."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        tree = ast.parse(path.read_text())
        for scope in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
            # What pytest does not collect is no test.
            if isinstance(scope, ast.Module) or scope.name.startswith("Test"):
                functions = (ast.FunctionDef, ast.AsyncFunctionDef)
                found |= {node.name for node in scope.body if isinstance(node, functions)}
    return {name for name in found if name.startswith("test_")}


TESTS = names()


@pytest.mark.parametrize("identifier", HISTORY)
def test_s2_fault_has_a_test_with_its_identifier(identifier: str) -> None:
    wanted = re.compile(rf"_{identifier.lower().replace('-', '_')}(_|$)")
    assert [name for name in TESTS if wanted.search(name)], f"no test is named for {identifier}"


def test_s2_test_names_no_fault_that_is_not_in_the_list() -> None:
    """Or a slip of the pen would pass for a test of another."""
    numbers = {match for name in TESTS for match in re.findall(r"cve_\d+_\d+|ghsa(?:_\w{4}){3}", name)}
    assert numbers <= {identifier.lower().replace("-", "_") for identifier in HISTORY}
    assert len(HISTORY) == len(set(HISTORY)) == 47
