"""The page knows every public name of the python-socketio that is installed, and what it says of them holds."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import engineio
import pytest
import socketio

from holdfast.compat import socketio as compat

PAGE = (Path(__file__).parents[2] / "docs" / "moving-from-python-socketio.md").read_text()
SAID = ("same", "accepted", "absent: ", "unchanged")
# What a constructor hands on below, by keyword.
BELOW = {
    "AsyncServer": engineio.AsyncServer,
    "Server": engineio.Server,
    "AsyncClient": engineio.AsyncClient,
    "Client": engineio.Client,
}
RENAMED_BELOW = {"logger": "engineio_logger"}
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Row(NamedTuple):
    args: frozenset[str]
    said: str
    native: str


def sections() -> Iterator[tuple[tuple[str, ...], dict[str, Row]]]:
    """The classes that a section is about, and its rows by name."""
    tables = PAGE.partition("## Every name")[2]
    for section in tables.split("\n### ")[1:]:
        title, _, body = section.partition("\n")
        rows: dict[str, Row] = {}
        for name, args, said, native in re.findall(
            r"^\| `(\w+=?)(?:\(([^)]*)\))?` \| (.+?) \| (.+?) \|$", body, re.MULTILINE
        ):
            assert name not in rows, (title, name)
            rows[name] = Row(frozenset(filter(None, args.split(", "))), said, native)
        yield tuple(re.findall(r"`(\w+)`", title)), rows


SECTIONS = list(sections())
ROWS = {name: rows for names, rows in SECTIONS for name in names}
CLASSES = [name for name in socketio.__all__ if inspect.isclass(getattr(socketio, name))]


def parameters(function: Any) -> list[inspect.Parameter]:
    return [each for each in inspect.signature(function).parameters.values() if each.name != "self"]


def options(name: str) -> set[str]:
    """The arguments of a constructor, those that it hands on among them."""
    found = {each.name for each in parameters(getattr(socketio, name)) if each.kind not in VARIADIC}
    if name in BELOW:
        below = {each.name for each in parameters(BELOW[name]) if each.kind not in VARIADIC}
        found |= {RENAMED_BELOW.get(option, option) for option in below}
        if "Server" in name:
            # BaseServer's own, which AsyncServer hands on too.
            base = socketio.AsyncServer.__mro__[1]
            found |= {each.name for each in parameters(base) if each.kind not in VARIADIC}
    return found


def members(name: str) -> dict[str, Any]:
    found = {
        member: getattr(getattr(socketio, name), member)
        for member in dir(getattr(socketio, name))
        if not member.startswith("_")
    }
    if name == "AsyncServer":
        server = socketio.AsyncServer(async_mode="asgi")
        found |= {member: value for member, value in vars(server).items() if not member.startswith("_")}
    return found


def test_every_name_that_the_package_exports_is_there() -> None:
    assert set(socketio.__all__) - set(ROWS) == set()


@pytest.mark.parametrize("name", CLASSES)
def test_every_option_is_there(name: str) -> None:
    assert {f"{option}=" for option in options(name)} - set(ROWS[name]) == set()


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_and_argument_is_there(name: str) -> None:
    missing: list[str] = []
    for member, value in members(name).items():
        row = ROWS[name].get(member)
        if row is None:
            missing.append(member)
        elif inspect.isroutine(value):
            missing += [f"{member}({each.name})" for each in parameters(value) if each.name not in row.args]
    assert missing == []


def test_every_exception_is_there() -> None:
    exceptions = [name for name in vars(socketio.exceptions) if not name.startswith("_")]
    assert set(exceptions) == set(ROWS["exceptions"])
    for name in exceptions:
        assert issubclass(getattr(compat.exceptions, name), compat.exceptions.SocketIOError)


def test_nothing_is_there_that_does_not_exist() -> None:
    for names, rows in SECTIONS:
        existing = {"rooms"} if "AsyncManager" in names else set[str]()
        for name in names:
            if name in CLASSES:
                existing |= {f"{option}=" for option in options(name)} | set(members(name))
            elif name != "exceptions":
                existing |= {f"{each.name}=" for each in parameters(getattr(socketio, name))}
        if "exceptions" not in names:
            assert set(rows) - existing == set(), names


def test_every_row_is_read() -> None:
    tables = PAGE.partition("## Every name")[2]
    assert len(re.findall(r"^\| `", tables, re.MULTILINE)) == sum(len(rows) for _, rows in SECTIONS)


def test_what_is_said_of_the_manager_holds() -> None:
    manager = compat.AsyncServer().manager
    there = {name for name, row in ROWS["AsyncManager"].items() if row.said.startswith("same")}
    assert there == {name for name in ROWS["AsyncManager"] if hasattr(manager, name)}


def test_every_row_says_what_becomes_of_its_name() -> None:
    for names, rows in SECTIONS:
        for name, row in rows.items():
            assert row.said.startswith(SAID), (names, name)
            assert "absent" not in row.said or ": " in row.said, (names, name)


@pytest.mark.parametrize("name", compat.__all__)
def test_what_is_said_to_be_the_same_takes_the_same(name: str) -> None:
    if name == "exceptions":
        return
    ours: Any = compat.AsyncServer() if name == "AsyncServer" else getattr(compat, name)
    known = options_of_ours(name)
    for member, row in ROWS[name].items():
        if member.endswith("="):
            if row.said.startswith(("same", "accepted")):
                assert known is None or member[:-1] in known, member
            continue
        if not row.said.startswith("same"):
            continue
        there, here = members(name)[member], getattr(ours, member)
        if inspect.isroutine(there) and member != "handle_request":
            theirs = [each.name for each in parameters(there)]
            assert [each.name for each in parameters(here)] == theirs, member
            assert inspect.iscoroutinefunction(here) == inspect.iscoroutinefunction(there), member


def options_of_ours(name: str) -> set[str] | None:
    """None where others are taken by keyword; what becomes of those is in the tests of the options."""
    signature = parameters(getattr(compat, name))
    return None if any(each.kind in VARIADIC for each in signature) else {each.name for each in signature}


def test_what_the_page_shows_runs() -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(program, "the page", "exec"), names)
    assert set(names["sio"].handlers["/"]) == {"connect", "chat"}
