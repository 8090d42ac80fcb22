"""A node of a cluster, which does what its clients ask: `/redis` over publish and subscribe, `/streams` over streams.

The counterpart in Node.js is tests/clients/cluster.mjs; both take the same operations.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from holdfast import AckTimeout, RedisAdapter, RedisStreamsAdapter, Server, Socket
from holdfast.engine.dispatch import BroadcastOperator
from holdfast.fast import FastLane

NAME, URL = os.environ["NODE_NAME"], os.environ["REDIS_URL"]

ADAPTERS = {
    "redis": RedisAdapter(URL, quiet=0.5),
    "streams": RedisStreamsAdapter(URL, channel_prefix="streams", quiet=0.5),
}
SERVERS = {kind: Server(adapter=adapter) for kind, adapter in ADAPTERS.items()}


def audience(io: Server, who: dict[str, Any]) -> BroadcastOperator:
    found = io.timeout(who.get("timeout", 5000) / 1000)
    for room in who.get("rooms", []):
        found = found.to(room)
    found = found.except_(*who.get("except", []))
    found = found.volatile if who.get("volatile") else found
    return found.local if who.get("local") else found


async def do(io: Server, name: str, who: dict[str, Any], args: list[Any]) -> Any:
    many = audience(io, who)
    if name == "emit":
        await many.emit(*args)
    elif name == "ask":
        try:
            return {"answers": await many.emit_with_ack(*args)}
        except AckTimeout as error:
            return {"answers": error.answers, "missing": len(error.missing)}
    elif name == "fetch":
        return [
            {"id": found.id, "rooms": sorted(found.rooms), "data": found.data, "auth": found.handshake.auth}
            for found in await many.fetch_sockets()
        ]
    elif name == "join":
        await many.sockets_join(*args)
    elif name == "leave":
        await many.sockets_leave(*args)
    elif name == "disconnect":
        await many.disconnect_sockets(*args)
    elif name == "tell servers":
        await io.server_side_emit(*args)
    elif name == "ask servers":
        return await io.server_side_emit_with_ack(*args, timeout=5)
    return None


def handle(kind: str, io: Server) -> None:
    @io.on("connect")
    async def connect(socket: Socket, auth: dict[str, object]) -> None:
        socket.data["node"] = NAME

    @io.on("do")
    async def on_do(socket: Socket, name: str, who: dict[str, Any], args: list[Any]) -> Any:
        return await do(io, name, who, args)

    @io.on("join")
    async def join(socket: Socket, room: str) -> None:
        socket.join(room)

    @io.on_server_side("told")
    async def told(*args: object) -> None:
        await io.local.emit("server told", NAME, *args)

    @io.on_server_side("asked")
    async def asked(*args: object) -> object:
        return [NAME, *args]


for kind, server in SERVERS.items():
    handle(kind, server)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with AsyncExitStack() as stack:
        for io in SERVERS.values():
            await stack.enter_async_context(io.lifespan())
        yield


app = Starlette(routes=[Mount(f"/{kind}", app=io) for kind, io in SERVERS.items()], lifespan=lifespan)
# One of them below ASGI, where the server lets it.
lane = FastLane(SERVERS["streams"], "/streams")
