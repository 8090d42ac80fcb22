"""One peer in one namespace: whether it is connected, what waits for it, and the task that runs its handlers.

1. A membership is PENDING until its CONNECT is answered, CONNECTED, then GONE for ever.
2. While PENDING, what is sent to it is held and follows the answer, in order.
3. Handlers run one after the other, in the order in which the events came, `connect` first and `disconnect` last. They
   run in a task that exists only while there is something to run; it belongs to no carrier.
4. Acknowledgements do not go through that task: a handler may wait for one from its own peer.
5. `disconnect` runs once for everybody whom `connect` has seen and not refused, even if the peer left meanwhile.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from ..errors import (
    ConnectionRefusedError,  # noqa: A004 - the name that users know
    Disconnected,
    EventError,
    LocalProtocolError,
    SessionClosed,
)
from ..session.reason import CloseReason
from ..subprotocols.socketio import EventReceived
from ..wire.codec import Codec
from ..wire.message import Message
from ..wire.socketio import SocketPacket, SocketPacketType
from .acks import Ack, Answer, PendingAck, error_answer
from .handlers import Handler, WrongArguments
from .registry import ANY_EVENT, Registry
from .socket import Socket

if TYPE_CHECKING:
    from .session import EventSession

__all__ = ["Life", "Membership"]

logger = logging.getLogger("holdfast.dispatch")


class Life(Enum):
    """Where a membership is (rule 1)."""

    PENDING = "pending"
    CONNECTED = "connected"
    GONE = "gone"


class _Connect(NamedTuple):
    handler: Handler


class _Event(NamedTuple):
    handler: Handler
    event: EventReceived
    size_bytes: int


class _Disconnect(NamedTuple):
    handler: Handler
    reason: CloseReason


class Membership:
    """What stands behind a `Socket`.

    Attributes:
        id: Public; not the session's.
        codec: The session's.
        life: Rule 1.
        socket: What handlers receive.
    """

    __slots__ = (
        "__weakref__",
        "_acks",
        "_held",
        "_last_rooms",
        "_left",
        "_queue",
        "_running",
        "codec",
        "id",
        "life",
        "registry",
        "session",
        "socket",
    )

    def __init__(
        self, session: EventSession, registry: Registry, codec: Codec, auth: dict[str, object]
    ) -> None:
        self.id = secrets.token_urlsafe(18)
        self.session = session
        self.registry = registry
        self.codec = codec
        self.life = Life.PENDING
        self.socket = Socket(self, auth)
        self._held: list[Message] = []
        self._acks: dict[int, PendingAck] = {}
        self._queue: deque[_Connect | _Event | _Disconnect] = deque()
        self._running = False
        self._left: CloseReason | None = None
        self._last_rooms: frozenset[str] = frozenset()

    @property
    def is_pending(self) -> bool:
        """Whether its CONNECT is not answered yet."""
        return self.life is Life.PENDING

    # -- rooms

    @property
    def attached(self) -> bool:
        return self.session.live.attached

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms it is in; once it is gone, those it was in last."""
        return self._last_rooms if self.life is Life.GONE else self.registry.adapter.rooms(self)

    def join(self, room: str) -> None:
        if self.life is not Life.GONE:
            self.registry.adapter.add(self, room)

    def leave_room(self, room: str) -> None:
        if self.life is not Life.GONE:
            self.registry.adapter.remove(self, room)

    # -- sending

    def encode_event(self, name: str, args: tuple[object, ...], id: int | None = None) -> list[Message]:
        return self.codec.encode(SocketPacket(SocketPacketType.EVENT, self.registry.name, [name, *args], id))

    def encode_ack(self, id: int, args: tuple[object, ...]) -> list[Message]:
        return self.codec.encode(SocketPacket(SocketPacketType.ACK, self.registry.name, list(args), id))

    def deliver(self, messages: list[Message]) -> None:
        """See `Recipient.deliver`."""
        if self.life is Life.CONNECTED:
            try:
                self.session.live.send_nowait(*messages)
            except SessionClosed:
                # It is over; its end is announced to us separately.
                return
        elif self.life is Life.PENDING:
            self._hold(messages)

    async def send(self, messages: list[Message]) -> None:
        """Send, waiting for room first.

        Raises:
            Disconnected: it is gone.
        """
        if self.life is Life.PENDING:
            self._hold(messages)
            return
        if self.life is Life.GONE:
            raise Disconnected("the socket is not connected any more")
        try:
            await self.session.live.send(*messages)
        except SessionClosed as error:
            raise Disconnected("the socket is not connected any more") from error

    async def send_ack(self, messages: list[Message]) -> None:
        """Send an acknowledgement; nobody misses it when the peer is gone."""
        if self.life is Life.CONNECTED:
            try:
                await self.session.live.send(*messages)
            except SessionClosed:
                return

    def _hold(self, messages: list[Message]) -> None:
        self._held += messages
        settings = self.session.settings
        size = sum([message.size_bytes for message in self._held])
        if size > settings.buffer_limit or len(self._held) > settings.max_pending_events:
            self.session.live.fail(CloseReason.BUFFER_FULL, message="too much waits for a connect handler")

    # -- acknowledgements that we wait for

    def expect(self, id: int, pending: PendingAck) -> None:
        self._acks[id] = pending

    def forget(self, id: int) -> None:
        self._acks.pop(id, None)

    def resolve(self, id: int, args: list[object]) -> None:
        """The peer acknowledged; one that nobody awaits any more is dropped."""
        pending = self._acks.pop(id, None)
        if pending is not None:
            pending.resolve(args)

    # -- life

    def accept(self) -> None:
        """Answer the CONNECT; what was held follows (rule 2)."""
        if self.life is not Life.PENDING:
            return
        self.life = Life.CONNECTED
        self.session.protocol.accept(self.registry.name)
        self.registry.members[self.id] = self
        self.registry.adapter.add(self, self.id)
        self.session.settled()
        held, self._held = self._held, []
        reply = SocketPacket(SocketPacketType.CONNECT, self.registry.name, {"sid": self.id})
        self.deliver([*self.codec.encode(reply), *held])

    def refuse(self, message: str, data: object = None) -> None:
        """Answer the CONNECT with an error."""
        if self.life is not Life.PENDING:
            return
        content: dict[str, object] = {"message": message}
        if data is not None:
            content["data"] = data
        messages = self.codec.encode(
            SocketPacket(SocketPacketType.CONNECT_ERROR, self.registry.name, content)
        )
        self.session.protocol.refuse(self.registry.name)
        self._depart()
        self.session.send_nowait(messages)

    def put_out(self) -> None:
        """We end it; the session goes on."""
        if self.life is Life.PENDING:
            self.refuse("Connection refused")
        elif self.life is Life.CONNECTED:
            self.session.protocol.leave(self.registry.name)
            messages = self.codec.encode(SocketPacket(SocketPacketType.DISCONNECT, self.registry.name))
            self.leave(CloseReason.SERVER_NAMESPACE)
            self.session.send_nowait(messages)

    def leave(self, reason: CloseReason) -> None:
        """It is over; idempotent. Who waits for an acknowledgement learns it now, `disconnect` runs in its turn."""
        if self.life is Life.GONE:
            return
        was_connected = self.life is Life.CONNECTED
        self._left = reason
        self._depart()
        acks, self._acks = self._acks, {}
        for pending in acks.values():
            pending.fail(Disconnected("the socket left before its acknowledgement arrived"))
        if was_connected:
            self._push_disconnect()

    def _depart(self) -> None:
        self._last_rooms = self.rooms
        self.life = Life.GONE
        self._held.clear()
        self.registry.members.pop(self.id, None)
        self.registry.adapter.remove_all(self)
        self.session.forget(self)

    # -- handlers

    def push_connect(self, handler: Handler) -> None:
        self._push(_Connect(handler))

    def push_event(self, handler: Handler, event: EventReceived, size_bytes: int) -> None:
        self._push(_Event(handler, event, size_bytes))

    def _push_disconnect(self) -> None:
        handler = self.registry.handler("disconnect")
        if handler is not None and self._left is not None:
            self._push(_Disconnect(handler, self._left))

    def _push(self, job: _Connect | _Event | _Disconnect) -> None:
        self._queue.append(job)
        if not self._running:
            self._running = True
            self.session.live.host.spawn(self._run)

    async def _run(self) -> None:
        try:
            while self._queue:
                job = self._queue.popleft()
                if isinstance(job, _Event):
                    self.session.event_taken(job.size_bytes)
                    await self._handle(job.handler, job.event)
                elif isinstance(job, _Connect):
                    await self._connect(job.handler)
                else:
                    await self._disconnect(job.handler, job.reason)
        finally:
            self._running = False

    async def _connect(self, handler: Handler) -> None:
        if self.life is not Life.PENDING:
            # It left before its turn came: nobody has heard of it, so nobody has to hear that it is gone.
            return
        args: list[object] = [self.socket, self.socket.handshake.auth]
        try:
            result = await handler.call(args if handler.takes(2) else args[:1])
        except ConnectionRefusedError as error:
            self._refuse_safely(error.message, error.data)
        except Exception as error:
            # The application's failure must not leave its peer without an answer.
            self._log(handler, error)
            self.refuse("internal error")
        else:
            if result is False:
                self.refuse("Connection refused")
            elif self.life is Life.PENDING:
                self.accept()
            else:
                self._push_disconnect()

    def _refuse_safely(self, message: str, data: object) -> None:
        try:
            self.refuse(message, data)
        except LocalProtocolError:
            logger.exception("the data of a refusal in %r cannot be sent", self.registry.name)
            try:
                self.refuse(message)
            except LocalProtocolError:
                self.refuse("Connection refused")

    async def _disconnect(self, handler: Handler, reason: CloseReason) -> None:
        args: list[object] = [self.socket, reason.value]
        try:
            await handler.call(args if handler.takes(2) else args[:1])
        except Exception as error:
            # Nobody is left to be told.
            self._log(handler, error)

    async def _handle(self, handler: Handler, event: EventReceived) -> None:
        ack = Ack(self, event.ack_id) if handler.wants_ack else None
        args: list[object] = [self.socket, *event.args]
        if handler.event == ANY_EVENT:
            args.insert(1, event.name)
        try:
            result = await handler.call(args, ack)
        except Exception as error:
            # An application's failure becomes the peer's answer; the next event is handled all the same.
            await self._answer_error(handler, event, ack, error)
            return
        if event.ack_id is None or ack is not None:
            return
        try:
            await self.send_ack(self.encode_ack(event.ack_id, _answer(result)))
        except LocalProtocolError as error:
            await self._answer_error(handler, event, ack, error)

    async def _answer_error(
        self, handler: Handler, event: EventReceived, ack: Ack | None, error: Exception
    ) -> None:
        wanted = event.ack_id is not None and (ack is None or not ack.given)
        if not wanted or not isinstance(error, EventError):
            self._log(handler, error)
        if event.ack_id is None or not wanted:
            return
        if isinstance(error, WrongArguments):
            answer: object = {"error": {"message": "wrong arguments"}}
        else:
            answer = error_answer(error)
        try:
            await self.send_ack(self.encode_ack(event.ack_id, (answer,)))
        except LocalProtocolError as unsendable:
            self._log(handler, unsendable)
            await self.send_ack(self.encode_ack(event.ack_id, ({"error": {"message": "internal error"}},)))

    def _log(self, handler: Handler, error: Exception) -> None:
        if self.life is Life.GONE and isinstance(error, Disconnected | SessionClosed):
            # That a peer leaves while it is being served is no failure of the application.
            logger.debug("the handler of %r was cut short: %s", handler.event, error)
        elif isinstance(error, WrongArguments):
            # The peer's doing: there is no traceback worth reading.
            logger.warning("in %r: %s", self.registry.name, error)
        else:
            logger.error("the handler of %r in %r failed", handler.event, self.registry.name, exc_info=error)


def _answer(result: object) -> tuple[object, ...]:
    if result is None:
        return ()
    if isinstance(result, Answer):
        return result.args
    if isinstance(result, tuple):
        return result  # pyright: ignore[reportUnknownVariableType] - whatever the application returned
    return (result,)
