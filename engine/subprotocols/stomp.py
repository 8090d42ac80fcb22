"""STOMP as its server sees one client: frames in, what they mean out; no I/O and no clock.

STOMP 1.2, "Connecting" to "Server Frames"; 1.1 and 1.0 where they differ.

1. A connection waits for CONNECT, is open, then ends. What comes behind CONNECT is understood before that is answered:
   whoever carries out what frames mean does so in their order.
2. An error is the last thing that is said: ERROR, then nothing is taken any more.
3. What is sent within a transaction is understood at once, and means nothing before COMMIT.
4. A delivery that wants an ACK is known by the number that its MESSAGE bears, which is never given twice. ACK of
   mode `client` counts for all deliveries of the subscription before it.
5. Heart-beats: who has said nothing for twice the interval agreed upon is dead; whatever comes is as good as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Literal, TypeVar, cast

from ..errors import RemoteProtocolError
from ..settings import StompSettings
from ..wire.sockjs import decode_numbers
from .stomp_frames import Frame, FrameDecoder, Version

__all__ = [
    "AckMode",
    "Acknowledge",
    "Action",
    "Commit",
    "Connect",
    "Disconnect",
    "Receipt",
    "SendTo",
    "StompConnection",
    "StompError",
    "Subscribe",
    "Subscription",
    "Unsubscribe",
]

AckMode = Literal["auto", "client", "client-individual"]
T = TypeVar("T")
S = TypeVar("S")

# Rule 5: how many intervals may pass in silence.
_PATIENCE = 2.0
_BEATS = re.compile(r"([0-9]{1,9}),([0-9]{1,9})")
_VERSIONS: tuple[Version, ...] = ("1.2", "1.1", "1.0")
_ACK_MODES = ("auto", "client", "client-individual")


class _Stage(Enum):
    OPENING = "opening"
    OPEN = "open"
    ENDED = "ended"


_BODILESS = frozenset(
    ["CONNECT", "STOMP", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT"]
)
_COMMANDS: dict[_Stage, frozenset[str]] = {
    _Stage.OPENING: frozenset({"CONNECT", "STOMP"}),
    _Stage.OPEN: _BODILESS - {"CONNECT", "STOMP"} | {"SEND"},
    _Stage.ENDED: frozenset(),
}


class StompError(RemoteProtocolError):
    """A frame that the protocol does not allow here.

    Attributes:
        receipt: What the frame asked for; ERROR names it.
    """

    def __init__(self, message: str, receipt: str | None = None) -> None:
        super().__init__(message)
        self.receipt = receipt


@dataclass(slots=True)
class Subscription(Generic[T]):
    """One of a client.

    Attributes:
        id: The client's; of a client of 1.0 that gives none, its destination.
        named: Whether the client gave that id.
        destination: As the client wrote it.
        headers: Of SUBSCRIBE.
        unacked: What was delivered and waits for an ACK, by its number: in the order of delivery.
        is_open: Whether it has not been ended.
    """

    id: str
    named: bool
    destination: str
    ack: AckMode
    headers: Mapping[str, str]
    unacked: dict[str, T] = field(default_factory=dict[str, T])
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Connect:
    """The client wants to be let in."""

    login: str | None
    passcode: str | None = field(repr=False)
    host: str | None
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendTo:
    """A message to a destination; its headers are those of the client, but for what the protocol needs itself."""

    destination: str
    headers: Mapping[str, str]
    body: bytes
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Subscribe(Generic[T]):
    subscription: Subscription[T]
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Unsubscribe(Generic[T]):
    """It is ended; what it had not acknowledged is still in it."""

    subscription: Subscription[T]
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Acknowledge(Generic[T]):
    """What was delivered is done, or (``accepted`` false) not.

    Attributes:
        id: The number of the delivery: see `StompConnection.settle`.
        requeue: Whether what is not accepted may be delivered again.
    """

    id: str
    accepted: bool
    requeue: bool
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Commit(Generic[T]):
    """All of this together or nothing, in order."""

    actions: tuple[SendTo | Acknowledge[T], ...]
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """There is nothing to do but to say so."""

    receipt: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The client goes."""

    receipt: str | None


Action = Connect | SendTo | Subscribe[T] | Unsubscribe[T] | Acknowledge[T] | Commit[T] | Receipt | Disconnect

# What a frame never begins with. Where only texts travel, bytes begin with one of these.
_NO_COMMAND = frozenset("0123456789[")
_NOT_HANDED_ON = frozenset({"destination", "receipt", "transaction", "content-length"})


@dataclass(slots=True)
class _Transaction(Generic[T]):
    actions: list[SendTo | Acknowledge[T]] = field(default_factory=list["SendTo | Acknowledge[T]"])
    size_bytes: int = 0


def _bytes_in(text: str) -> bytes:
    """What a client of SockJS, which has no bytes, has made of some."""
    if text.startswith("["):
        raise RemoteProtocolError(
            "bytes do not travel by SockJS; what came is a text such as [object ArrayBuffer]"
        )
    return decode_numbers(text)


class StompConnection(Generic[T]):
    """One client. ``T`` is whatever a delivery stands for.

    Args:
        limits: What a client may ask for.
        heart_beat: Seconds between ours at most, and what the client is asked for; 0 for none.
        now: Seconds on any monotonic clock.

    Attributes:
        version: Agreed upon; before that, what we would speak.
        subscriptions: By id.
        unacked: How many deliveries wait for an ACK.
    """

    def __init__(self, limits: StompSettings, *, heart_beat: float, now: float) -> None:
        self.version: Version = "1.2"
        self.subscriptions: dict[str, Subscription[T]] = {}
        self.unacked = 0
        self._limits = limits
        self._decoder = FrameDecoder(limits)
        self._stage = _Stage.OPENING
        self._own_beat = heart_beat
        self._beats: tuple[float, float] = (0.0, 0.0)
        self._sent = self._heard = now
        self._started = now
        self._is_in = False
        self._count = 0
        self._delivered: dict[str, Subscription[T]] = {}
        self._transactions: dict[str, _Transaction[T]] = {}

    @property
    def is_ended(self) -> bool:
        """Whether nothing is taken any more."""
        return self._stage is _Stage.ENDED

    # -- what comes

    def receive(self, data: str | bytes, *, now: float) -> Iterator[Action[T]]:
        """What a message means; it may hold several frames, or a part of one.

        Raises:
            StompError: a frame that is not allowed, or more than the client may ask for. Answer with `error`.
        """
        return self._ending(self._actions(data, now))

    def pass_on(self, data: str | bytes, *, now: float) -> Iterator[Connect | Frame]:
        """`receive` for one who hands frames on to where they are understood: only CONNECT is understood here.

        Raises:
            StompError: as `receive`, as far as that can be seen without knowing what a frame means.
        """
        return self._ending(self._to_pass_on(data, now))

    def _ending(self, steps: Iterator[S]) -> Iterator[S]:
        """Whatever is wrong ends the connection, and is a `StompError`."""
        try:
            yield from steps
        except StompError:
            self._stage = _Stage.ENDED
            raise
        except RemoteProtocolError as error:
            self._stage = _Stage.ENDED
            raise StompError(str(error)) from error

    def _actions(self, data: str | bytes, now: float) -> Iterator[Action[T]]:
        for frame in self._frames(data, now):
            action = self._understand(frame)
            if action is not None:
                yield action

    def _to_pass_on(self, data: str | bytes, now: float) -> Iterator[Connect | Frame]:
        for frame in self._frames(data, now):
            self._check(frame)
            if self._stage is _Stage.OPENING:
                yield self._connect(frame.headers)
                continue
            if frame.command == "DISCONNECT":
                self._stage = _Stage.ENDED
            yield frame

    def _frames(self, data: str | bytes, now: float) -> Iterator[Frame]:
        self._heard = now
        if self.is_ended:
            return
        if data[:1] in _NO_COMMAND and self._decoder.is_between:
            data = _bytes_in(cast("str", data))
        for frame in self._decoder.feed(data):
            yield frame
            if self.is_ended:
                return

    def _understand(self, frame: Frame) -> Action[T] | None:
        command, headers = frame.command, frame.headers
        receipt = headers.get("receipt")
        try:
            self._check(frame)
            match command:
                case "CONNECT" | "STOMP":
                    return self._connect(headers)
                case "SEND":
                    return self._send(frame)
                case "SUBSCRIBE":
                    return self._subscribe(headers)
                case "UNSUBSCRIBE":
                    return self._unsubscribe(headers)
                case "ACK" | "NACK":
                    return self._ack(frame, accepted=command == "ACK")
                case "BEGIN":
                    self._begin(_needed(headers, "transaction"))
                case "COMMIT":
                    return Commit(tuple(self._end_transaction(headers)), receipt)
                case "ABORT":
                    self._end_transaction(headers)
                case _:
                    self._stage = _Stage.ENDED
                    return Disconnect(receipt)
        except StompError as error:
            error.receipt = receipt
            raise
        return None if receipt is None else Receipt(receipt)

    def _check(self, frame: Frame) -> None:
        if frame.command not in _COMMANDS[self._stage]:
            raise StompError(
                "this frame is not allowed here, or does not exist", frame.headers.get("receipt")
            )
        if frame.body and frame.command in _BODILESS:
            raise StompError(f"{frame.command} has no body", frame.headers.get("receipt"))

    def _connect(self, headers: Mapping[str, str]) -> Connect:
        asked = [version.strip() for version in headers.get("accept-version", "1.0").split(",")]
        shared: list[Version] = [version for version in _VERSIONS if version in asked]
        if not shared:
            raise StompError("supported protocol versions are 1.0, 1.1 and 1.2")
        self.version = self._decoder.version = shared[0]
        stated = headers.get("heart-beat", "0,0")
        beats = _BEATS.fullmatch(stated.replace(" ", ""))
        if beats is None:
            raise StompError("heart-beat is two numbers of milliseconds")
        can, wants = (int(number) / 1000 for number in beats.groups())
        own = self._own_beat
        self._beats = (max(own, wants) if own and wants else 0.0, max(own, can) if own and can else 0.0)
        self._stage = _Stage.OPEN
        return Connect(headers.get("login"), headers.get("passcode"), headers.get("host"), headers)

    def _send(self, frame: Frame) -> SendTo | Receipt | None:
        headers = frame.headers
        receipt = headers.get("receipt")
        own = {name: value for name, value in headers.items() if name not in _NOT_HANDED_ON}
        action = SendTo(_needed(headers, "destination"), own, frame.body, receipt)
        if "transaction" not in headers:
            return action
        return self._later(headers["transaction"], action, frame, receipt)

    def _ack(self, frame: Frame, *, accepted: bool) -> Acknowledge[T] | Receipt | None:
        headers, receipt = frame.headers, frame.headers.get("receipt")
        if not accepted and self.version == "1.0":
            raise StompError("STOMP 1.0 has no NACK")
        id = _needed(headers, "id" if self.version == "1.2" else "message-id")
        if id not in self._delivered:
            raise StompError("no message of this number waits for an ACK")
        action: Acknowledge[T] = Acknowledge(id, accepted, headers.get("requeue") != "false", receipt)
        if "transaction" not in headers:
            return action
        return self._later(headers["transaction"], action, frame, receipt)

    def _subscribe(self, headers: Mapping[str, str]) -> Subscribe[T]:
        destination = _needed(headers, "destination")
        named = "id" in headers
        if not named and self.version != "1.0":
            raise StompError("SUBSCRIBE needs the header id")
        id = headers.get("id", destination)
        ack = headers.get("ack", "auto")
        if ack not in _ACK_MODES:
            raise StompError("ack is auto, client or client-individual")
        if id in self.subscriptions:
            raise StompError("there is a subscription of this id")
        if len(self.subscriptions) >= self._limits.max_subscriptions:
            most = self._limits.max_subscriptions
            raise StompError(f"a client has at most {most} subscriptions (setting max_subscriptions)")
        subscription: Subscription[T] = Subscription(id, named, destination, ack, headers)
        self.subscriptions[id] = subscription
        return Subscribe(subscription, headers.get("receipt"))

    def _unsubscribe(self, headers: Mapping[str, str]) -> Unsubscribe[T]:
        id = headers.get("id")
        if id is None and self.version == "1.0":
            id = _needed(headers, "destination")
        subscription = self.subscriptions.pop(_needed(headers, "id") if id is None else id, None)
        if subscription is None:
            raise StompError("there is no subscription of this id")
        self._forget(subscription)
        return Unsubscribe(subscription, headers.get("receipt"))

    def _forget(self, subscription: Subscription[T]) -> None:
        subscription.is_open = False
        for id in subscription.unacked:
            del self._delivered[id]
        self.unacked -= len(subscription.unacked)

    # -- transactions (rule 3)

    def _begin(self, name: str) -> None:
        if name in self._transactions:
            raise StompError("there is a transaction of this name")
        if len(self._transactions) >= self._limits.max_transactions:
            most = self._limits.max_transactions
            raise StompError(f"a client has at most {most} transactions (setting max_transactions)")
        self._transactions[name] = _Transaction()

    def _later(
        self, name: str, action: SendTo | Acknowledge[T], frame: Frame, receipt: str | None
    ) -> Receipt | None:
        transaction, limits = self._transactions.get(name), self._limits
        if transaction is None:
            raise StompError("there is no transaction of this name")
        transaction.actions.append(action)
        transaction.size_bytes += frame.size_bytes
        transactions = self._transactions.values()
        if sum([len(each.actions) for each in transactions]) > limits.max_transaction_frames:
            raise StompError("transactions hold too many frames (setting max_transaction_frames)")
        if sum([each.size_bytes for each in transactions]) > limits.max_transaction_bytes:
            raise StompError("transactions hold too many bytes (setting max_transaction_bytes)")
        return None if receipt is None else Receipt(receipt)

    def _end_transaction(self, headers: Mapping[str, str]) -> list[SendTo | Acknowledge[T]]:
        transaction = self._transactions.pop(_needed(headers, "transaction"), None)
        if transaction is None:
            raise StompError("there is no transaction of this name")
        return transaction.actions

    # -- what is said

    def accept(self, *, session: str, server: str, user: str | None = None) -> Frame:
        """CONNECTED: the client is let in."""
        self._is_in = True
        headers = {"version": self.version, "session": session, "server": server}
        if self.version != "1.0":
            # What we give, and what we want: the client's choice is the larger of each and its own.
            beat = str(round(self._own_beat * 1000))
            headers["heart-beat"] = f"{beat},{beat}"
        if user is not None:
            headers["user-name"] = user
        return Frame("CONNECTED", headers)

    def deliver(self, subscription: Subscription[T], what: T) -> dict[str, str]:
        """The headers of a MESSAGE that only this delivery has; what it stands for waits for its ACK."""
        self._count += 1
        id = str(self._count)
        headers = {"message-id": id}
        if subscription.named:
            headers["subscription"] = subscription.id
        if subscription.ack != "auto":
            headers["ack"] = id
            subscription.unacked[id] = what
            self._delivered[id] = subscription
            self.unacked += 1
        return headers

    def settle(self, id: str) -> list[T]:
        """What an ACK or NACK is about, no longer waiting for one (rule 4); nothing, if its subscription is gone."""
        subscription = self._delivered.get(id)
        if subscription is None:
            return []
        found = [id]
        if subscription.ack == "client":
            found = list(subscription.unacked)
            del found[found.index(id) + 1 :]
        for each in found:
            del self._delivered[each]
        self.unacked -= len(found)
        return [subscription.unacked.pop(each) for each in found]

    def end_subscription(self, subscription: Subscription[T]) -> None:
        """We end it ourselves; idempotent."""
        if self.subscriptions.get(subscription.id) is subscription:
            del self.subscriptions[subscription.id]
            self._forget(subscription)

    def error(self, message: str, *, receipt: str | None = None, body: str = "") -> Frame:
        """ERROR, after which nothing is taken any more (rule 2). What no header can say is replaced."""
        self._stage = _Stage.ENDED
        # It may quote what a client has said in another form, with a NUL or half a character.
        message = message.replace("\0", "\ufffd").encode(errors="replace").decode()
        headers = {"message": " ".join(message.split())}
        if receipt is not None:
            headers["receipt-id"] = receipt
        if body:
            headers["content-type"] = "text/plain"
        return Frame("ERROR", headers, body.encode(errors="replace"))

    # -- heart-beats (rule 5)

    def sent(self, now: float) -> None:
        """Something was written to the client."""
        self._sent = now

    def heard(self, now: float) -> None:
        """It would have been heard, had we read."""
        self._heard = now

    @property
    def _dead_at(self) -> float:
        if not self._is_in:
            return self._started + self._limits.connect_timeout
        return self._heard + _PATIENCE * self._beats[1] if self._beats[1] else float("inf")

    @property
    def _beat_at(self) -> float:
        return self._sent + self._beats[0] if self._beats[0] and self._is_in else float("inf")

    def deadline(self) -> float:
        """When `check_time` is to be called; infinity for never."""
        return min(self._dead_at, self._beat_at)

    def check_time(self, now: float) -> bool:
        """Whether a heart-beat is due.

        Raises:
            StompError: the client is silent for too long.
        """
        if now >= self._dead_at:
            self._stage = _Stage.ENDED
            raise StompError(
                "no heart-beat came in time"
                if self._is_in
                else "no CONNECT came in time (setting connect_timeout)"
            )
        return now >= self._beat_at


def _needed(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise StompError(f"the frame needs the header {name}")
    return value
