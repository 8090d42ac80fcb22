"""The least server of graphql-transport-ws, on bare sessions: each subscription counts to three."""

from __future__ import annotations

import json

from holdfast import Engine, Session


async def serve(session: Session) -> None:
    assert session.request.query["protocols"] == "graphql-transport-ws"
    async for text in session:
        message = json.loads(text)
        if message["type"] == "connection_init":
            await session.send('{"type":"connection_ack"}')
        elif message["type"] == "subscribe":
            for number in range(3):
                data = {"data": {"count": number, "query": message["payload"]["query"]}}
                await session.send(json.dumps({"type": "next", "id": message["id"], "payload": data}))
            await session.send(json.dumps({"type": "complete", "id": message["id"]}))


app = Engine(serve, path="/graphql")
