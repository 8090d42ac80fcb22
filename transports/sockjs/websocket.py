"""WebSocket, with SockJS's frames and without.

SockJS protocol 0.3.4, "WebSocket protocols" and "Raw WebSocket url".
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

from starlette.types import Receive, Send

from ...engine.errors import RemoteProtocolError
from ...engine.live import Attachment, LiveSockJS
from ...engine.session import CloseReason
from ...engine.wire.message import Message
from ...engine.wire.packet import Packet, PacketType
from ...engine.wire.sockjs import decode_messages, encode_frames
from ..websocket import Speech, TooLarge, carry, check_size
from .visit import Visit, packets_of

__all__ = ["Carried", "open_websocket", "serve_websocket"]

Carried = tuple[LiveSockJS, Attachment]


async def open_websocket(
    visit: Visit, receive: Receive, send: Send, *, raw: bool, subprotocol: str | None
) -> Carried | None:
    """Accept one WebSocket: its session, which is its own, and its receiver; None where the client has left.

    Raises:
        RequestRefused: before it was accepted.
    """
    visit.table.check_room(visit.handshake)
    handshake, identity = await visit.ask(visit.handshake)
    await receive()  # websocket.connect
    session = visit.table.begin("websocket", handshake, raw=raw, identity=identity)
    attachment = session.opening()
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


def serve_websocket(
    session: LiveSockJS, attachment: Attachment, receive: Receive, send: Send
) -> Coroutine[Any, Any, None]:
    """Serve an accepted WebSocket to its end."""
    return carry(_Speech(session, send), attachment, receive, send)


class _Speech(Speech):
    """SockJS's, or none."""

    __slots__ = ("_sockjs",)

    def __init__(self, session: LiveSockJS, send: Send) -> None:
        super().__init__(session, send)
        self._sockjs = session

    def frames(self, packets: list[str | Message]) -> Iterable[str | bytes]:
        if self._sockjs.raw:
            return [packet.data for packet in packets if isinstance(packet, Message)]
        return encode_frames(packets)

    def packets(self, message: str | bytes) -> Iterator[Packet]:
        check_size(self._sockjs, message)
        if self._sockjs.raw:
            return iter(((PacketType.MESSAGE, message),))
        if isinstance(message, bytes):
            raise RemoteProtocolError("SockJS carries text only")
        return packets_of(decode_messages(message) if message else [])

    def refused(self, error: RemoteProtocolError) -> int | None:
        code = 1009 if isinstance(error, TooLarge) else 1002
        self._sockjs.fail(CloseReason.PARSE_ERROR, message=str(error), close_code=code)
        return None

    def closing(self, code: int | None) -> tuple[int, str | None]:
        session = self._sockjs
        if session.ended_with() is CloseReason.PARSE_ERROR:
            return session.close_code, _short(session.end_message)
        if not session.raw:
            # The frame has said it.
            return 1000, None
        number, text = session.end
        return number, _short(text)


def _short(reason: str | None) -> str:
    # RFC 6455, section 5.5.
    return (reason or "").encode()[:123].decode(errors="ignore")
