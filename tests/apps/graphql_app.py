"""The least server of graphql-transport-ws, on bare sessions: each subscription counts to three.

``/closed`` says with which codes clients have closed theirs.
"""

from __future__ import annotations

import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from holdfast import Engine, Session

closed: list[object] = []


async def serve(session: Session) -> None:
    assert session.request.query["protocols"] == "graphql-transport-ws"
    async for text in session:
        message = json.loads(text)
        if message["type"] == "connection_init" and message.get("payload") == {"refuse": True}:
            session.close(4401, "Unauthorized")
        elif message["type"] == "connection_init":
            await session.send('{"type":"connection_ack"}')
        elif message["type"] == "subscribe":
            for number in range(3):
                data = {"data": {"count": number, "query": message["payload"]["query"]}}
                await session.send(json.dumps({"type": "next", "id": message["id"], "payload": data}))
            await session.send(json.dumps({"type": "complete", "id": message["id"]}))
    closed.append([session.close_code, session.close_reason])


async def told(request: Request) -> JSONResponse:
    return JSONResponse(closed)


app = Engine(serve, path="/graphql", app=Starlette(routes=[Route("/closed", told)]))
