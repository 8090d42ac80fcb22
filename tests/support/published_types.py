"""What the published packages declare: the public names in their types and, where these are silent, in their source."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["PACKAGES", "emitted", "exports", "members", "source", "strings"]

PACKAGES = Path(__file__).resolve().parent.parent / "clients" / "node_modules"


def source(path: str) -> str:
    """A file of a package, without its block comments."""
    assert PACKAGES.exists(), "run: make setup"
    return re.sub(r"/\*.*?\*/", "", (PACKAGES / path).read_text("utf-8"), flags=re.DOTALL)


def members(path: str, kind: str, name: str, *, internal: bool = False, within: str = "") -> set[str]:
    """The public members of one class or interface, as the types declare them.

    Args:
        internal: Also those whose names begin with an underscore.
        within: Look only behind this text.
    """
    body = re.search(
        rf"^( *)(?:export )?(?:declare )?(?:abstract )?{kind} {name}\b[^{{]*?(?:<.*?>[^{{]*?)?\{{\n(.*?)^\1\}}",
        source(path).partition(within)[2] if within else source(path),
        re.DOTALL | re.MULTILINE,
    )
    assert body, f"there is no {kind} {name} in {path}"
    found = re.findall(
        rf"^{body[1]}    (?!private|protected)(?:(?:static|readonly|get|abstract) )*(\w+)\??[<(:]",
        body[2],
        re.MULTILINE,
    )
    return {member for member in found if internal or not member.startswith("_")}


def exports(path: str) -> set[str]:
    lists = re.findall(r"^export \{([^}]*)\}", source(path), re.MULTILINE)
    classes = re.findall(r"^export declare class (\w+)", source(path), re.MULTILINE)
    return {
        item.split(" as ")[-1].strip() for names in lists for item in names.split(",") if item.strip()
    } | set(classes)


def strings(path: str, name: str) -> set[str]:
    """The members of a union of strings."""
    [line] = re.findall(rf"type {name} = (.*);", source(path))
    return set(re.findall(r'"(.*?)"', line))


def emitted(path: str, by: str = "this", *, until: str = "") -> set[str]:
    """The names of the events that a class emits, as its source says; ``until`` ends the class."""
    text = source(path)
    return set(re.findall(rf'\b{by}\.emit\("(.*?)"', text.partition(until)[0] if until else text))
