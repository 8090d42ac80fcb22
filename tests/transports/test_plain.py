"""Plain peers meet standard Engine.IO 4, byte for byte.

Time stands still unless a test moves it, so no ping timeout hides what the server failed to close.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import sniffio
import trio
from asgi_driver import Exchange, WebSocketExchange, settled
from counting_peer import Site, open_site

from holdfast import CloseReason, LocalProtocolError, Session

PATH = "/engine.io/?EIO=4&transport="


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


class PlainSite:
    """Requests as a standard client makes them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client = site.client
        self.clock = site.clock

    async def open(self) -> str:
        text = await self.client.get(f"{PATH}polling").text()
        return json.loads(text[1:])["sid"]

    def poll(self, sid: str) -> Exchange:
        return self.client.get(f"{PATH}polling&sid={sid}")

    def post(self, sid: str, body: bytes | str) -> Exchange:
        return self.client.post(f"{PATH}polling&sid={sid}", body)

    async def websocket(self, sid: str | None = None) -> WebSocketExchange:
        socket = self.client.websocket(f"{PATH}websocket" + ("" if sid is None else f"&sid={sid}"))
        await socket.accept()
        return socket

    async def open_websocket(self) -> WebSocketExchange:
        socket = await self.websocket()
        assert str(await socket.receive())[0] == "0"
        return socket

    async def upgrade(self, sid: str) -> WebSocketExchange:
        socket = await self.websocket(sid)
        socket.send("2probe")
        assert await socket.receive() == "3probe"
        socket.send("5")
        await settled()
        return socket

    async def is_gone(self, sid: str) -> bool:
        return await self.poll(sid).start() == 400 and sid not in self.site.engine.table.sessions


@asynccontextmanager
async def plain_site(**settings: Any) -> AsyncIterator[PlainSite]:
    """Echoes whatever it receives."""
    # These peers are silent at will.
    settings.setdefault("handshake_timeout", 3_600)
    async with open_site(**settings) as site:
        site.application.handle = echo
        yield PlainSite(site)


# -- pace


@pytest.mark.parametrize("carrier", ["websocket", "polling"])
async def test_peer_that_is_quicker_than_the_application_is_read_at_its_pace(carrier: str) -> None:
    messages = [str(n).ljust(800, "x") for n in range(100)]
    heard: list[str | bytes] = []
    go = anyio.Event()

    async def late(session: Session) -> None:
        await go.wait()
        async for message in session:
            heard.append(message)

    async with plain_site(max_payload=1000) as plain:
        plain.site.application.handle = late
        if carrier == "websocket":
            socket = await plain.open_websocket()
            for message in messages:
                socket.send("4" + message)
        else:
            sid = await plain.open()
            assert await plain.post(sid, "4" + messages[0]).text() == "ok"
            held = plain.post(sid, "4" + messages[1])
        await settled()
        (live,) = plain.site.engine.table.sessions.values()
        assert live.received < 10
        go.set()
        if carrier == "polling":
            assert await held.text() == "ok"
            for message in messages[2:]:
                assert await plain.post(sid, "4" + message).text() == "ok"
        await settled()
        assert heard == messages
        assert live.is_open


async def test_what_a_peer_has_said_before_it_left_counts_however_late_it_is_taken() -> None:
    messages = [str(n).ljust(800, "x") for n in range(30)]
    heard: list[str | bytes] = []
    go, ended = anyio.Event(), list[CloseReason | None]()

    async def late(session: Session) -> None:
        await go.wait()
        async for message in session:
            heard.append(message)
        ended.append(session.reason)

    async with plain_site(max_payload=1000) as plain:
        plain.site.application.handle = late
        socket = await plain.open_websocket()
        for message in messages:
            socket.send("4" + message)
        await settled()
        (live,) = plain.site.engine.table.sessions.values()
        assert live.received < 10
        socket.leave()
        await settled()
        # Nobody takes it.
        plain.site.say("news")
        await settled()
        go.set()
        await settled()
        assert heard == messages
        assert ended == [CloseReason.TRANSPORT_CLOSE]
        await socket.finished()


async def test_a_server_that_closes_beside_us_is_one_whose_client_has_left() -> None:
    # hypercorn, which on Trio has no turn for two.
    on_trio = sniffio.current_async_library() == "trio"
    async with plain_site() as plain:
        socket = await plain.open_websocket()
        socket.send("4x")
        assert await socket.receive() == "4x"
        socket.fail(trio.BusyResourceError("another task is sending") if on_trio else OSError("closed"))
        plain.site.session.close()
        await socket.finished()


async def test_what_came_before_a_client_left_is_not_read_any_more_when_its_session_ends() -> None:
    async with plain_site() as plain:
        socket = await plain.open_websocket()
        socket.fail(OSError("the peer has left"))
        plain.site.say("news")
        await settled()
        assert not socket.is_over()
        plain.site.session.close()
        await socket.finished()


# -- opening


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_open_packet_has_exactly_the_five_standard_keys(transport: str) -> None:
    async with plain_site(ping_interval=0.3, ping_timeout=0.2) as plain:
        if transport == "polling":
            text = await plain.client.get(f"{PATH}polling").text()
        else:
            text = str(await (await plain.websocket()).receive())
        assert text[0] == "0"
        value = json.loads(text[1:])
        assert len(value.pop("sid")) >= 22
        assert value == {
            "upgrades": ["websocket"] if transport == "polling" else [],
            "pingInterval": 300,
            "pingTimeout": 200,
            "maxPayload": 1_000_000,
        }


@pytest.mark.asgi
async def test_first_subprotocol_that_is_offered_is_chosen() -> None:
    """A browser closes a WebSocket that has offered some and got none."""
    async with plain_site() as plain:
        chosen = [
            (await plain.client.websocket(f"{PATH}websocket", subprotocols=offered).next())["subprotocol"]
            for offered in ([], ["one", "two"], ["a b", "two"], ["one\r\nset-cookie: x"], ["x" * 65])
        ]
    assert chosen == [None, "one", None, None, None]


async def test_ids_differ() -> None:
    async with plain_site() as plain:
        assert len({await plain.open() for _ in range(50)}) == 50


# -- messages


@pytest.mark.parametrize(
    "payload", ["4hello", "4one\x1e4two\x1e4three", "4text\x1ebAQIDBA==\x1e4", "4Grüße \U0001f388 \n\r\0"]
)
async def test_payload_comes_back_as_it_went(payload: str) -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        post = plain.post(sid, payload)
        assert await post.text() == "ok"
        assert post.status == 200
        await settled()
        poll = plain.poll(sid)
        assert await poll.text() == payload
        assert poll.headers["content-type"] == "text/plain; charset=UTF-8"


async def test_post_may_bring_any_number_of_packets_and_a_poll_takes_sixteen() -> None:
    packets = [f"4{number}" for number in range(2000)]
    async with plain_site() as plain:
        sid = await plain.open()
        assert await plain.post(sid, "\x1e".join(packets)).text() == "ok"
        await settled()
        for start in range(0, 2000, 16):
            assert (await plain.poll(sid).text()).split("\x1e") == packets[start : start + 16]


async def test_websocket_message_is_exactly_one_packet() -> None:
    async with plain_site() as plain:
        socket = await plain.open_websocket()
        for message in ("4hello", "4", b"\1\2\3", b"", "4Grüße \n \U0001f388"):
            socket.send(message)
            assert await socket.receive() == message
        socket.send("4a\x1e4b")  # the separator means nothing here; the echo cannot be sent, see below
        await settled()
        assert socket.quiet() is False


async def test_text_that_polling_cannot_carry_is_refused_where_it_is_sent() -> None:
    async with open_site() as site:
        await site.client.get(f"{PATH}polling").text()
        await settled()
        with pytest.raises(LocalProtocolError, match=r"U\+001E"):
            await site.session.send("a\x1eb")
        await site.session.send(b"a\x1eb")
        assert site.session.is_open


async def test_held_poll_gets_the_message() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        await settled()
        assert not poll.answered()
        assert await plain.post(sid, "4hello").text() == "ok"
        assert await poll.text() == "4hello"


@pytest.mark.parametrize("broken", ["abc", "", "4ok\x1e", "b!", 'j"quoted"', "70", "81", "91", "7{}", "2"])
async def test_broken_payload_is_refused_and_ends_the_session(broken: str) -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        post = plain.post(sid, broken)
        assert await post.start() == 400
        assert (await post.json())["code"] == 3
        assert await plain.is_gone(sid)


async def test_body_that_is_not_utf8_is_refused_and_ends_the_session() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        post = plain.post(sid, b"4\xff\xfe")
        assert await post.start() == 400
        assert await post.json() == {"code": 3, "message": "Bad request: the body is not UTF-8"}
        assert await plain.is_gone(sid)


@pytest.mark.parametrize("broken", ["abc", "", "b!", "7{}", "81", "91", 'j"x"', "2"])
async def test_broken_websocket_message_closes_it(broken: str) -> None:
    async with plain_site() as plain:
        socket = await plain.open_websocket()
        socket.send(broken)
        await socket.closed()
        assert not plain.site.engine.table.sessions


async def test_body_that_is_too_large_is_refused_with_413() -> None:
    async with plain_site(max_payload=1000) as plain:
        sid = await plain.open()
        post = plain.post(sid, "4" + "x" * 1000)
        assert await post.start() == 413
        assert "max_payload" in (await post.json())["message"]
        assert await plain.post(sid, "4" + "x" * 999).start() == 200


async def test_body_that_is_refused_leaves_the_session_and_its_poll_unharmed() -> None:
    async with plain_site(max_payload=1000, body_timeout=0.01) as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        await settled()
        assert await plain.post(sid, "4" + "x" * 1000).start() == 413
        late = plain.client.request("POST", f"{PATH}polling&sid={sid}", body=b"4half", more_body=True)
        assert await late.start() == 408
        refusal = await late.json()
        assert refusal["code"] == 3
        assert refusal["message"].startswith("Bad request: ")
        assert "body_timeout" in refusal["message"]
        assert await plain.post(sid, "4whole").text() == "ok"
        assert await poll.text() == "4whole"


async def test_body_that_is_too_large_is_refused_before_it_has_arrived() -> None:
    async with plain_site(max_payload=1000) as plain:
        sid = await plain.open()
        post = plain.client.request("POST", f"{PATH}polling&sid={sid}", body=b"4" * 1001, more_body=True)
        assert await post.start() == 413


@pytest.mark.asgi
@pytest.mark.parametrize("length", ["1001", "9" * 40])
async def test_body_that_is_announced_as_too_large_is_not_waited_for(length: str) -> None:
    async with plain_site(max_payload=1000) as plain:
        sid = await plain.open()
        url, headers = f"{PATH}polling&sid={sid}", {"content-length": length}
        post = plain.client.request("POST", url, headers=headers, more_body=True)
        assert await post.start() == 413
        assert "max_payload" in (await post.json())["message"]
        headers = {"content-length": "1000"}
        assert await plain.client.post(url, "4" + "x" * 999, headers=headers).text() == "ok"


async def test_body_that_does_not_arrive_is_refused_with_408() -> None:
    async with plain_site(body_timeout=0.01) as plain:
        sid = await plain.open()
        post = plain.client.request("POST", f"{PATH}polling&sid={sid}", body=b"4", more_body=True)
        assert await post.start() == 408
        assert await plain.post(sid, "4unharmed").text() == "ok"


@pytest.mark.asgi
async def test_body_cut_in_its_middle_takes_nothing() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        post = plain.client.request("POST", f"{PATH}polling&sid={sid}", body=b"4lost", more_body=True)
        await settled()
        post.disconnect()
        await post.finished()
        assert await plain.post(sid, "4kept").text() == "ok"
        await settled()
        assert await plain.poll(sid).text() == "4kept"


@pytest.mark.parametrize("message", ["4" + "x" * 1000, "4" + "ü" * 600, b"x" * 1001])
async def test_websocket_message_that_is_too_large_closes_it_with_1009(message: str | bytes) -> None:
    async with plain_site(max_payload=1000) as plain:
        socket = await plain.open_websocket()
        socket.send(message)
        assert await socket.closed() == 1009


# -- one request of a kind at a time


async def test_second_poll_closes_the_session_and_the_first_is_told() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        first = plain.poll(sid)
        await settled()
        second = plain.poll(sid)
        assert await second.start() == 400
        assert await first.text() == "1"
        assert first.status == 200
        assert await plain.is_gone(sid)


async def test_poll_may_come_before_the_send_that_answered_the_last_one_has_returned() -> None:
    async with plain_site() as plain:
        opening = plain.client.get(f"{PATH}polling")
        returned = [opening.hold_end()]
        sid = json.loads((await opening.text())[1:])["sid"]
        for number in range(3):
            poll = plain.poll(sid)
            returned.append(poll.hold_end())
            await plain.post(sid, f"4{number}").text()
            assert await poll.text() == f"4{number}"
        for event in returned:
            event.set()
        await settled()
        held = plain.poll(sid)
        await plain.post(sid, "4last").text()
        assert await held.text() == "4last"


@pytest.mark.asgi
@pytest.mark.parametrize("polls_again", [False, True])
async def test_answer_to_a_poll_that_is_lost_in_its_last_send_ends_the_session(polls_again: bool) -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        gate = poll.hold_end()
        poll.fail_end()
        await plain.post(sid, "4lost").text()
        await poll.text()
        if polls_again:
            plain.poll(sid)
            await settled()
        gate.set()
        await poll.finished()
        await settled()
        assert plain.site.application.ended == [CloseReason.TRANSPORT_CLOSE]
        assert await plain.is_gone(sid)


async def test_answer_to_a_poll_that_nobody_takes_ends_the_session_within_a_pings_time() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        poll.hold_end()
        await plain.post(sid, "4lost").text()
        await poll.text()
        await plain.clock.advance(47.1)
        await poll.finished()
        assert plain.site.application.ended == [CloseReason.PING_TIMEOUT]
        assert await plain.is_gone(sid)


async def test_answer_that_its_client_has_got_may_stay_blocked_and_harms_no_session() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        poll.hold_end()
        await plain.post(sid, "4lost").text()
        await poll.text()
        held = plain.poll(sid)
        await plain.clock.advance(5.1)
        await poll.finished()
        await plain.post(sid, "4next").text()
        assert await held.text() == "4next"


async def test_ping_that_falls_due_while_a_poll_is_answered_goes_by_the_next() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        gate = poll.hold_end()
        await plain.post(sid, "4hello").text()
        await poll.text()
        await plain.clock.advance(26)
        gate.set()
        await settled()
        assert await plain.poll(sid).text() == "2"


async def test_second_post_at_once_closes_the_session() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        first = plain.client.request("POST", f"{PATH}polling&sid={sid}", body=b"4one", more_body=True)
        await settled()
        assert await plain.post(sid, "4two").start() == 400
        assert sid not in plain.site.engine.table.sessions
        first.give(b"", more=False)
        await first.start()
        await settled()
        assert plain.site.received == []


async def test_cancelled_poll_closes_the_session() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        await settled()
        poll.disconnect()
        await poll.finished()
        assert await plain.is_gone(sid)


async def test_lost_websocket_closes_the_session() -> None:
    async with plain_site() as plain:
        socket = await plain.open_websocket()
        socket.close(1006)
        await socket.finished()
        await settled()
        assert plain.site.application.ended == [CloseReason.TRANSPORT_CLOSE]


# -- heartbeat


async def test_polling_peer_is_pinged_and_lives_as_long_as_it_answers() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        sid = await plain.open()
        for _ in range(4):
            poll = plain.poll(sid)
            await plain.clock.advance(24.9)
            assert not poll.answered()
            await plain.clock.advance(0.2)
            assert await poll.text() == "2"
            assert await plain.post(sid, "3").text() == "ok"


async def test_ping_that_no_poll_was_there_to_take_goes_by_the_next() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        sid = await plain.open()
        await plain.clock.advance(30)
        assert await plain.poll(sid).text() == "2"
        assert await plain.post(sid, "3").text() == "ok"
        await plain.clock.advance(24)
        assert sid in plain.site.engine.table.sessions


@pytest.mark.parametrize("polls", [False, True])
async def test_silent_polling_peer_loses_its_session(polls: bool) -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        sid = await plain.open()
        await plain.clock.advance(25)
        if polls:
            assert await plain.poll(sid).text() == "2"
        await plain.clock.advance(19.9)
        assert sid in plain.site.engine.table.sessions
        await plain.clock.advance(0.1)
        assert await plain.is_gone(sid)
        assert plain.site.application.ended == [CloseReason.PING_TIMEOUT]


async def test_timer_that_fires_late_does_not_lengthen_the_peers_time() -> None:
    async with plain_site(ping_interval=0.3, ping_timeout=0.2) as plain:
        sid = await plain.open()
        plain.clock.late = 0.004
        await plain.clock.advance(0.5)
        assert await plain.is_gone(sid)


async def test_poll_that_is_held_while_the_peer_stays_silent_is_answered() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        sid = await plain.open()
        await plain.clock.advance(25)
        assert await plain.poll(sid).text() == "2"
        poll = plain.poll(sid)
        await plain.clock.advance(20)
        assert await poll.text() == "6"
        assert await plain.is_gone(sid)


async def test_websocket_peer_is_pinged_and_lives_as_long_as_it_answers() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        socket = await plain.open_websocket()
        for _ in range(4):
            await plain.clock.advance(25)
            assert await socket.receive() == "2"
            socket.send("3")
        socket.send("4hello")
        assert await socket.receive() == "4hello"


async def test_websocket_peer_that_talks_and_never_answers_a_ping_is_closed() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        socket = await plain.open_websocket()
        await plain.clock.advance(25)
        socket.send("4hello")
        await plain.clock.advance(20)
        await socket.closed()
        assert plain.site.application.ended == [CloseReason.PING_TIMEOUT]


async def test_hung_write_to_a_dead_websocket_ends_by_the_ping_timeout() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        socket = await plain.open_websocket()
        socket.hang()
        socket.send("4hello")
        await plain.clock.advance(46)
        assert plain.site.application.ended == [CloseReason.PING_TIMEOUT]


# -- close


async def test_close_by_post_answers_the_held_poll_with_noop() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        await settled()
        assert await plain.post(sid, "1").text() == "ok"
        assert await poll.text() == "6"
        assert await plain.is_gone(sid)


async def test_messages_before_a_close_in_the_same_payload_count() -> None:
    async with open_site() as site:
        plain = PlainSite(site)
        sid = await plain.open()
        await plain.post(sid, "4bye\x1e1\x1e4too late").text()
        await settled()
        assert site.received == ["bye"]


async def test_close_by_websocket_closes_it() -> None:
    async with plain_site() as plain:
        socket = await plain.open_websocket()
        socket.send("1")
        await socket.closed()
        assert not plain.site.engine.table.sessions


async def test_servers_close_reaches_a_polling_peer_after_the_messages_before_it() -> None:
    async with open_site() as site:
        plain = PlainSite(site)
        sid = await plain.open()
        await settled()
        await site.session.send("last words")
        site.session.close()
        # Apart: socket.io-client would take the close before the message, and so for a lost transport.
        assert await plain.poll(sid).text() == "4last words"
        assert await plain.poll(sid).text() == "1"
        assert await plain.is_gone(sid)


# -- upgrade


async def test_upgrade_lets_the_poll_go_and_carries_on_by_websocket() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        await settled()
        socket = await plain.websocket(sid)
        socket.send("2probe")
        assert await socket.receive() == "3probe"
        assert await poll.text() == "6"
        socket.send("5")
        socket.send("4hello")
        assert await socket.receive() == "4hello"


@pytest.mark.asgi
@pytest.mark.parametrize("lost", ["6", "4a message"])
async def test_upgrade_outlives_the_answer_that_let_the_poll_go_unless_a_message_was_in_it(lost: str) -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        gate = poll.hold_end()
        poll.fail_end()
        if lost != "6":
            await plain.post(sid, lost).text()
        socket = await plain.upgrade(sid)
        assert await poll.text() == lost
        gate.set()
        await poll.finished()
        await settled()
        assert plain.site.session.is_open is (lost == "6")
        if lost == "6":
            socket.send("4hello")
            assert await socket.receive() == "4hello"
        else:
            assert await socket.closed() == 1000


async def test_poll_during_the_probe_is_let_go_and_delivers() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.websocket(sid)
        socket.send("2probe")
        await socket.receive()
        poll = plain.poll(sid)
        await plain.clock.advance(0.2)
        assert await poll.text() == "6"
        await plain.post(sid, "4not withheld").text()
        await settled()
        assert await plain.poll(sid).text() == "4not withheld"


async def test_what_was_sent_during_the_probe_comes_by_websocket_in_order() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.websocket(sid)
        socket.send("2probe")
        await socket.receive()
        await plain.post(sid, "4one\x1e4two").text()
        await settled()
        socket.send("5")
        socket.send("4three")
        assert [await socket.receive() for _ in range(3)] == ["4one", "4two", "4three"]


async def test_stalled_upgrade_is_no_busy_loop_and_withholds_nothing() -> None:
    async with plain_site(upgrade_timeout=10.0) as plain:
        sid = await plain.open()
        socket = await plain.websocket(sid)
        socket.send("2probe")
        await socket.receive()
        polls = 0
        for step in range(50):  # ten seconds
            poll = plain.poll(sid)
            await settled()
            assert not poll.answered()
            if step % 10 == 5:
                await plain.post(sid, f"4{step}").text()
                assert await poll.text() == f"4{step}"
                continue
            await plain.clock.advance(0.2)
            assert await poll.text() == "6"
            polls += 1
        await plain.clock.advance(5)
        assert await socket.closed_at_once() == 1002
        poll = plain.poll(sid)
        await plain.clock.advance(5)
        assert not poll.answered()


async def test_failed_probe_leaves_no_trace() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        await settled()
        for first in ("5", "2", "4hello", "2probes", b"2probe"):
            socket = await plain.websocket(sid)
            socket.send(first)
            await socket.closed_at_once()
        gone = await plain.websocket(sid)
        gone.close()
        await gone.finished()
        assert not poll.answered()
        socket = await plain.upgrade(sid)
        assert await poll.text() == "6"
        socket.send("4hello")
        assert await socket.receive() == "4hello"


async def test_requests_after_the_upgrade_are_refused_and_the_session_unharmed() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.upgrade(sid)
        polls = [plain.poll(sid), plain.poll(sid)]
        post = plain.post(sid, "4by post")
        await settled()
        # What the WebSocket was told before may still be on its way through another worker.
        assert not any(poll.answered() for poll in polls)
        await plain.clock.advance(0.1)
        for exchange in (*polls, post):
            assert await exchange.start() == 400
            assert (await exchange.json())["code"] == 3
        socket.send("4hello")
        assert await socket.receive() == "4hello"


async def test_poll_that_is_refused_late_and_has_left_meanwhile_is_nobodys_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.upgrade(sid)
        poll = plain.poll(sid)
        await settled()
        poll.disconnect()
        await plain.clock.advance(0.1)
        await settled()
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        socket.send("4hello")
        assert await socket.receive() == "4hello"


async def test_poll_that_overtook_the_upgrade_is_refused() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.websocket(sid)
        poll = plain.poll(sid)
        await settled()
        socket.send("2probe")
        assert await socket.receive() == "3probe"
        await plain.clock.advance(0.05)
        assert not poll.answered()
        socket.send("5")
        await plain.clock.advance(0.1)
        assert await poll.start() == 400
        socket.send("4hello")
        assert await socket.receive() == "4hello"


async def test_poll_that_came_after_the_websocket_is_let_go_when_no_upgrade_follows() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.websocket(sid)
        poll = plain.poll(sid)
        await plain.clock.advance(1)
        assert not poll.answered()
        socket.send("2probe")
        await socket.receive()
        await plain.clock.advance(0.1)
        assert await poll.text() == "6"


async def test_poll_of_another_websocket_s_time_is_held_when_that_one_has_left() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.websocket(sid)
        poll = plain.poll(sid)
        await settled()
        socket.close()
        await socket.finished()
        await plain.clock.advance(5)
        assert not poll.answered()
        await plain.post(sid, "4hello").text()
        assert await poll.text() == "4hello"


async def test_poll_overtaken_by_its_own_close_packet_is_answered_once() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        await plain.post(sid, "1").text()
        assert not plain.site.engine.table.sessions
        assert await plain.poll(sid).text() == "6"
        assert await plain.is_gone(sid)


async def test_poll_long_after_the_close_packet_is_refused() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        await plain.post(sid, "1").text()
        await plain.clock.advance(0.2)
        assert await plain.is_gone(sid)


async def test_poll_that_was_held_at_the_close_packet_leaves_no_answer_to_the_next() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        await settled()
        await plain.post(sid, "1").text()
        assert await poll.text() == "6"
        assert await plain.is_gone(sid)


async def test_poll_overtaken_by_the_upgrade_is_refused() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.websocket(sid)
        socket.send("2probe")
        await socket.receive()
        poll = plain.poll(sid)
        socket.send("5")
        await plain.clock.advance(0.1)
        assert await poll.start() == 400
        socket.send("4hello")
        assert await socket.receive() == "4hello"


@pytest.mark.parametrize("opened_by", ["polling", "websocket"])
async def test_second_websocket_is_closed_and_the_session_unharmed(opened_by: str) -> None:
    async with plain_site() as plain:
        if opened_by == "polling":
            sid = await plain.open()
            socket = await plain.upgrade(sid)
        else:
            socket = await plain.websocket()
            sid = json.loads(str(await socket.receive())[1:])["sid"]
        second, third = await plain.websocket(sid), await plain.websocket(sid)
        third.send("2probe")
        await settled()
        # What the first was told may still be on its way through another worker, and the client compares.
        assert second.quiet()
        await plain.clock.advance(0.1)
        for late in (second, third):
            assert await late.closed_at_once() == 1002
        socket.send("4hello")
        assert await socket.receive() == "4hello"


async def test_of_two_probes_the_second_to_upgrade_is_closed() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        first, second = await plain.websocket(sid), await plain.websocket(sid)
        for socket in (first, second):
            socket.send("2probe")
            assert await socket.receive() == "3probe"
        first.send("5")
        await settled()
        second.send("5")
        await plain.clock.advance(0.1)
        await second.closed_at_once()
        first.send("4hello")
        assert await first.receive() == "4hello"


async def test_websocket_that_has_arrived_is_not_ended_with_those_that_are_late() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        session = plain.site.engine.table.sessions[sid]
        with session.arriving() as arrival:
            session.upgrade(arrival)
            await plain.clock.advance(0.1)
        assert not arrival.scope.cancel_called


async def test_session_that_ends_during_the_probe_closes_the_websocket() -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        socket = await plain.websocket(sid)
        socket.send("2probe")
        await socket.receive()
        unproven = await plain.websocket(sid)
        await plain.post(sid, "1").text()
        for late in (socket, unproven):
            assert await late.closed() == 1002
        assert not plain.site.engine.table.sessions


async def test_heartbeat_goes_on_by_websocket_after_the_upgrade() -> None:
    async with plain_site(ping_interval=25.0, ping_timeout=20.0) as plain:
        sid = await plain.open()
        socket = await plain.upgrade(sid)
        for _ in range(3):
            await plain.clock.advance(25)
            assert await socket.receive() == "2"
            socket.send("3")
        await plain.clock.advance(46)
        await socket.closed()


# -- a plain peer's session knows no extension


@pytest.mark.parametrize("transport", ["polling", "stream"])
async def test_session_without_positions_takes_no_attach(transport: str) -> None:
    async with plain_site() as plain:
        sid = await plain.open()
        poll = plain.poll(sid)
        await settled()
        header = json.dumps({"key": "", "received": 0, "carrier": 2})
        url = f"{PATH}{transport}&holdfast=1&sid={sid}"
        assert await plain.client.get(url, headers={"holdfast-attach": header}).start() == 403
        assert await plain.client.post(f"{PATH}polling&holdfast=1&sid={sid}", "7" + header).start() == 403
        assert await plain.post(sid, "4unharmed").text() == "ok"
        assert await poll.text() == "4unharmed"


async def test_counting_session_takes_no_plain_request() -> None:
    async with open_site("polling") as site:
        peer, carrier = await site.opened()
        plain = PlainSite(site)
        assert await plain.poll(peer.sid).start() == 403
        assert await plain.post(peer.sid, "4guess").start() == 403
        await carrier.send("unharmed")
        await settled()
        assert site.received == ["unharmed"]
