"""Carries requests to the nodes whose sessions they are for, each as a stream of ASGI's own messages.

1. What reads from the client stands at one node (`Away`), what answers at the other (`Here`). Between them the messages
   of both keep their order, because the courier does.
2. Of what one side has said, at most a window waits to be taken by the other; then it waits itself.
3. Whichever side goes, the other hears of it: a client that has left is a disconnect for whoever answers; an answer
   that will not come is a refusal where nothing of it was sent, and else the end of the connection.
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

from ...engine.errors import RemoteProtocolError
from ...engine.host import Event, Host, make_event
from ..values import pack, unpack
from .courier import Courier
from .scope import decode_scope, encode_scope

__all__ = ["Forwarding", "Unanswered"]

logger = logging.getLogger("holdfast.workers")

_WINDOW = 262_144
_PIECE = 65_536
# What a message takes besides its content.
_LEAST = 64
_SERVICE_RESTART = 1012


class Unanswered(Exception):
    """The node has left before it answered anything."""


class _Kind(IntEnum):
    """``[kind, number, …]``: what a frame says about one request."""

    OPEN = 0
    """Scope and body, from who carries it away."""
    BRING = 1
    """A message of the client's."""
    GONE = 2
    """The client has left."""
    ANSWER = 3
    """Messages for the client."""
    DONE = 4
    """There will be no more of them."""
    ANSWER_TAKEN = 5
    """Bytes of them that have been taken."""
    BROUGHT_TAKEN = 6
    """Bytes of what it brought that have been taken."""


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
        complete: Whether all of the answer has come.
    """

    def __init__(self, courier: Courier, node: str, number: int, *, is_http: bool) -> None:
        super().__init__(courier, node, number)
        self.lost = False
        self.complete = False
        self._is_http = is_http
        self._started = False

    def hear(self, kind: _Kind, rest: list[Any]) -> None:
        """What the other end says."""
        if kind is _Kind.ANSWER:
            self.inbox.extend(rest[0])
            self.ring()
        elif kind is _Kind.BROUGHT_TAKEN:
            self.taken(rest[0])
        else:
            self.end()

    async def pass_on(self, send: Send) -> bool:
        """What has come; whether that was the end of it.

        Raises:
            Unanswered: nothing of it will come.
        """
        while self.inbox:
            message = self.inbox.popleft()
            self._started = True
            self.complete = _is_last(message)
            if "headers" in message:
                message["headers"] = [(name, value) for name, value in message["headers"]]
            await send(message)
            self.take_over(_size(message), _Kind.ANSWER_TAKEN)
        if self.over and not self.complete:
            if not self._started:
                raise Unanswered
            await self._cut(send)
        return self.over or self.complete

    async def _cut(self, send: Send) -> None:
        """The rest of it will not come: end what was begun."""
        self.complete = True
        if self._is_http:
            with suppress(OSError, RuntimeError):
                # A server that was told a length says that this is too short, and closes the connection.
                await send({"type": "http.response.body", "body": b""})
        elif self.lost:
            await send({"type": "websocket.close", "code": _SERVICE_RESTART})

    async def bring_body(self, body: bytes) -> None:
        """What of a body has not been sent along."""
        for start in range(_PIECE, len(body), _PIECE):
            more = start + _PIECE < len(body)
            message = {"type": "http.request", "body": body[start : start + _PIECE], "more_body": more}
            self.say(_Kind.BRING, message)
            await self.make_room(_size(message))

    async def serve_http(self, receive: Receive, send: Send) -> None:
        """Pass on the answer, and that the client leaves before it."""
        try:
            while not await self.pass_on(send):
                with anyio.CancelScope() as scope:
                    self._bell = scope.cancel
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    self.say(_Kind.GONE)
                    break
            # To middleware a request without any answer is a failure, even if nobody hears it.
            while not await self.pass_on(send):
                await self.wait()
        finally:
            self._bell = None

    async def serve_websocket(self, receive: Receive, send: Send) -> None:
        """Pass on what both sides say."""
        # Not out of the group: it would leave in one of exceptions.
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._bring, receive)
            try:
                while not await self.pass_on(send):
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
    """A request of another node: ASGI's `receive` and `send` for whoever answers it."""

    def __init__(
        self, courier: Courier, node: str, number: int, scope: Scope, body: bytes, *, more: bool
    ) -> None:
        super().__init__(courier, node, number)
        self.scope = scope
        self._is_http = scope["type"] == "http"
        self._start: Message | None = None
        self._gone = False
        if self._is_http:
            self.inbox.append({"type": "http.request", "body": body, "more_body": more})
        else:
            self.inbox.append({"type": "websocket.connect"})

    def hear(self, kind: _Kind, rest: list[Any]) -> None:
        """What the other end says."""
        if kind is _Kind.BRING:
            self.inbox.append(rest[0])
            self.ring()
        elif kind is _Kind.ANSWER_TAKEN:
            self.taken(rest[0])
        else:
            self.leave()

    def leave(self) -> None:
        """The client has left, or the node where it is; idempotent."""
        if not self._gone:
            self._gone = True
            if not self._is_http and not any(item["type"] == "websocket.disconnect" for item in self.inbox):
                self.inbox.append({"type": "websocket.disconnect", "code": 1006})
            self._let_on()
            self.ring()

    async def receive(self) -> Message:
        """As an ASGI server's."""
        while not self.inbox:
            if self._gone:
                return {"type": "http.disconnect" if self._is_http else "websocket.disconnect"}
            await self.wait()
        message = self.inbox.popleft()
        self.take_over(_size(message), _Kind.BROUGHT_TAKEN)
        return message

    async def send(self, message: Message) -> None:
        """As an ASGI server's.

        Raises:
            OSError: the node where the client is has left.
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
        if _is_last(message):
            # A server says the same to whoever asks after it.
            self.over = True
            self.leave()
            return
        await self.make_room(sum(map(_size, messages)))


_FOR_HERE = frozenset((_Kind.BRING, _Kind.GONE, _Kind.ANSWER_TAKEN))
_CONTENT: dict[_Kind, tuple[type[object], ...]] = {
    _Kind.OPEN: (dict, bytes, bool),
    _Kind.BRING: (dict,),
    _Kind.GONE: (),
    _Kind.ANSWER: (list,),
    _Kind.DONE: (),
    _Kind.ANSWER_TAKEN: (int,),
    _Kind.BROUGHT_TAKEN: (int,),
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


class Forwarding:
    """The requests that one endpoint has elsewhere, and those of other nodes that it answers.

    Args:
        app: Answers those.
        host: Runs it.
    """

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self.couriers: list[Courier] = []
        self._app = app
        self._host = host
        self._numbers = count()
        self._away: dict[int, Away] = {}
        self._here: dict[tuple[str, int], Here] = {}

    def add(self, courier: Courier) -> None:
        """Another way to other nodes; the first that finds one is taken."""
        self.couriers.append(courier)
        courier.join(self)

    async def finds(self, node: str) -> Courier | None:
        """The way to a node; None if there is none."""
        for courier in self.couriers:
            if await courier.finds(node):
                return courier
        return None

    async def carry(
        self,
        courier: Courier,
        node: str,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        body: bytes = b"",
    ) -> None:
        """Let another node answer a request.

        Args:
            body: Of an HTTP request, whole.

        Raises:
            Unanswered: it has left before it did.
        """
        number = next(self._numbers)
        is_http = scope["type"] == "http"
        away = self._away[number] = Away(courier, node, number, is_http=is_http)
        try:
            away.say(_Kind.OPEN, encode_scope(scope), body[:_PIECE], len(body) > _PIECE)
            if is_http:
                await away.bring_body(body)
                await away.serve_http(receive, send)
            else:
                await receive()  # websocket.connect
                await away.serve_websocket(receive, send)
        finally:
            del self._away[number]
            if not away.complete:
                away.say(_Kind.GONE)
            away.end()

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
        scope, body, more = rest
        here = Here(courier, node, number, decode_scope(scope), body, more=more)
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
            here.say(_Kind.DONE)
            here.end()
