"""HTTP connections of uvicorn on which the requests of one endpoint are answered without its detours.

A subclass of uvicorn's own protocol: between two requests it looks what comes next. A whole and plain request to the
endpoint is answered here; all other bytes go where they always went, so that an application's pages and an endpoint's
requests may share a connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import copy_context
from time import monotonic
from typing import Any, ClassVar, NamedTuple, Protocol, cast
from urllib.parse import unquote

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..endpoint import Endpoint
from .exchange import Exchange
from .head import Head, read_head
from .polls import Polls
from .websocket import FastWebSocket

__all__ = ["FastHttp", "Place"]

_EMPTY_LINE = b"\r\n\r\n"
# How many seconds an answer may lie there untaken.
_STALLED = 45.0
# What a client may have said while its last request is still being answered.
_MOST_AHEAD = 65_536


class Answering(Protocol):
    """What answers a request.

    Attributes:
        keeps: Whether the connection is used again then.
    """

    keeps: bool

    def gone(self) -> None:
        """The connection is lost."""
        ...

    def wake(self) -> None:
        """Something can be written again."""
        ...


class _Flow(FlowControl):
    """uvicorn's, whose event is made when somebody waits: it takes more memory than all else of it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._event: asyncio.Event | None = None

    @property
    def _is_writable_event(self) -> asyncio.Event:
        if self._event is None:
            self._event = asyncio.Event()
            if not self.write_paused:
                self._event.set()
        return self._event


class _Pipeline(list[Any]):
    """The requests that uvicorn has not come to: none, nearly always, and an empty deque takes 600 bytes."""

    __slots__ = ()

    def appendleft(self, request: object) -> None:
        self.insert(0, request)


class Place(NamedTuple):
    """Where an application has an endpoint.

    Attributes:
        root: The mount point, by which whoever answers, perhaps another node, knows that the path is its own.
    """

    endpoint: Endpoint
    root: str


class FastHttp(HttpToolsProtocol):
    """See the module. A subclass names the endpoints, by their paths.

    Of connections that wait there are many: what uvicorn makes for each and a poll does not need, is made when an
    ordinary request comes.
    """

    # uvicorn's own attributes are as many as an object can have without a dict of its own.
    __slots__ = (
        "_ahead",
        "_begun",
        "_completed",
        "_context",
        "_is_going_on",
        "_polls",
        "_used_at",
        "exchange",
    )

    places: ClassVar[dict[bytes, Place]]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.parser: Any = None
        self.pipeline: Any = _Pipeline()
        self._begun = 0
        self._completed = 0
        # What answers a request now.
        self.exchange: Answering | None = None
        self._polls: Polls | None = None
        # What has come while that is under way.
        self._ahead = b""
        self._used_at = 0.0
        # Whether that is about to be looked at, and in which context: not in that of whoever has written the answer.
        self._is_going_on = False
        self._context = copy_context()

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.flow = _Flow(transport)

    def on_message_begin(self) -> None:
        self._begun += 1
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._completed += 1
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self.exchange is not None or self._is_going_on or (self.is_paused and self._is_between()):
            self._ahead += data
            if len(self._ahead) > _MOST_AHEAD:
                self.transport.pause_reading()
            return
        if self._is_between():
            path = self._place_of(data)
            if path is not None and self._take(path, data):
                return
        if self.parser is None:
            self.parser = httptools.HttpRequestParser(self)
            with suppress(AttributeError):
                # As uvicorn has it; before httptools 0.6.3 there is no such thing.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        super().data_received(data)

    def _is_between(self) -> bool:
        """Whether the next byte begins a request."""
        # uvicorn says that there always is one.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return self._begun == self._completed and (
            cycle is None or (cycle.response_complete and not self.pipeline)
        )

    def _place_of(self, data: bytes) -> bytes | None:
        """Whose request begins here."""
        if self.limit_concurrency is None and not self.root_path:
            at = data.find(b"/", 0, 9)
            for path in self.places:
                if data.startswith(path, at):
                    return path
        return None

    def _take(self, path: bytes, data: bytes) -> bool:
        """Answer a request, if it is plain and whole."""
        (endpoint, root), polls = self.places[path], self._polls
        if not self.access_log:
            if polls is None or polls.endpoint is not endpoint:
                polls = self._polls = Polls(self, endpoint, path)
            if polls.take(data):
                return True
        end = data.find(_EMPTY_LINE)
        head = read_head(data[:end]) if end > 0 else None
        end += len(_EMPTY_LINE)
        if head is None or head.path.rstrip(b"/") != path:
            return False
        if head.upgrade:
            return self._upgrade(endpoint, self.scope_of(head, "websocket", root), head, data[end:])
        if len(data) - end != head.length:
            return False
        exchange = self.exchange_of(keeps=head.keeps, body=data[end:])
        endpoint.table.host.begin_aside(exchange.run, endpoint, self.scope_of(head, "http", root))
        return True

    def exchange_of(self, *, keeps: bool, body: bytes = b"") -> Exchange:
        """What answers the request now, as an ASGI server does."""
        self.exchange = exchange = Exchange(self, body, keeps=keeps)
        return exchange

    def scope_of(self, head: Head, kind: str, root: str = "") -> Scope:
        """As uvicorn makes it, and who has mounted the endpoint hands it on."""
        path = head.path.decode()
        return {
            "type": kind,
            "asgi": {"version": self.config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "method": head.method,
            "scheme": self.scheme if kind == "http" else "wss" if self.scheme == "https" else "ws",
            "server": self.server,
            "client": self.client,
            "root_path": root,
            "path": unquote(path) if "%" in path else path,
            "raw_path": head.path,
            "query_string": head.query,
            "headers": head.headers,
            "state": self.app_state.copy(),
            "extensions": {},
        }

    def _upgrade(self, endpoint: Endpoint, scope: Scope, head: Head, rest: bytes) -> bool:
        if head.upgrade != b"websocket" or head.method != "GET" or head.length:
            return False
        headers = dict(head.headers)
        key = headers.get(b"sec-websocket-key")
        if key is None or headers.get(b"sec-websocket-version") != b"13":
            return False
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        scope["extensions"] = {"websocket.http.response": {}}
        offered = b",".join([value for name, value in head.headers if name == b"sec-websocket-protocol"])
        scope["subprotocols"] = (
            [part.strip().decode("latin-1") for part in offered.split(b",")] if offered else []
        )
        socket = FastWebSocket(
            endpoint, self.transport, key, self.server_state.default_headers, self.connections
        )
        self.transport.set_protocol(socket)
        # It refers to us.
        self._polls = None
        if self.is_paused:
            socket.pause_writing()
        endpoint.table.host.begin_aside(socket.serve, scope)
        if rest:
            socket.data_received(rest)
        return True

    def exchanged(self, *, keeps: bool) -> None:
        """An answer is written."""
        self.exchange = None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not keeps:
            self.transport.close()
            return
        self._used_at = monotonic()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._check_idle)
        self._look_ahead()

    def _look_ahead(self) -> None:
        if self._ahead and not self._is_going_on:
            self._is_going_on = True
            self.loop.call_soon(self._go_on, context=self._context)

    def _go_on(self) -> None:
        self._is_going_on = False
        if self.exchange is None and not self.is_paused and not self.transport.is_closing():
            data, self._ahead = self._ahead, b""
            self.transport.resume_reading()
            self.data_received(data)

    def timeout_keep_alive_handler(self) -> None:
        """What uvicorn has set after an answer of the application's may come while we answer."""
        if self.exchange is not None or monotonic() - self._used_at < self.timeout_keep_alive:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._check_idle)
        else:
            super().timeout_keep_alive_handler()

    def _check_idle(self) -> None:
        self.timeout_keep_alive_task = None
        now, wait = monotonic(), self.timeout_keep_alive
        if self.exchange is None:
            idle = now - self._used_at
            if self.transport.get_write_buffer_size():
                # Who takes nothing of an answer for so long will not any more, and closing would wait for him.
                if idle > _STALLED:
                    self.transport.abort()
                    return
            elif idle >= wait:
                self.timeout_keep_alive_handler()
                return
            else:
                wait -= idle
        self.timeout_keep_alive_task = self.loop.call_later(max(wait, 0.1), self._check_idle)

    def log_access(self, scope: Scope, status: int) -> None:
        """As uvicorn does."""
        if self.access_log:
            path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            client = "%s:%d" % self.client if self.client else ""
            self.access_logger.info(
                '%s - "%s %s HTTP/%s" %d', client, scope["method"], path.decode("latin-1"), "1.1", status
            )

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._polls = None
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.gone()

    @property
    def is_paused(self) -> bool:
        """Whether the client takes more slowly than is written."""
        return self.flow.write_paused

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.exchange is not None:
            self.exchange.wake()
        else:
            self._look_ahead()

    def shutdown(self) -> None:
        """The server goes away."""
        if self.exchange is not None:
            self.exchange.keeps = False
        else:
            super().shutdown()
