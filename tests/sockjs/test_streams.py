"""Streams: xhr_streaming, eventsource, htmlfile."""

from __future__ import annotations

import pytest
from asgi_driver import settled
from sockjs_site import GO_AWAY, INTERRUPTED, open_site, rest_of

from holdfast import CloseReason, SockJSSession

NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
KINDS = {
    "xhr_streaming": ("", "\n"),
    "eventsource": ("data: ", "\r\n\r\n"),
    "htmlfile?c=cb": ('<script>\np("', '");\n</script>\r\n'),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def framed(kind: str, frame: str) -> bytes:
    before, after = KINDS[kind]
    if kind.startswith("htmlfile"):
        frame = frame.replace('"', '\\"')
    return f"{before}{frame}{after}".encode()


async def close(session: SockJSSession) -> None:
    session.close()


@pytest.mark.parametrize(
    ("kind", "content_type", "prelude"),
    [
        ("xhr_streaming", "application/javascript; charset=UTF-8", b"h" * 2048 + b"\n"),
        ("eventsource", "text/event-stream", b"\r\n"),
    ],
)
async def test_stream_begins_with_what_old_browsers_need(
    kind: str, content_type: str, prelude: bytes
) -> None:
    async with open_site() as site:
        method = "POST" if kind == "xhr_streaming" else "GET"
        stream = site.client.request(method, f"/sockjs/000/id/{kind}")
        assert await stream.start() == 200
        assert stream.headers["content-type"] == content_type
        assert stream.headers["cache-control"] == NOT_CACHED
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        assert await stream.chunk() == prelude
        assert await stream.chunk() == framed(kind, "o")


async def test_htmlfile_begins_with_a_page() -> None:
    async with open_site(old_transports=True) as site:
        stream = site.get("/000/id/htmlfile?c=%63b")
        assert await stream.start() == 200
        assert stream.headers["content-type"] == "text/html; charset=UTF-8"
        page = (await stream.chunk()).decode()
        assert "var c = parent.cb;\n" in page
        assert len(page) > 1024
        assert page.startswith("<!doctype html>\n<html><head>")
        assert page.strip().endswith("window.onload = function() {c.stop();};\n  </script>")


@every_kind
async def test_each_frame_is_a_piece_of_its_own(kind: str) -> None:
    async with open_site(old_transports=True) as site:
        stream = await site.stream(kind)
        assert await stream.chunk() == framed(kind, "o")
        for message in ("x", "  \\u0000\\n\\r "):
            assert await site.bring(f'["{message}"]') == 204
            shown = f'a["{message}"]'.replace("\\", "\\\\") if kind.startswith("html") else f'a["{message}"]'
            assert await stream.chunk() == framed(kind, shown)
        assert site.sessions[0].transport == "stream"


@every_kind
async def test_stream_ends_when_it_is_long_enough_and_the_session_goes_on(kind: str) -> None:
    async with open_site(response_limit=4096, old_transports=True) as site:
        stream = await site.stream(kind)
        assert await stream.chunk() == framed(kind, "o")
        left = 4096 - len(framed(kind, "o"))
        while left > 0:
            await settled()
            assert not stream.answered()
            await site.bring(f'["{"x" * 128}"]')
            left -= len(await stream.chunk())
        assert await stream.chunk() == b""
        await stream.finished()
        session = site.sessions[0]
        assert session.is_open
        await session.send("between")
        assert await site.poll() == 'a["between"]\n'


async def test_one_long_message_is_sent_whole() -> None:
    async with open_site(response_limit=4096) as site:
        stream = await site.stream("eventsource")
        await stream.chunk()
        await site.bring(f'["{"x" * 5000}"]')
        assert len(await stream.chunk()) > 5000
        assert await rest_of(stream) == ""
        assert site.sessions[0].is_open


async def test_next_stream_may_come_before_the_server_knows_that_the_last_is_over() -> None:
    async with open_site(response_limit=100) as site:
        stream = await site.stream()
        await stream.chunk()
        # Whoever passes it on may even say that it did not arrive.
        end = stream.hold_end()
        stream.fail_end()
        await site.bring(f'["{"x" * 100}"]')
        await stream.chunk()
        assert await stream.chunk() == b""
        again = await site.stream()
        end.set()
        await stream.finished()
        await site.bring('["a"]')
        assert await again.chunk() == b'a["a"]\n'
        # Nor is what was replaced by it cut into a session that goes on.
        await site.clock.advance(6)
        assert site.sessions[0].is_open


async def test_end_that_is_not_taken_ends_the_session() -> None:
    async with open_site(response_limit=100) as site:
        stream = await site.stream()
        await stream.chunk()
        stream.fail_end()
        await site.bring(f'["{"x" * 100}"]')
        await stream.finished()
        assert site.sessions[0].reason is CloseReason.TRANSPORT_CLOSE


async def test_slow_end_is_waited_for() -> None:
    async with open_site(response_limit=100, ping_interval=25) as site:
        stream = await site.stream()
        await stream.chunk()
        pieces = stream.slow()
        await site.bring(f'["{"x" * 100}"]')
        pieces.release()
        assert await stream.chunk()
        await site.clock.advance(20)
        assert site.sessions[0].is_open
        pieces.release()
        assert await stream.chunk() == b""
        await stream.finished()
        await site.clock.advance(4)
        assert site.sessions[0].is_open


@every_kind
async def test_end_of_the_session_is_its_last_frame(kind: str) -> None:
    async with open_site(close, old_transports=True) as site:
        for opens in (True, False):
            stream = await site.stream(kind)
            if opens:
                assert await stream.chunk() == framed(kind, "o")
            assert await stream.chunk() == framed(kind, GO_AWAY)
            assert await rest_of(stream) == ""
            await stream.finished()


async def test_second_stream_is_told_so_and_ended() -> None:
    async with open_site() as site:
        first = await site.stream()
        await first.chunk()
        second = await site.stream()
        assert await rest_of(second) == 'c[2010,"Another connection still open"]\n'
        await site.bring('["a"]')
        assert await first.chunk() == b'a["a"]\n'


async def test_stream_that_breaks_off_ends_the_session() -> None:
    async with open_site() as site:
        stream = await site.stream()
        await stream.chunk()
        stream.disconnect()
        await stream.finished()
        assert site.sessions[0].reason is CloseReason.TRANSPORT_CLOSE
        again = await site.stream()
        assert await rest_of(again) == f"{INTERRUPTED}\n"


async def test_heartbeats_keep_a_stream() -> None:
    async with open_site(ping_interval=10) as site:
        stream = await site.stream("eventsource")
        await stream.chunk()
        for _ in range(3):
            await site.clock.advance(10)
            assert await stream.chunk() == b"data: h\r\n\r\n"
        assert site.sessions[0].is_open


async def test_stream_that_takes_nothing_is_cut_before_the_second_heartbeat() -> None:
    async with open_site(ping_interval=10) as site:
        stream = await site.stream()
        await stream.chunk()
        stream.hang()
        await site.sessions[0].send("x")
        await settled()
        await site.clock.advance(19)
        assert site.sessions[0].is_open
        await site.clock.advance(2)
        assert site.sessions[0].reason is CloseReason.PING_TIMEOUT
        await site.clock.advance(1)
        await stream.finished()


async def test_session_goes_on_by_polls_after_a_stream() -> None:
    async with open_site(response_limit=10) as site:
        stream = await site.stream()
        await site.bring('["0123456789"]')
        assert await rest_of(stream) == 'o\na["0123456789"]\n'
        await site.bring('["a"]')
        assert await site.poll() == 'a["a"]\n'
        assert site.sessions[0].transport == "polling"
        stats = site.app.stats()
        assert (stats.sessions["polling"], stats.sessions["stream"], stats.fallbacks) == (1, 0, 1)
