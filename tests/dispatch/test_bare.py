from __future__ import annotations

import json

import anyio
import pytest
from asgi_driver import ManualClock, drive, settled
from counting_peer import WebSocketCarrier, open_site

from holdfast import CloseReason, Engine, LocalProtocolError, Session, SessionClosed
from holdfast.engine.dispatch.bare import check_ending

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


@pytest.mark.parametrize("in_a_group", [False, True])
async def test_client_that_leaves_while_it_is_sent_to_is_no_failure(
    in_a_group: bool, caplog: pytest.LogCaptureFixture
) -> None:
    go = anyio.Event()

    async def late(session: Session) -> None:
        await go.wait()
        if in_a_group:
            async with anyio.create_task_group() as tasks:
                for n in range(2):
                    tasks.start_soon(session.send, str(n))
        await session.send("one")

    async with drive(Engine(late, clock=ManualClock())) as client:
        websocket = client.websocket(OPEN)
        await websocket.accept()
        websocket.close()
        await websocket.finished()
        go.set()
        await settled()
    assert "failed" not in caplog.text


@pytest.mark.parametrize("while_open", [False, True])
async def test_other_failures_of_the_function_are_told(
    while_open: bool, caplog: pytest.LogCaptureFixture
) -> None:
    go = anyio.Event()

    async def fail(session: Session) -> None:
        await go.wait()
        # That of another session, or another failure.
        raise (
            SessionClosed("of another")
            if while_open
            else ExceptionGroup("", [ValueError("x"), SessionClosed("y")])
        )

    async with drive(Engine(fail, clock=ManualClock())) as client:
        websocket = client.websocket(OPEN)
        await websocket.accept()
        if not while_open:
            websocket.close()
            await websocket.finished()
        go.set()
        await settled()
    assert "a background task failed" in caplog.text


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_code_of_the_end_is_said_to_the_client_and_heard_from_it(transport: str) -> None:
    async with open_site(transport) as site:
        _, carrier = await site.opened()
        await site.session.send("last")
        site.session.close(4001, "enough")
        assert await carrier.take(1) == ["last"]
        assert json.loads((await carrier.packet("1"))[1:])["message"] == "closed 4001 enough"
        assert (site.session.close_code, site.session.close_reason) == (4001, "enough")
        peer, carrier = await site.opened()
        site.session.close()
        assert json.loads((await carrier.packet("1"))[1:])["message"] == "closed 1000 "
        peer, carrier = await site.opened()
        assert site.session.close_code is None
        if transport == "websocket":
            assert isinstance(carrier, WebSocketCarrier)
            carrier.socket.send('1{"message":"closed 3001 bye"}')
        else:
            await peer.post('1{"message":"closed 3001 bye"}')
        await settled()
        assert (site.session.close_code, site.session.close_reason) == (3001, "bye")


def test_only_codes_that_a_websocket_may_be_closed_with() -> None:
    for code, reason in ((999, ""), (1005, ""), (5000, ""), (3000, "x" * 124)):
        with pytest.raises(LocalProtocolError):
            check_ending(code, reason)
