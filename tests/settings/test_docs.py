"""The table in docs/settings.md is what `Settings` says, word for word."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from holdfast import Cookie, Settings, SockJSSettings
from holdfast.engine.settings.names import PYTHON_SOCKETIO, SOCKET_IO, Absent, Renamed
from holdfast.engine.settings.rules import rule_of

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "settings.md").read_text("utf-8")


def meanings(of: type) -> dict[str, str]:
    """The attributes of a docstring."""
    text = inspect.getdoc(of) or ""
    listed = text.partition("Attributes:\n")[2].partition("\nRaises:")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", meaning).replace("``", "`") for name, meaning in found}


def names(table: Mapping[str, Renamed | Absent], here: str) -> str:
    theirs = [name for name, answer in table.items() if isinstance(answer, Renamed) and answer.here == here]
    return ", ".join(f"`{name}`" for name in theirs) or "–"


def shown(default: object) -> str:
    if isinstance(default, tuple):
        return "all three" if default else "none"
    if isinstance(default, str):
        return f'`"{default}"`'
    return (
        f"{default:,}" if type(default) is int else f"{default:g}" if type(default) is float else f"{default}"
    )


def with_unit(setting: Field[Any]) -> str:
    default, unit = shown(setting.default), rule_of(setting).unit
    return f"{default} {unit}" if unit and setting.default is not None else default


def row(setting: Field[Any]) -> str:
    cells = [
        f"`{setting.name}`",
        with_unit(setting),
        meanings(Settings)[setting.name],
        names(SOCKET_IO, setting.name),
        names(PYTHON_SOCKETIO, setting.name),
    ]
    return f"| {' | '.join(cells)} |"


def test_every_setting_of_sockjs_alone_is_in_its_table() -> None:
    every = {setting.name for setting in fields(Settings)}
    expected = "\n".join(
        f"| `{setting.name}` | {with_unit(setting)} | {meanings(SockJSSettings)[setting.name]} |"
        for setting in fields(SockJSSettings)
        if setting.name not in every
    )
    assert after_head(section("What only SockJS has")) == expected, f"the table should be:\n\n{expected}\n"


def absent(table: Mapping[str, Renamed | Absent]) -> str:
    reasons: dict[str, list[str]] = {}
    for name, answer in table.items():
        if isinstance(answer, Absent):
            reasons.setdefault(answer.reason, []).append(f"`{name}`")
    return "\n".join(f"| {', '.join(names)} | {reason} |" for reason, names in reasons.items())


def section(title: str) -> str:
    """The rows of the table in a section, without its head."""
    [found] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return "\n".join(line for line in found.splitlines() if line.startswith("| "))


def after_head(rows: str) -> str:
    return "\n".join(rows.split("\n")[2:])


def test_every_setting_is_in_the_table_as_it_is() -> None:
    expected = "\n".join(row(setting) for setting in fields(Settings))
    assert after_head(section("All settings")) == expected, f"the table should be:\n\n{expected}\n"


def test_every_option_of_others_that_is_absent_has_its_reason() -> None:
    for title, table in (("Socket.IO options", SOCKET_IO), ("python-socketio arguments", PYTHON_SOCKETIO)):
        expected = absent(table)
        assert after_head(section(f"{title} that are not here")) == expected, f"should be:\n\n{expected}\n"


def test_every_attribute_of_a_cookie_is_described() -> None:
    expected = "\n".join(
        f"| `{attribute.name}` | {shown(attribute.default)} | {meanings(Cookie)[attribute.name]} |"
        for attribute in fields(Cookie)
    )
    assert after_head(section("The cookie")) == expected, f"the table should be:\n\n{expected}\n"


@pytest.mark.parametrize("code", re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
def test_the_code_runs_as_it_stands(code: str) -> None:
    exec(compile(code, "settings.md", "exec"), {})
