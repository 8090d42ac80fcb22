"""WebSocket, with frames and without."""

from __future__ import annotations

import pytest
from asgi_driver import settled
from sockjs_site import GO_AWAY, echo, open_site

from holdfast import CloseReason, LocalProtocolError, SockJSSession


async def close(session: SockJSSession) -> None:
    session.close(3000, "Go away!")


async def test_websocket() -> None:
    async with open_site() as site:
        socket = await site.websocket()
        for sent, heard in (
            ('["a"]', 'a["a"]'),
            ('"b"', 'a["b"]'),
            ('["\\u0000\\u200c"]', 'a["\\u0000\\u200c"]'),
            ('["é😀"]', 'a["é😀"]'),
        ):
            socket.send(sent)
            assert await socket.receive() == heard
        assert site.sessions[0].transport == "websocket"


async def test_messages_that_wait_are_one_frame() -> None:
    async def burst(session: SockJSSession) -> None:
        await session.receive()
        for text in "abc":
            await session.send(text)
        await echo(session)

    async with open_site(burst) as site:
        socket = await site.websocket()
        socket.send('["go"]')
        heard = ""
        while not heard.endswith('"c"]'):
            heard = str(await socket.receive())
        await settled()
        assert socket.quiet()


async def test_end_is_a_frame_and_then_a_close() -> None:
    async with open_site(close) as site:
        socket = await site.websocket()
        assert await socket.receive() == GO_AWAY
        assert await socket.closed_at_once() == 1000
        await socket.finished()


async def test_nothing_and_no_messages_are_signs_of_life() -> None:
    async with open_site() as site:
        socket = await site.websocket()
        for frame in ("", "[]", '["a"]'):
            socket.send(frame)
        assert await socket.receive() == 'a["a"]'


@pytest.mark.parametrize("frame", ['["a', "[1]", "{}", b'["a"]'])
async def test_what_cannot_be_read_ends_it_at_once(frame: str | bytes) -> None:
    async with open_site() as site:
        socket = await site.websocket()
        socket.send(frame)
        assert await socket.closed_at_once() == 1002
        assert site.sessions[0].reason is CloseReason.PARSE_ERROR


async def test_each_websocket_is_a_session_whatever_it_is_called() -> None:
    async with open_site() as site:
        one, other = await site.websocket(), await site.websocket()
        one.send('["a"]')
        other.send('["b"]')
        assert (await one.receive(), await other.receive()) == ('a["a"]', 'a["b"]')
        # Nor can a poll of that name be of either.
        assert await site.poll() == "o\n"
        one.close()
        await one.finished()
        other.send('["c"]')
        assert await other.receive() == 'a["c"]'


async def test_client_that_leaves_ends_its_session() -> None:
    async with open_site() as site:
        socket = await site.websocket()
        await settled()
        socket.close(1000)
        await socket.finished()
        assert site.sessions[0].reason is CloseReason.TRANSPORT_CLOSE
        assert site.app.session_count == 0


async def test_heartbeats_need_no_answer() -> None:
    async with open_site(ping_interval=10) as site:
        socket = await site.websocket()
        for _ in range(3):
            await site.clock.advance(10)
            assert await socket.receive() == "h"
        assert site.sessions[0].is_open


async def test_websocket_that_takes_nothing_is_cut() -> None:
    async with open_site(ping_interval=10) as site:
        socket = await site.websocket()
        socket.hang()
        await settled()
        await site.sessions[0].send("x")
        await site.clock.advance(19)
        assert site.sessions[0].is_open
        await site.clock.advance(2)
        assert site.sessions[0].reason is CloseReason.PING_TIMEOUT
        await site.clock.advance(2)
        await socket.finished()


async def test_bytes_are_refused_where_they_are_sent() -> None:
    async with open_site() as site:
        await site.websocket()
        await settled()
        with pytest.raises(LocalProtocolError, match="base64"):
            await site.sessions[0].send(b"a")
        assert site.sessions[0].is_open


# -- without frames


async def test_raw_websocket_carries_text_and_bytes_as_they_are() -> None:
    async with open_site(ping_interval=10) as site:
        socket = await site.websocket("/websocket")
        for message in ("Hello world!\uffff", '["a"]', "", b"\x00\xff"):
            socket.send(message)
            assert await socket.receive() == message
        await site.clock.advance(100)
        assert socket.quiet()


async def test_raw_websocket_is_closed_with_the_code_and_the_reason() -> None:
    async with open_site(close) as site:
        socket = await site.websocket("/websocket")
        message = await socket.next()
        assert (message["type"], message["code"], message["reason"]) == ("websocket.close", 3000, "Go away!")


async def test_what_was_sent_before_goes_out() -> None:
    async def function(session: SockJSSession) -> None:
        await session.send("last")
        session.close(4000, "é" * 61)

    async with open_site(function) as site:
        socket = await site.websocket("/websocket")
        assert await socket.receive() == "last"
        message = await socket.next()
        assert (message["code"], message["reason"]) == (4000, "é" * 61)


async def test_subprotocol_that_is_offered_is_chosen() -> None:
    async with open_site() as site:
        socket = site.client.websocket("/sockjs/websocket", subprotocols=["v12.stomp", "v11.stomp"])
        assert (await socket.next())["subprotocol"] == "v12.stomp"
        await settled()
        assert site.sessions[0].request.scope["subprotocols"] == ["v12.stomp", "v11.stomp"]


async def test_half_of_a_character_is_refused_where_there_are_no_frames() -> None:
    refused: list[str] = []

    async def send(session: SockJSSession) -> None:
        try:
            await session.send("a\ud83d")
        except LocalProtocolError as error:
            refused.append(str(error))
        await session.send("b")

    async with open_site(send) as site:
        socket = await site.websocket("/websocket")
        assert (await socket.next())["text"] == "b"
        assert refused == ["text with a lone surrogate at index 1 cannot be sent"]
