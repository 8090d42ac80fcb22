"""Rooms that reach into other processes, whatever lies between them.

1. What one node says in one namespace comes to each other node in the order in which it was said, and a broadcast takes
   its place among those of its own node at the moment when it is said to the others.
2. A message of another node is carried out before the next one of the bus is looked at: no queue is hidden here.
3. A question counts each other node as one answer that is missing until that says how many it has asked. A node that
   leaves is waited for no longer, and one that says nothing is named.
4. Nothing that another node says can end more than itself: what cannot be understood is logged and left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import cast

import anyio

from ..errors import AckTimeout, LocalProtocolError, RemoteProtocolError
from ..wire.socketio import SocketPacket, SocketPacketType
from .base import Answers, Fetched, Node, NoHandler, Recipient, SocketInfo, Target
from .bus import UNKNOWN, Bus
from .chronicle import Chronicle
from .memory import SLICE, MemoryAdapter, MemoryHub, encode_for, hand_over, hand_over_in_slices
from .messages import (
    ClusterMessage,
    MessageType,
    Received,
    decode_info,
    decode_packet,
    decode_target,
    encode_info,
    encode_packet,
    encode_target,
    items_of,
    text_of,
)
from .questions import AckQuestion, Asked, CollectingQuestion, Exchange

__all__ = ["REQUEST_SECONDS", "ClusterAdapter"]

logger = logging.getLogger("holdfast.adapters")

REQUEST_SECONDS = 5.0
"""How long `ClusterAdapter.fetch` waits for the other nodes."""


class ClusterAdapter(MemoryAdapter):
    """The `Adapter` of one of several processes.

    Args:
        node: Its namespace.
        bus: Leads to the others.
        request_seconds: How long `fetch` waits for the other nodes.
        chronicle: What keeps what is said; None if nothing does.
    """

    __slots__ = ("_bus", "_exchange", "_request_seconds", "chronicle")

    def __init__(
        self,
        node: Node,
        bus: Bus,
        *,
        request_seconds: float = REQUEST_SECONDS,
        chronicle: Chronicle | None = None,
    ) -> None:
        super().__init__(node, MemoryHub())
        self.chronicle = chronicle
        self._bus = bus
        self._exchange = Exchange(bus, node.name)
        self._request_seconds = request_seconds
        self.open()

    def add(self, recipient: Recipient, room: str) -> int:
        if not self._everyone:
            # Where no lifespan is offered, this may be the first that is heard of an event loop.
            self._bus.open(self)
        return super().add(recipient, room)

    # -- what this node says

    def _is_for_others(self, target: Target) -> bool:
        # No rooms mean everybody there.
        return not (target.local or self._bus.is_alone or (target.rooms is not None and not target.rooms))

    async def broadcast(self, packet: SocketPacket, target: Target) -> None:
        if not self._is_for_others(target):
            await super().broadcast(packet, target)
            return
        data: dict[str, object] = {"packet": encode_packet(packet), "opts": encode_target(target)}
        turns = self._turns
        members = None if turns.are_taken else self.members(target)
        if members is not None and len(members) <= SLICE:
            encoded = encode_for(members, packet)
            self._exchange.publish(MessageType.BROADCAST, data)
            if self.chronicle is not None:
                self.chronicle.say(packet, target)
            hand_over(members, encoded, packet, target)
            await self._bus.flush()
            return
        async with turns:
            if members is None:
                members = self.members(target)
            encoded = encode_for(members, packet)
            self._exchange.publish(MessageType.BROADCAST, data)
            with nullcontext() if self.chronicle is None else self.chronicle.saying(packet, target):
                await hand_over_in_slices(members, encoded, packet, target)
        await self._bus.flush()

    async def ask(
        self,
        name: str,
        args: tuple[object, ...],
        target: Target,
        answers: Answers,
        *,
        seconds: float | None = None,
    ) -> Callable[[], None]:
        here = replace(target, local=True)
        if not self._is_for_others(target):
            return await super().ask(name, args, here, answers)
        _, is_sure = await self._refresh(seconds)
        question = AckQuestion(self._exchange, answers, is_sure=is_sure)
        packet = SocketPacket(SocketPacketType.EVENT, self._node.name, [name, *args])
        opts = encode_target(target, seconds=seconds)
        data: dict[str, object] = {"packet": encode_packet(packet), "requestId": question.id, "opts": opts}

        def say() -> None:
            # What one of this node cannot be sent is sent to nobody.
            encode_for(self.members(here), packet)
            self._exchange.publish(MessageType.BROADCAST, data)

        try:
            end = await self._ask(name, args, here, answers, say)
        except BaseException:
            question.end()
            raise

        # Who sets no time is not to wait for ever for somebody whom nobody knows.
        patience = None
        if seconds is None and UNKNOWN in question.missing:
            patience = self._exchange.host.call_later(self._request_seconds, question.give_up)

        def end_all() -> None:
            if patience is not None:
                patience.cancel()
            question.end()
            end()

        try:
            await self._bus.flush()
        except BaseException:
            end_all()
            raise
        return end_all

    async def fetch(self, target: Target) -> Fetched:
        here = await super().fetch(replace(target, local=True))
        if not self._is_for_others(target):
            return here
        seconds, is_sure = await self._refresh(self._request_seconds)
        question = CollectingQuestion(self._exchange, is_sure=is_sure)
        data: dict[str, object] = {"requestId": question.id, "opts": encode_target(target)}
        there, missing = await question.ask(MessageType.FETCH_SOCKETS, data, seconds)
        if missing:
            logger.warning(
                "sockets were fetched without those of %s, which did not answer", ", ".join(sorted(missing))
            )
        found: list[SocketInfo] = []
        for value in there:
            try:
                found += [decode_info(socket, self._node.name) for socket in items_of(value)]
            except RemoteProtocolError as error:
                self._complain(error)
        return Fetched([*here, *found], missing=missing)

    async def join(self, target: Target, rooms: Iterable[str]) -> None:
        rooms = list(rooms)
        await self._change(MessageType.SOCKETS_JOIN, target, {"rooms": rooms})
        await super().join(replace(target, local=True), rooms)

    async def leave(self, target: Target, rooms: Iterable[str]) -> None:
        rooms = list(rooms)
        await self._change(MessageType.SOCKETS_LEAVE, target, {"rooms": rooms})
        await super().leave(replace(target, local=True), rooms)

    async def disconnect(self, target: Target, *, close: bool) -> None:
        await self._change(MessageType.DISCONNECT_SOCKETS, target, {"close": close})
        await super().disconnect(replace(target, local=True), close=close)

    async def _change(self, type: MessageType, target: Target, data: dict[str, object]) -> None:
        if self._is_for_others(target):
            self._exchange.publish(type, {"opts": encode_target(target), **data})
            await self._bus.flush()

    async def server_side_emit(self, name: str, args: tuple[object, ...]) -> None:
        self._exchange.publish(MessageType.SERVER_SIDE_EMIT, {"packet": [name, *args]})
        await self._bus.flush()

    async def server_side_ask(
        self, name: str, args: tuple[object, ...], seconds: float | None
    ) -> list[object]:
        seconds, is_sure = await self._refresh(seconds)
        question = CollectingQuestion(self._exchange, is_sure=is_sure)
        if seconds is None and UNKNOWN in question.missing:
            seconds = self._request_seconds
        data: dict[str, object] = {"packet": [name, *args], "requestId": question.id}
        answers, missing = await question.ask(MessageType.SERVER_SIDE_EMIT, data, seconds)
        if missing:
            text = f"{len(missing)} servers did not answer in time: {', '.join(sorted(missing))}"
            raise AckTimeout(text, answers=answers, missing=missing)
        return answers

    async def _refresh(self, seconds: float | None) -> tuple[float | None, bool]:
        """Learn who is there, in half of the time that there is for a question. The rest of it, and whether it was
        possible."""
        if seconds is None:
            return None, await self._bus.refresh()
        begun, is_sure = anyio.current_time(), False
        with anyio.move_on_after(seconds / 2):
            is_sure = await self._bus.refresh()
        return seconds - (anyio.current_time() - begun), is_sure

    def open(self) -> None:
        super().open()
        self._bus.open(self)

    def close(self) -> None:
        super().close()
        self._bus.close()
        self._exchange.end()

    # -- what the others say

    def node_left(self, node: str) -> None:
        self._exchange.node_left(node)

    async def receive(self, message: ClusterMessage) -> None:
        entry = message.get("entry")
        try:
            if entry is None or message.get("uid") != self._bus.uid:
                await self._receive(message)
        finally:
            if self.chronicle is not None and isinstance(entry, str):
                self.chronicle.passed(entry, cast("int | None", message.get("own")))

    async def _receive(self, message: ClusterMessage) -> None:
        try:
            received = Received.of(message)
            if received.uid == self._bus.uid or message.get("nsp") != self._node.name:
                return
            await self._carry_out(received)
        except RemoteProtocolError as error:
            self._complain(error)
        except LocalProtocolError as error:
            # It reaches none of ours; others may have got it.
            logger.error("what another node sent into %r cannot be sent here: %s", self._node.name, error)

    def _complain(self, error: RemoteProtocolError) -> None:
        logger.warning("what came from another node in %r is not understood: %s", self._node.name, error)

    async def _carry_out(self, received: Received) -> None:
        type, data = received.type, received.data
        if type == MessageType.BROADCAST:
            await self._broadcast_here(received)
        elif type == MessageType.SERVER_SIDE_EMIT:
            packet = items_of(data.get("packet"))
            name = text_of(packet[0] if packet else None)
            self._exchange.host.spawn(self._handle_event, name, tuple(packet[1:]), received)
        elif type == MessageType.FETCH_SOCKETS:
            target, _ = decode_target(data.get("opts"))
            sockets = [encode_info(info) for info in await super().fetch(target)]
            self._exchange.answer(received, MessageType.FETCH_SOCKETS_RESPONSE, sockets=sockets)
        elif type in _CHANGES:
            await self._change_here(received)
        elif type in _ANSWERS:
            question = self._exchange.questions.get(received.request)
            if question is not None:
                question.hear(received)

    async def _broadcast_here(self, received: Received) -> None:
        data = received.data
        target, seconds = decode_target(data.get("opts"))
        packet = decode_packet(data.get("packet"), self._node.name)
        if "requestId" in data:
            name, *args = items_of(packet.data)
            here = super().ask
            asked = Asked(self._exchange, received)
            await asked.ask(partial(here, text_of(name), tuple(args), target), seconds)
            return
        entry, origin = received.entry, (received.uid, received.number)
        chronicle = self.chronicle if entry else None
        members = None if self._turns.are_taken else self.members(target)
        if members is not None and len(members) <= SLICE:
            encoded = encode_for(members, packet)
            with nullcontext() if chronicle is None else chronicle.hearing(packet, entry, origin):
                hand_over(members, encoded, packet, target)
            return
        async with self._turns:
            if members is None:
                members = self.members(target)
            encoded = encode_for(members, packet)
            with nullcontext() if chronicle is None else chronicle.hearing(packet, entry, origin):
                await hand_over_in_slices(members, encoded, packet, target)

    async def _change_here(self, received: Received) -> None:
        data = received.data
        target, _ = decode_target(data.get("opts"))
        if received.type == MessageType.DISCONNECT_SOCKETS:
            await super().disconnect(target, close=bool(data.get("close")))
            return
        rooms = [str(room) for room in items_of(data.get("rooms"))]
        change = super().join if received.type == MessageType.SOCKETS_JOIN else super().leave
        await change(target, rooms)

    async def _handle_event(self, name: str, args: tuple[object, ...], received: Received) -> None:
        wanted = "requestId" in received.data
        try:
            value = await self._node.server_event(name, args)
        except NoHandler:
            logger.debug("no handler of the server-side event %r in %r", name, self._node.name)
            if wanted:
                self._exchange.answer(received, MessageType.NO_ANSWER)
        except BaseException:
            if wanted:
                self._exchange.answer(received, MessageType.NO_ANSWER)
            raise
        else:
            if wanted:
                self._exchange.answer(received, MessageType.SERVER_SIDE_EMIT_RESPONSE, packet=value)


_CHANGES = (MessageType.SOCKETS_JOIN, MessageType.SOCKETS_LEAVE, MessageType.DISCONNECT_SOCKETS)
_ANSWERS = (
    MessageType.FETCH_SOCKETS_RESPONSE,
    MessageType.SERVER_SIDE_EMIT_RESPONSE,
    MessageType.BROADCAST_CLIENT_COUNT,
    MessageType.BROADCAST_ACK,
    MessageType.NO_ANSWER,
)
