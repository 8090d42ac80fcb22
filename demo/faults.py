"""What can go wrong between page and server: faults that last, mishaps that happen once, and the count of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from random import Random

import anyio

__all__ = ["CARRIERS", "Direction", "Faults", "Kind", "Mishap", "Plan", "Rules", "Stats", "Traffic"]


class Kind(StrEnum):
    """What a request is for. A response of type text/event-stream makes any request a stream."""

    WEBSOCKET = "websocket"
    STREAM = "stream"
    POLL = "poll"
    POST = "post"
    OTHER = "other"


CARRIERS = (Kind.WEBSOCKET, Kind.STREAM, Kind.POLL)
"""The kinds that hold a connection open for what the server has to say."""


class Direction(Enum):
    """Which way bytes go."""

    UP = "client to server"
    DOWN = "server to client"


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Faults that last until they are taken away. All of them combine.

    Attributes:
        refuse_websocket: A WebSocket handshake is answered with 403 and never reaches the server.
        hang_websocket: A WebSocket handshake is swallowed; no answer ever comes.
        swallow_websocket: The handshake succeeds, then both directions are silent. An open WebSocket falls silent too.
        close_websocket: The handshake succeeds, then the connection ends.
        strip_upgrade: The handshake arrives without its Upgrade field, as behind a plain `proxy_pass`.
        strip_headers: Names of fields that are taken out of requests and responses; those that say where a body ends
            must not be among them.
        hold_streams: Bytes of a streaming response wait here until it ends (or this fault does).
        hold_stream_heads: With `hold_streams`: its head waits too.
        hold_under_bytes: Bytes of a streaming response wait until this many have come together, or until it ends.
        hold_responses: As `hold_streams`, for every response: what is written bit by bit arrives when it is complete.
        end_streams_after: Seconds after which a streaming response is cut off, in the middle.
        end_streams_after_bytes: Bytes of data after which a streaming response is cut off.
        end_websockets_after: Seconds after which a WebSocket is cut off.
        end_websockets_after_bytes: Bytes from the server after which a WebSocket is cut off, be it in a frame.
        delay_up: Seconds that bytes take from client to server. Order is kept.
        delay_down: Seconds that bytes take from server to client. Order is kept.
        jitter: Seconds; each delay grows by a random part of it.
        bandwidth_up: Bytes a second that one connection carries from client to server; 0 for as many as come.
        bandwidth_down: Bytes a second that one connection carries from server to client.
        bad_gateway: Everything but pages (`Kind.OTHER`) is answered with 502 and an HTML page.
        html_page: Everything but pages is answered with 200 and an HTML page, as captive portals do.
        mishaps: How likely (0 to 1) each mishap is to befall a request it fits.
    """

    refuse_websocket: bool = False
    hang_websocket: bool = False
    swallow_websocket: bool = False
    close_websocket: bool = False
    strip_upgrade: bool = False
    strip_headers: tuple[str, ...] = ()
    hold_streams: bool = False
    hold_stream_heads: bool = False
    hold_under_bytes: int = 0
    hold_responses: bool = False
    end_streams_after: float | None = None
    end_streams_after_bytes: int | None = None
    end_websockets_after: float | None = None
    end_websockets_after_bytes: int | None = None
    delay_up: float = 0.0
    delay_down: float = 0.0
    jitter: float = 0.0
    bandwidth_up: int = 0
    bandwidth_down: int = 0
    bad_gateway: bool = False
    html_page: bool = False
    mishaps: tuple[tuple[Mishap, float], ...] = ()

    def holds(self, kind: Kind) -> str:
        """The fault that holds back the response to a request of this kind; "" if none does."""
        if self.hold_responses:
            return "hold_responses"
        if kind is not Kind.STREAM:
            return ""
        return "hold_streams" if self.hold_streams else "hold_under_bytes" if self.hold_under_bytes else ""


class Mishap(StrEnum):
    """What can befall one request."""

    CUT_RESPONSE = "cut response"
    """The connection is reset in the middle of the response's body."""
    TRUNCATE_RESPONSE = "truncate response"
    """The connection ends in the middle of the response's body, politely (FIN)."""
    CUT_CHARACTER = "cut character"
    """The connection is reset in the middle of a character of the response that takes several bytes."""
    CUT_EVENT = "cut event"
    """The connection is reset in the middle of an event of a stream."""
    CUT_REQUEST = "cut request"
    """The connection is reset in the middle of the request's body."""
    LOSE_ANSWER = "lose answer"
    """The server gets the request, its response is thrown away and the connection reset."""
    LOSE_REQUEST = "lose request"
    """The server gets nothing and the connection is reset, when all of the request has been sent."""
    REORDER = "reorder"
    """The connection is reset; the server gets the request later, after it has answered the next one of its kind."""
    REPEAT = "repeat"
    """The server gets the request twice, the client one answer."""
    BAD_GATEWAY = "bad gateway"
    """502 with an HTML page; the server gets nothing."""
    HTML_PAGE = "html page"
    """200 with an HTML page; the server gets nothing."""


_ANSWERED = (Kind.POLL, Kind.POST)
_IN_RESPONSE = frozenset(
    (Mishap.CUT_RESPONSE, Mishap.TRUNCATE_RESPONSE, Mishap.CUT_CHARACTER, Mishap.CUT_EVENT)
)
_FITS: dict[Mishap, tuple[Kind, ...]] = {
    Mishap.CUT_RESPONSE: (Kind.WEBSOCKET, Kind.STREAM, Kind.POLL, Kind.POST),
    Mishap.TRUNCATE_RESPONSE: (Kind.WEBSOCKET, Kind.STREAM, Kind.POLL, Kind.POST),
    Mishap.CUT_CHARACTER: (Kind.STREAM, Kind.POLL),
    Mishap.CUT_EVENT: (Kind.STREAM,),
    Mishap.CUT_REQUEST: (Kind.POST,),
    Mishap.LOSE_ANSWER: _ANSWERED,
    Mishap.LOSE_REQUEST: (Kind.STREAM, Kind.POLL, Kind.POST),
    Mishap.REORDER: (Kind.POST,),
    Mishap.REPEAT: (Kind.POST,),
    Mishap.BAD_GATEWAY: (Kind.WEBSOCKET, Kind.STREAM, Kind.POLL, Kind.POST),
    Mishap.HTML_PAGE: (Kind.WEBSOCKET, Kind.STREAM, Kind.POLL, Kind.POST),
}


@dataclass(eq=False)
class Plan:
    """A mishap that waits for its request; what `MisbehavingProxy.next` returns.

    Attributes:
        mishap: What will happen.
        kinds: To which kinds of request.
        after_bytes: For the cuts: how many bytes of the body pass at least. A body in which there is no place for it
            after them is left whole, and the plan waits for the next one.
        delay: For REPEAT: seconds after which the copy follows. 0: the copy is answered before the original is sent.
            For REORDER: seconds after which the request is sent even if none has overtaken it; 0: never before.
        times: How often it is still to happen.
        happened: How often it has.
    """

    mishap: Mishap
    kinds: tuple[Kind, ...]
    after_bytes: int = 0
    delay: float = 0.0
    times: int = 1
    happened: int = 0
    _done: anyio.Event = field(default_factory=anyio.Event)

    @property
    def cuts_response(self) -> bool:
        """Whether it ends a response in its middle."""
        return self.mishap in _IN_RESPONSE

    @property
    def reset(self) -> bool:
        """Whether its cut is a reset."""
        return self.mishap is not Mishap.TRUNCATE_RESPONSE

    def cut_in(self, data: bytes, received_bytes: int) -> int | None:
        """Where the response is cut.

        Args:
            data: The next bytes of its body.
            received_bytes: How many have gone before.

        Returns:
            How many of them still pass; None if all do.
        """
        start = max(0, self.after_bytes - received_bytes)
        if self.mishap is Mishap.CUT_CHARACTER:
            return next((at for at in range(start, len(data)) if data[at] & 0xC0 == 0x80), None)
        if self.mishap is Mishap.CUT_EVENT:
            found = data.find(b"data:", start)
            return None if found < 0 else found + len(b"data:")
        return start if len(data) > start else None

    def count(self) -> None:
        """Note that it happened."""
        self.happened += 1
        if self.times == 0:
            self._done.set()

    async def wait(self) -> None:
        """Return when it has happened as often as was asked for."""
        await self._done.wait()


@dataclass
class Traffic:
    """Bytes of HTTP in one direction: heads, and everything else (bodies, their framing, WebSocket frames)."""

    head_bytes: int = 0
    body_bytes: int = 0


@dataclass
class Stats:
    """What has flowed since the proxy started. `open_carriers` is of this moment."""

    connections: int = 0
    requests: Counter[Kind] = field(default_factory=Counter[Kind])
    open_carriers: Counter[Kind] = field(default_factory=Counter[Kind])
    faults: Counter[str] = field(default_factory=Counter[str])
    up: Traffic = field(default_factory=Traffic)
    down: Traffic = field(default_factory=Traffic)


class Rules:
    """The state that all connections of a proxy share: which faults, which plans, whether anything gets through."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.plans: list[Plan] = []
        self.stats = Stats()
        self.answered: Counter[Kind] = Counter()
        self._dark_until = 0.0
        self._changed = anyio.Event()

    def changed(self) -> None:
        """Wake everyone who waits for a change."""
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition is true; it is asked after every change."""
        while not condition():
            await self._changed.wait()

    def count(self, fault: str) -> None:
        """Note that a fault has struck."""
        self.stats.faults[fault] += 1
        self.changed()

    def plan_for(self, kind: Kind, random: Random) -> Plan | None:
        """The mishap of a new request, taken off the list."""
        for plan in self.plans:
            if kind in plan.kinds:
                plan.times -= 1
                if not plan.times:
                    self.plans.remove(plan)
                return plan
        for mishap, chance in self.faults.mishaps:
            if kind in _FITS[mishap] and random.random() < chance:
                return Plan(mishap, (kind,), after_bytes=random.randrange(64), times=0)
        return None

    def put_back(self, plan: Plan) -> None:
        """The request had no place for it: it waits for the next one."""
        plan.times += 1
        if plan not in self.plans:
            self.plans.insert(0, plan)

    def darken(self, until: float) -> None:
        self._dark_until = until
        self.changed()

    @property
    def dark(self) -> bool:
        """Whether all bytes vanish now."""
        return anyio.current_time() < self._dark_until

    async def light(self) -> None:
        """Return when bytes no longer vanish."""
        while self.dark:
            changed = self._changed
            with anyio.move_on_at(self._dark_until):
                await changed.wait()


def fitting(mishap: Mishap) -> tuple[Kind, ...]:
    """The kinds of request that a mishap can befall."""
    return _FITS[mishap]
