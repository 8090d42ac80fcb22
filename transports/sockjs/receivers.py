"""Polls and streams: how frames travel where there is no WebSocket.

SockJS protocol 0.3.4, "XhrPolling", "XhrStreaming", "EventSource", "HtmlFile" and "JsonpPolling".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Send

from ...engine.live import Attachment, LiveSockJS
from ...engine.session import Life
from ...engine.settings import SockJSSettings
from ...engine.wire.message import Message
from ...engine.wire.payload import PIECE_BYTES
from ...engine.wire.sockjs import (
    HEARTBEAT,
    HTMLFILE_HEAD,
    XHR_PRELUDE,
    encode_close,
    encode_frames,
    wrap_event,
    wrap_script,
    wrap_xhr,
)
from ..http import Patience, disconnected, encode_headers, send_nothing
from ..polling import hold_poll, send_answer
from .answers import NOT_CACHED, SCRIPT, answer
from .visit import Over, Visit

__all__ = ["EVENTSOURCE", "XHR", "Stream", "htmlfile", "serve_poll", "serve_stream"]

Wrap = Callable[[str], str]

_HTMLFILE_BYTES = 1024 * 2
# What a client has for the end of the last stream of its session.
_LAST_WORD = 1.0


@dataclass(frozen=True, slots=True)
class Stream:
    """A kind of streaming response.

    Attributes:
        content_type: Of the response.
        prelude: What it begins with.
        wrap: How a frame stands in it.
    """

    content_type: str
    prelude: str
    wrap: Wrap


XHR = Stream(SCRIPT, XHR_PRELUDE, wrap_xhr)
EVENTSOURCE = Stream("text/event-stream", "\r\n", wrap_event)


def htmlfile(callback: str) -> Stream:
    """The stream that is a page, which calls a function of the page around it."""
    head = HTMLFILE_HEAD % callback
    return Stream("text/html; charset=UTF-8", f"{head.ljust(_HTMLFILE_BYTES)}\r\n\r\n", wrap_script)


async def serve_poll(visit: Visit, wrap: Wrap, receive: Receive, send: Send) -> None:
    """Answer one poll: with one frame.

    Raises:
        RequestRefused: before anything was answered.
    """
    headers = {**NOT_CACHED, **visit.headers}
    try:
        session, attachment = await visit.receiver("polling")
    except Over as over:
        await answer(
            send, 200, wrap(encode_close(over.code, over.text)), headers=headers, content_type=SCRIPT
        )
        return
    if not session.has_packets(attachment) and not await hold_poll(session, attachment, receive):
        await send_nothing(send)
        return
    settings = visit.table.sockjs
    frames = encode_frames(attachment.take(settings.max_payload))
    idle = not frames or frames == [HEARTBEAT]
    # It may have been cut together with its session.
    frame = HEARTBEAT
    if frames:
        frame = frames[0]
    elif session.life is Life.CLOSED:
        frame = encode_close(*session.end)
    await send_answer(
        session,
        attachment,
        send,
        wrap(frame).encode(),
        headers=headers,
        content_type=SCRIPT,
        patience=settings.ping_interval,
        idle=idle,
    )


async def serve_stream(visit: Visit, stream: Stream, receive: Receive, send: Send) -> None:
    """Serve one stream until it is long enough, its session is over, or its client has left.

    Raises:
        RequestRefused: before anything was answered.
    """
    headers = {**NOT_CACHED, **visit.headers, "content-type": stream.content_type}
    start = {"type": "http.response.start", "status": 200, "headers": encode_headers(headers)}
    try:
        session, attachment = await visit.receiver("stream")
    except Over as over:
        await send(start)
        await _send_piece(send, stream.prelude)
        await _send_piece(send, stream.wrap(encode_close(over.code, over.text)))
        await send({"type": "http.response.body", "body": b""})
        return
    await _Streaming(session, attachment, stream, visit.table.sockjs, send).serve(receive, start)


async def _send_piece(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


class _Enough(OSError):
    """The stream is long enough."""


class _Streaming:
    """One stream that is a receiver."""

    def __init__(
        self,
        session: LiveSockJS,
        attachment: Attachment,
        stream: Stream,
        settings: SockJSSettings,
        send: Send,
    ) -> None:
        self._session = session
        self._attachment = attachment
        self._stream = stream
        self._limit = settings.response_limit
        self._patience = settings.ping_interval
        self._send = send
        self._size = 0

    async def serve(self, receive: Receive, start: Mapping[str, object]) -> None:
        session, attachment = self._session, self._attachment
        whole = False
        try:
            await self._send(dict(start))
            async with attachment.serving():
                await _send_piece(self._send, self._stream.prelude)
                attachment.begin(self._write, limit_bytes=min(PIECE_BYTES, self._limit), ends=True)
                await disconnected(receive, self._be_enough)
            await attachment.end()
            if self._size >= self._limit or session.life is Life.CLOSED:
                # The client asks for the next one as soon as it has the end of this.
                session.poll_answered(attachment)
                patience = _LAST_WORD if session.life is Life.CLOSED else self._patience
                watch = Patience(session.host, patience)
                attachment.waits_in(watch)
                whole = await watch.run(lambda: self._send({"type": "http.response.body", "body": b""}))
        except OSError:
            pass  # The client left before the first byte or the last.
        finally:
            try:
                await attachment.end()
            finally:
                if whole or session.attached:
                    session.detach(attachment)
                else:
                    session.answer_lost(attachment)

    def _be_enough(self) -> None:
        self._limit = 0
        if not self._attachment.busy:
            self._attachment.cut()

    async def _write(self, packets: list[str | Message]) -> None:
        for frame in encode_frames(packets):
            text = self._stream.wrap(frame)
            self._size += len(text)
            await _send_piece(self._send, text)
        if self._size >= self._limit:
            raise _Enough
