"""The page on STOMP: its Python runs, and its table is what the settings say."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from anyio.lowlevel import checkpoint
from asgi_driver import ManualClock, drive
from stomp_peer import Site

from holdfast import SockJSSettings, Stomp, StompClient, StompLogin, StompMessage, StompSettings
from holdfast.engine.settings.rules import rule_of

PAGE = (Path(__file__).parents[2] / "docs" / "stomp.md").read_text("utf-8")


def page_names() -> dict[str, Any]:
    """What is there when all Python of the page has run."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"block {number} of stomp.md", "exec"), names)
    return names


async def test_the_pages_application_serves_rooms_and_topics() -> None:
    app = page_names()["app"]
    async with drive(app) as client:
        socket = client.websocket("/socket.io/?EIO=4&transport=websocket")
        await socket.accept()
        peer = client.websocket("/stomp/", subprotocols=["v12.stomp"])
        await peer.accept()


async def test_python_of_the_page_runs_and_opens_nothing() -> None:
    stomp = page_names()["stomp"]

    @stomp.authenticate
    async def who(login: StompLogin) -> str | None:
        return login.login

    async with drive(stomp) as client:
        site = Site(stomp, ManualClock(), client)

        async def answer(command: str, destination: str, user: str) -> str:
            peer = await site.connected(login=user)
            peer.send(command, destination=destination, id="1", receipt="r")
            while not (frames := await peer.take()):
                await checkpoint()
            return frames[-1].headers.get("message", frames[-1].command)

        bob = await site.connected(login="bob")
        bob.send("SUBSCRIBE", id="1", destination="/user/queue/errors", receipt="r")
        assert (await bob.one()).command == "RECEIPT"
        for user in ("ann", "eve"):
            assert "other users" in await answer("SEND", "/user/bob/queue/errors", user)
            assert await answer("SEND", "/app/greetings", user) == "RECEIPT"
            assert await answer("SUBSCRIBE", "/topic/greetings", user) == "RECEIPT"
        for command, destination in (
            ("SEND", "/topic/greetings"),
            ("SEND", "/queue/work"),
            ("SUBSCRIBE", "/queue/work"),
        ):
            assert await answer(command, destination, "ann") == "RECEIPT"
            assert "may not" in await answer(command, destination, "eve")
        assert await bob.take() == []


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
