"""Questions between the nodes of a cluster: who still owes an answer, to whom.

A question counts each other node as one answer that is missing until that says how many it has asked. A node that
leaves is waited for no longer, and one that says nothing is named. While nobody can tell who is there, `UNKNOWN` is
missing: what came must not look as if it were all.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import cast

import anyio

from ..errors import Disconnected, LocalProtocolError
from ..host import Event, Host, Timer, make_event
from .base import Answers
from .bus import UNKNOWN, Bus
from .messages import ClusterMessage, MessageType, Received

__all__ = ["AckQuestion", "Asked", "CollectingQuestion", "Exchange"]

logger = logging.getLogger("holdfast.adapters")


class Exchange:
    """What one namespace of one node says to the others, and what it waits for.

    Attributes:
        questions: Of this node, by id.
        asked: What this node's sockets are asked by others, while they have not all answered.
    """

    __slots__ = ("asked", "bus", "host", "name", "questions")

    def __init__(self, bus: Bus, name: str) -> None:
        self.bus = bus
        self.name = name
        self.host = Host()
        self.questions: dict[str, AckQuestion | CollectingQuestion] = {}
        self.asked: set[Asked] = set()

    def _message(self, type: MessageType, data: dict[str, object]) -> ClusterMessage:
        return {"uid": self.bus.uid, "nsp": self.name, "type": type.value, "data": data}

    def publish(self, type: MessageType, data: dict[str, object]) -> None:
        """See `Bus.publish`."""
        self.bus.publish(self._message(type, data))

    def answer(self, received: Received, type: MessageType, **data: object) -> None:
        """Say something to the node that has asked; that there is no answer, if it cannot be encoded."""
        request = {"requestId": received.data.get("requestId")}
        try:
            self.bus.answer(received.uid, self._message(type, {**request, **data}))
        except LocalProtocolError as error:
            logger.error("an answer to another node in %r cannot be sent: %s", self.name, error)
            self.bus.answer(received.uid, self._message(MessageType.NO_ANSWER, request))

    def node_left(self, node: str) -> None:
        """It neither answers nor waits any more."""
        for question in list(self.questions.values()):
            question.node_left(node)
        for asked in [asked for asked in self.asked if asked.node == node]:
            asked.end()

    def end(self) -> None:
        """Wait for nobody, and answer nobody."""
        for node in {node for question in self.questions.values() for node in question.missing}:
            self.node_left(node)
        for asked in list(self.asked):
            asked.end()


class _Question:
    """What the other nodes are asked, while answers are waited for.

    Args:
        is_sure: Whether it is known who is there.

    Attributes:
        missing: Who has said nothing yet.
    """

    __slots__ = ("_exchange", "id", "missing")

    def __init__(self, exchange: Exchange, *, is_sure: bool) -> None:
        self._exchange = exchange
        self.id = secrets.token_hex(8)
        self.missing = set(exchange.bus.nodes())
        if not (is_sure or self.missing):
            self.missing.add(UNKNOWN)

    def end(self) -> None:
        """What comes now comes too late; idempotent."""
        self._exchange.questions.pop(self.id, None)


class AckQuestion(_Question):
    """Waits for the acknowledgements of the other nodes' sockets (rule 3)."""

    __slots__ = ("_answers", "_owed")

    def __init__(self, exchange: Exchange, answers: Answers, *, is_sure: bool) -> None:
        super().__init__(exchange, is_sure=is_sure)
        exchange.questions[self.id] = self
        self._answers = answers
        self._owed: dict[str, int] = {}
        answers.expect(len(self.missing))
        answers.silent |= self.missing

    def hear(self, received: Received) -> None:
        node, data = received.uid, received.data
        if received.type == MessageType.BROADCAST_CLIENT_COUNT:
            number = data.get("clientCount")
            if isinstance(number, int) and number >= 0:
                self._owed[node] = self._owed.get(node, 0) + number
                self._answers.expect(number)
                self._heard(node)
        elif self._owed.get(node, 0) > 0:
            self._owed[node] -= 1
            if received.type == MessageType.BROADCAST_ACK:
                # Node.js has one argument, always.
                args = data.get("args")
                self._answers.resolve(
                    cast("list[object]", args) if isinstance(args, list) else [data.get("packet")]
                )
            else:
                self._answers.fail(Disconnected("the socket left before its acknowledgement arrived"))

    def _heard(self, node: str) -> None:
        if node in self.missing:
            self.missing.discard(node)
            self._answers.silent.discard(node)
            self._answers.fail(Disconnected("it stood for the sockets of its node"))

    def give_up(self) -> None:
        """Whom nobody knows is waited for no longer, and stays missing."""
        if UNKNOWN in self.missing:
            self.missing.discard(UNKNOWN)
            self._answers.fail(Disconnected("it stood for all other nodes"))

    def node_left(self, node: str) -> None:
        for _ in range(self._owed.pop(node, 0)):
            self._answers.fail(Disconnected("the node of the socket left before its acknowledgement arrived"))
        self._heard(node)


class CollectingQuestion(_Question):
    """Waits for one answer of each other node."""

    __slots__ = ("_answers", "_done")

    def __init__(self, exchange: Exchange, *, is_sure: bool) -> None:
        super().__init__(exchange, is_sure=is_sure)
        exchange.questions[self.id] = self
        self._answers: list[object] = []
        self._done: Event = make_event()

    async def ask(
        self, type: MessageType, data: dict[str, object], seconds: float | None
    ) -> tuple[list[object], frozenset[str]]:
        """What they answered, and who did not."""
        try:
            self._exchange.publish(type, {**data, "requestId": self.id})
            await self._exchange.bus.flush()
            if self.missing:
                with anyio.move_on_after(seconds):
                    await self._done.wait()
            return self._answers, frozenset(self.missing)
        finally:
            self.end()

    def hear(self, received: Received) -> None:
        if received.type == MessageType.FETCH_SOCKETS_RESPONSE:
            self._answers.append(received.data.get("sockets"))
        elif received.type == MessageType.SERVER_SIDE_EMIT_RESPONSE:
            self._answers.append(received.data.get("packet"))
        self.node_left(received.uid)

    def node_left(self, node: str) -> None:
        self.missing.discard(node)
        if not self.missing:
            self._done.set()


class Asked:
    """The `Answers` of a question of another node: passes on what sockets of this one answer."""

    __slots__ = ("_exchange", "_left", "_received", "_stop", "_timer", "silent")

    def __init__(self, exchange: Exchange, received: Received) -> None:
        self._exchange = exchange
        self._received = received
        self._left = 0
        self._stop: Callable[[], None] | None = None
        self._timer: Timer | None = None
        self.silent: set[str] = set()

    @property
    def node(self) -> str:
        """Who asks."""
        return self._received.uid

    async def ask(
        self, send: Callable[[Answers], Awaitable[Callable[[], None]]], seconds: float | None
    ) -> None:
        """Send the event to the sockets that are meant here.

        Args:
            send: Does that, and lets them answer here.
            seconds: How long the node waits that asks.

        Raises:
            LocalProtocolError: it cannot be encoded; nobody got it.
        """
        exchange = self._exchange
        try:
            self._stop = await send(self)
        except LocalProtocolError:
            for _ in range(self._left):
                self.fail(Disconnected("nobody was asked"))
            raise
        if not self._left:
            self.end()
            return
        exchange.asked.add(self)
        if seconds is not None:
            self._timer = exchange.host.call_later(seconds, self.end)

    def expect(self, number: int) -> None:
        self._left += number
        self._exchange.answer(self._received, MessageType.BROADCAST_CLIENT_COUNT, clientCount=number)

    def resolve(self, args: list[object]) -> None:
        whole: dict[str, object] = {} if len(args) == 1 else {"args": args}
        first = args[0] if args else None
        self._exchange.answer(self._received, MessageType.BROADCAST_ACK, packet=first, **whole)
        self._count()

    def fail(self, error: Exception) -> None:
        self._exchange.answer(self._received, MessageType.NO_ANSWER)
        self._count()

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self.end()

    def end(self) -> None:
        """Nobody waits any more; idempotent."""
        self._exchange.asked.discard(self)
        stop, self._stop = self._stop, None
        if self._timer is not None:
            self._timer.cancel()
        if stop is not None:
            stop()
