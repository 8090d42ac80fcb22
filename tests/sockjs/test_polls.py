"""Polls, and the POSTs beside them: xhr, xhr_send, jsonp, jsonp_send."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from asgi_driver import settled
from sockjs_site import GO_AWAY, INTERRUPTED, Site, open_site

from holdfast import CloseReason, Handshake, LocalProtocolError, SessionClosed, SockJSSession

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def close(session: SockJSSession) -> None:
    session.close(3000, "Go away!")


async def quiet(session: SockJSSession) -> None:
    async for _ in session:
        pass


async def test_first_poll_opens_and_the_next_ones_bring_what_was_sent() -> None:
    async with open_site() as site:
        assert await site.poll() == "o\n"
        assert await site.bring('["a"]') == 204
        assert await site.poll() == 'a["a"]\n'
        assert await site.bring('["b", "c"]') == 204
        assert await site.bring('"d"') == 204
        await settled()
        assert await site.poll() == 'a["b","c","d"]\n'
        assert len(site.sessions) == 1
        assert site.sessions[0].transport == "polling"


async def test_poll_is_held_until_there_is_something() -> None:
    async with open_site() as site:
        session = await site.open()
        poll = site.post("/000/id/xhr")
        await settled()
        assert not poll.answered()
        await session.send("late")
        assert await poll.text() == 'a["late"]\n'


async def test_answers_are_not_cached_and_have_their_types() -> None:
    async with open_site() as site:
        poll = site.post("/000/id/xhr")
        await poll.text()
        assert poll.headers["content-type"] == "application/javascript; charset=UTF-8"
        post = site.post("/000/id/xhr_send", '["x"]')
        assert await post.text() == ""
        assert post.status == 204
        assert post.headers["content-type"] == "text/plain; charset=UTF-8"
        assert "content-length" not in post.headers
        assert poll.headers["cache-control"] == post.headers["cache-control"] == NOT_CACHED


async def test_server_part_of_the_address_says_nothing() -> None:
    async with open_site() as site:
        await site.open()
        await site.bring('["a"]')
        assert await site.post("/999/id/xhr").text() == 'a["a"]\n'


async def test_messages_for_no_session_are_not_taken() -> None:
    async with open_site() as site:
        assert await site.bring('["a"]') == 404
        assert not site.sessions


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "Payload expected."),
        ("1", "Payload expected."),
        ("[1]", "Payload expected."),
        ('["x', "Broken JSON encoding."),
        (b'["\xff"]', "Broken JSON encoding."),
    ],
)
async def test_what_cannot_be_read_is_refused_and_the_session_lives(body: str | bytes, text: str) -> None:
    async with open_site() as site:
        await site.open()
        answer = site.post("/000/id/xhr_send", body)
        assert await answer.text() == text
        assert answer.status == 500
        assert await site.bring('["a"]') == 204
        assert await site.poll() == 'a["a"]\n'


@pytest.mark.parametrize("kind", ["text/plain", "T", "application/json", "application/xml", ""])
async def test_type_of_a_body_does_not_matter(kind: str) -> None:
    async with open_site() as site:
        await site.open()
        assert await site.post("/000/id/xhr_send", '["a"]', headers={"content-type": kind}).start() == 204
        assert await site.poll() == 'a["a"]\n'


async def test_no_messages_at_all_are_a_sign_of_life() -> None:
    async with open_site() as site:
        await site.open()
        assert await site.bring("[]") == 204
        assert await site.bring('["a"]') == 204
        assert await site.poll() == 'a["a"]\n'


async def test_second_poll_beside_a_first_is_told_so_and_the_first_goes_on() -> None:
    async with open_site() as site:
        session = await site.open()
        first = site.post("/000/id/xhr")
        await settled()
        assert await site.poll() == 'c[2010,"Another connection still open"]\n'
        await session.send("a")
        assert await first.text() == 'a["a"]\n'
        assert session.is_open


async def test_end_is_said_for_a_while_to_all_who_ask() -> None:
    async with open_site(close) as site:
        assert await site.poll() == "o\n"
        for _ in range(3):
            await site.clock.advance(1)
            assert await site.poll() == f"{GO_AWAY}\n"
        assert await site.bring('["a"]') == 404
        await site.clock.advance(5)
        assert await site.poll() == "o\n"
        await settled()
        assert len(site.sessions) == 2


async def test_what_was_sent_before_the_end_comes_before_it() -> None:
    async def function(session: SockJSSession) -> None:
        await session.send("last")
        session.close(4001, "bye")
        with pytest.raises(SessionClosed):
            await session.send("too late")

    async with open_site(function) as site:
        assert [await site.poll() for _ in range(4)] == [
            "o\n",
            'a["last"]\n',
            'c[4001,"bye"]\n',
            'c[4001,"bye"]\n',
        ]
        assert site.sessions[0].reason is CloseReason.FORCED_SERVER_CLOSE
        assert site.app.session_count == 0


async def test_function_that_returns_closes_its_session() -> None:
    async def function(session: SockJSSession) -> None:
        await session.receive()

    async with open_site(function) as site:
        await site.open()
        poll = site.post("/000/id/xhr")
        await site.bring('["a"]')
        assert await poll.text() == f"{GO_AWAY}\n"


@pytest.mark.parametrize(("code", "reason"), [(1001, ""), (2999, ""), (5000, ""), (3000, "é" * 62)])
async def test_session_is_closed_with_what_a_browser_would_take(code: int, reason: str) -> None:
    async with open_site() as site:
        session = await site.open()
        with pytest.raises(LocalProtocolError):
            session.close(code, reason)
        assert session.is_open
        session.close(1000, "é" * 61)
        assert await site.poll() == f'c[1000,"{"é" * 61}"]\n'


async def test_poll_that_breaks_off_ends_the_session() -> None:
    async with open_site() as site:
        session = await site.open()
        poll = site.post("/000/id/xhr")
        await settled()
        poll.disconnect()
        await poll.finished()
        assert session.reason is CloseReason.TRANSPORT_CLOSE
        assert await site.poll() == f"{INTERRUPTED}\n"
        await site.clock.advance(6)
        assert await site.poll() == "o\n"


async def test_answer_that_is_not_taken_ends_the_session() -> None:
    async with open_site() as site:
        session = await site.open()
        poll = site.post("/000/id/xhr")
        await settled()
        poll.fail_end()
        await session.send("lost")
        await poll.finished()
        assert session.reason is CloseReason.TRANSPORT_CLOSE
        assert await site.poll() == f"{INTERRUPTED}\n"


async def test_session_without_a_poll_ends_after_a_while() -> None:
    async with open_site(disconnect_delay=3) as site:
        session = await site.open()
        await site.clock.advance(2.9)
        assert session.is_open
        await site.bring('["a"]')
        await site.clock.advance(0.2)
        assert not session.is_open
        assert await site.poll() == f"{INTERRUPTED}\n"
        await site.clock.advance(3)
        assert await site.poll() == "o\n"


async def test_answer_that_is_taken_slowly_keeps_the_session() -> None:
    async with open_site(ping_interval=25) as site:
        session = await site.open()
        poll = site.post("/000/id/xhr")
        await settled()
        pieces = poll.slow()
        await session.send("x" * 300_000)
        for _ in range(4):
            await site.clock.advance(8)
            pieces.release()
        assert session.is_open
        for _ in range(4):
            pieces.release()
        assert len(await poll.text()) > 300_000
        await site.clock.advance(4.9)
        assert session.is_open
        await site.clock.advance(0.2)
        assert not session.is_open


async def test_answer_of_which_nothing_is_taken_does_not() -> None:
    async with open_site(ping_interval=25) as site:
        session = await site.open()
        poll = site.post("/000/id/xhr")
        await settled()
        poll.hang()
        await session.send("x")
        await site.clock.advance(24)
        assert session.is_open
        await site.clock.advance(2)
        assert session.reason is CloseReason.TRANSPORT_CLOSE
        await poll.finished()


async def test_heartbeat_answers_a_poll() -> None:
    async with open_site(ping_interval=10) as site:
        session = await site.open()
        for _ in range(3):
            poll = site.post("/000/id/xhr")
            await site.clock.advance(10)
            assert await poll.text() == "h\n"
        assert session.is_open


async def test_heartbeat_that_is_not_taken_loses_nothing() -> None:
    async with open_site(ping_interval=10) as site:
        session = await site.open()
        poll = site.post("/000/id/xhr")
        await settled()
        end = poll.hold_end()
        poll.fail_end()
        await site.clock.advance(10)
        again = site.post("/000/id/xhr")
        await settled()
        end.set()
        await poll.finished()
        await session.send("a")
        assert await again.text() == 'a["a"]\n'


async def test_messages_of_a_post_that_breaks_off_are_not_taken() -> None:
    async with open_site() as site:
        await site.open()
        post = site.client.request("POST", "/sockjs/000/id/xhr_send", body='["a"', more_body=True)
        await settled()
        post.disconnect()
        await post.finished()
        assert await site.bring('["b"]') == 204
        assert await site.poll() == 'a["b"]\n'


async def test_two_that_open_at_once_are_one_session() -> None:
    asked = anyio.Event()

    async def allow(request: Handshake) -> None:
        await asked.wait()

    async with open_site(allow_request=allow) as site:
        polls = [site.post("/000/id/xhr") for _ in range(2)]
        await settled()
        asked.set()
        await settled()
        assert [await poll.text() for poll in polls if poll.answered()] == ["o\n"]
        assert len(site.sessions) == 1


async def test_application_is_not_told_the_id_by_what_it_prints() -> None:
    async with open_site() as site:
        session = await site.open("secret-id")
        assert "secret-id" not in repr(session.request)


# -- jsonp


def arguments(text: str, callback: str) -> Any:
    assert text.startswith(f"/**/{callback}(")
    assert text.endswith(");\r\n")
    return json.loads(text.removeprefix(f"/**/{callback}(").removesuffix(");\r\n"))


async def jsonp(site: Site) -> str:
    answer = site.get("/000/id/jsonp?c=cb")
    text = await answer.text()
    assert answer.headers["content-type"] == "application/javascript; charset=UTF-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == NOT_CACHED
    return arguments(text, "cb")


async def test_jsonp() -> None:
    async with open_site(old_transports=True) as site:
        assert await jsonp(site) == "o"
        for body, headers in (
            ("d=%5B%22x%22%5D", FORM),
            ("d=%5B%22x%22%5D", {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}),
            ('["%61"]', {"content-type": "text/plain"}),
        ):
            answer = site.post("/000/id/jsonp_send", body, headers=headers)
            assert await answer.text() == "ok"
            assert answer.status == 200
            assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
            assert answer.headers["cache-control"] == NOT_CACHED
        await settled()
        assert await jsonp(site) == 'a["x","x","%61"]'


async def test_jsonp_says_the_end_as_all_do() -> None:
    async with open_site(close, old_transports=True) as site:
        assert [await jsonp(site) for _ in range(3)] == ["o", GO_AWAY, GO_AWAY]


async def test_message_cannot_leave_the_script() -> None:
    async with open_site(old_transports=True) as site:
        session = await site.open()
        await session.send("</script><script>alert(1)</script>\u2028")
        text = await site.get("/000/id/jsonp?c=cb").text()
        assert "<" not in text
        assert "\u2028" not in text
        assert json.loads(arguments(text, "cb")[1:]) == ["</script><script>alert(1)</script>\u2028"]


@pytest.mark.parametrize("way", ["jsonp", "htmlfile"])
@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", '"callback" parameter required'),
        ("?c=", '"callback" parameter required'),
        ("?c=%20", 'invalid "callback" parameter'),
        ("?c=*", 'invalid "callback" parameter'),
        ("?callback=abc(", 'invalid "callback" parameter'),
        ("?c=abc%28", 'invalid "callback" parameter'),
        ("?c=a%0A", 'invalid "callback" parameter'),
        (f"?c={'a' * 129}", 'invalid "callback" parameter'),
    ],
)
async def test_callback_is_checked_before_anything_is_opened(way: str, query: str, text: str) -> None:
    async with open_site(old_transports=True) as site:
        answer = site.get(f"/a/a/{way}{query}")
        assert text in await answer.text()
        assert answer.status == 500
        assert "html" not in answer.headers["content-type"]
        assert not site.sessions


@pytest.mark.parametrize("body", ["", "d=", "p=p"])
async def test_form_without_a_payload_is_refused(body: str) -> None:
    async with open_site(old_transports=True) as site:
        await site.open()
        answer = site.post("/000/id/jsonp_send", body, headers=FORM)
        assert await answer.text() == "Payload expected."
        assert answer.status == 500
        assert await site.post("/000/id/jsonp_send", "d=%5B%22x", headers=FORM).start() == 500
        assert await site.post("/000/id/jsonp_send", "d=%ff", headers=FORM).start() == 500
        assert await site.post("/000/id/jsonp_send", "d=[]", headers=FORM).text() == "ok"


# -- the cookie of load balancers


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        (None, "dummy"),
        ("JSESSIONID=abcdef", "abcdef"),
        ("a=b; JSESSIONID=abc.node-1", "abc.node-1"),
        ("JSESSIONID=a b", "dummy"),
        ("JSESSIONID=a,b", "dummy"),
        (f"JSESSIONID={'a' * 257}", "dummy"),
    ],
)
async def test_cookie_is_given_back_as_it_came(sent: str | None, back: str) -> None:
    headers = {} if sent is None else {"cookie": sent}
    async with open_site(jsessionid=True, old_transports=True) as site:
        await site.open("opened")
        for answer in (
            site.post("/000/id/xhr", headers=headers),
            site.post("/000/id1/xhr_streaming", headers=headers),
            site.get("/000/id2/eventsource", headers=headers),
            site.get("/000/id3/htmlfile?c=c", headers=headers),
            site.get("/000/id4/jsonp?c=c", headers=headers),
            site.post("/000/opened/xhr_send", "[]", headers=headers),
            site.post("/000/opened/jsonp_send", "[]", headers=headers),
        ):
            await answer.start()
            assert answer.headers["set-cookie"] == f"JSESSIONID={back}; Path=/"


async def test_cookie_of_a_page_by_tls_works_in_a_frame() -> None:
    async with open_site(jsessionid=True, trusted_proxies=["127.0.0.1"]) as site:
        answer = site.post(
            "/000/id/xhr", headers={"x-forwarded-for": "9.9.9.9", "x-forwarded-proto": "https"}
        )
        await answer.start()
        assert answer.headers["set-cookie"] == "JSESSIONID=dummy; Path=/; Secure; SameSite=None"
        await settled()
        assert site.sessions[0].request.address == ("9.9.9.9", 0)


async def test_without_the_setting_there_is_none() -> None:
    async with open_site() as site:
        answer = site.post("/000/id/xhr", headers={"cookie": "JSESSIONID=abcdef"})
        await answer.start()
        assert "set-cookie" not in answer.headers


async def test_half_of_a_character_is_taken_and_sent() -> None:
    async with open_site() as site:
        session = await site.open()
        # What "…😀".slice(0, 2) is in JavaScript.
        assert await site.bring('["a\\ud83d", "\\n\\ud83d"]') == 204
        assert await site.poll() == 'a["a\\ud83d","\\n\\ud83d"]\n'
        with pytest.raises(LocalProtocolError, match="surrogate"):
            session.close(3000, "\ud83d")
