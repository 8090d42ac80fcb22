"""What a session takes from its peer: at once where it can, and no faster than its application.

No task and no queue hop stand between a message and its handler.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Iterator
from contextvars import Context
from typing import Any, Protocol

from anyio.lowlevel import checkpoint

from ..errors import MissingMessages, RemoteProtocolError
from ..hands import Entered, Hands, Turn, whole
from ..host import Event, Host, make_event
from ..session import Carrier, CloseReason, Life, ServerSession
from ..wire.packet import Packet
from .rate import Rate

__all__ = ["Incoming", "Intake", "SessionHandler"]

Incoming = Packet | str
"""A packet; or a text that a plain peer has sent, without its type."""

# How many packets are taken before others have their turn, and how many bytes, in powers of two, count as one more.
TURN = 100
_WEIGHT_SHIFT = 10
_OPEN, _CLOSED = Life.OPEN, Life.CLOSED
# How many turns somebody who was told what he waits for has to go on.
_TURNS_TO_GO_ON = 3
# Of a task that has nothing left.
_NO_CONTEXT = Context()
# How long reading may be held up for an application that is behind, and what each message that it takes gives back of
# that. Pongs, and the acknowledgements that handlers wait for, stand behind what is not read.
_PACE = 1.0
_PACE_PER_MESSAGE = 0.0002


class SessionHandler(Protocol):
    """What runs above a session. Calls come in order and must not wait."""

    def message_received(self, data: str | bytes) -> None:
        """One message. `RemoteProtocolError` closes the session with "parse error"."""
        ...

    def session_closed(self, reason: CloseReason) -> None:
        """The session is over; called once."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether much of what it was given still waits. When that ends, it calls `LiveSession.caught_up`, and for each
        message that it has taken, `LiveSession.message_taken`."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether what it was given is being worked on, and will come to an end by itself."""
        ...


class Intake(ABC):
    """What `LiveSession` takes.

    Attributes:
        handler: What runs above it.
        host: What runs tasks and timers for it.
        begins_at_once: Whether what a message leads to may run before anything else does (`enter`).
        has_run: What a message led to has run; whoever has handed it on takes that back.
        joins: Whether what is said now leaves together with what is said soon.
        awakened: How many were told what they have waited for.
        went_on: How many of these, from the first one on, have gone on since.
    """

    __slots__ = (
        "_begins",
        "_caught_up",
        "_core",
        "_entered",
        "_hands",
        "_is_receiving",
        "_is_unsettled",
        "_pace",
        "_rate",
        "_still",
        "_taken",
        "awakened",
        "begins_at_once",
        "handler",
        "has_run",
        "host",
        "joins",
        "went_on",
    )

    def __init__(self, core: ServerSession, host: Host, max_events_per_second: int) -> None:
        self._core = core
        self.host = host
        self.handler: SessionHandler | None = None
        # While messages are handed on, nothing is written: all that they lead to at once goes out together.
        self._is_receiving = False
        self.begins_at_once = self.has_run = self.joins = False
        self._entered: Entered | None = None
        # Whether anything was changed meanwhile.
        self._is_unsettled = False
        self._begins: list[Turn] | None = None
        # Which event loop runs is known: before Python 3.12 it costs a system call to ask.
        self._hands: Hands | None = host.hands
        self._caught_up: Event | None = None
        self._pace = _PACE
        self._rate = Rate(max_events_per_second, now=host.now())
        self._taken = 0
        self.awakened = self.went_on = 0
        # Who has not gone on yet.
        self._still: set[int] | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages count."""
        return self._core.life is _OPEN

    @abstractmethod
    def _settle(self, *, now: bool = False) -> None:
        """See to all that follows from a change."""

    @abstractmethod
    def _refuse(self, error: RemoteProtocolError) -> None:
        """End the session: what its peer sent is wrong."""

    def receive(self, carrier: Carrier, packets: Iterable[Incoming]) -> None:
        """Take what arrived on a carrier, and hand its messages to the application.

        Raises:
            MissingMessages: end this carrier; the session lives.
            RemoteProtocolError: the session has been closed with "parse error".
        """
        packets = iter(packets)
        while not self._receive(carrier, packets, stop=False):
            self._taken = 0

    def receive_now(self, carrier: Carrier, packets: Iterator[Incoming]) -> bool:
        """`receive_at_pace`, as far as there is nothing to wait for.

        Returns:
            Whether that was all. If not, `receive_rest` of the same packets comes before more are taken.

        Raises:
            MissingMessages, RemoteProtocolError: as `receive`.
        """
        is_all = self._receive(carrier, packets, stop=self._pace > 0)
        # What a server has queued comes without a pause between, so a turn may be made of many small messages.
        return is_all and self._taken < TURN and self._rate.left >= 0

    async def receive_at_pace(self, carrier: Carrier, packets: Iterator[Incoming]) -> None:
        """`receive`, and `pace` wherever the application is behind; others have their turn between many packets.

        Returns only when more may come (setting ``max_events_per_second``).

        Raises:
            MissingMessages, RemoteProtocolError: as `receive`.
        """
        if not self.receive_now(carrier, packets):
            await self.receive_rest(carrier, packets)

    async def receive_rest(self, carrier: Carrier, packets: Iterator[Incoming]) -> None:
        """What `receive_now` has left, as `receive_at_pace`."""
        is_all = False
        while not is_all:
            if self._rate.left < 0:
                await self._slow_down()
            await self.pace()
            await checkpoint()
            self._taken = 0
            is_all = self._receive(carrier, packets, stop=self._pace > 0)
        if self._rate.left < 0:
            await self._slow_down()

    def others_had_their_turn(self) -> None:
        """Since what was taken last."""
        self._taken = 0

    def brought_nothing(self) -> None:
        """Of the message that is being taken nobody has any use."""
        self._rate.spare -= 1

    async def _slow_down(self) -> None:
        seconds = self._rate.pause()
        if seconds and self.is_open:
            await self.host.sleep(seconds)
            self._rate.renew(self.host.now())

    def _receive(self, carrier: Carrier, packets: Iterator[Incoming], *, stop: bool) -> bool:
        """Whether these were all, or the session is over. If not, call it again."""
        core, handler = self._core, self.handler
        now = self.host.now()
        taken, texts, idle, weight, more = 0, 0, 0, self._taken, False
        self._is_receiving = self.joins = True
        self.begins_at_once = self.awakened == self.went_on
        try:
            for packet in packets:
                taken += 1
                if isinstance(packet, str):
                    weight += 1 + (len(packet) >> _WEIGHT_SHIFT)
                    message = None
                    if core.life is _OPEN:
                        texts += 1
                        message = packet
                else:
                    weight += 1 + (len(packet[1]) >> _WEIGHT_SHIFT)
                    message = core.receive(carrier, packet, now)
                if message is not None and handler is not None:
                    handler.message_received(message)
                    if self.has_run:
                        self.has_run = False
                        if self._pace < _PACE:
                            self.message_taken()
                    elif stop and handler.is_behind:
                        more = True
                        break
                else:
                    idle += 1
                # After the end nothing counts, so it is not decoded either.
                if weight >= TURN or core.life is _CLOSED:
                    more = core.life is not _CLOSED
                    break
            self._taken = weight
            rate = self._rate
            rate.left -= taken
            rate.spare -= idle
            if (rate.left < 0 or rate.spare < 0) and core.life is not _CLOSED:
                rate.renew(now)
        except RemoteProtocolError as error:
            self._misreceived(error)
            raise
        finally:
            if texts:
                core.received_plain(texts)
            self._handed_on()
        self._settle(now=True)
        return not more

    def _handed_on(self) -> None:
        self.begins_at_once = self.joins = False
        if self._entered is not None:
            self.apart()
        if self._begins is not None:
            self._begin_all()
        self._is_receiving = False

    def receive_message(self, data: str | bytes) -> bool:
        """`receive_now` of one message of a plain peer, as which it has the fewest steps: nothing is counted, and where
        it leads to nothing else, nothing has changed.

        Returns:
            Whether that was all. If not, `receive_rest` of nothing comes before more is taken.

        Raises:
            RemoteProtocolError: as `receive`.
        """
        core, handler, rate = self._core, self.handler, self._rate
        self._is_receiving, self._is_unsettled = True, False
        is_all = True
        try:
            if handler is not None and core.life is _OPEN:
                core.received_plain(1)
                self.begins_at_once = self.awakened == self.went_on
                handler.message_received(data)
                if self.has_run:
                    self.has_run = False
                    if self._pace < _PACE:
                        self.message_taken()
                else:
                    is_all = not handler.is_behind or self._pace <= 0
            else:
                rate.spare -= 1
            left = rate.left = rate.left - 1
            taken = self._taken = self._taken + 1 + (len(data) >> _WEIGHT_SHIFT)
            if left < 0 or rate.spare < 0:
                if core.life is not _CLOSED:
                    rate.renew(self.host.now())
                left = rate.left
        except RemoteProtocolError as error:
            self._misreceived(error)
            raise
        finally:
            # All of `_handed_on`, as nothing joins.
            self.begins_at_once = False
            if self._begins is not None:
                self._begin_all()
            self._is_receiving = False
        if self._is_unsettled or core.life is not _OPEN:
            self._settle(now=True)
        return is_all and taken < TURN and left >= 0

    def _misreceived(self, error: RemoteProtocolError) -> None:
        self._is_receiving = False
        if isinstance(error, MissingMessages):
            self._settle()
        else:
            self._refuse(error)

    def enter(self) -> Entered | None:
        """Where `begins_at_once`: the task as which what the message leads to is to be run at once; None where none is
        free. Whoever has run it calls `ran`. All messages that arrived together may have the same task.
        """
        entered = self._entered
        if entered is not None:
            self._entered = None
            return entered
        return None if self._hands is None else self._hands.enter()

    def ran(self, entered: Entered, context: Context, rest: Coroutine[Any, Any, None] | None) -> None:
        """What the message leads to has run in this context, but for what is left, with which the task goes on."""
        self.has_run = True
        assert self._hands is not None
        if rest is not None:
            self.host.leave(self._hands, entered, context, rest)
        elif self.joins and entered.is_free():
            self._entered = entered
        else:
            self._hands.leave(entered, context)

    def apart(self) -> None:
        """What the message leads to is not run as that task."""
        entered = self._entered
        if entered is not None:
            self._entered = None
            assert self._hands is not None
            self._hands.leave(entered, _NO_CONTEXT)

    def begin(self, turn: Turn) -> None:
        """Let the application have its turn: after what is being taken from the peer, or as a task of its own."""
        if not self._is_receiving or self.awakened != self.went_on:
            self.host.spawn(whole, turn)
        elif self._begins is None:
            self._begins = [turn]
        else:
            self._begins.append(turn)

    def awaken(self) -> int:
        """Somebody is told now what he waits for. What came before that begins first, as far as it need not wait; what
        comes after it does not begin before he calls `goes_on` with the number that is returned."""
        if self._begins is not None:
            self._begin_all()
        self.begins_at_once = False
        self.awakened += 1
        if self._still is None:
            self._still = set()
        self._still.add(self.awakened)
        return self.awakened

    def goes_on(self, number: int) -> None:
        """Who was told goes on."""
        assert self._still is not None
        self._still.discard(number)
        if self._still:
            self.went_on = min(self._still) - 1
        else:
            self._still, self.went_on = None, self.awakened

    async def gone_on(self, number: int) -> None:
        """Return when so many have gone on of those who were told, or ought to have."""
        turns = 0
        try:
            while self.went_on < number and turns < _TURNS_TO_GO_ON:
                turns += 1
                await checkpoint()
        except BaseException as error:
            # Somebody has kept the task of a handler that has ended.
            await self.host.go_on_after(error)

    def _begin_all(self) -> None:
        hands = self._hands
        while begins := self._begins:
            self._begins = None
            for turn in begins:
                self.host.take(turn, hands)

    async def pace(self) -> None:
        """Before more is read: let an application that is behind catch up, so that a quick peer is no reason to close.

        In all a second, and again as much when messages are taken quickly: a slow handler must not keep from the
        session what keeps it alive, or what it waits for itself.
        """
        handler = self.handler
        if handler is None or not handler.is_behind or not self.is_open or self._pace <= 0:
            return
        if self._caught_up is None:
            self._caught_up = make_event()
        since = self.host.now()
        timer = self.host.call_later(self._pace, self.caught_up)
        try:
            await self._caught_up.wait()
        finally:
            timer.cancel()
            self._pace -= self.host.now() - since

    def message_taken(self) -> None:
        """The application has taken a message that waited."""
        if self._pace < _PACE:
            self._pace = min(self._pace + _PACE_PER_MESSAGE, _PACE)

    def caught_up(self) -> None:
        """The application is not behind any more."""
        if self._caught_up is not None:
            self._caught_up.set()
            self._caught_up = None
