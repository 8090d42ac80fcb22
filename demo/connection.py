"""One client's connection through the misbehaving proxy, and the one to the server that belongs to it.

Four tasks: in each direction one reads into a delay line and one carries what comes out of it. The carrying tasks know
the requests of the connection, oldest first (`_exchanges`), and apply the rules to each. A connection is in one of five
modes; once it has left HTTP it never comes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio

from .faults import Kind, Mishap, Plan, Rules, Traffic
from .http1 import End, Head, MessageParser, NotHttpError, Piece, body_length
from .tcp import DelayLine, Wire

__all__ = ["Connection", "Target"]

Target = tuple[str, int]
Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]

COPY_SECONDS = 10.0


def page(status: str, text: str) -> bytes:
    """A small HTML response, as a proxy on the way makes it."""
    body = f"<!doctype html><title>{status}</title><h1>{status}</h1><p>{text}</p>\n".encode()
    fields = f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\nCache-Control: no-store"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + body


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
    """The request so far, if it will be sent twice."""
    sent_bytes: int = 0
    received_bytes: int = 0
    held: bytearray = field(default_factory=bytearray)
    answered: anyio.Event = field(default_factory=anyio.Event)

    def is_to(self, mishap: Mishap) -> Plan | None:
        return self.plan if self.plan is not None and self.plan.mishap is mishap else None


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

    def silence(self) -> None:
        """Lose all bytes from now on, both ways, and the ends too."""
        self._mode = Mode.LOST
        self._rules.changed()

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
            tasks.start_soon(self._guarded, lambda: self._read(client, up, self._delay_up))
            tasks.start_soon(self._guarded, lambda: self._read(server, down, self._delay_down))
            tasks.start_soon(self._guarded, lambda: self._carry_up(up, server))
            tasks.start_soon(self._guarded, lambda: self._carry_down(down))
            self._tasks = tasks

    async def _guarded(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await function()
        except (OSError, NotHttpError):
            # A reset on one side is passed on to the other; in a black hole it vanishes like everything else.
            await self._rules.light()
            if self._mode is not Mode.LOST:
                self.end(reset=True)

    async def _read(self, wire: Wire, line: DelayLine, delay: Callable[[], float]) -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = await wire.receive()
            except OSError:
                if self._mode is not Mode.LOST:
                    raise
                chunk = b""
            wait = delay() + self._random.random() * self._rules.faults.jitter
            await line.put(chunk, anyio.current_time() + wait)

    def _delay_up(self) -> float:
        return self._rules.faults.delay_up

    def _delay_down(self) -> float:
        return self._rules.faults.delay_down

    def _vanishes(self) -> bool:
        if self._rules.dark and not self._is_silent:
            self._mode = Mode.SILENT
            self._rules.count("black hole")
        return self._is_silent

    @property
    def _is_silent(self) -> bool:
        return self._mode in (Mode.SILENT, Mode.LOST)

    async def _pass_end(self, wire: Wire) -> None:
        await self._rules.light()
        if self._mode is Mode.SILENT:
            self.end(reset=False)
        elif self._mode is not Mode.LOST:
            wire.shut_down()

    # Client to server

    async def _carry_up(self, line: DelayLine, server: Wire) -> None:
        parser = MessageParser()
        while chunk := await line.get():
            if self._vanishes():
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
        await self._pass_end(server)

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
        raw = head.raw
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
        if exchange.is_to(Mishap.REPEAT):
            exchange.copy = bytearray(raw)
        elif exchange.answer is None:
            await self._send_up(server, raw, head_bytes=len(raw))

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
        elif exchange.copy is not None:
            await self._send_twice(exchange, bytes(exchange.copy), server)

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
            if self._vanishes():
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
        await self._pass_end(self._client)

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
        if exchange.kind is Kind.STREAM and faults.hold_streams and faults.hold_stream_heads:
            out += head.raw
        else:
            await self._send_down(head.raw, head_bytes=len(head.raw))
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
        limit, plan = self._rules.faults.end_streams_after_bytes, exchange.is_to(Mishap.CUT_RESPONSE)
        limit = limit if exchange.kind is Kind.STREAM and plan is None else None
        left = (plan.after_bytes if plan else limit or 0) - exchange.received_bytes
        if piece.is_data and (plan or limit is not None) and len(piece.raw) > left:
            await self._deliver(exchange, out + piece.raw[: max(left, 0)])
            out.clear()
            self._befalls(exchange) if plan else self._rules.count("end_streams_after_bytes")
            self.end(reset=plan is not None)
            return
        exchange.received_bytes += len(piece.raw) if piece.is_data else 0
        out += piece.raw

    async def _response_end(self, exchange: Exchange, out: bytearray) -> None:
        if exchange.is_to(Mishap.LOSE_ANSWER):
            self._befalls(exchange)
            self.end(reset=True)
            return
        if exchange.is_to(Mishap.CUT_RESPONSE) and exchange.plan is not None:
            self._rules.put_back(exchange.plan)
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
        if plan := exchange.is_to(Mishap.CUT_RESPONSE):
            left = plan.after_bytes - exchange.received_bytes
            if len(chunk) > left:
                await self._send_down(chunk[:left])
                self._befalls(exchange)
                self.end(reset=True)
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


async def send_copy(target: Target, request: bytes, method: str, *, delay: float = 0.0) -> None:
    """Send a request a second time, on a connection of its own, and drop the answer."""
    await anyio.sleep(delay)
    with anyio.move_on_after(COPY_SECONDS):
        wire = None
        try:
            wire = await Wire.connect(*target)
            await wire.send(request)
            await read_response(wire, method)
        except (OSError, NotHttpError):
            pass  # A copy that gets lost is one fault fewer.
        finally:
            if wire is not None:
                wire.close(reset=False)


async def read_response(wire: Wire, method: str) -> None:
    parser = MessageParser()
    while True:
        chunk = await wire.receive()
        parser.feed(chunk)
        while (event := parser.next_event()) is not None:
            if isinstance(event, End):
                return
            if isinstance(event, Head) and event.status >= 200:
                parser.expect_body(body_length(event, answers=method))
        if not chunk:
            return
