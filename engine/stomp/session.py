"""One client of STOMP above whatever carries it.

1. Three coroutines: one reads, one writes, and one does what takes time: functions of the application. Heart-beats
   never wait behind those.
2. What a client's frames mean is done in their order. What takes no time is done by the reader, as long as nothing
   waits.
3. Who does not take what is sent to him is closed at his bound; nobody waits for him. Queues stop at half of it.
4. The end is one: his messages go back, his subscriptions end, and what was said before still goes out.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from ..errors import LocalProtocolError, SessionClosed
from ..host import Event, Timer, make_event
from ..live import Allowed
from ..subprotocols.stomp import (
    Acknowledge,
    Action,
    Commit,
    Connect,
    Disconnect,
    Receipt,
    SendTo,
    StompConnection,
    StompError,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from ..subprotocols.stomp_frames import HEART_BEAT, Frame, encode_frame
from .client import Messages, StompClient
from .message import Published
from .queue import Letter, Queue

if TYPE_CHECKING:
    from .broker import StompBroker

__all__ = ["Close", "StompSession", "Subscriber"]

logger = logging.getLogger("holdfast.stomp")

# What a WebSocket is closed with (RFC 6455, section 7.4.1).
_DONE, _PROTOCOL_ERROR, _POLICY, _FAILURE = 1000, 1002, 1008, 1011
# How many frames are taken before others have their turn.
_TURN = 100
# How long the last words may take.
_LAST_WORDS = 2.0

Close = Callable[[int, str], Awaitable[None]]
# A MESSAGE with the headers that only this delivery has, or what is encoded already.
Outgoing = str | bytes | tuple[Published, dict[str, str]]


class Subscriber:
    """A subscription that is served: of a topic or a user, or a consumer of a queue."""

    __slots__ = ("_prefetch", "leave", "queue", "session", "subscription")

    def __init__(self, session: StompSession, subscription: Subscription[Letter | None]) -> None:
        self.session = session
        self.subscription = subscription
        self.queue: Queue | None = None
        self.leave: Callable[[], None] | None = None
        stated = subscription.headers.get("prefetch-count", "")
        self._prefetch = int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 10 else 0

    @property
    def can_take(self) -> bool:
        """See `Consumer`."""
        subscription, session = self.subscription, self.session
        if not subscription.is_open:
            return False
        can = session.has_room
        if can and subscription.ack != "auto":
            can = session.may_wait_for_more and not 0 < self._prefetch <= len(subscription.unacked)
        if not can and self.queue is not None:
            session.stalled[self.queue] = None
        return can

    def take(self, letter: Letter) -> None:
        """See `Consumer`."""
        again = letter.deliveries > 1
        self.session.deliver(self.subscription, letter.message, letter, again=again)
        if self.subscription.ack == "auto":
            letter.queue.done(letter)

    def hear(self, message: Published) -> None:
        """Of a topic."""
        self.session.deliver(self.subscription, message, None)


class StompSession:
    """One client.

    Attributes:
        id: CONNECTED says it.
        client: What the application sees; None before it is let in.
        stalled: The queues that it could not take more of.
    """

    def __init__(self, broker: StompBroker, peer: Messages, *, heart_beat: float, close: Close) -> None:
        self.id = secrets.token_urlsafe(18)
        self.client: StompClient | None = None
        self.stalled: dict[Queue, None] = {}
        self.peer = peer
        self._broker = broker
        self._limits = broker.limits
        self._host = broker.host
        self._close_peer = close
        self._connection: StompConnection[Letter | None] = StompConnection(
            self._limits, heart_beat=heart_beat, now=self._host.now()
        )
        self._subscribers: dict[str, Subscriber] = {}
        # A MESSAGE is encoded when it is written: until then, a body for many is kept once.
        self._outbox: deque[Outgoing] = deque()
        self._outgoing = 0
        self._pending: deque[Action[Letter | None] | StompError] = deque()
        self._pending_bytes = 0
        self._is_working = False
        self._is_held = False
        self._is_writing = True
        self._end: tuple[int, str] | None = None
        self._timer: Timer | None = None
        self._expiry: Timer | None = None
        # Each of the three waits for one of these.
        self._to_write: Event | None = None
        self._to_do: Event | None = None
        self._caught_up: Event | None = None
        self._reading = anyio.CancelScope()
        self._writing = anyio.CancelScope()

    # -- its life

    async def run(self) -> None:
        """Serve the client to its end."""
        self._set_time()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                tasks.start_soon(self._work)
                with self._reading:
                    await self._read()
                # What came before the end is done to its end, whoever hears of it.
                while self._is_working:
                    await self._wait_for_work()
                tasks.cancel_scope.cancel()
        finally:
            self._leave()

    def _leave(self) -> None:
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        for subscription in list(self._connection.subscriptions.values()):
            self._connection.end_subscription(subscription)
            self._unsubscribe(subscription)
        self._connection.error("")
        self._broker.forget(self)

    async def _read(self) -> None:
        connection, limits = self._connection, self._limits
        while self._end is None:
            try:
                data = await self.peer.receive()
            except SessionClosed:
                return
            try:
                for number, action in enumerate(connection.receive(data, now=self._host.now()), 1):
                    await self._take(action)
                    if not number % _TURN:
                        await checkpoint()
            except StompError as error:
                await self._take(error)
            self._is_held = True
            while (
                len(self._pending) > limits.max_pending_frames
                or self._pending_bytes > limits.max_pending_bytes
            ):
                await self._wait_for_work()
            self._is_held = False
        if self._is_writing:
            # Until the last word is said.
            await anyio.sleep_forever()

    async def _wait_for_work(self) -> None:
        self._caught_up = make_event()
        await self._caught_up.wait()

    async def _take(self, action: Action[Letter | None] | StompError) -> None:
        if self._is_working or self._broker.takes_time(action):
            self._pending.append(action)
            self._pending_bytes += _size(action)
            self._is_working = True
            if self._to_do is not None:
                self._to_do.set()
        else:
            await self._perform(action)

    async def _work(self) -> None:
        """Rule 1: what takes time, and what came after it."""
        while True:
            while self._pending:
                action = self._pending.popleft()
                await self._perform(action)
                self._pending_bytes -= _size(action)
                if self._caught_up is not None:
                    self._caught_up.set()
            self._is_working = False
            if self._caught_up is not None:
                self._caught_up.set()
            self._to_do = make_event()
            await self._to_do.wait()

    async def _write(self) -> None:
        """Send what waits, and at last the end."""
        try:
            with self._writing:
                await self._write_all()
            with self._host.move_on_after(_LAST_WORDS):
                await self._close_peer(*(self._end or (_DONE, "")))
        except SessionClosed:
            # What came before may still be there to be read, but nobody hears an answer.
            self._host.call_later(_LAST_WORDS, self._reading.cancel)
        self._is_writing = False
        if self._end is not None:
            self._reading.cancel()

    async def _write_all(self) -> None:
        while True:
            while self._outbox:
                item = self._outbox.popleft()
                version = self._connection.version
                await self._send(item[0].encode(item[1], version) if isinstance(item, tuple) else item)
                self._outgoing -= _cost(item)
                self._connection.sent(self._host.now())
                if self.has_room:
                    self._pump()
            if self._end is not None:
                return
            self._to_write = make_event()
            await self._to_write.wait()

    async def _send(self, data: str | bytes) -> None:
        try:
            await self.peer.send(data)
        except LocalProtocolError as error:
            if isinstance(data, bytes):
                self._fail(StompError(f"a message cannot be sent on this session: {error}"))
                return
            # U+001E cannot be said to a plain peer that polls, but as bytes.
            await self._send(data.encode())

    def _set_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        when = self._connection.deadline()
        self._timer = None if when == float("inf") else self._host.call_at(when, self._time)

    def _time(self) -> None:
        now = self._host.now()
        if self._is_held:
            # It may have beaten, and we have not looked.
            self._connection.heard(now)
        try:
            if self._connection.check_time(now):
                self._connection.sent(now)
                self._put(HEART_BEAT)
        except StompError as error:
            self._fail(error, code=_POLICY)
        else:
            self._set_time()

    # -- what is said to it

    @property
    def has_room(self) -> bool:
        """Whether less than half of what may be kept for it is."""
        return self._outgoing * 2 < self._limits.max_outgoing_bytes and self._end is None

    @property
    def may_wait_for_more(self) -> bool:
        """Whether it may have one more message that it does not acknowledge."""
        return self._connection.unacked < self._limits.max_unacked

    def deliver(
        self,
        subscription: Subscription[Letter | None],
        message: Published,
        letter: Letter | None,
        *,
        again: bool = False,
    ) -> None:
        """Send a MESSAGE. Never waits: who is over his bound is closed (rule 3)."""
        if self._end is not None or not subscription.is_open:
            return
        connection = self._connection
        if letter is None and subscription.ack != "auto" and not self.may_wait_for_more:
            self._fail(StompError("too many messages wait for an ACK (setting max_unacked)"), code=_POLICY)
            return
        own = {"destination": subscription.destination, **connection.deliver(subscription, letter)}
        if again:
            own["redelivered"] = "true"
        self._put((message, own))

    def _say(self, frame: Frame) -> None:
        self._put(encode_frame(frame, self._connection.version))

    def _put(self, item: Outgoing) -> None:
        self._outbox.append(item)
        self._outgoing += _cost(item)
        if self._outgoing > self._limits.max_outgoing_bytes and self._end is None:
            # It would not hear why.
            self._outbox.clear()
            self._outgoing = 0
            logger.info("STOMP client %s takes its messages too slowly; it is closed", self.id)
            self._finish(_POLICY, "buffer full (setting max_outgoing_bytes)")
            self._writing.cancel()
        if self._to_write is not None:
            self._to_write.set()

    def _finish(self, code: int, reason: str) -> None:
        if self._end is None:
            self._end = (code, reason)
            self._host.call_later(_LAST_WORDS, self._writing.cancel)
            if self._to_write is not None:
                self._to_write.set()

    def _fail(self, error: StompError, *, code: int = _PROTOCOL_ERROR) -> None:
        """ERROR, and the end."""
        if self._end is not None:
            return
        frame = self._connection.error(str(error), receipt=error.receipt)
        message = frame.headers["message"]
        logger.info("STOMP client %s is refused: %r", self.id, message)
        self._say(frame)
        self._finish(code, message[:100])

    def disconnect(self, message: str, code: int = _DONE) -> None:
        """See `StompClient.disconnect`."""
        self._fail(StompError(message), code=code)

    def expire_at(self, allowed: Allowed) -> None:
        """See `Allowed`: when its time is over, the client has to come again.

        Raises:
            StompError: it is over.
        """
        at = allowed.expires_at
        if at is None:
            return
        left = (at.timestamp() if isinstance(at, datetime) else at) - time.time()
        if left <= 0:
            raise StompError("the credentials have expired")
        self._expiry = self._host.call_later(left, self._expire)

    def _expire(self) -> None:
        self._fail(StompError("the credentials have expired"), code=_POLICY)

    def _pump(self) -> None:
        """It can take more: its queues go on."""
        if self.stalled:
            stalled, self.stalled = self.stalled, {}
            for queue in stalled:
                queue.pump()

    # -- what its frames mean

    async def _perform(self, action: Action[Letter | None] | StompError) -> None:
        if self._end is not None:
            return
        receipt: str | None = None
        try:
            match action:
                case StompError():
                    raise action
                case Connect():
                    await self._connect(action)
                    return
                case Receipt():
                    receipt = action.receipt
                case Disconnect():
                    receipt = action.receipt
                case Subscribe():
                    receipt = action.receipt
                    await self._subscribe(action.subscription)
                case Unsubscribe():
                    receipt = action.receipt
                    self._unsubscribe(action.subscription)
                case SendTo():
                    receipt = action.receipt
                    if not await self._send_all([action]):
                        return
                case Acknowledge():
                    receipt = action.receipt
                    self._acknowledge([action])
                case Commit():
                    receipt = action.receipt
                    sends = [each for each in action.actions if isinstance(each, SendTo)]
                    if not await self._send_all(sends):
                        return
                    self._acknowledge([each for each in action.actions if isinstance(each, Acknowledge)])
        except StompError as error:
            error.receipt = error.receipt or receipt
            self._fail(error)
            return
        except Exception:
            # Of the application's own, such as a function that chooses rooms. What is done is unknown: this is the end.
            logger.exception("what STOMP client %s asks for failed", self.id)
            self._fail(StompError("internal error", receipt), code=_FAILURE)
            return
        if receipt is not None:
            self._say(Frame("RECEIPT", {"receipt-id": receipt}))
        if isinstance(action, Disconnect):
            self._finish(_DONE, "")

    async def _connect(self, connect: Connect) -> None:
        client = await self._broker.let_in(self, connect)
        self.client = client
        user = client.user if client.principal is not None else None
        server = self._broker.server
        self._say(self._connection.accept(session=self.id, server=server, user=user))
        self._set_time()

    async def _subscribe(self, subscription: Subscription[Letter | None]) -> None:
        subscriber = Subscriber(self, subscription)
        await self._broker.subscribe(self._in(), subscriber)
        if subscription.is_open and not self._connection.is_ended:
            self._subscribers[subscription.id] = subscriber
        elif subscriber.leave is not None:
            # It has been ended while we asked whether it may be.
            subscriber.leave()

    def _unsubscribe(self, subscription: Subscription[Letter | None]) -> None:
        found = self._subscribers.get(subscription.id)
        if found is not None and found.subscription is subscription:
            del self._subscribers[subscription.id]
            if found.leave is not None:
                found.leave()
        letters = list(subscription.unacked.values())
        subscription.unacked.clear()
        self._give_back(letters)

    async def _send_all(self, sends: list[SendTo]) -> bool:
        client = self._in()
        for each in sends:
            await self._broker.check_send(client, each)
        if len(sends) > 1:
            self._broker.queues.check_room(client, sends)
        return await self._broker.send_from(client, *sends)

    def _in(self) -> StompClient:
        assert self.client is not None
        return self.client

    def _acknowledge(self, actions: list[Acknowledge[Letter | None]]) -> None:
        for action in actions:
            letters = self._connection.settle(action.id)
            if action.accepted or not action.requeue:
                for letter in letters:
                    if letter is not None:
                        letter.queue.done(letter)
                        self._broker.queues.tidy(letter.queue)
            else:
                self._give_back(letters)
        self._pump()

    def _give_back(self, letters: Collection[Letter | None]) -> None:
        # Of one subscription, and so of one queue; or of a topic, and then of none.
        back = [letter for letter in letters if letter is not None]
        if back:
            queue = back[0].queue
            queue.give_back(back)
            queue.pump()
            self._broker.queues.tidy(queue)


def _cost(item: Outgoing) -> int:
    return item[0].size_bytes if isinstance(item, tuple) else len(item)


def _size(action: Action[Letter | None] | StompError) -> int:
    match action:
        case SendTo():
            return len(action.body) + 500
        case Commit():
            return sum([_size(each) for each in action.actions], 500)
        case _:
            return 500
