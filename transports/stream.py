"""HTTP streaming: one response of type ``text/event-stream`` that carries our messages; POSTs bring the client's.

docs/protocol.md, sections 5 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.types import Receive, Send

from ..engine.errors import RemoteProtocolError
from ..engine.live import Attachment, LiveSession
from ..engine.server import SessionTable
from ..engine.wire.eventstream import PRELUDE, encode_event
from ..engine.wire.message import Message
from ..engine.wire.payload import PIECE_BYTES, encode_payload
from .http import BASE_HEADERS, disconnected, encode_headers, opening_headers
from .request import Request

__all__ = ["serve_stream"]

_HEADERS = {
    **BASE_HEADERS,
    "content-type": "text/event-stream; charset=utf-8",
    # no-transform keeps proxies from compressing, which would make them wait for more; the third is nginx's.
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
    "content-encoding": "identity",
}


async def serve_stream(
    table: SessionTable, request: Request, receive: Receive, send: Send, headers: Mapping[str, str]
) -> None:
    """Serve one stream until it is replaced, long enough, or its client has left.

    Raises:
        RequestRefused, RemoteProtocolError: before anything was answered.
    """
    if request.sid is None:
        session = request.open(table)
        attachment = session.opening()
        headers = opening_headers(headers, table.settings, session.sid)
    else:
        attach = request.attach()
        session = await request.session(table, key=attach.key, transport="stream")
        if attach.carrier is None:
            raise RemoteProtocolError("an attach that writes needs a carrier number")
        if attach.probe:
            attachment = session.candidates.add(session, attach.carrier)
            give_up = session.host.call_later(table.settings.upgrade_timeout, lambda: _give_up(attachment))
        else:
            give_up = None
            attachment = session.attach("stream", number=attach.carrier, received=attach.received)
        try:
            await _serve(session, attachment, receive, send, headers, table)
        finally:
            if give_up is not None:
                give_up.cancel()
        return
    await _serve(session, attachment, receive, send, headers, table)


def _give_up(candidate: Attachment) -> None:
    if candidate.is_candidate:
        candidate.cut()


async def _serve(
    session: LiveSession,
    attachment: Attachment,
    receive: Receive,
    send: Send,
    headers: Mapping[str, str],
    table: SessionTable,
) -> None:
    try:
        await send(
            {"type": "http.response.start", "status": 200, "headers": encode_headers({**_HEADERS, **headers})}
        )
        async with attachment.serving():
            await send({"type": "http.response.body", "body": PRELUDE, "more_body": True})
            write = _writer(attachment, send, table.settings.stream_limit)
            attachment.begin(write, limit_bytes=min(PIECE_BYTES, table.settings.max_payload), ends=True)
            await disconnected(receive, attachment.cut)
        await attachment.end()
        # The end of the response is what makes a proxy let go of what it held back. To a client that takes nothing
        # any more it cannot be written; that must not keep this request for ever.
        with session.host.move_on_after(1):
            await send({"type": "http.response.body", "body": b""})
    except OSError:
        pass  # The client left before the first byte or the last.
    finally:
        try:
            await attachment.end()
        finally:
            session.candidates.drop(attachment)
            session.detach(attachment)


class _Enough(OSError):
    """The stream is long enough."""


def _writer(
    attachment: Attachment, send: Send, limit: int
) -> Callable[[list[str | Message]], Coroutine[Any, Any, None]]:
    size = 0

    async def write(packets: list[str | Message]) -> None:
        nonlocal size
        event = encode_event(attachment.carrier.written or 0, encode_payload(packets, counting=True))
        size += len(event)
        await send({"type": "http.response.body", "body": event, "more_body": True})
        if size >= limit:
            raise _Enough

    return write
