"""What brings a client's messages where there is no WebSocket.

SockJS protocol 0.3.4, "XhrPolling" and "JsonpPolling".
"""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

from ...engine.errors import ErrorCode, RemoteProtocolError, RequestRefused
from ...engine.wire.sockjs import decode_form, decode_messages
from ..http import read_body, send_nothing
from .answers import NOT_CACHED, answer
from .visit import Visit, packets_of

__all__ = ["take_messages"]

_FORM = "application/x-www-form-urlencoded"


async def take_messages(visit: Visit, receive: Receive, send: Send, *, jsonp: bool) -> None:
    """Take one POST.

    Raises:
        RequestRefused, RemoteProtocolError: before anything was answered.
    """
    table, headers = visit.table, {**NOT_CACHED, **visit.headers}
    if table.of(visit.id) is None:
        await answer(send, 404, headers=headers)
        return
    session = await table.recognise(visit.id, visit.handshake)
    try:
        with table.bodies.one() as count, session.posting() as others:
            if others >= session.max_carriers:
                message = "Bad request: too many POSTs of one session at once (setting max_carriers)"
                raise RequestRefused(ErrorCode.BAD_REQUEST, message, status=429)
            body = await read_body(
                receive,
                visit.handshake.headers,
                limit=table.sockjs.max_payload,
                timeout=table.sockjs.body_timeout,
                count=count,
            )
            is_form = jsonp and visit.handshake.headers.get("content-type", "").startswith(_FORM)
            try:
                messages = _messages(body, is_form=is_form)
            except RemoteProtocolError as error:
                await answer(send, 500, str(error), headers=headers)
                return
            await session.receive_at_pace(session.bring(), packets_of(messages))
    except ClientDisconnect:
        await send_nothing(send)
        return
    if jsonp:
        # Some browser of the past needed a word there.
        await answer(send, 200, "ok", headers=headers)
    else:
        await answer(send, 204, headers=headers)


def _messages(body: bytearray, *, is_form: bool) -> list[str]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("Broken JSON encoding.") from error
    text = decode_form(text) if is_form else text
    if not text:
        raise RemoteProtocolError("Payload expected.")
    return decode_messages(text)
