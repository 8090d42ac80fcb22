"""The page on STOMP: its Python runs, and its table is what the settings say."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from holdfast import SockJSSettings, Stomp, StompClient, StompMessage, StompSettings
from holdfast.engine.settings.rules import rule_of

PAGE = (Path(__file__).parents[2] / "docs" / "stomp.md").read_text("utf-8")


def test_python_of_the_page_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"block {number} of stomp.md", "exec"), names)


def test_what_its_table_of_spring_names_is_there() -> None:
    table = PAGE.partition("| Spring | here |")[2].partition("\n\n")[0]
    kinds: dict[str, Any] = {"stomp": Stomp(), "message": StompMessage, "client": StompClient}
    named = set(re.findall(r"\b(stomp|message|client)\.(\w+)", table))
    assert {name for name, _ in named} == set(kinds)
    for kind, name in sorted(named):
        assert hasattr(kinds[kind], name), f"{kind}.{name}"
    settings = {setting.name for setting in (*fields(StompSettings), *fields(SockJSSettings))}
    arguments = {*settings, *inspect.signature(Stomp).parameters}
    found = re.findall(r"`(?:Stomp\()?(\w+)=", table) + re.findall(r'\{"(\w+)":', table)
    assert len(found) >= 6
    assert set(found) - {"send_to"} <= arguments


def test_every_limit_is_in_the_table_as_it_is() -> None:
    text = (inspect.getdoc(StompSettings) or "").partition("Attributes:\n")[2].partition("\nRaises:")[0]
    meanings = dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE))
    rows: list[str] = []
    for setting in fields(StompSettings):
        default, unit = setting.default, rule_of(setting).unit
        shown = f"{default:,}" if type(default) is int else f"{default:g}"
        meaning = re.sub(r"\s+", " ", meanings[setting.name])
        rows.append(f"| `{setting.name}` | {shown}{' ' + unit if unit else ''} | {meaning} |")
    expected = "\n".join(rows)
    assert expected in PAGE, f"the table should be:\n\n{expected}\n"
