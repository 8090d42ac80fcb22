"""WebSocket: one carrier for both directions.

Engine.IO 4, "WebSocket" and "Upgrade"; docs/protocol.md, sections 5 and 7.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

import anyio
from starlette.types import Message, Receive, Send

from ..engine.errors import (
    ErrorCode,
    MissingMessages,
    RemoteProtocolError,
    RequestRefused,
    StaleAttach,
)
from ..engine.host import Timer
from ..engine.live import OVERTAKING, Arrival, Attachment, Handshake, LiveSession
from ..engine.server import SessionTable
from ..engine.session import Carrier, CloseReason, Life, Verdict, admit_plain
from ..engine.wire.handshake import Closing, decode_attach, encode_closing
from ..engine.wire.message import Message as SessionMessage
from ..engine.wire.packet import Packet, PacketType, decode_packet, decode_ping
from ..engine.wire.payload import decode_payload, encode_frames
from .http import encode_headers, opening_headers
from .request import Request

__all__ = [
    "Speech",
    "TooLarge",
    "carry",
    "check_size",
    "end_code",
    "is_closed",
    "packets_of",
    "serve_carrier",
    "serve_websocket",
    "take_message",
]

# An attach has a key and two numbers.
_MOST_ATTACH = 4_096

_NOT_COMPLETED = {"type": "websocket.close", "code": 1002, "reason": "the upgrade was not completed"}
_CROWDED_OUT = {"type": "websocket.close", "code": 1008, "reason": "too many carriers (setting max_carriers)"}
_RESTART = 1012
_CLOSED = Life.CLOSED
_REPLACED = 4000 + ErrorCode.ATTACH_OUT_OF_DATE


class _Gone(Exception):
    """The client has left."""


async def serve_websocket(
    table: SessionTable, request: Request, receive: Receive, send: Send
) -> tuple[LiveSession, Attachment] | None:
    """Serve a WebSocket until it carries a session: what `serve_carrier` goes on with. None if it does not.

    Raises:
        RequestRefused, RemoteProtocolError: before the WebSocket was accepted.
    """
    await receive()  # websocket.connect
    try:
        if request.sid is None:
            session = request.open(table)
            attachment = session.opening()
            try:
                await _accept(send, request, opening_headers({}, table.settings, session.sid))
            except BaseException:
                # Nobody has heard of this session.
                session.detach(attachment)
                session.fail(CloseReason.TRANSPORT_ERROR)
                raise
            return session, attachment
        if request.counting:
            await _accept(send, request, {})
            return await _join(table, request.sid, request.handshake, receive, send)
        session = await table.recognise(request.sid, request.handshake, transport="websocket")
        if not table.settings.allow_upgrades:
            message = "Bad request: this server takes no upgrades (setting allow_upgrades)"
            raise RequestRefused(ErrorCode.BAD_REQUEST, message)
        await _accept(send, request, {})
        return await _upgrade(table, session, receive, send)
    except (_Gone, OSError):
        pass  # The client left, or did so while we wrote to it.
    except RuntimeError as error:
        if not is_closed(error):
            raise
    return None


def is_closed(error: RuntimeError) -> bool:
    """Whether a send failed because the server has closed the WebSocket by itself, for a broken frame.

    uvicorn then says that it was us who closed it.
    """
    return "after sending 'websocket.close'" in str(error)


async def _accept(send: Send, request: Request, headers: Mapping[str, str]) -> None:
    # A browser that offers subprotocols closes a WebSocket on which none of them is chosen.
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": request.subprotocol,
            "headers": encode_headers(headers),
        }
    )


def _admit(session: LiveSession) -> None:
    if admit_plain("websocket", transport=session.transport, busy=False) is not Verdict.ADMIT:
        raise RequestRefused(ErrorCode.BAD_REQUEST, "Bad request: the session goes by WebSocket already")


async def _receive_message(receive: Receive) -> dict[str, Any]:
    message = await receive()
    if message["type"] == "websocket.disconnect":
        raise _Gone
    return dict(message)


async def _join(
    table: SessionTable, sid: str, handshake: Handshake, receive: Receive, send: Send
) -> tuple[LiveSession, Attachment] | None:
    """A counting peer's WebSocket: not a carrier until its attach arrives."""
    code, closing = ErrorCode.BAD_REQUEST, Closing(message="no attach came in time")
    joined: tuple[LiveSession, Attachment] | None = None
    timer: Timer | None = None
    try:
        if not table.knows(sid):
            # Not refused before it was accepted: a page could not tell that from a network that lets none through.
            raise table.unknown(sid, None)
        session = table.sessions.get(sid)
        with Arrival().alone() if session is None else session.arriving() as arrival:
            timer = table.host.call_later(table.settings.upgrade_timeout, arrival.scope.cancel)
            while joined is None:
                text = (await _receive_message(receive)).get("text") or ""
                if len(text) > _MOST_ATTACH:
                    await send({"type": "websocket.close", "code": 1009, "reason": "too long for an attach"})
                    return None
                kind, data = decode_packet(text, counting=True)
                if kind is PacketType.PING:
                    await send({"type": "websocket.send", "text": f"3{decode_ping(data)}"})
                    continue
                if kind is not PacketType.ATTACH:
                    raise RemoteProtocolError("a WebSocket of a session begins with an attach")
                joined = await _attach(table, sid, handshake, data)
        if arrival.crowded_out:
            await send(_CROWDED_OUT)
            return None
    except (RemoteProtocolError, RequestRefused) as error:
        table.counters.refuse(error)
        code = error.code
        closing = Closing(code=int(code), message=str(error), received=getattr(error, "received", None))
    if timer is not None:
        timer.cancel()
    if joined is not None:
        return joined
    with table.host.move_on_after(1):
        if closing.code is not None and code is not ErrorCode.ATTACH_OUT_OF_DATE:
            await send({"type": "websocket.send", "text": f"1{encode_closing(closing)}"})
        await send({"type": "websocket.close", "code": 4000 + code, "reason": (closing.message or "")[:100]})
    return None


async def _attach(
    table: SessionTable, sid: str, handshake: Handshake, data: str | bytes
) -> tuple[LiveSession, Attachment]:
    attach = decode_attach(data)
    if attach.carrier is None:
        raise RemoteProtocolError("an attach that writes needs a carrier number")
    session = await table.recognise(sid, handshake, key=attach.key, transport="websocket")
    return session, session.attach("websocket", number=attach.carrier, received=attach.received)


async def _upgrade(
    table: SessionTable, session: LiveSession, receive: Receive, send: Send
) -> tuple[LiveSession, Attachment] | None:
    """A plain peer's WebSocket beside its polling (Engine.IO 4, "Upgrade").

    Until the upgrade packet arrives this socket is not a carrier: the session has not heard of it, and a failed probe
    leaves no trace.
    """
    attachment: Attachment | None = None
    close: dict[str, Any] = _NOT_COMPLETED
    try:
        _admit(session)
        with session.arriving() as arrival:
            timer = table.host.call_later(table.settings.upgrade_timeout, arrival.scope.cancel)
            try:
                attachment = await _probe(session, arrival, receive, send)
            finally:
                timer.cancel()
        if arrival.crowded_out:
            close = _CROWDED_OUT
    except RequestRefused:
        # A WebSocket carries this session already; this one is closed and nothing else. That one may still be on its
        # way to hear what it was told first.
        with table.host.move_on_after(OVERTAKING):
            while True:
                await _receive_message(receive)
    if attachment is not None:
        return session, attachment
    await send(close)
    return None


async def _probe(session: LiveSession, arrival: Arrival, receive: Receive, send: Send) -> Attachment | None:
    if (await _receive_message(receive)).get("text") != "2probe":
        return None
    await send({"type": "websocket.send", "text": "3probe"})
    session.prove(arrival)
    if (await _receive_message(receive)).get("text") != "5" or not session.is_open:
        return None
    _admit(session)
    return session.upgrade(arrival)


class Speech:
    """How a WebSocket that carries a session speaks: what it writes, reads and is closed with. Another protocol's is a
    subclass."""

    __slots__ = ("_send", "session")

    def __init__(self, session: LiveSession, send: Send) -> None:
        self.session = session
        self._send = send

    async def write(self, packets: list[str | SessionMessage]) -> None:
        """Write what a session has to say.

        Raises:
            OSError: the client has left.
        """
        send = self._send
        try:
            for frame in self.frames(packets):
                if isinstance(frame, str):
                    await send({"type": "websocket.send", "text": frame})
                else:
                    await send({"type": "websocket.send", "bytes": frame})
        except RuntimeError as error:
            raise _gone(error) from None

    async def write_messages(self, messages: Sequence[SessionMessage]) -> None:
        """Write messages to a plain peer.

        Raises:
            OSError: the client has left.
        """
        send = self._send
        try:
            for message in messages:
                data = message.data
                if isinstance(data, str):
                    await send({"type": "websocket.send", "text": "4" + data})
                else:
                    await send({"type": "websocket.send", "bytes": data})
        except RuntimeError as error:
            raise _gone(error) from None

    async def write_text(self, text: str) -> None:
        """Write the text of a message to a plain peer.

        Raises:
            OSError: the client has left.
        """
        try:
            await self._send({"type": "websocket.send", "text": "4" + text})
        except RuntimeError as error:
            raise _gone(error) from None

    def frames(self, packets: list[str | SessionMessage]) -> Iterable[str | bytes]:
        """The WebSocket messages that carry them."""
        return encode_frames(packets, counting=self.session.counting)

    def packets(self, message: str | bytes) -> Iterator[Packet]:
        """What a WebSocket message brings.

        Raises:
            RemoteProtocolError: at once, or where they are taken from it.
        """
        return packets_of(self.session, message)

    def take(self, carrier: Carrier, message: str | bytes) -> Iterator[Packet] | None:
        """Hand on what a WebSocket message brings.

        Returns:
            What is left where something has to be waited for, for `LiveSession.receive_rest`.

        Raises:
            RemoteProtocolError: as `packets`; or of what they bring.
        """
        packets = self.packets(message)
        return None if self.session.receive_now(carrier, packets) else packets

    def refused(self, error: RemoteProtocolError) -> int | None:
        """What came is wrong, and the session has ended with it; or the WebSocket alone has to, with the code that is
        returned. A session that has ended may name the code too."""
        if isinstance(error, MissingMessages | StaleAttach):
            return 4000 + error.code
        self.session.fail(CloseReason.PARSE_ERROR, code=int(error.code), message=str(error))
        return 1009 if isinstance(error, TooLarge) else None

    def closing(self, code: int | None) -> tuple[int, str | None]:
        """The code to close with, and why; ``code`` as `refused` has returned it."""
        session = self.session
        message = session.end_message
        return end_code(session) if code is None else code, message and message[:100]


def _gone(error: RuntimeError) -> Exception:
    return OSError("the server has closed the WebSocket") if is_closed(error) else error


class _EngineSpeech(Speech):
    """Engine.IO's."""

    __slots__ = ()

    def take(self, carrier: Carrier, message: str | bytes) -> Iterator[Packet] | None:
        return take_message(self.session, carrier, message)


def serve_carrier(
    session: LiveSession, attachment: Attachment, receive: Receive, send: Send
) -> Coroutine[Any, Any, None]:
    """Serve a WebSocket that carries a session, to its end."""
    return carry(_EngineSpeech(session, send), attachment, receive, send)


async def carry(speech: Speech, attachment: Attachment, receive: Receive, send: Send) -> None:
    """Serve an accepted WebSocket that carries a session, to its end.

    All of it stays in memory for as long as the WebSocket is there, and of idle ones there are many: so this is one
    coroutine, and keeps nothing while it waits.
    """
    session = speech.session
    code: int | None = None
    message: Message | None = None
    try:
        try:
            async with attachment.serving():
                attachment.begin(speech.write, through=speech.write_messages, answer=speech.write_text)
                while session.life is not _CLOSED:
                    message = await receive()
                    if message["type"] == "websocket.disconnect":
                        # By the client: there is nobody to close it for.
                        code = 0
                        break
                    try:
                        text: str | None = message.get("text")
                        packets = speech.take(attachment.carrier, message["bytes"] if text is None else text)
                        message = text = None
                        if packets is not None:
                            await session.receive_rest(attachment.carrier, packets)
                    except RemoteProtocolError as error:
                        code = speech.refused(error)
                        if code is not None and session.ended_with() is None:
                            break
                    packets = None
                    if attachment.is_cut:
                        # Told once: before Python 3.12 a wait_for of a middleware around `receive` may swallow it.
                        break
                else:
                    # The writer says why and ends this. What a peer still sends to a session that is over stays on the
                    # network.
                    await anyio.sleep_forever()
        finally:
            try:
                await attachment.end()
            finally:
                session.detach(attachment)
        if code != 0:
            number, reason = speech.closing(code)
            close: dict[str, Any] = {"type": "websocket.close", "code": number}
            if reason is not None:
                close["reason"] = reason
            with session.host.move_on_after(1):
                await send(close)
    except OSError:
        pass  # The client left while we wrote to it.
    except RuntimeError as error:
        if not is_closed(error):
            raise


class TooLarge(RemoteProtocolError):
    """A WebSocket message is longer than ``maxPayload``."""


def check_size(session: LiveSession, message: str | bytes) -> None:
    """Let in a WebSocket message of at most ``maxPayload`` bytes.

    Raises:
        TooLarge: it has more.
    """
    size = len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
    if size > session.max_payload:
        raise TooLarge(f"a message has {size} bytes; maxPayload is {session.max_payload}")


def packets_of(session: LiveSession, message: str | bytes) -> Iterator[Packet]:
    """What a WebSocket message brings.

    Raises:
        RemoteProtocolError: at once, or where they are taken from it.
    """
    check_size(session, message)
    if isinstance(message, bytes):
        return iter(((PacketType.MESSAGE, message),))
    if session.counting:
        return decode_payload(message, counting=True)
    return iter((decode_packet(message, counting=False),))


def take_message(session: LiveSession, carrier: Carrier, message: str | bytes) -> Iterator[Packet] | None:
    """`Speech.take` of Engine.IO."""
    if message[:1] == "4" and not session.counting:
        # What most are.
        if len(message) > session.max_payload or not message.isascii():
            check_size(session, message)
        return None if session.receive_message(message[1:]) else iter(())
    packets = packets_of(session, message)
    return None if session.receive_now(carrier, packets) else packets


def end_code(session: LiveSession) -> int:
    if session.life is not Life.CLOSED:
        return _REPLACED
    # Codes of our own are for those who know them; a standard client gets "protocol error" from the RFC.
    if session.end_code is not None and session.counting:
        return 4000 + session.end_code
    if session.ended_with() is CloseReason.SERVER_SHUTTING_DOWN:
        return _RESTART
    if session.ended_with() is CloseReason.BUFFER_FULL:
        return 4000 + ErrorCode.SESSION_UNKNOWN if session.counting else 1008
    return session.close_code
