"""docs/moving-from-socket.io-client.md has a row for every public name of the published packages, and for no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from published_types import exports, members, source, strings

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "moving-from-socket.io-client.md").read_text("utf-8")

VERDICTS = {"same", "compat", "renamed", "no effect", "absent"}


def listeners() -> set[str]:
    """The types leave two aliases out."""
    text = source("@socket.io/component-emitter/lib/cjs/index.js")
    return set(re.findall(r"Emitter\.prototype\.(\w+)", text)) - {"emitReserved"}


CLIENT = "socket.io-client/build/esm/"
ENGINE = "engine.io-client/build/esm/"
EMITTER = "@socket.io/component-emitter/lib/cjs/index.d.ts"


def public_names() -> dict[str, set[str]]:
    """Heading of the page -> the names that belong under it."""
    return {
        "Exports": exports(CLIENT + "index.d.ts"),
        "Socket": members(CLIENT + "socket.d.ts", "class", "Socket"),
        "Socket: events": members(CLIENT + "socket.d.ts", "interface", "SocketReservedEvents"),
        "Socket: reasons of a disconnect": strings(CLIENT + "socket.d.ts", "DisconnectReason"),
        "Socket: options": members(CLIENT + "socket.d.ts", "interface", "SocketOptions"),
        "Manager": members(CLIENT + "manager.d.ts", "class", "Manager"),
        "Manager: events": members(CLIENT + "manager.d.ts", "interface", "ManagerReservedEvents"),
        "Manager: options": members(CLIENT + "manager.d.ts", "interface", "ManagerOptions"),
        "Listeners, of sockets, managers and engines": listeners() | members(EMITTER, "class", "Emitter"),
        "Engine (`socket.io.engine`)": members(ENGINE + "socket.d.ts", "class", "Socket"),
        "Engine: events": members(ENGINE + "socket.d.ts", "interface", "SocketReservedEvents"),
        "Engine: transport": members(ENGINE + "transport.d.ts", "class", "Transport"),
        "Engine: options": members(ENGINE + "socket.d.ts", "interface", "SocketOptions"),
    }


def rows(heading: str) -> Iterator[tuple[list[str], str, str]]:
    """Names, verdict and note of each row under a heading."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n#")[0]
    for line in re.findall(r"^\| `.*", section, re.MULTILINE):
        names, verdict, note = (cell.strip() for cell in line.strip("|").split(" | ", 2))
        yield re.findall(r"`(.*?)`", names), verdict, note.rstrip(" |")


@pytest.mark.parametrize("heading", public_names())
def test_every_public_name_has_its_row(heading: str) -> None:
    listed = [name for names, _, _ in rows(heading) for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) == public_names()[heading]


@pytest.mark.parametrize("heading", public_names())
def test_every_row_says_what_became_of_it_and_why(heading: str) -> None:
    for names, verdict, note in rows(heading):
        assert verdict in VERDICTS, names
        assert note or verdict in {"same", "compat"}, f"{names}: there is no reason"


def test_the_types_are_read_whole() -> None:
    found = public_names()
    assert {"volatile", "disconnected", "emitWithAck", "sendBuffer", "onAnyOutgoing"} <= found["Socket"]
    assert {"transports", "ca", "protocols", "perMessageDeflate"} <= found["Engine: options"]
    assert {"upgradeError", "packetCreate"} <= found["Engine: events"]
    assert {"default", "io", "WebTransport"} <= found["Exports"]
    assert {"addEventListener", "hasListeners", "emit"} <= found[
        "Listeners, of sockets, managers and engines"
    ]
    assert "onopen" not in found["Socket"]
