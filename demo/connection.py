"""One client's connection through the misbehaving proxy, and the one to the server that belongs to it.

Four tasks: in each direction one reads into a delay line and one carries what comes out of it. The carrying tasks know
the requests of the connection, oldest first (`_exchanges`), and apply the rules to each. A connection is in one of four
modes; once it has left HTTP it never comes back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio

from .copies import Target, send_copy
from .faults import Direction, Kind, Mishap, Plan, Rules, Traffic
from .http1 import End, Head, MessageParser, NotHttpError, Piece, body_length
from .tcp import DelayLine, Wire

__all__ = ["Connection", "Target"]

Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]

# What is sent at a limited rate goes in parts that take so long.
PART_SECONDS = 0.02


def page(status: str, text: str) -> bytes:
    """A small HTML response, as a proxy on the way makes it."""
    body = f"<!doctype html><title>{status}</title><h1>{status}</h1><p>{text}</p>\n".encode()
    fields = f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\nCache-Control: no-store"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + body


# The server gets such a request, if at all, when it is complete.
_KEPT = (Mishap.REPEAT, Mishap.LOSE_REQUEST, Mishap.REORDER)

FORBIDDEN = page("403 Forbidden", "The proxy does not let WebSockets through.")
BAD_GATEWAY = page("502 Bad Gateway", "The proxy cannot reach the server.")
HTML_PAGE = page("200 OK", "Please accept the terms of use of this network.")


class Mode(Enum):
    """How bytes are treated."""

    HTTP = "parsed as requests and responses"
    UPGRADED = "passed on as they are: a WebSocket"
    SILENT = "eaten, both ways, until either end closes; a connection that lost bytes cannot be mended"
    LOST = "eaten, both ways, and neither end hears that the other has closed"


@dataclass(eq=False)
class Exchange:
    """One request and its response."""

    kind: Kind
    head: Head
    plan: Plan | None = None
    answer: bytes | None = None
    """Given by the proxy itself; the server gets nothing."""
    copy: bytearray | None = None
    """The request so far, if it will be sent twice, late or not at all."""
    sent_bytes: int = 0
    received_bytes: int = 0
    held: bytearray = field(default_factory=bytearray)
    answered: anyio.Event = field(default_factory=anyio.Event)

    def is_to(self, mishap: Mishap) -> Plan | None:
        return self.plan if self.plan is not None and self.plan.mishap is mishap else None

    @property
    def cut(self) -> Plan | None:
        """The mishap that will end its response, if one will."""
        return self.plan if self.plan is not None and self.plan.cuts_response else None


def kind_of(head: Head) -> Kind:
    """What a request is for, as far as the request says it."""
    if head.upgrades:
        return Kind.WEBSOCKET
    if head.method == "POST":
        return Kind.POST
    transport = parse_qs(urlsplit(head.target).query).get("transport", [""])[0]
    if transport == "stream" or "text/event-stream" in head.get("accept"):
        return Kind.STREAM
    return Kind.POLL if transport == "polling" and head.method == "GET" else Kind.OTHER


class Connection:
    """Carries one connection until both ends are done or a fault ends it."""

    def __init__(self, client: Wire, target: Target, rules: Rules, *, random: Random, start: Start) -> None:
        self._client = client
        self._server: Wire | None = None
        self._target = target
        self._rules = rules
        self._random = random
        self._start = start
        self._scope = anyio.CancelScope()
        self._mode = Mode.HTTP
        self._reset = False
        self._over = False
        self._mute: frozenset[Direction] = frozenset()
        self._exchanges: deque[Exchange] = deque()

    @property
    def kind(self) -> Kind | None:
        """What the connection carries now; None if no request is open on it."""
        return self._exchanges[0].kind if self._exchanges and not self._over else None

    def end(self, *, reset: bool) -> None:
        """End both connections, with RST or with FIN. Whatever has not left yet is lost. Idempotent."""
        self._reset = self._reset or (reset and not self._over)
        self._over = True
        self._scope.cancel()
        self._rules.changed()

    def silence(self, *directions: Direction) -> None:
        """Lose all bytes from now on, and the ends too: both ways, or those that are named."""
        self._mute |= frozenset(directions)
        if not directions or len(self._mute) == len(Direction):
            self._mode = Mode.LOST
        self._rules.changed()

    def stall(self, seconds: float, *, reset: bool) -> None:
        """Lose all bytes from now on, and end after so many seconds."""
        self.silence()
        self._tasks.start_soon(self._end_stalled, seconds, reset)

    async def _end_stalled(self, seconds: float, reset: bool) -> None:
        await anyio.sleep(seconds)
        self.end(reset=reset)

    def _is_mute(self, direction: Direction) -> bool:
        return self._mode is Mode.LOST or direction in self._mute

    async def run(self) -> None:
        """Carry until the end."""
        try:
            with self._scope:
                if self._rules.dark:
                    self._mode = Mode.SILENT
                try:
                    self._server = await Wire.connect(*self._target)
                except OSError:
                    self.end(reset=True)
                    return
                await self._carry(self._client, self._server)
        finally:
            self._over = True
            self._client.close(reset=self._reset)
            if self._server is not None:
                self._server.close(reset=self._reset)

    async def _carry(self, client: Wire, server: Wire) -> None:
        up, down = DelayLine(), DelayLine()
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._guarded, lambda: self._read(client, up, Direction.UP))
            tasks.start_soon(self._guarded, lambda: self._read(server, down, Direction.DOWN))
            tasks.start_soon(self._guarded, lambda: self._carry_up(up, server))
            tasks.start_soon(self._guarded, lambda: self._carry_down(down))

    async def _guarded(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await function()
        except (OSError, NotHttpError):
            # A reset on one side is passed on to the other; in a black hole it vanishes like everything else.
            await self._rules.light()
            if self._mode is not Mode.LOST:
                self.end(reset=True)

    async def _read(self, wire: Wire, line: DelayLine, direction: Direction) -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = await wire.receive()
            except OSError:
                if not self._is_mute(direction):
                    raise
                chunk = b""
            await self._put(line, chunk, direction)

    async def _put(self, line: DelayLine, chunk: bytes, direction: Direction) -> None:
        faults = self._rules.faults
        is_up = direction is Direction.UP
        delay = (faults.delay_up if is_up else faults.delay_down) + self._random.random() * faults.jitter
        due = anyio.current_time() + delay
        if not (rate := faults.bandwidth_up if is_up else faults.bandwidth_down):
            await line.put(chunk, due)
            return
        size = max(1, int(rate * PART_SECONDS))
        for start in range(0, len(chunk) or 1, size):
            part = chunk[start : start + size]
            await line.put(part, due, takes=len(part) / rate)

    def _vanishes(self, direction: Direction) -> bool:
        if self._rules.dark and not self._is_silent:
            self._mode = Mode.SILENT
            self._rules.count("black hole")
        return self._is_silent or direction in self._mute

    @property
    def _is_silent(self) -> bool:
        return self._mode in (Mode.SILENT, Mode.LOST)

    async def _pass_end(self, wire: Wire, direction: Direction) -> None:
        await self._rules.light()
        if self._mode is Mode.SILENT:
            self.end(reset=False)
        elif not self._is_mute(direction):
            wire.shut_down()

    # Client to server

    async def _carry_up(self, line: DelayLine, server: Wire) -> None:
        parser = MessageParser()
        while chunk := await line.get():
            if self._vanishes(Direction.UP):
                continue
            if self._mode is Mode.HTTP and self._exchanges and self._exchanges[-1].kind is Kind.WEBSOCKET:
                # Whether these bytes are a request or a WebSocket's is for the server's answer to say.
                await self._exchanges[-1].answered.wait()
            if self._mode is Mode.HTTP:
                parser.feed(chunk)
                await self._requests(parser, server)
                continue
            if self._mode is Mode.UPGRADED and not self._swallowed():
                await self._send_up(server, parser.rest() + chunk)
        await self._pass_end(server, Direction.UP)

    async def _requests(self, parser: MessageParser, server: Wire) -> None:
        while self._mode is Mode.HTTP and not self._over and (event := parser.next_event()) is not None:
            match event:
                case Head():
                    parser.expect_body(body_length(event))
                    await self._request_head(event, server)
                case Piece():
                    await self._request_piece(self._exchanges[-1], event, server)
                case End():
                    await self._request_end(self._exchanges[-1], server)

    async def _request_head(self, head: Head, server: Wire) -> None:
        faults, exchange = self._rules.faults, Exchange(kind_of(head), head)
        exchange.plan = self._rules.plan_for(exchange.kind, self._random)
        self._exchanges.append(exchange)
        self._rules.stats.requests[exchange.kind] += 1
        self._rules.changed()
        raw = self._stripped(head)
        if exchange.kind is Kind.WEBSOCKET:
            if faults.refuse_websocket:
                exchange.answer = FORBIDDEN
                self._rules.count("refuse_websocket")
            elif faults.hang_websocket:
                self._mode = Mode.SILENT
                self._rules.count("hang_websocket")
                return
            elif faults.strip_upgrade:
                raw = head.without_upgrade()
                self._rules.count("strip_upgrade")
        exchange.answer = exchange.answer or self._page_for(exchange)
        if exchange.plan is not None and exchange.plan.mishap in _KEPT:
            exchange.copy = bytearray(raw)
        elif exchange.answer is None:
            await self._send_up(server, raw, head_bytes=len(raw))

    def _stripped(self, head: Head) -> bytes:
        names = {name.lower() for name in self._rules.faults.strip_headers}
        if not any(name in names for name, _ in head.fields):
            return head.raw
        self._rules.count("strip_headers")
        return head.without(names)

    def _page_for(self, exchange: Exchange) -> bytes | None:
        if exchange.kind is Kind.OTHER:
            return None
        for fault, mishap, answer in (
            ("bad_gateway", Mishap.BAD_GATEWAY, BAD_GATEWAY),
            ("html_page", Mishap.HTML_PAGE, HTML_PAGE),
        ):
            if getattr(self._rules.faults, fault):
                self._rules.count(fault)
                return answer
            if exchange.is_to(mishap):
                self._befalls(exchange)
                return answer
        return None

    async def _request_piece(self, exchange: Exchange, piece: Piece, server: Wire) -> None:
        if exchange.answer is not None:
            return
        if exchange.copy is not None:
            exchange.copy += piece.raw
            return
        if plan := exchange.is_to(Mishap.CUT_REQUEST):
            left = plan.after_bytes - exchange.sent_bytes
            if piece.is_data and len(piece.raw) > left:
                await self._send_up(server, piece.raw[:left])
                self._befalls(exchange)
                self.end(reset=True)
                return
        exchange.sent_bytes += len(piece.raw) if piece.is_data else 0
        await self._send_up(server, piece.raw)

    async def _request_end(self, exchange: Exchange, server: Wire) -> None:
        if exchange.is_to(Mishap.CUT_REQUEST) and exchange.plan is not None:
            self._rules.put_back(exchange.plan)
            exchange.plan = None
        if exchange.answer is not None:
            # Pipelined answers keep their order.
            await self._rules.until(lambda: self._exchanges[0] is exchange)
            await self._send_down(exchange.answer)
            self._done(exchange)
        elif exchange.is_to(Mishap.REPEAT):
            await self._send_twice(exchange, bytes(exchange.copy or b""), server)
        elif exchange.copy is not None:
            self._lose(exchange, bytes(exchange.copy))

    def _lose(self, exchange: Exchange, request: bytes) -> None:
        assert exchange.plan is not None
        if plan := exchange.is_to(Mishap.REORDER):
            self._start(lambda: self._send_late(exchange, request, plan))
        else:
            self._befalls(exchange)
        self.end(reset=True)

    async def _send_late(self, exchange: Exchange, request: bytes, plan: Plan) -> None:
        kind, answered = exchange.kind, self._rules.answered[exchange.kind]
        with anyio.move_on_after(plan.delay or math.inf):
            await self._rules.until(lambda: self._rules.answered[kind] > answered)
        await send_copy(self._target, request, exchange.head.method)
        self._befalls(exchange)

    async def _send_twice(self, exchange: Exchange, request: bytes, server: Wire) -> None:
        assert exchange.plan is not None
        delay, head_bytes = exchange.plan.delay, len(exchange.head.raw)
        if not delay:
            await send_copy(self._target, request, exchange.head.method)
        self._befalls(exchange)
        await self._send_up(server, request, head_bytes=head_bytes)
        if delay:
            self._start(lambda: send_copy(self._target, request, exchange.head.method, delay=delay))

    async def _send_up(self, server: Wire, data: bytes, *, head_bytes: int = 0) -> None:
        count_bytes(self._rules.stats.up, len(data), head_bytes)
        await server.send(data)

    # Server to client

    async def _carry_down(self, line: DelayLine) -> None:
        parser = MessageParser()
        while chunk := await line.get():
            if self._vanishes(Direction.DOWN):
                continue
            if self._mode is Mode.HTTP:
                parser.feed(chunk)
                await self._responses(parser)
                chunk = parser.rest() if self._mode is not Mode.HTTP else b""
            if self._mode is Mode.UPGRADED and chunk:
                await self._upgraded_down(chunk)
        if self._mode is Mode.HTTP and not self._rules.dark:
            parser.feed(b"")
            await self._responses(parser)
            await self.release()
        await self._pass_end(self._client, Direction.DOWN)

    async def _responses(self, parser: MessageParser) -> None:
        out = bytearray()
        while self._mode is Mode.HTTP and not self._over and (event := parser.next_event()) is not None:
            if not self._exchanges:
                out += event.raw if isinstance(event, Head | Piece) else b""
                continue
            exchange = self._exchanges[0]
            match event:
                case Head():
                    if event.status >= 200:
                        parser.expect_body(body_length(event, answers=exchange.head.method))
                    await self._response_head(exchange, event, out)
                case Piece():
                    await self._response_piece(exchange, event, out)
                case End():
                    await self._response_end(exchange, out)
        if self._exchanges and not self._over:
            await self._deliver(self._exchanges[0], out)
        else:
            await self._send_down(out)

    async def _response_head(self, exchange: Exchange, head: Head, out: bytearray) -> None:
        faults = self._rules.faults
        if head.status >= 200 and head.get("content-type").startswith("text/event-stream"):
            exchange.kind = Kind.STREAM
        if exchange.is_to(Mishap.LOSE_ANSWER):
            return
        raw = self._stripped(head)
        if exchange.kind is Kind.STREAM and faults.hold_streams and faults.hold_stream_heads:
            out += raw
        else:
            await self._send_down(raw, head_bytes=len(raw))
        if head.status == 101:
            await self._upgrade(exchange)
        elif head.status >= 200:
            self._limit_time(exchange, Kind.STREAM, faults.end_streams_after)
            exchange.answered.set()
        self._rules.changed()

    async def _upgrade(self, exchange: Exchange) -> None:
        if self._is_silent:
            return
        self._mode = Mode.UPGRADED
        exchange.answered.set()
        self._limit_time(exchange, Kind.WEBSOCKET, self._rules.faults.end_websockets_after)
        if self._rules.faults.close_websocket:
            self._rules.count("close_websocket")
            self.end(reset=False)

    def _limit_time(self, exchange: Exchange, kind: Kind, seconds: float | None) -> None:
        if exchange.kind is kind and seconds is not None:
            self._tasks.start_soon(self._end_later, exchange, seconds)

    async def _end_later(self, exchange: Exchange, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._rules.until(lambda: exchange not in self._exchanges)
            return
        self._rules.count(f"end_{exchange.kind}s_after")
        self.end(reset=False)

    async def _response_piece(self, exchange: Exchange, piece: Piece, out: bytearray) -> None:
        if exchange.is_to(Mishap.LOSE_ANSWER):
            return
        cut = self._cut_in(exchange, piece.raw) if piece.is_data else None
        if cut is not None:
            await self._deliver(exchange, out + piece.raw[:cut])
            out.clear()
            self._cut(exchange)
            return
        exchange.received_bytes += len(piece.raw) if piece.is_data else 0
        out += piece.raw

    def _cut_in(self, exchange: Exchange, data: bytes) -> int | None:
        """How many of the next bytes of a response still pass if it ends with them, or None."""
        if plan := exchange.cut:
            return plan.cut_in(data, exchange.received_bytes)
        faults = self._rules.faults
        limits = {
            Kind.STREAM: faults.end_streams_after_bytes,
            Kind.WEBSOCKET: faults.end_websockets_after_bytes,
        }
        limit = limits.get(exchange.kind)
        left = None if limit is None else max(0, limit - exchange.received_bytes)
        return left if left is not None and len(data) > left else None

    def _cut(self, exchange: Exchange) -> None:
        plan = exchange.cut
        self._befalls(exchange) if plan else self._rules.count(f"end_{exchange.kind}s_after_bytes")
        self.end(reset=plan is not None and plan.reset)

    async def _response_end(self, exchange: Exchange, out: bytearray) -> None:
        self._rules.answered[exchange.kind] += 1
        if exchange.is_to(Mishap.LOSE_ANSWER):
            self._befalls(exchange)
            self.end(reset=True)
            return
        if plan := exchange.cut:
            self._rules.put_back(plan)
        held = bytes(exchange.held + out)
        exchange.held.clear()
        out.clear()
        # The client may send its next request as soon as it has these bytes.
        self._done(exchange)
        await self._send_down(held)

    async def _deliver(self, exchange: Exchange, data: bytearray) -> None:
        faults = self._rules.faults
        if data and (fault := faults.holds(exchange.kind)):
            exchange.held += data
            if fault != "hold_under_bytes" or len(exchange.held) < faults.hold_under_bytes:
                self._rules.count(fault)
                return
            data = bytearray()
        if exchange.held:
            data = exchange.held + data
            exchange.held = bytearray()
        await self._send_down(data)

    async def release(self) -> None:
        """Send on what was held back, if no rule holds it back any more."""
        if self._exchanges and not self._over and not self._is_silent:
            try:
                exchange = self._exchanges[0]
                data, exchange.held = exchange.held, bytearray()
                await self._send_down(data)
            except OSError:
                self.end(reset=True)

    async def _upgraded_down(self, chunk: bytes) -> None:
        exchange = self._exchanges[0]
        if self._swallowed():
            return
        if (cut := self._cut_in(exchange, chunk)) is not None:
            await self._send_down(chunk[:cut])
            self._cut(exchange)
            return
        exchange.received_bytes += len(chunk)
        await self._send_down(chunk)

    def _swallowed(self) -> bool:
        if self._rules.faults.swallow_websocket and not self._is_silent:
            self._mode = Mode.SILENT
            self._rules.count("swallow_websocket")
        return self._is_silent

    async def _send_down(self, data: bytes | bytearray, *, head_bytes: int = 0) -> None:
        if data:
            count_bytes(self._rules.stats.down, len(data), head_bytes)
            await self._client.send(data)

    def _befalls(self, exchange: Exchange) -> None:
        assert exchange.plan is not None
        exchange.plan.count()
        self._rules.count(exchange.plan.mishap)
        exchange.plan = None

    def _done(self, exchange: Exchange) -> None:
        self._exchanges.remove(exchange)
        exchange.answered.set()
        self._rules.changed()


def count_bytes(traffic: Traffic, size: int, head_bytes: int) -> None:
    traffic.head_bytes += head_bytes
    traffic.body_bytes += size - head_bytes
