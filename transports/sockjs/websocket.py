"""WebSocket, with SockJS's frames and without.

SockJS protocol 0.3.4, "WebSocket protocols" and "Raw WebSocket url".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import anyio
from starlette.types import Receive, Send

from ...engine.errors import RemoteProtocolError
from ...engine.live import Attachment, LiveSockJS
from ...engine.session import CloseReason, Life
from ...engine.wire.message import Message
from ...engine.wire.packet import Packet, PacketType
from ...engine.wire.sockjs import decode_messages, encode_frames
from ..request import subprotocol_of
from ..websocket import is_closed
from .visit import Visit, packets_of

__all__ = ["Carried", "open_websocket", "serve_websocket"]

Carried = tuple[LiveSockJS, Attachment]


async def open_websocket(visit: Visit, receive: Receive, send: Send, *, raw: bool) -> Carried | None:
    """Accept one WebSocket: its session, which is its own, and its receiver; None where the client has left.

    Raises:
        RequestRefused: before it was accepted.
    """
    visit.table.check_room(visit.handshake)
    handshake, identity = await visit.ask(visit.handshake)
    await receive()  # websocket.connect
    session = visit.table.begin("websocket", handshake, raw=raw, identity=identity)
    attachment = session.opening()
    # A browser that offers subprotocols closes a WebSocket on which none of them is chosen.
    subprotocol = subprotocol_of(handshake.scope.get("subprotocols") or ())
    try:
        await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
    except BaseException as error:
        # Nobody has heard of this session.
        session.detach(attachment)
        session.fail(CloseReason.TRANSPORT_ERROR)
        if isinstance(error, OSError):
            return None
        raise
    return session, attachment


async def serve_websocket(session: LiveSockJS, attachment: Attachment, receive: Receive, send: Send) -> None:
    """Serve an accepted WebSocket to its end. All of it stays in memory while it is idle, so it is one coroutine."""
    left = False
    try:
        try:
            with attachment.scope:
                attachment.begin(_writer(send, raw=session.raw))
                while session.life is not Life.CLOSED:
                    message = await receive()
                    if message["type"] == "websocket.disconnect":
                        left = True
                        break
                    try:
                        packets = _packets(session, message.get("text"), message.get("bytes"))
                        message = None
                        await session.receive_at_pace(attachment.carrier, packets)
                    except RemoteProtocolError as error:
                        code = 1009 if isinstance(error, _TooLarge) else 1002
                        session.fail(CloseReason.PARSE_ERROR, message=str(error), close_code=code)
                    packets = None
                else:
                    # The writer says why and ends this. What a peer still sends to a session that is over stays on the
                    # network.
                    await anyio.sleep_forever()
        finally:
            try:
                await attachment.end()
            finally:
                session.detach(attachment)
        if not left:
            with session.host.move_on_after(1):
                await send(_close(session))
    except OSError:
        pass  # The client left while we wrote to it.
    except RuntimeError as error:
        if not is_closed(error):
            raise


def _close(session: LiveSockJS) -> dict[str, Any]:
    if session.ended_with() is CloseReason.PARSE_ERROR:
        return {"type": "websocket.close", "code": session.close_code, "reason": _short(session.end_message)}
    if not session.raw:
        # The frame has said it.
        return {"type": "websocket.close", "code": 1000}
    code, text = session.end
    return {"type": "websocket.close", "code": code, "reason": _short(text)}


def _short(reason: str | None) -> str:
    # RFC 6455, section 5.5.
    return (reason or "").encode()[:123].decode(errors="ignore")


def _writer(send: Send, *, raw: bool) -> Callable[[list[str | Message]], Awaitable[None]]:
    async def write(packets: list[str | Message]) -> None:
        try:
            for message in _messages(packets) if raw else _framed(packets):
                await send({"type": "websocket.send", **message})
        except RuntimeError as error:
            if is_closed(error):
                raise OSError("the server has closed the WebSocket") from error
            raise

    return write


def _framed(packets: Iterable[str | Message]) -> list[Mapping[str, str | bytes]]:
    return [{"text": frame} for frame in encode_frames(packets)]


def _messages(packets: Iterable[str | Message]) -> list[Mapping[str, str | bytes]]:
    data = [packet.data for packet in packets if isinstance(packet, Message)]
    return [{"text" if isinstance(each, str) else "bytes": each} for each in data]


class _TooLarge(RemoteProtocolError):
    """A message has more bytes than the setting ``max_payload`` allows."""


def _packets(session: LiveSockJS, text: str | None, data: bytes | None) -> Iterator[Packet]:
    if text is None:
        size = len(data or b"")
    else:
        size = len(text) if text.isascii() else len(text.encode())
    if size > session.max_payload:
        raise _TooLarge(f"a message has {size} bytes; max_payload is {session.max_payload}")
    if session.raw:
        return iter((Packet(PacketType.MESSAGE, (data or b"") if text is None else text),))
    if text is None:
        raise RemoteProtocolError("SockJS carries text only")
    return packets_of(decode_messages(text) if text else [])
