"""The program that docs/moving-from-socket.io.md shows in two languages does the same in both, for the same clients."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import socketio
from published_types import PACKAGES
from real_server import SERVERS, free_port, running, server_command

pytestmark = pytest.mark.servers

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "moving-from-socket.io.md").read_text("utf-8")
BOARD = "/board-7"


def listing(language: str) -> str:
    """The first one of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]


class Person:
    """A client of python-socketio, and what it hears."""

    def __init__(self, url: str) -> None:
        self.client = socketio.AsyncClient(reconnection=False)
        self.heard: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._url = url
        for namespace in ("/", BOARD):
            self.client.on("*", self._hear, namespace=namespace)
        self.client.on("connect_error", self._refused)

    async def _hear(self, event: str, *args: Any) -> None:
        self.heard.put_nowait((event, *args))

    async def _refused(self, data: Any) -> None:
        self.heard.put_nowait(("connect_error", data))

    async def enter(self, name: str | None) -> None:
        async def vote(question: str) -> str:
            return f"{name}: {question}"

        self.client.on("vote", vote)
        await self.client.connect(
            self._url,
            namespaces=["/", BOARD],
            auth={} if name is None else {"name": name},
            transports=["websocket"],
        )

    async def next(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self.heard.get(), 15)


async def conversation(url: str) -> list[Any]:
    """All that three clients see."""
    seen: list[Any] = []
    async with AsyncExitStack() as stack:

        def person() -> Person:
            new = Person(url)
            stack.push_async_callback(new.client.disconnect)
            return new

        ada, bob, stranger = person(), person(), person()
        ask = bob.client.call
        await ada.enter("ada")
        await bob.enter("bob")
        seen.append(await ada.next())
        with pytest.raises(socketio.exceptions.ConnectionError):
            await stranger.enter(None)
        seen.append(await stranger.next())
        seen.append(await ask("say", "hello"))
        seen.append(await ada.next())
        seen.append(await ask("say", "x" * 501))
        seen.append(await ask("enter", "side"))
        seen.append(sorted(await ask("enter", "lobby")))
        seen.append(sorted(await ask("vote", "tea?")))
        await bob.client.emit("draw", b"\x00\xff", namespace=BOARD)
        seen.append(await ada.next())
        await bob.client.disconnect()
        # Why differs: this client may close its connection before what it said is on the way.
        seen.append((await ada.next())[:2])
        seen.append(ada.heard.qsize())
    return seen


EXPECTED = [
    ("joined", "bob"),
    ("connect_error", {"message": "who are you?"}),
    "seen",
    ("said", "bob", "hello"),
    {"error": {"message": "too long"}},
    ["bob"],
    ["ada", "bob"],
    ["ada: tea?", "bob: tea?"],
    ("draw", BOARD, b"\x00\xff"),
    ("left", "bob"),
    0,
]


def converse(command: list[str], port: int, directory: Path) -> list[Any]:
    with running(command, port, PYTHONPATH=str(directory)) as server:
        return asyncio.run(conversation(server.url))


def test_before(tmp_path: Path) -> None:
    port = free_port()
    program = listing("js").replace("listen(3000)", f'listen({port}, "127.0.0.1")')
    assert str(port) in program
    (tmp_path / "server.mjs").write_text(program)
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    node = shutil.which("node")
    assert node is not None
    assert converse([node, str(tmp_path / "server.mjs")], port, tmp_path) == EXPECTED


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "uvicorn-fast"])
def test_after(name: str, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "server.py").write_text(listing("python"))
    assert converse(server_command(name, "server:io", port), port, tmp_path) == EXPECTED
