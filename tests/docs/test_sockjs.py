"""docs/sockjs.md: its programs run and do what it says, and what it lists of sockjs-node is all that there is."""

from __future__ import annotations

import json
import re
from operator import attrgetter
from pathlib import Path
from typing import Any

from asgi_driver import settled
from counting_peer import client_of

from holdfast import SockJS, SockJSSession
from holdfast.engine.settings.names import SOCKJS_NODE

PAGE = (Path(__file__).parents[2] / "docs" / "sockjs.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def names_of(number: int, names: dict[str, Any] | None = None) -> dict[str, Any]:
    names = {} if names is None else names
    exec(compile(BLOCKS[number], f"block {number} of sockjs.md", "exec"), names)
    return names


async def test_first_program_serves_its_page_and_echoes() -> None:
    app = names_of(0)["app"]
    async with client_of(app) as client:
        assert 'new SockJS("/echo")' in await client.get("/").text()
        assert (await client.get("/echo/info").json())["websocket"] is True
        assert await client.post("/echo/000/id/xhr", "").text() == "o\n"
        assert await client.post("/echo/000/id/xhr_send", '["hello"]').start() == 204
        await settled()
        assert await client.post("/echo/000/id/xhr", "").text() == 'a["hello"]\n'


async def test_rooms_join_both_kinds_of_clients() -> None:
    app = names_of(1)["app"]
    async with client_of(app) as client:
        sockjs = client.websocket("/sockjs/0/0/websocket")
        plain = client.websocket("/socket.io/?EIO=4&transport=websocket")
        for socket in (sockjs, plain):
            await socket.accept()
            await socket.receive()
        plain.send("40")
        await plain.receive()
        plain.send('42["chat","one"]')
        assert await plain.receive() == '42["chat","one"]'
        assert json.loads(str(await sockjs.receive())[1:]) == ['["chat","one"]']
        sockjs.send('["two"]')
        assert await plain.receive() == '42["chat","two"]'


async def test_settings_of_the_page_are_taken() -> None:
    names = names_of(3, names_of(2, names_of(1)))
    assert names["public"].table.sockjs.ping_interval == 20
    async with client_of(names["old"]) as client:
        assert await client.get("/sockjs/iframe.html").start() == 200


async def test_what_its_table_says_of_a_session_is_there() -> None:
    sessions: list[SockJSSession] = []

    async def keep(session: SockJSSession) -> None:
        sessions.append(session)
        async for _ in session:
            pass

    table = PAGE.partition("| sockjs-node | here |")[2].partition("| option | here |")[0]
    named = set(re.findall(r"`(?:await )?session\.([\w.]+)", table))
    assert named >= {"reason", "send", "close", "is_open", "request.address", "request.url", "transport"}
    async with client_of(SockJS(keep, path="/echo")) as client:
        await client.post("/echo/000/id/xhr", "").text()
        await settled()
        for name in sorted(named):
            attrgetter(name)(sessions[0])


def test_no_program_is_left_out() -> None:
    assert len(BLOCKS) == 4


def test_every_option_of_sockjs_node_is_listed() -> None:
    table = PAGE.rpartition("| option | here |")[2]
    listed = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    assert sorted(listed) == sorted(SOCKJS_NODE)
