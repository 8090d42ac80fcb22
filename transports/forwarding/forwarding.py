"""Carries requests to the nodes whose sessions they are for, each as a stream of ASGI's own messages.

1. What reads from the client stands at one node (`Away`), what answers at the other (`Here`). Between them the messages
   of both keep their order, because the courier does.
2. Of what one side has said, at most a window waits to be taken by the other; then it waits itself.
3. Whichever side goes, the other hears of it: a client that has left is a disconnect for whoever answers; an answer
   that will not come is a refusal where nothing of it was sent, and else the end of the connection.
4. A node that is about to leave lets nobody wait: a poll is answered with what there is, a stream and a WebSocket end.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from itertools import count
from typing import Any, cast

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...engine.errors import BrokerUnavailable, ErrorCode, RemoteProtocolError, RequestRefused
from ...engine.host import Event, Host, Timer, make_event
from ..http import HURRY
from ..values import pack, unpack
from .courier import Courier
from .scope import decode_scope, encode_scope

__all__ = ["Forwarding", "Unanswered"]

logger = logging.getLogger("holdfast.workers")

_WINDOW = 65_536
# What a message takes besides its content.
_LEAST = 64
_SERVICE_RESTART = 1012
# For what is said last, to a client that takes nothing any more.
_LAST_SECONDS = 1.0
# Between two lines of the log about requests that cannot be carried: there is one for each session that is elsewhere.
_COMPLAINT_SECONDS = 5.0
# How long what is carried by a node that is about to leave goes on.
_LEAVING_SECONDS = 0.5


class Unanswered(Exception):
    """The node has left before it answered anything."""


class _Kind(IntEnum):
    """``[kind, number, …]``: what a frame says about one request."""

    OPEN = 0
    """Its scope, from who carries it away."""
    BRING = 1
    """A message of the client's."""
    GONE = 2
    """The client has left; or, if that is true, its server has taken all of the answer."""
    ANSWER = 3
    """Messages for the client."""
    DONE = 4
    """There will be no more of them."""
    ANSWER_TAKEN = 5
    """Bytes of them that have been taken."""
    BROUGHT_TAKEN = 6
    """Bytes of what it brought that have been taken."""
    HURRY = 7
    """What is held until there is something to say is answered now."""


# An enum's members take long to look up.
_KINDS = {kind.value: kind for kind in _Kind}


def _is_last(message: Message) -> bool:
    """Whether an answer ends with it."""
    kind: str = message["type"]
    return kind == "websocket.close" or (
        kind.endswith("response.body") and not message.get("more_body", False)
    )


def _size(message: Message) -> int:
    return _LEAST + len(message.get("body") or message.get("bytes") or message.get("text") or b"")


def _has_body(scope: Scope) -> bool:
    """Whether a body is to be waited for: of a GET nobody reads one."""
    return scope["type"] == "http" and scope["method"] == "POST"


class _Side:
    """What both ends of a carried request have.

    Attributes:
        over: Whether nothing is to be sent to the other end any more.
    """

    def __init__(self, courier: Courier, node: str, number: int) -> None:
        self.courier = courier
        self.node = node
        self.number = number
        self.over = False
        self.inbox: deque[Message] = deque()
        self._untaken = 0
        self._taken = 0
        self._bell: Callable[[], object] | None = None
        self._room: Event | None = None

    def say(self, kind: _Kind, *rest: object) -> None:
        """To the other end."""
        if not self.over:
            self.courier.send(self.node, pack([kind.value, self.number, *rest]))

    def ring(self) -> None:
        """Whoever waits looks again."""
        bell, self._bell = self._bell, None
        if bell is not None:
            bell()

    async def wait(self) -> None:
        """Until there may be something."""
        bell = make_event()
        self._bell = bell.set
        await bell.wait()

    def take_over(self, size: int, kind: _Kind) -> None:
        """So many bytes of what the other end has said are where they belong."""
        self._taken += size
        if self._taken * 2 > _WINDOW:
            self.say(kind, self._taken)
            self._taken = 0

    async def make_room(self, size: int) -> None:
        """So many bytes are said: wait while more than a window is on its way."""
        self._untaken += size
        while self._untaken > _WINDOW and not self.over:
            if self._room is None:
                self._room = make_event()
            await self._room.wait()

    def taken(self, size: int) -> None:
        """The other end has taken so many."""
        self._untaken -= size
        self._let_on()

    def _let_on(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.set()

    def end(self) -> None:
        """Nothing is said any more; idempotent."""
        self.over = True
        self._let_on()
        self.ring()


class Away(_Side):
    """A request that is answered elsewhere: passes on what comes from there.

    Attributes:
        lost: Whether that node has left.
        complete: Whether the client's server has taken all of the answer.
    """

    def __init__(self, courier: Courier, node: str, number: int, host: Host, scope: Scope) -> None:
        super().__init__(courier, node, number)
        self.lost = False
        self.complete = False
        self._host = host
        self._is_http = scope["type"] == "http"
        self._is_whole = not _has_body(scope)
        self._started = False
        self._is_ending = False
        self._scope = anyio.CancelScope()

    def hear(self, kind: _Kind, rest: list[Any]) -> None:
        """What the other end says."""
        if kind is _Kind.ANSWER:
            self.inbox.extend(rest[0])
            self.ring()
        elif kind is _Kind.BROUGHT_TAKEN:
            self.taken(rest[0])
        else:
            self.end()

    def hurry(self) -> None:
        """Rule 4. What brings has its answer soon anyway."""
        if not self._is_http:
            self.lost = True
            self.say(_Kind.GONE, False)
            self.end()
        elif self._is_whole:
            self.say(_Kind.HURRY)

    def end(self) -> None:
        if self._is_ending:
            # Whoever answers has waited for that long enough.
            self._scope.cancel()
        elif not self.over:
            # What has come is still passed on; but to a client that takes nothing, not for ever.
            self._host.call_later(_LAST_SECONDS, self._scope.cancel)
        super().end()

    async def serve(self, receive: Receive, send: Send) -> None:
        """Pass on what both sides say, to the end of it.

        Raises:
            Unanswered: nothing of an answer will come.
            OSError: the client has left.
        """
        with self._scope:
            if self._is_http:
                await self._serve_http(receive, send)
            else:
                await self._serve_websocket(receive, send)

    async def _pass_on(self, send: Send) -> bool:
        """What has come; whether that was the end of it."""
        while self.inbox:
            message = self.inbox.popleft()
            self._started = True
            if "headers" in message:
                message["headers"] = [(name, value) for name, value in message["headers"]]
            self._is_ending = _is_last(message)
            await send(message)
            self.complete = self._is_ending
            self.take_over(_size(message), _Kind.ANSWER_TAKEN)
        if self.over and not self.complete:
            if not self._started:
                raise Unanswered
            await self._cut(send)
        return self.over or self.complete

    async def _cut(self, send: Send) -> None:
        """The rest of it will not come: end what was begun."""
        if self._is_http:
            with suppress(OSError, RuntimeError):
                # A server that was told a length says that this is too short, and closes the connection.
                await send({"type": "http.response.body", "body": b""})
        elif self.lost:
            await send({"type": "websocket.close", "code": _SERVICE_RESTART})

    async def _serve_http(self, receive: Receive, send: Send) -> None:
        try:
            while not await self._pass_on(send):
                with anyio.CancelScope() as scope:
                    self._bell = scope.cancel
                    await self._bring_body(receive)
                if not scope.cancelled_caught:
                    self.say(_Kind.GONE, False)
                    break
            # To middleware a request without any answer is a failure, even if nobody hears it.
            while not await self._pass_on(send):
                await self.wait()
        finally:
            self._bell = None

    async def _bring_body(self, receive: Receive) -> None:
        """Return when the client has left."""
        while (message := await receive())["type"] != "http.disconnect":
            if not self._is_whole:
                self._is_whole = not message.get("more_body", False)
                self.say(_Kind.BRING, message)
                await self.make_room(_size(message))

    async def _serve_websocket(self, receive: Receive, send: Send) -> None:
        # Not out of the group: it would leave in one of exceptions.
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._bring, receive)
            try:
                while not await self._pass_on(send):
                    await self.wait()
            except (Unanswered, OSError) as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _bring(self, receive: Receive) -> None:
        while True:
            message = await receive()
            self.say(_Kind.BRING, message)
            if message["type"] == "websocket.disconnect":
                return
            await self.make_room(_size(message))


class Here(_Side):
    """A request of another node: ASGI's `receive` and `send` for whoever answers it.

    Attributes:
        is_taken: Whether the client's server has taken all of the answer.
    """

    def __init__(self, courier: Courier, node: str, number: int, scope: Scope) -> None:
        super().__init__(courier, node, number)
        self.scope = scope
        self._is_http = scope["type"] == "http"
        self._start: Message | None = None
        self._ended: Event | None = None
        self.is_taken = False
        self._gone = False
        self._is_hurried = False
        if not self._is_http:
            self.inbox.append({"type": "websocket.connect"})
        elif not _has_body(scope):
            self.inbox.append({"type": "http.request", "body": b"", "more_body": False})

    def hear(self, kind: _Kind, rest: list[Any]) -> None:
        """What the other end says."""
        if kind is _Kind.BRING:
            self.inbox.append(rest[0])
            self.ring()
        elif kind is _Kind.ANSWER_TAKEN:
            self.taken(rest[0])
        elif kind is _Kind.HURRY:
            self._is_hurried = True
            self.ring()
        else:
            self.is_taken = rest[0]
            self.leave()

    def leave(self) -> None:
        """The client has left, or the node where it is; or it has its answer. Idempotent."""
        if not self._gone:
            self._gone = True
            if not self._is_http and not any(item["type"] == "websocket.disconnect" for item in self.inbox):
                self.inbox.append({"type": "websocket.disconnect", "code": 1006})
            if self._ended is not None:
                self._ended.set()
            # Nobody takes anything any more, so nobody is to be waited for.
            self._untaken = 0
            self._let_on()
            self.ring()

    async def receive(self) -> Message:
        """As an ASGI server's."""
        while not self.inbox:
            if self._gone:
                return {"type": "http.disconnect" if self._is_http else "websocket.disconnect"}
            if self._is_hurried:
                self._is_hurried = False
                return {"type": HURRY}
            await self.wait()
        message = self.inbox.popleft()
        self.take_over(_size(message), _Kind.BROUGHT_TAKEN)
        return message

    async def send(self, message: Message) -> None:
        """As an ASGI server's. With the end of an answer it returns when the client's server has taken that: so much
        more does whoever answers know then.

        Raises:
            OSError: the client has left, or the node where it is.
        """
        if self._start is None and message["type"].endswith("response.start"):
            # With the body that follows.
            self._start = message
            return
        if self.over:
            raise OSError("the client has left")
        messages = [message] if self._start is None else [self._start, message]
        self._start = None
        self.say(_Kind.ANSWER, messages)
        if not self._is_http or not _is_last(message):
            await self.make_room(sum(map(_size, messages)))
            return
        if not self._gone:
            self._ended = make_event()
            await self._ended.wait()
        if not self.is_taken:
            raise OSError("the client has left")


_FOR_HERE = frozenset((_Kind.BRING, _Kind.GONE, _Kind.ANSWER_TAKEN, _Kind.HURRY))
_CONTENT: dict[_Kind, tuple[type[object], ...]] = {
    _Kind.OPEN: (dict,),
    _Kind.BRING: (dict,),
    _Kind.GONE: (bool,),
    _Kind.ANSWER: (list,),
    _Kind.DONE: (),
    _Kind.ANSWER_TAKEN: (int,),
    _Kind.BROUGHT_TAKEN: (int,),
    _Kind.HURRY: (),
}


def _read(data: bytes) -> tuple[_Kind, int, list[Any]]:
    """Kind, number and the rest of a frame.

    Raises:
        RemoteProtocolError: it is none.
    """
    # Any: checked by its table.
    content = cast("list[Any]", unpack(data))
    if (
        content.__class__ is list
        and len(content) >= 2
        and content[0] in _KINDS
        and content[1].__class__ is int
    ):
        kind, rest = _KINDS[content[0]], content[2:]
        if tuple(map(type, rest)) == _CONTENT[kind]:
            return kind, content[1], rest
    raise RemoteProtocolError("it says something unknown of a request")


def _out_of_reach() -> RequestRefused:
    # Not that the session is unknown: it lives, and a client that tries again goes on with it.
    message = "the server that has this session cannot be reached at this moment"
    return RequestRefused(ErrorCode.FORBIDDEN, message, status=503)


class Forwarding:
    """The requests that one endpoint has elsewhere, and those of other nodes that it answers.

    Args:
        app: Answers those.
        host: Runs it.
    """

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self.couriers: list[Courier] = []
        self._fresh: list[Courier] = []
        self._app = app
        self._host = host
        self._numbers = count()
        self._away: dict[int, Away] = {}
        self._here: dict[tuple[str, int], Here] = {}
        self._leaving: Timer | None = None
        self._complained_at = -_COMPLAINT_SECONDS

    def add(self, courier: Courier) -> None:
        """Another way to other nodes; the first that finds one is taken."""
        self.couriers.append(courier)
        self._fresh.append(courier)
        courier.join(self)

    @property
    def is_fresh(self) -> bool:
        """Whether `begin` has something to do."""
        return bool(self._fresh)

    async def begin(self) -> None:
        """Return when other nodes can find this one; idempotent."""
        for courier in self._fresh.copy():
            await courier.begin()
            if courier in self._fresh:
                self._fresh.remove(courier)

    def leave(self) -> None:
        """Rule 4, for what is carried from here now and until `stay`; idempotent."""
        if self._leaving is None:
            self._hurry()

    def stay(self) -> None:
        """Carry requests as ever; idempotent."""
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _hurry(self) -> None:
        for away in list(self._away.values()):
            away.hurry()
        self._leaving = self._host.call_later(_LEAVING_SECONDS, self._hurry)

    async def finds(self, node: str) -> Courier | None:
        """The way to a node; None if there is none.

        Raises:
            RequestRefused: nobody can tell now (status 503).
        """
        unsure: BrokerUnavailable | None = None
        for courier in self.couriers:
            try:
                if await courier.finds(node):
                    return courier
            except BrokerUnavailable as error:
                unsure = error
        if unsure is not None:
            self._complain(unsure)
            raise _out_of_reach() from unsure
        return None

    def _complain(self, error: BrokerUnavailable) -> None:
        now = self._host.now()
        level = logging.DEBUG
        if now - self._complained_at >= _COMPLAINT_SECONDS:
            self._complained_at, level = now, logging.WARNING
        logger.log(level, "a request for another server cannot be carried there: %s", error)

    async def carry(self, courier: Courier, node: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Let another node answer a request.

        Raises:
            Unanswered: it has left before it did.
            RequestRefused: it is out of reach for a moment (status 503).
        """
        try:
            await self._carry(courier, node, scope, receive, send)
        except Unanswered:
            if await courier.is_over(node):
                raise
            raise _out_of_reach() from None

    async def _carry(self, courier: Courier, node: str, scope: Scope, receive: Receive, send: Send) -> None:
        number = next(self._numbers)
        away = self._away[number] = Away(courier, node, number, self._host, scope)
        try:
            away.say(_Kind.OPEN, encode_scope(scope))
            if scope["type"] == "websocket":
                await receive()  # websocket.connect
            await away.serve(receive, send)
        finally:
            del self._away[number]
            away.say(_Kind.GONE, away.complete)
            away.over = True

    # -- `Frames`

    def frame(self, courier: Courier, node: str, data: bytes) -> None:
        kind, number, rest = _read(data)
        if kind is _Kind.OPEN:
            self._open(courier, node, number, rest)
        elif kind in _FOR_HERE:
            here = self._here.get((node, number))
            if here is not None:
                here.hear(kind, rest)
        else:
            away = self._away.get(number)
            if away is not None and away.node == node:
                away.hear(kind, rest)

    def _open(self, courier: Courier, node: str, number: int, rest: list[Any]) -> None:
        here = Here(courier, node, number, decode_scope(rest[0]))
        self._here[node, number] = here
        self._host.begin_aside(self._answer, here)

    def node_left(self, courier: Courier, node: str) -> None:
        for away in [away for away in self._away.values() if away.node == node and away.courier is courier]:
            away.lost = True
            away.end()
        for here in [here for here in self._here.values() if here.node == node and here.courier is courier]:
            here.over = True
            here.leave()

    async def _answer(self, here: Here) -> None:
        try:
            await self._app(here.scope, here.receive, here.send)
        except OSError:
            pass  # The client left.
        except Exception:
            logger.exception("a request of another worker failed")
        finally:
            self._here.pop((here.node, here.number), None)
            if not here.is_taken:
                here.say(_Kind.DONE)
            here.end()
