"""Many clients of python-socketio, each of which says and hears numbered events: see `crowd.mjs`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import aiohttp
import socketio

EVENTS = 40


async def live(url: str, kind: str, room: str, problems: list[str]) -> tuple[Any, list[int], object]:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    # Any: it has no types.
    client: Any = socketio.AsyncClient(
        reconnection=False, http_session=aiohttp.ClientSession(connector=connector)
    )
    drops: list[int] = []
    said: list[int] = []
    client.on("drop", lambda value, text: drops.append(value))
    client.on("said", said.append)
    client.on(
        "disconnect", lambda reason: reason == "client disconnect" or problems.append(f"disconnect: {reason}")
    )
    transports = ["polling"] if kind == "polling" else ["polling", "websocket"]
    await client.connect(url, transports=transports)
    where = await client.call("where", timeout=60)
    await client.call("join", room, timeout=60)
    numbers = list(range(EVENTS))
    echoes = [asyncio.create_task(client.call("echo", number, timeout=60)) for number in numbers]
    for number in numbers:
        await client.emit("number", number)
    if await asyncio.gather(*echoes) != numbers:
        problems.append("echoes")
    if await client.call("numbers", timeout=60) != numbers:
        problems.append("numbers")
    await client.call("flood", (EVENTS, 200), timeout=60)
    for _ in range(200):
        if len(drops) >= EVENTS:
            break
        await asyncio.sleep(0.05)
    if drops != numbers:
        problems.append(f"drops: {drops}")
    return client, said, where


async def main(url: str, kind: str, number: int) -> None:
    room, problems = f"room of {os.getpid()}", list[str]()
    found = await asyncio.gather(*[live(url, kind, room, problems) for _ in range(number)])
    values = list(range(10))
    for value in values:
        await found[0][0].emit("say", (room, value))
    for _ in range(300):
        if all(len(said) >= 10 for _, said, _ in found):
            break
        await asyncio.sleep(0.05)
    problems += [f"said: {said}" for _, said, _ in found if said != values]
    for client, _, _ in found:
        await client.disconnect()
        await client.eio.http.close()
    workers = len({where for _, _, where in found})
    print(json.dumps({"clients": number, "workers": workers, "problems": problems[:20]}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
