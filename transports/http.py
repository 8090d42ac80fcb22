"""What polling and streaming share: reading a body within bounds, and writing a whole answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from math import ceil

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from ..engine.errors import ErrorCode, RemoteProtocolError, RequestRefused
from ..engine.hands import begun_action
from ..engine.host import Host, Timer
from ..engine.live.stopper import Stopper
from ..engine.settings import Settings
from ..engine.wire.handshake import Closing, encode_closing
from .request import HeaderValues

__all__ = [
    "BASE_HEADERS",
    "HTML",
    "HURRY",
    "PIECE",
    "TEXT",
    "Patience",
    "disconnected",
    "encode_headers",
    "opening_headers",
    "read_body",
    "refusal_body",
    "refusal_of",
    "retry_headers",
    "safely",
    "send_nothing",
    "send_refusal",
    "send_response",
]

HURRY = "holdfast.hurry"
"""The type of a message that comes by `receive` while a GET is held: its client waits on, but the server it came to
would like to leave."""

BASE_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

PIECE = 65_536
"""How much of an answer is one write: small enough for a slow client to take it within a ping's time."""

_FIRST_WORDS = {ErrorCode.BAD_REQUEST: "Bad request", ErrorCode.FORBIDDEN: "Forbidden"}
_STATUS = {ErrorCode.FORBIDDEN: 403, ErrorCode.ATTACH_OUT_OF_DATE: 409, ErrorCode.MESSAGES_MISSING: 409}


def encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


_BASE_HEADERS = encode_headers(BASE_HEADERS)
TEXT, HTML = "text/plain; charset=UTF-8", "text/html"
# Of what is said most often.
_KINDS = {kind: (b"content-type", kind.encode()) for kind in (TEXT, HTML)}


class Patience:
    """What is cancelled when nothing has moved on in it for ``seconds``; used once."""

    __slots__ = ("_host", "_seconds", "_stopper", "_timer")

    def __init__(self, host: Host, seconds: float) -> None:
        self._host = host
        self._seconds = seconds
        self._stopper = Stopper()
        self._timer: Timer | None = None

    def cancel(self) -> None:
        """End it now."""
        self._stopper.stop()

    async def run(self, function: Callable[[], Awaitable[None]]) -> bool:
        """Whether it came to its end."""
        rest: Awaitable[None] | None = None
        if self._host.hands is not None:
            # Most of what is done so does not wait.
            rest = begun_action(function())
            if rest is None:
                return True
        is_whole = False

        async def finish() -> None:
            nonlocal is_whole
            await (function() if rest is None else rest)
            is_whole = True

        self._begin()
        try:
            await self._stopper.run(finish)
        finally:
            assert self._timer is not None
            self._timer.cancel()
        return is_whole

    def _begin(self) -> None:
        self._timer = self._host.call_later(self._seconds, self._stopper.stop)

    def renew(self) -> None:
        """Something has moved on."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin()


def _nothing() -> None:
    pass


def safely(send: Send, host: Host) -> Send:
    """A server's ``send`` that raises `OSError` where the client has left, whatever server it is."""
    if host.hands is not None:
        return send

    async def send_safely(message: Message) -> None:
        try:
            await send(message)
        except Exception as error:
            # hypercorn closes a connection beside us, and on Trio has no turn for two: what we say then is lost.
            if type(error).__name__ != "BusyResourceError":
                raise
            raise OSError("the client has left") from error

    return send_safely


async def send_response(
    send: Send,
    body: bytes,
    *,
    headers: Mapping[str, str],
    status: int = 200,
    content_type: str,
    sign_of_life: Callable[[], None] = _nothing,
) -> None:
    """Answer with a whole body.

    Args:
        sign_of_life: Called whenever another piece of a long body has been taken.
    """
    kind = _KINDS.get(content_type)
    all_headers = [
        (b"content-type", content_type.encode("latin-1")) if kind is None else kind,
        (b"content-length", b"%d" % len(body)),
        *_BASE_HEADERS,
    ]
    if headers:
        all_headers += encode_headers(headers)
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    at = 0
    while len(body) - at > PIECE:
        await send({"type": "http.response.body", "body": body[at : at + PIECE], "more_body": True})
        sign_of_life()
        at += PIECE
    await send({"type": "http.response.body", "body": body[at:] if at else body})


async def send_nothing(send: Send) -> None:
    """Answer a client that has left: to middleware a request without any answer is a failure."""
    try:
        # nginx's number for this; only access logs show it.
        await send_response(send, b"", headers={}, status=499, content_type="text/plain")
    except OSError:
        return


def opening_headers(headers: Mapping[str, str], settings: Settings, sid: str) -> Mapping[str, str]:
    """``headers`` for the answer that opens a session: with the cookie, if there is to be one."""
    cookie = settings.opening_cookie(sid)
    return headers if cookie is None else {**headers, "set-cookie": cookie}


def refusal_of(error: RemoteProtocolError | RequestRefused) -> RequestRefused:
    """The answer to a peer's error; it begins as Socket.IO's does, because some clients look at that."""
    if isinstance(error, RequestRefused):
        return error
    first, message = _FIRST_WORDS.get(error.code), str(error)
    return RequestRefused(
        error.code,
        f"{first}: {message}" if first else message,
        status=_STATUS.get(error.code, 400),
        received=getattr(error, "received", None),
    )


def refusal_body(refused: RequestRefused) -> bytes:
    """Engine.IO's error object."""
    retry = refused.retry_after
    closing = Closing(
        code=int(refused.code),
        message=refused.message,
        received=refused.received,
        retry_ms=None if retry is None else round(retry * 1000),
    )
    return encode_closing(closing).encode()


def retry_headers(refused: RequestRefused) -> dict[str, str]:
    """When to come back, for whoever does not read the body."""
    return {} if refused.retry_after is None else {"retry-after": str(ceil(refused.retry_after))}


async def send_refusal(send: Send, refused: RequestRefused, *, headers: Mapping[str, str]) -> None:
    """Answer with Engine.IO's error object (docs/protocol.md, section 8)."""
    await send_response(
        send,
        refusal_body(refused),
        headers={**headers, **retry_headers(refused)},
        status=refused.status,
        content_type="application/json",
    )


async def read_body(
    receive: Receive,
    headers: Mapping[str, str] | HeaderValues,
    *,
    limit: int,
    timeout: float,
    count: Callable[[int], None],
) -> bytearray:
    """Read a request's body, counted while it is read.

    Args:
        headers: Of the request: a body that they announce as too large is not waited for.
        count: Called with the size of each piece; it may refuse the request.

    Raises:
        RequestRefused: larger than ``limit`` bytes (413), or not there in time (408).
        ClientDisconnect: the client left.
    """
    too_large = f"Bad request: the body has more than {limit} bytes (setting max_payload)"
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise RequestRefused(ErrorCode.BAD_REQUEST, too_large, status=413)
    body = bytearray()
    is_whole = False

    async def read() -> None:
        nonlocal body, is_whole
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece: bytes = message.get("body", b"")
            count(len(piece))
            body += piece
            if len(body) > limit:
                raise RequestRefused(ErrorCode.BAD_REQUEST, too_large, status=413)
            is_whole = not message.get("more_body", False)

    await _move_on_after(timeout, read)
    if is_whole:
        return body
    raise RequestRefused(
        ErrorCode.BAD_REQUEST,
        f"Bad request: the body did not arrive in {timeout:g} s (setting body_timeout)",
        status=408,
    )


async def _move_on_after(seconds: float, function: Callable[[], Awaitable[None]]) -> None:
    """anyio's, for what is done with each POST: on asyncio it would be a tenth of all that a POST costs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        with anyio.move_on_after(seconds):
            await function()
        return
    rest = begun_action(function())
    if rest is None:
        # All of it was there.
        return
    stopper = Stopper()
    timer = loop.call_later(seconds, stopper.stop)
    try:
        await stopper.run(lambda: rest)
    finally:
        timer.cancel()


async def disconnected(receive: Receive, hurry: Callable[[], object] = _nothing) -> None:
    """Return when the client has left.

    Args:
        hurry: Called if its server would like to leave.
    """
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if message["type"] == HURRY:
            hurry()
