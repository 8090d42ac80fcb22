"""One WebSocket, from its handshake to its end, without a task while it carries a session.

RFC 6455; what is said on it is transports/websocket.py's, up to the moment when it carries a session: until then it is
an ASGI server's `receive` and `send`. From then on what arrives goes to the session, and what the session has to say is
written, on the event loop's own calls.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections import deque
from collections.abc import Iterator, MutableSet, Sequence
from typing import Any

from starlette.types import Message, Scope

from ...engine.errors import MissingMessages, RemoteProtocolError, StaleAttach
from ...engine.host import Timer
from ...engine.live import Attachment, Incoming, LiveSession
from ...engine.session import CloseReason, Life
from ...engine.wire.message import Message as SessionMessage
from ...engine.wire.message import encode_frame
from ...engine.wire.payload import encode_frames
from ..endpoint import Endpoint
from ..websocket import end_code, packets_of, take_message
from .frames import (
    CLOSE,
    PING,
    PONG,
    FrameError,
    FrameReader,
    decode_close,
    encode_close,
    encode_control,
)
from .response import encode_head

__all__ = ["FastWebSocket", "accept_key"]

logger = logging.getLogger("holdfast.fast")

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# How long a client has to answer our close frame.
_CLOSE_SECONDS = 5.0
# How many messages may wait before it carries a session; besides, what one read has brought.
_MOST_WAITING = 4
# So many pings of one read are answered each; of more, the last is (RFC 6455, section 5.5.3).
_MOST_PONGS = 16
# After so many bytes others have their turn. uvloop comes with up to 32 reads of one connection, and one may be 40,000
# frames.
_LARGE = 65_536
_CLOSED = Life.CLOSED


def accept_key(key: bytes) -> bytes:
    """The answer to a handshake's key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


class FastWebSocket(asyncio.Protocol):
    """See the module.

    Args:
        headers: What the server says in each answer.
        connections: The server's; it ends them when it goes away.
    """

    __slots__ = (
        "_accepted",
        "_ahead",
        "_attachment",
        "_close_sent",
        "_connections",
        "_endpoint",
        "_events",
        "_headers",
        "_is_gone",
        "_is_held",
        "_is_paused",
        "_key",
        "_last",
        "_reader",
        "_refusal",
        "_session",
        "_timer",
        "_transport",
        "_waiter",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        transport: asyncio.Transport,
        key: bytes,
        headers: list[tuple[bytes, bytes]],
        connections: MutableSet[Any],
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._key = key
        self._headers = headers
        self._connections = connections
        self._reader = FrameReader(endpoint.table.settings.max_payload)
        # What has arrived and is not taken yet.
        self._events: deque[Message] | None = deque([{"type": "websocket.connect"}])
        self._waiter: asyncio.Future[None] | None = None
        self._session: LiveSession | None = None
        self._attachment: Attachment | None = None
        self._accepted = False
        self._refusal: Message | None = None
        self._close_sent = False
        self._timer: Timer | None = None
        # The client, or the connection, is gone.
        self._is_gone = False
        # Nothing can be written for the moment; nothing is to be taken for the moment.
        self._is_paused = False
        self._is_held = False
        self._ahead: list[str | bytes] | None = None
        # The end of it, if that has come while something is held.
        self._last: bytes | FrameError | None = None
        connections.add(self)

    # -- as an ASGI server

    async def serve(self, scope: Scope) -> None:
        """Let the endpoint answer the handshake."""
        try:
            carried = await self._endpoint.answer(scope, self._receive, self._send)
        except Exception:
            logger.exception("a WebSocket's handshake failed")
            carried = None
        except BaseException:
            self._close(1011, "")
            self._shut()
            raise
        if carried is not None:
            self._carry(*carried)
        elif not self._close_sent:
            self._close(1011 if self._accepted else 1000, "")

    async def _receive(self) -> Message:
        while not self._events:
            if self._is_gone:
                return {"type": "websocket.disconnect", "code": 1006}
            await self._wait()
        event = self._events.popleft()
        if not self._events:
            self._read_on()
        return event

    def _read_on(self) -> None:
        if not self._is_gone and not self._is_held:
            self._transport.resume_reading()

    async def _wait(self) -> None:
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._is_gone:
            raise OSError("the client has left")
        if kind == "websocket.send":
            text = message.get("text")
            self._transport.write(encode_frame(message["bytes"] if text is None else text))
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._close(message["code"], message.get("reason") or "")
        elif kind == "websocket.http.response.start":
            self._refusal = message
        else:
            refusal = self._refusal
            assert refusal is not None
            self._refuse(refusal["status"], refusal["headers"], message["body"])
        while self._is_paused and not self._is_gone:
            await self._wait()

    def _accept(self, message: Message) -> None:
        headers = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-accept", accept_key(self._key)),
            *message["headers"],
        ]
        if message.get("subprotocol"):
            headers.append((b"sec-websocket-protocol", message["subprotocol"].encode("latin-1")))
        self._accepted = True
        self._transport.write(encode_head(101, [*self._headers, *headers]))

    def _refuse(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._close_sent = True
        self._transport.write(
            encode_head(status, [*self._headers, *headers, (b"connection", b"close")]) + body
        )
        self._shut()

    def _shut(self) -> None:
        """Close the connection; cut it, if what is written last is not taken."""
        if self._timer is None:
            self._timer = self._endpoint.table.host.call_later(_CLOSE_SECONDS, self._transport.abort)
        self._transport.close()

    def _close(self, code: int, reason: str) -> None:
        if self._close_sent or self._is_gone:
            return
        if not self._accepted:
            self._refuse(403, [(b"content-length", b"0")], b"")
            return
        self._close_sent = True
        self._transport.write(encode_close(code, reason))
        if self._timer is None:
            self._timer = self._endpoint.table.host.call_later(_CLOSE_SECONDS, self._transport.abort)

    # -- while it carries a session

    def _carry(self, session: LiveSession, attachment: Attachment) -> None:
        self._session, self._attachment = session, attachment
        events, self._events = self._events, None
        attachment.begin_direct(self, self.write, self.answer)
        attachment.busy = self._is_paused or self._is_gone
        self.flush()
        self._read_on()
        waiting = [event for event in events or () if event["type"] == "websocket.receive"]
        self._take([event["text"] if "text" in event else event["bytes"] for event in waiting])
        if self._is_gone:
            self._gone()

    def flush(self) -> None:
        """Write what there is to be written."""
        attachment, session = self._attachment, self._session
        if attachment is None or session is None:
            return
        if not self._is_paused and not self._close_sent and not self._is_gone:
            packets = attachment.take()
            if packets:
                self._transport.write(_encode(packets, counting=session.counting))
        # One that is replaced is read on, for a while.
        if session.life is _CLOSED:
            self._end(None)

    def write(self, messages: Sequence[SessionMessage]) -> None:
        """Write what does not go through the session's buffer."""
        for message in messages:
            self._transport.write(message.frame())

    def answer(self, text: str, task: object) -> None:
        """`write` a message of one text."""
        self._transport.write(encode_frame("4" + text))

    def cut(self) -> None:
        """Nothing more is to be written, nor taken."""
        self._end(None)

    def _end(self, code: int | None) -> None:
        """It carries nothing any more.

        Args:
            code: To close with; 0 if there is nobody to close it for, None for what the session has to say.
        """
        attachment, session = self._attachment, self._session
        if attachment is None or session is None:
            return
        self._attachment = self._session = None
        attachment.end_direct()
        if code != 0:
            self._close(end_code(session) if code is None else code, session.end_message or "")
        session.detach(attachment)

    def _take(self, messages: Sequence[str | bytes]) -> None:
        """What has arrived together is taken together."""
        session, attachment = self._session, self._attachment
        if session is None or attachment is None or not messages:
            return
        if self._is_held:
            self._ahead = [*(self._ahead or ()), *messages]
            return
        try:
            packets: Iterator[Incoming] | None
            if len(messages) == 1:
                packets = take_message(session, attachment.carrier, messages[0])
            else:
                packets = _packets(session, messages)
                if session.receive_now(attachment.carrier, packets):
                    packets = None
            if packets is not None:
                self._is_held = True
                self._transport.pause_reading()
                session.host.spawn_aside(self._go_on, session, attachment, packets)
        except RemoteProtocolError as error:
            self._fail(session, error)

    def _fail(self, session: LiveSession, error: RemoteProtocolError) -> None:
        if isinstance(error, MissingMessages | StaleAttach):
            self._end(4000 + error.code)
            return
        session.fail(CloseReason.PARSE_ERROR, code=int(error.code), message=str(error))

    async def _go_on(self, session: LiveSession, attachment: Attachment, packets: Iterator[Incoming]) -> None:
        """Take the rest at the pace of the application."""
        try:
            await session.receive_rest(attachment.carrier, packets)
        except RemoteProtocolError as error:
            self._fail(session, error)
        finally:
            self._is_held = False
        ahead, self._ahead = self._ahead, None
        self._take(ahead or ())
        if self._is_held:
            return
        if self._is_gone:
            self._gone()
            return
        last, self._last = self._last, None
        if isinstance(last, FrameError):
            self._broken(last)
        elif last is not None:
            self._closed(last)
        else:
            self._read_on()

    # -- what the event loop calls

    def data_received(self, data: bytes) -> None:
        if self._last is not None:
            return
        try:
            messages = self._reader.feed(data)
        except FrameError as error:
            self._arrived(error.before)
            self._broken(error)
            return
        self._arrived(messages)
        if len(data) >= _LARGE and self._session is not None and not self._is_held:
            self._transport.pause_reading()
            self._session.host.soon(self._read_on)

    def _arrived(self, messages: list[str | bytes]) -> None:
        if self._session is not None:
            self._session.others_had_their_turn()
        elif messages and self._events is not None and not self._close_sent:
            for message in messages:
                key = "text" if isinstance(message, str) else "bytes"
                self._events.append({"type": "websocket.receive", key: message})
            if len(self._events) > _MOST_WAITING:
                self._transport.pause_reading()
            self._wake()
        controls = self._reader.controls
        if controls:
            self._answer_pings([payload for opcode, payload in controls if opcode == PING])
        self._take(messages)
        if controls and controls[-1][0] == CLOSE:
            self._closed(controls[-1][1])

    def _answer_pings(self, pongs: list[bytes]) -> None:
        if pongs and not self._is_paused and not self._close_sent:
            pongs[_MOST_PONGS - 1 : -1] = []
            self._transport.write(b"".join([encode_control(PONG, payload) for payload in pongs]))

    def _closed(self, payload: bytes) -> None:
        """The client says good-bye."""
        if self._is_held:
            # After all that it has said before.
            self._last = payload
            return
        try:
            code = decode_close(payload)
        except FrameError as error:
            self._broken(error)
            return
        if not self._close_sent and not self._is_gone:
            self._close_sent = True
            self._transport.write(encode_close(code, ""))
        self._gone()
        self._shut()

    def _broken(self, error: FrameError) -> None:
        if self._is_held:
            self._last = error
            return
        session = self._session
        if session is not None:
            if not session.counting or error.code == 1009:
                session.fail(CloseReason.PARSE_ERROR, message=error.reason)
            self._end(error.code)
        self._close(error.code, error.reason)
        self._gone()
        self._shut()

    def _gone(self) -> None:
        self._is_gone = True
        if self._is_held:
            # What came before counts first.
            if self._attachment is not None:
                self._attachment.busy = True
        else:
            self._end(0)
        self._wake()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._gone()

    def pause_writing(self) -> None:
        self._is_paused = True
        if self._attachment is not None:
            self._attachment.busy = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._wake()
        if self._attachment is not None and not self._is_gone:
            self._attachment.busy = False
            self.flush()

    def shutdown(self) -> None:
        """The server goes away."""
        self._end(1012)
        self._close(1012, "")
        self._shut()


def _packets(session: LiveSession, messages: Sequence[str | bytes]) -> Iterator[Incoming]:
    is_plain = not session.counting
    for message in messages:
        if is_plain and isinstance(message, str) and message[:1] == "4":
            # What most are; their size is known since they were read.
            yield message[1:]
        else:
            yield from packets_of(session, message)


def _encode(packets: list[str | SessionMessage], *, counting: bool) -> bytes:
    if counting:
        return b"".join([encode_frame(frame) for frame in encode_frames(packets, counting=True)])
    if len(packets) == 1:
        packet = packets[0]
        return encode_frame(packet) if isinstance(packet, str) else packet.frame()
    return b"".join([encode_frame(each) if isinstance(each, str) else each.frame() for each in packets])
