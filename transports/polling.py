"""Long-polling: a GET that is held until there is something to say, and POSTs that bring.

Engine.IO 4, "HTTP long-polling"; docs/protocol.md, section 5.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from ..engine.errors import ErrorCode, RemoteProtocolError, RequestRefused, StaleAttach
from ..engine.hands import Begun, begun, begun_action
from ..engine.live import OVERTAKING, Attachment, LiveSession
from ..engine.server import SessionTable
from ..engine.session import Carrier, CloseReason, Verdict, admit_plain
from ..engine.settings import Settings
from ..engine.wire.handshake import Attach, decode_attach
from ..engine.wire.message import SEPARATOR
from ..engine.wire.packet import Packet, PacketType
from ..engine.wire.payload import decode_payload_bytes, encode_payload
from .http import (
    HTML,
    PIECE,
    TEXT,
    Patience,
    disconnected,
    opening_headers,
    read_body,
    send_nothing,
    send_response,
)
from .request import Request

__all__ = [
    "TEXT",
    "answer_poll",
    "go_on_polling",
    "go_on_posting",
    "hold_poll",
    "seconds_to_hold",
    "send_answer",
    "serve_poll",
    "serve_post",
    "take_answer",
    "take_body",
]

_MESSAGE = PacketType.MESSAGE.value.encode()
_SEPARATOR = SEPARATOR.encode()


async def serve_poll(
    table: SessionTable, request: Request, receive: Receive, send: Send, headers: Mapping[str, str]
) -> Coroutine[Any, Any, None] | None:
    """Answer one GET; or hand back what waits until there is something to answer it with, which may take long.

    Raises:
        RequestRefused, RemoteProtocolError: before anything was answered.
    """
    settings = table.settings
    if request.sid is None:
        session = request.open(table)
        headers = opening_headers(headers, settings, session.sid)
        await answer_poll(session, session.opening(), send, headers, settings=settings)
        return None
    attach: Attach | None = None
    if request.counting:
        attach = request.attach()
        session = await request.session(table, key=attach.key, transport="polling")
    elif table.farewell(request.sid):
        await send_response(send, PacketType.NOOP.value.encode(), headers=headers, content_type=TEXT)
        return None
    else:
        session = await request.session(table, transport="polling")
    return go_on_polling(session, attach, receive, send, headers, settings)


async def go_on_polling(
    session: LiveSession,
    attach: Attach | None,
    receive: Receive,
    send: Send,
    headers: Mapping[str, str],
    settings: Settings,
) -> None:
    """Answer a poll of a session that is there, when there is something to answer it with.

    Args:
        attach: A counting peer's.

    Raises:
        RequestRefused, RemoteProtocolError: before anything was answered.
    """
    hold: float | None = None
    upgrading = False
    if attach is not None:
        attachment = session.attach("polling", number=_number(attach.carrier), received=attach.received)
        hold = seconds_to_hold(attach, settings)
    else:
        if session.transport != "polling":
            await _refuse_late(session)
        _admit("poll", session, busy=session.attached)
        attachment = session.attach("polling")
        upgrading = session.is_upgrading
        if session.has_probe:
            # Its client waits for the poll in flight before it goes on.
            hold = OVERTAKING
    if not session.has_packets(attachment):
        if not await hold_poll(session, attachment, receive, hold):
            await send_nothing(send)
            return
        if upgrading and session.transport != "polling":
            # A client ends its polling before it upgrades, so this poll was overtaken on its way here.
            session.detach(attachment)
            await _refuse_late(session)
    await answer_poll(session, attachment, send, headers, settings=settings)


async def _refuse_late(session: LiveSession) -> None:
    """Refuse a poll of a session that goes by WebSocket, behind what its client was told there before."""
    await session.host.sleep(OVERTAKING)
    raise RequestRefused(ErrorCode.BAD_REQUEST, "Bad request: the session goes by WebSocket")


def _number(carrier: int | None) -> int:
    if carrier is None:
        raise RemoteProtocolError("an attach that writes needs a carrier number")
    return carrier


def _admit(what: str, session: LiveSession, *, busy: bool) -> None:
    verdict = admit_plain(what, transport=session.transport, busy=busy)
    if verdict is Verdict.ADMIT:
        return
    if verdict is Verdict.CLOSE:
        session.fail(CloseReason.TRANSPORT_ERROR)
    raise RequestRefused(
        ErrorCode.BAD_REQUEST, f"Bad request: a {what} while the session has one or goes by WebSocket"
    )


async def hold_poll(
    session: LiveSession, attachment: Attachment, receive: Receive, hold: float | None = None
) -> bool:
    """Wait until the poll can be answered; False when the client has left, and the poll is detached."""
    present = False
    timer = None if hold is None else session.host.call_later(hold, attachment.ring)
    try:
        # One that is cut, because its session has ended, gets an answer too.
        present = await attachment.wait_unless(partial(disconnected, receive, attachment.ring))
    finally:
        if timer is not None:
            timer.cancel()
        if not present:
            session.detach(attachment)
    return present


def seconds_to_hold(attach: Attach, settings: Settings) -> float:
    """For how long at most a counting peer's poll is held."""
    hold = settings.counting_ping_interval
    return hold if attach.wait_ms is None else min(hold, attach.wait_ms / 1000)


def take_answer(session: LiveSession, attachment: Attachment) -> tuple[bytes, bool]:
    """What a poll is answered with now, and whether nothing is lost with it."""
    if session.counting:
        idle = not session.has_packets(attachment)
        packets = attachment.take(session.max_payload)
    else:
        packets = attachment.take(session.max_payload)
        idle = not packets
    if idle:
        packets.append(PacketType.NOOP.value)
    return encode_payload(packets, counting=session.counting).encode(), idle


async def answer_poll(
    session: LiveSession,
    attachment: Attachment,
    send: Send,
    headers: Mapping[str, str],
    *,
    settings: Settings,
) -> None:
    """Answer with what there is; the poll's carrier ends with it."""
    body, idle = take_answer(session, attachment)
    patience = settings.ping_interval + settings.ping_timeout
    if session.counting:
        patience = settings.counting_ping_interval + settings.counting_ping_timeout
    await send_answer(
        session, attachment, send, body, headers=headers, content_type=TEXT, patience=patience, idle=idle
    )


async def send_answer(
    session: LiveSession,
    attachment: Attachment,
    send: Send,
    body: bytes,
    *,
    headers: Mapping[str, str],
    content_type: str,
    patience: float,
    idle: bool,
) -> None:
    """Send what was taken for a poll.

    Args:
        patience: For how many seconds its client may take nothing of it.
        idle: Whether nothing is lost with it.
    """
    # Before it is sent: `send` may return long after the bytes are out, and the client polls again as soon as it has
    # them. Of a plain peer that would be a second poll while the session has one.
    session.poll_answered(attachment)
    sent = False
    try:
        rest: Awaitable[None] | None = None
        if len(body) <= PIECE and session.host.hands is not None:
            # Most of what is sent does not wait.
            rest = begun_action(send_response(send, body, headers=headers, content_type=content_type))
            sent = rest is None
        if not sent:
            # No heartbeat watches a poll. What a client takes of it is its sign of life.
            watch = Patience(session.host, patience)
            attachment.waits_in(watch)
            sent = await watch.run(
                lambda: (
                    rest
                    or send_response(
                        send, body, headers=headers, content_type=content_type, sign_of_life=watch.renew
                    )
                )
            )
    except OSError:
        pass  # The client left while it was answered; what it did not get is its next poll's.
    finally:
        if sent or (attachment.fenced and attachment.is_cut) or (idle and session.attached):
            # A client that has polled again has got this answer, even if whoever passes it on does not say so; and a
            # noop that did not arrive is no loss to one that has upgraded meanwhile.
            session.detach(attachment)
        else:
            session.answer_lost(attachment)


async def serve_post(
    table: SessionTable, request: Request, receive: Receive, send: Send, headers: Mapping[str, str]
) -> None:
    """Take one POST.

    Raises:
        RequestRefused, RemoteProtocolError: before anything was answered.
    """
    settings = table.settings
    try:
        with table.bodies.one() as count:
            read = partial(
                read_body,
                receive,
                request.head,
                limit=settings.max_payload,
                timeout=settings.body_timeout,
                count=count,
            )
            if request.counting:
                answer = await _post_counting(table, request, read)
            else:
                answer = await _post_plain(await request.session(table), read)
    except ClientDisconnect:
        await send_nothing(send)
        return
    await send_response(send, answer.encode(), headers=headers, content_type=HTML)


async def go_on_posting(
    table: SessionTable, session: LiveSession, receive: Receive, send: Send, headers: Mapping[str, str]
) -> Receive | None:
    """Take a POST of a session that is there, if all of it is there, too, no more than may be, and no other under way.

    Returns:
        None if it is answered; what receives it from its beginning if it is not.

    Raises:
        RequestRefused, RemoteProtocolError: before anything was answered.
    """
    if session.host.hands is None or session.is_posting:
        return receive
    rest, message = begun(receive())
    body: bytes = b"" if message is None else message.get("body", b"")
    if (
        message is None
        or message["type"] != "http.request"
        or message.get("more_body", False)
        or len(body) > session.max_payload
        or not table.bodies.has_room_for(len(body))
        or (left := take_body(table, session, body)) is None
    ):
        return _received_again(rest, message, receive)
    if left:
        with table.bodies.one() as count, session.posting():
            count(len(body))
            await session.receive_rest(*left)
    answer = session.answer_to_post().encode() if session.counting else b"ok"
    await send_response(send, answer, headers=headers, content_type=HTML)
    return None


def take_body(
    table: SessionTable, session: LiveSession, body: bytes
) -> tuple[Carrier, Iterator[Packet]] | tuple[()] | None:
    """Take what a POST brings, as far as there is nothing to wait for.

    Returns:
        What is left for `LiveSession.receive_rest`; None for a counting peer's that attaches something by it, of which
        nothing is taken.

    Raises:
        RequestRefused, RemoteProtocolError: it may not come, or the session has been closed for it.
    """
    if not session.counting:
        _admit("post", session, busy=session.is_posting)
        return _take_plain(session, body)
    attach, packets = _packets_of_counting(body)
    if attach.carrier is not None:
        return None
    table.find(session.sid, key=attach.key)
    carrier, packets = session.bring(received=attach.received), _without_probes(session, packets)
    return () if session.receive_now(carrier, packets) else (carrier, packets)


def _received_again(rest: Begun | None, message: Message | None, receive: Receive) -> Receive:
    first = True

    async def again() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return await rest if rest is not None else cast("Message", message)

    return again


Read = Callable[[], Awaitable[bytearray]]


async def _post_plain(session: LiveSession, read: Read) -> str:
    with session.posting() as others:
        _admit("post", session, busy=others > 0)
        left = _take_plain(session, await read())
        if left:
            await session.receive_rest(*left)
    return "ok"


async def _post_counting(table: SessionTable, request: Request, read: Read) -> str:
    sid = request.sid
    assert sid is not None
    # Who it is, its body says; but for a session that never was, nobody needs to wait for that.
    if not table.knows(sid):
        raise table.unknown(sid, None)
    session = table.sessions.get(sid)
    if session is None:
        return await _take_counting(table, request, await read())
    with session.posting() as others:
        if others >= session.max_carriers:
            message = "Bad request: too many POSTs of one session at once (setting max_carriers)"
            raise RequestRefused(ErrorCode.BAD_REQUEST, message, status=429)
        return await _take_counting(table, request, await read())


def _take_plain(
    session: LiveSession, body: bytes | bytearray
) -> tuple[Carrier, Iterator[Packet]] | tuple[()]:
    if body[:1] == _MESSAGE and _SEPARATOR not in body and body.isascii():
        # What most are.
        carrier = session.bring()
        return () if session.receive_message(body[1:].decode()) else (carrier, iter(()))
    try:
        packets = decode_payload_bytes(body, counting=False)
    except RemoteProtocolError as error:
        session.fail(CloseReason.PARSE_ERROR, message=str(error))
        raise
    carrier = session.bring()
    return () if session.receive_now(carrier, packets) else (carrier, packets)


async def _take_counting(table: SessionTable, request: Request, body: bytearray) -> str:
    attach, packets = _packets_of_counting(body)
    session = await request.session(table, key=attach.key)
    stale: StaleAttach | None = None
    if attach.carrier is not None:
        try:
            session.attach_candidate(attach.carrier, received=attach.received)
        except StaleAttach as error:
            stale = error
    await session.receive_at_pace(session.bring(received=attach.received), _without_probes(session, packets))
    if stale is not None:
        # What came with it has counted (rule 6).
        raise stale
    return session.answer_to_post()


def _packets_of_counting(body: bytes | bytearray) -> tuple[Attach, Iterator[Packet]]:
    """Who a counting peer's POST is from, and what it brings. The session is unharmed if it is wrong.

    Raises:
        RemoteProtocolError: at once, or where the packets are taken.
    """
    packets = decode_payload_bytes(body, counting=True)
    kind, data = next(packets)
    if kind is not PacketType.ATTACH:
        raise RemoteProtocolError("a POST begins with an attach")
    return decode_attach(data), packets


def _without_probes(session: LiveSession, packets: Iterable[Packet]) -> Iterator[Packet]:
    """Without the answers to what was asked of streams that are being probed."""
    for packet in packets:
        kind, data = packet
        if kind is PacketType.PING and session.candidates.pong(str(data)):
            continue
        yield packet
