"""What a module exports is written down, and the root exports what it says."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast

ROOT = Path(holdfast.__file__).parent
PACKAGES = ("engine", "transports", "compat", "demo")


def modules() -> Iterator[str]:
    for package in PACKAGES:
        yield f"holdfast.{package}"
        for module in pkgutil.walk_packages([str(ROOT / package)], f"holdfast.{package}."):
            yield module.name


# Importing a __main__ would run it.
MODULES = [name for name in modules() if not name.endswith("__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_that_defines_something_says_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    if not hasattr(module, "__all__"):
        rest = ast.parse(Path(module.__file__ or "").read_text("utf-8")).body
        assert all(isinstance(node, ast.Expr) for node in rest), f"{name} has no __all__"
        return
    missing = [export for export in module.__all__ if not hasattr(module, export)]
    assert not missing
    assert len(set(module.__all__)) == len(module.__all__)


def test_the_root_exports_what_it_lists_and_nothing_twice() -> None:
    assert len(set(holdfast.__all__)) == len(holdfast.__all__)
    missing = [export for export in holdfast.__all__ if not hasattr(holdfast, export)]
    assert not missing


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()
