"""What waits for the functions of all bare sessions is bounded, and who has left makes way."""

from __future__ import annotations

import anyio
import pytest
from asgi_driver import settled
from counting_peer import client_of

from holdfast import Engine, Session, SockJS

pytestmark = pytest.mark.anyio

SAID = "4" + "x" * 849


@pytest.mark.parametrize("kind", ["engine", "sockjs"])
async def test_what_clients_have_said_that_left_makes_way(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = anyio.Event()
    heard: list[int] = []

    async def late(session: Session) -> None:
        await gate.wait()
        heard.append(len([message async for message in session]))

    is_engine = kind == "engine"
    app = (Engine if is_engine else SockJS)(late, total_pending_event_bytes=10_000)
    path = "/engine.io/?EIO=4&transport=websocket" if is_engine else "/sockjs/websocket"
    async with client_of(app) as client:

        async def talk(count: int) -> tuple[object, int]:
            socket = client.websocket(path)
            await socket.accept()
            for _ in range(count):
                socket.send(SAID)
            await settled()
            code = 0
            while not socket.quiet():
                message = await socket.next()
                code = message.get("code", code)
            return socket, code

        for _ in range(3):
            socket, code = await talk(5)
            assert code == 0
            socket.close(1000)  # type: ignore[attr-defined]
            await settled()
        assert caplog.text.count("5 messages of a client that has left are dropped") == 1
        # Who is there has its share, and no more.
        first, code = await talk(9)
        assert code == 0
        assert (await talk(9))[1] == 1008
        first.close(1000)  # type: ignore[attr-defined]
        gate.set()
        await settled()
        assert sorted(heard)[:3] == [0, 0, 0]
        # All is forgotten that was counted.
        assert (await talk(11))[1] == 0
