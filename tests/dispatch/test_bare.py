from __future__ import annotations

import json

import anyio
import pytest
from asgi_driver import ManualClock, drive, settled

from holdfast import CloseReason, Engine, LocalProtocolError, Session, SessionClosed

OPEN = "/engine.io/?EIO=4&transport=websocket"


class Talk:
    """What the application saw of its sessions."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.heard: list[str | bytes] = []
        self.ended: list[CloseReason | None] = []
        self.go = anyio.Event()

    async def listen(self, session: Session) -> None:
        self.sessions.append(session)
        async for message in session:
            self.heard.append(message)
        self.ended.append(session.reason)

    async def wait(self, session: Session) -> None:
        self.sessions.append(session)
        await self.go.wait()


async def test_messages_are_iterated_in_order_until_the_session_ends() -> None:
    talk = Talk()
    async with drive(Engine(talk.listen, clock=ManualClock())) as client:
        websocket = client.websocket(OPEN)
        await websocket.accept()
        await websocket.receive()
        for message in ("4one", b"two", "4"):
            websocket.send(message)
        websocket.close()
        await websocket.finished()
        await settled()
    assert talk.heard == ["one", b"two", ""]
    assert talk.ended == [CloseReason.TRANSPORT_CLOSE]


async def test_what_was_sent_before_the_function_returned_still_goes_out() -> None:
    async def greet(session: Session) -> None:
        await session.send("hello")
        await session.send(b"\x00")

    async with drive(Engine(greet, clock=ManualClock())) as client:
        websocket = client.websocket(OPEN)
        await websocket.accept()
        assert [await websocket.receive() for _ in range(4)][1:] == ["4hello", b"\x00", "1"]
        assert await websocket.closed_at_once() == 1000


async def test_a_session_that_is_over_refuses_what_is_sent() -> None:
    talk = Talk()
    async with drive(Engine(talk.wait, clock=ManualClock())) as client:
        websocket = client.websocket(OPEN)
        await websocket.accept()
        await websocket.receive()
        await settled()
        (session,) = talk.sessions
        assert session.is_open
        assert session.transport == "websocket"
        assert session.request.query["transport"] == "websocket"
        websocket.close()
        await websocket.finished()
        with pytest.raises(SessionClosed):
            await session.send("too late")
        with pytest.raises(SessionClosed):
            await session.receive()
        talk.go.set()


async def test_text_that_cannot_be_carried_is_refused_where_it_is_sent() -> None:
    talk = Talk()
    async with drive(Engine(talk.wait, clock=ManualClock())) as client:
        await client.get(OPEN.replace("websocket", "polling")).text()
        await settled()
        (session,) = talk.sessions
        with pytest.raises(LocalProtocolError, match="surrogate"):
            await session.send("\ud800")
        with pytest.raises(LocalProtocolError, match=r"U\+001E"):
            await session.send("a\x1eb")
        assert session.is_open


async def test_a_peer_that_floods_an_application_which_does_not_listen_is_closed() -> None:
    talk = Talk()
    clock = ManualClock()
    async with drive(Engine(talk.wait, clock=clock, max_payload=100)) as client:
        websocket = client.websocket(OPEN)
        await websocket.accept()
        await websocket.receive()
        for _ in range(17):
            websocket.send("4" + "x" * 99)
        await settled()
        assert talk.sessions[0].is_open
        await clock.advance(1)
        assert await websocket.closed() == 1008
        assert talk.sessions[0].reason is CloseReason.BUFFER_FULL


async def test_sending_waits_while_a_slow_peer_has_half_of_the_bound() -> None:
    sent: list[int] = []

    async def flood(session: Session) -> None:
        for number in range(100):
            await session.send("x" * 100)
            sent.append(number)

    async with drive(Engine(flood, clock=ManualClock(), buffer_limit=2500)) as client:
        opened = json.loads(
            (await client.get(OPEN.replace("websocket", "polling") + "&holdfast=1").text())[1:]
        )
        await settled()
        assert len(sent) == 6
        url = f"/engine.io/?EIO=4&transport=polling&holdfast=1&sid={opened['sid']}"
        key = opened["holdfast"]["key"]
        for number, received in ((2, 0), (3, 6)):
            attach = json.dumps({"key": key, "carrier": number, "received": received})
            await client.get(url, headers={"holdfast-attach": attach}).text()
        await settled()
        assert len(sent) == 12
