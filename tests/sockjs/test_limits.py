"""What is bounded, who may connect, and how an endpoint ends."""

from __future__ import annotations

import json
import logging
import time

import anyio
import pytest
from asgi_driver import settled
from sockjs_site import GO_AWAY, echo, open_site, rest_of

from holdfast import Allowed, CloseReason, Handshake, SockJSSession


async def quiet(session: SockJSSession) -> None:
    await anyio.sleep_forever()


async def test_body_that_is_too_large_is_refused() -> None:
    async with open_site(max_payload=100) as site:
        await site.open()
        assert await site.bring(json.dumps(["x" * 97])) == 413
        assert await site.bring(json.dumps(["x" * 96])) == 204
        assert site.app.stats().refused["body too large"] == 1


async def test_body_that_does_not_come_is_not_waited_for() -> None:
    async with open_site(body_timeout=0.01) as site:
        await site.open()
        post = site.client.request("POST", "/sockjs/000/id/xhr_send", body='["a"', more_body=True)
        assert await post.start() == 408


async def test_bodies_are_bounded_together() -> None:
    async with open_site(max_bodies=100) as site:
        await site.open()
        assert await site.bring(json.dumps(["x" * 200])) == 503
        assert site.app.stats().body_bytes == 0


async def test_posts_of_one_session_at_once_are_bounded() -> None:
    async with open_site(max_carriers=2) as site:
        await site.open()
        url = "/sockjs/000/id/xhr_send"
        waiting = [site.client.request("POST", url, body="[", more_body=True) for _ in range(2)]
        await settled()
        assert await site.bring("[]") == 429
        for post in waiting:
            post.give(b"]", more=False)
            assert await post.start() == 204


async def test_head_that_is_too_large_is_refused() -> None:
    async with open_site(max_header_bytes=1000) as site:
        assert await site.post("/000/id/xhr", headers={"a": "x" * 1000}).start() == 431
        assert await site.get(f"/info?{'a' * 1000}").start() == 431
    async with open_site() as site:
        assert await site.post(f"/000/id/xhr?{'a=1&' * 101}").start() == 400


@pytest.mark.parametrize("url", ["/000/id/websocket", "/websocket"])
async def test_websocket_message_that_is_too_large_ends_it(url: str) -> None:
    async with open_site(max_payload=100) as site:
        socket = await site.websocket(url)
        socket.send(json.dumps(["é" * 60]))
        assert await socket.closed_at_once() == 1009


async def test_sessions_are_bounded() -> None:
    async with open_site(max_sessions=2) as site:
        await site.open("a")
        await site.websocket()
        assert await site.post("/000/b/xhr").start() == 503
        assert await site.post("/000/b/xhr_streaming").start() == 503
        assert (await site.client.websocket("/sockjs/websocket").next())["status"] == 503
        # The others are served.
        assert await site.bring('["x"]', "a") == 204
        assert await site.poll("a") == 'a["x"]\n'


async def test_application_is_not_asked_about_who_has_no_room() -> None:
    asked: list[Handshake] = []

    async with open_site(allow_request=asked.append, max_sessions=1) as site:
        await site.websocket()
        assert await site.post("/000/b/xhr").start() == 503
        assert (await site.client.websocket("/sockjs/websocket").next())["status"] == 503
        assert len(asked) == 1


async def test_sessions_that_one_address_opens_and_does_not_use_are_bounded() -> None:
    async with open_site(max_unused_sessions_per_address=2) as site:
        for id in "ab":
            await site.open(id)
        assert await site.post("/000/c/xhr").start() == 429
        await site.bring("[]", "a")
        await site.open("c")
        await site.clock.advance(5)
        assert site.app.session_count == 0
        await site.open("d")


async def test_ended_sessions_that_are_remembered_are_bounded() -> None:
    async def close(session: SockJSSession) -> None:
        session.close()

    async with open_site(close, max_tombstones=2) as site:
        for id in "abc":
            assert [await site.poll(id) for _ in range(2)] == ["o\n", f"{GO_AWAY}\n"]
        assert await site.poll("c") == f"{GO_AWAY}\n"
        # The oldest is forgotten, and so it is a new one's.
        assert await site.poll("a") == "o\n"


async def test_client_that_takes_nothing_is_over_its_bound() -> None:
    async with open_site(quiet, buffer_limit=1000, when_full="disconnect") as site:
        session = await site.open()
        for _ in range(7):
            await session.send("x")
        assert session.reason is CloseReason.BUFFER_FULL
        assert (await site.poll()).startswith("c[1008,")


async def test_who_writes_to_a_slow_client_waits() -> None:
    async with open_site(quiet, buffer_limit=1000) as site:
        session = await site.open()
        sent: list[int] = []

        async def send() -> None:
            for number in range(20):
                await session.send(str(number))
                sent.append(number)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await settled()
            assert 0 < len(sent) < 20
            heard: list[str] = []
            while len(heard) < 20:
                heard += json.loads((await site.poll())[1:])
        assert heard == [str(number) for number in range(20)]


async def test_client_that_sends_faster_than_it_may_is_read_no_faster() -> None:
    async with open_site(max_events_per_second=10) as site:
        await site.open()
        post = site.post("/000/id/xhr_send", json.dumps([str(number) for number in range(20)]))
        await settled()
        assert not post.answered()
        await site.clock.advance(1.1)
        assert await post.start() == 204


async def test_client_that_sends_nothing_too_often_is_ended() -> None:
    async with open_site(max_events_per_second=10) as site:
        socket = await site.websocket()
        for _ in range(12):
            socket.send("[]")
        assert await socket.closed() == 1008
        assert site.sessions[0].reason is CloseReason.PARSE_ERROR


async def test_application_that_takes_nothing_does_not_fill_memory() -> None:
    async with open_site(quiet, max_payload=1000, max_events_per_second=1_000_000) as site:
        socket = await site.websocket()
        for _ in range(60):
            socket.send(json.dumps(["x" * 900]))
        await site.clock.advance(10)
        assert site.sessions[0].reason is CloseReason.BUFFER_FULL


async def test_function_that_fails_ends_its_session_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(session: SockJSSession) -> None:
        raise LookupError("the application's fault")

    with caplog.at_level(logging.ERROR):
        async with open_site(fail) as site:
            assert await site.poll() == "o\n"
            await settled()
            assert await site.poll() == f"{GO_AWAY}\n"
    assert "the application's fault" in caplog.text


async def test_client_that_leaves_while_it_is_answered_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_site(buffer_limit=2_000) as site:
        socket = await site.websocket()
        socket.hang()
        # More than may wait for it, so that the echo waits, too.
        socket.send(json.dumps(["x"] * 20))
        await settled()
        socket.close()
        await socket.finished()
        await settled()
        assert not site.sessions[0].is_open
        assert "failed" not in caplog.text


async def test_function_that_sends_to_another_that_is_over_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sessions: list[SockJSSession] = []

    async def tell_the_first(session: SockJSSession) -> None:
        sessions.append(session)
        await session.receive()
        await sessions[0].send("x")

    async with open_site(tell_the_first) as site:
        first, second = await site.websocket(), await site.websocket()
        first.close()
        await first.finished()
        second.send('["go"]')
        assert await second.receive() == GO_AWAY
    assert "a background task failed" in caplog.text


# -- who may


async def test_application_says_who_may_open_a_session() -> None:
    async def allow(request: Handshake) -> bool:
        return request.headers.get("authorization") == "yes"

    async with open_site(allow_request=allow) as site:
        assert await site.post("/000/id/xhr").start() == 403
        assert await site.get("/000/id/eventsource").start() == 403
        assert (await site.client.websocket("/sockjs/0/0/websocket").next())["status"] == 403
        assert (await site.client.websocket("/sockjs/websocket").next())["status"] == 403
        assert not site.sessions
        headers = {"authorization": "yes"}
        assert await site.post("/000/id/xhr", headers=headers).text() == "o\n"
        await site.websocket(headers=headers)


async def test_session_is_of_who_has_opened_it() -> None:
    async def allow(request: Handshake) -> Allowed:
        return Allowed(principal=request.headers["authorization"])

    async with open_site(allow_request=allow) as site:
        ann, bob = {"authorization": "ann"}, {"authorization": "bob"}
        assert await site.post("/000/id/xhr", headers=ann).text() == "o\n"
        await settled()
        assert site.sessions[0].request.principal == "ann"
        assert await site.post("/000/id/xhr", headers=bob).start() == 403
        assert await site.post("/000/id/xhr_streaming", headers=bob).start() == 403
        assert await site.post("/000/id/xhr_send", '["evil"]', headers=bob).start() == 403
        assert await site.post("/000/id/xhr_send", '["a"]', headers=ann).start() == 204
        assert await site.post("/000/id/xhr", headers=ann).text() == 'a["a"]\n'


async def test_credentials_that_expire_end_the_session() -> None:
    asked = 0

    async def allow(request: Handshake) -> Allowed | bool:
        nonlocal asked
        asked += 1
        return Allowed(principal="ann", expires_at=time.time() + 5) if asked == 1 else False

    async with open_site(allow_request=allow, ping_interval=100) as site:
        stream = await site.stream()
        await stream.chunk()
        await site.clock.advance(7)
        assert await rest_of(stream) == 'c[1008,"the credentials have expired"]\n'


# -- the end


async def test_drain_tells_everybody_to_go_away() -> None:
    async with open_site() as site:
        await site.open("polls")
        poll = site.post("/000/polls/xhr")
        stream = await site.stream(id="streams")
        await stream.chunk()
        framed, raw = await site.websocket(), await site.websocket("/websocket")
        await site.open("absent")
        await settled()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.app.drain)
            await settled()
            await site.clock.advance(1)
            assert await poll.text() == f"{GO_AWAY}\n"
            assert await rest_of(stream) == f"{GO_AWAY}\n"
            assert await framed.receive() == GO_AWAY
            assert await framed.closed_at_once() == 1000
            assert await raw.closed_at_once() == 3000
            late = site.post("/000/absent/xhr")
            assert await late.text() == f"{GO_AWAY}\n"
            assert late.headers["connection"] == "close"
            refused = site.post("/000/new/xhr")
            assert await refused.start() == 503
            assert "retry-after" in refused.headers
            await site.clock.advance(1)
        drained = await site.app.drain()
        assert (drained.sessions, drained.told, drained.cut) == (5, 5, 0)
        assert [session.reason for session in site.sessions] == [CloseReason.SERVER_SHUTTING_DOWN] * 5
        assert site.app.stats().draining


async def test_numbers_of_an_endpoint() -> None:
    async with open_site(echo) as site:
        await site.open()
        await site.websocket()
        stats = site.app.stats()
        assert (stats.opened["polling"], stats.opened["websocket"], stats.counting) == (1, 1, 0)
        await site.clock.advance(5)
        assert site.app.stats().ended["transport close"] == 1
