"""The ASGI application: finds out whether a request is ours, and hands it to its transport."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..engine.drain import Drained
from ..engine.errors import RemoteProtocolError, RequestRefused
from ..engine.live import AllowRequest, Attachment, Handshake, Identity, LiveSession, Permission, Stats
from ..engine.server import SessionTable
from ..engine.wire.handshake import decode_attach
from . import client_files
from .forwarding import Courier, Forwarding, Unanswered
from .http import (
    BASE_HEADERS,
    encode_headers,
    refusal_body,
    refusal_of,
    retry_headers,
    safely,
    send_refusal,
    send_response,
)
from .known import Known, Visit
from .polling import go_on_polling, go_on_posting, serve_poll, serve_post
from .request import Head, Request, check_head, check_origin, cors_headers, host_of, parse_request
from .signals import SignalDrain
from .stream import serve_stream
from .websocket import serve_carrier, serve_websocket
from .workers import Siblings, siblings_of

__all__ = ["Endpoint", "close_unknown", "overhear_lifespan", "refuse", "route_of"]

logger = logging.getLogger("holdfast.server")

# Who sees none of them has his log set to errors; who sees these ten needs no more to find the remedy.
_MOST_WARNINGS = 10

_TRY_AGAIN_LATER = 1013

_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "content-type, holdfast-attach",
    "access-control-max-age": "7200",
}


def route_of(scope: Scope) -> str:
    """The path below the mount point; servers put the mount point into ``path`` or leave it out."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and (path + "/").startswith(root + "/") else path


def overhear_lifespan(
    receive: Receive, start: Callable[[], Awaitable[None]], shutdown: Callable[[], Awaitable[None]]
) -> Receive:
    """What an application's lifespan receives, with the server started and shut down at its messages.

    It is shut down before the application inside puts away what its handlers may still use.
    """

    async def overheard() -> Message:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await start()
        elif message["type"] == "lifespan.shutdown":
            await shutdown()
        return message

    return overheard


class Endpoint:
    """What `Server` and `Engine` share: an ASGI application for one path.

    It works under `Mount`, where every path that reaches it is its own; at the root, where it answers below ``path``;
    and round another application, which gets everything else.
    """

    def __init__(
        self,
        table: SessionTable,
        *,
        path: str,
        app: ASGIApp | None,
        allow_request: AllowRequest | None,
        siblings: Siblings | None = None,
    ) -> None:
        self.table = table
        if siblings is None:
            siblings = siblings_of(
                table.settings, kind=type(self), path=path, name=table.node, host=table.host
            )
        self.siblings = siblings
        # Where there are no other nodes, requests for their sessions are not looked for.
        self.forwarding: Forwarding | None = None
        if siblings is not None:
            self.carry_by(siblings.courier)
            siblings.mesh.begin_if_running()
        self.path = ("/" + path.strip("/")).rstrip("/")
        # As nearly all ask for it.
        self._own_path = self.path + "/"
        self.app = app
        self._permission = Permission(allow_request)
        self._known = Known(table)
        self._warned: set[str] = set()
        self._signals: SignalDrain | None = None

    @property
    def session_count(self) -> int:
        """How many sessions there are at this moment, those among them that wait for their next carrier."""
        return len(self.table.sessions)

    def stats(self) -> Stats:
        """How the server stands and what has happened since it was made: see `Stats`.

        Nothing is looked through for it, so it costs the same few microseconds with any number of sessions.
        """
        return self.table.stats()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        rest = self._rest(scope)
        if rest is None:
            await self._elsewhere(scope, receive, send)
        elif rest and scope["type"] == "websocket":
            await close_unknown(receive, send)
        elif rest:
            await self._serve_file(scope, receive, send, rest)
        else:
            send = safely(send, self.table.host)
            visit = self._known.look(scope)
            if visit is not None:
                try:
                    left = await self._go_on(visit, scope, receive, send)
                except (RequestRefused, RemoteProtocolError) as error:
                    await self._refuse(error, scope, send, visit.headers)
                    return
                if left is None:
                    return
                # To be looked at more closely, from its beginning.
                receive = left
            carried = await self.answer(scope, receive, send)
            if carried is not None:
                # Nothing else of the request stays on the stack for as long as the WebSocket is there.
                await serve_carrier(*carried, receive, send)

    def _rest(self, scope: Scope) -> str | None:
        """What stands behind our own path; None for a path that is not ours."""
        if scope["path"] == self._own_path and not scope.get("root_path"):
            return ""
        route = route_of(scope)
        if self.path and (route == self.path or route.startswith(self.path + "/")):
            return route[len(self.path) :].strip("/")
        # Below a mount point the path is ours even if it is named otherwise.
        mounted = scope.get("root_path") and scope.get("app_root_path") != scope["root_path"]
        if not self.path or (mounted and self.app is None):
            name = route.strip("/")
            is_file = self.table.settings.serve_client and name in client_files.CLIENT_FILES
            return name if name == "" or is_file else None
        return None

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.app is not None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await close_unknown(receive, send)
        else:
            text = f"Not found. This server answers below {self.path}/\n"
            await send_response(send, text.encode(), headers={}, status=404, content_type="text/plain")

    async def _serve_file(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        settings = self.table.settings
        if settings.serve_client:
            await client_files.respond(scope, receive, send, name, cors=settings.cors == "own")
        else:
            await send_response(send, b"Not found.\n", headers={}, status=404, content_type="text/plain")

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        receive = overhear_lifespan(receive, self.join, self.shutdown)
        if self.app is not None:
            await self.app(scope, receive, send)
            return
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """The lifespan of an application that this one is mounted in, which is told of none itself::

            app = Starlette(routes=[Mount("/socket.io", app=io)], lifespan=io.lifespan)

        or ``async with io.lifespan():`` within a lifespan of your own. It opens the server, which a `shutdown` before
        has closed, and shuts it down at its end. At the root and round another application that happens by itself.
        """
        await self.join()
        try:
            yield
        finally:
            await self.shutdown()

    def carry_by(self, courier: Courier) -> None:
        """Let requests for sessions of other nodes go there by this way, too, and answer those that come by it."""
        if self.forwarding is None:
            self.forwarding = Forwarding(self, self.table.host)
        self.forwarding.add(courier)

    async def join(self) -> None:
        """`start`, and wait until the other workers are known."""
        self.start()
        if self.siblings is not None:
            await self.siblings.mesh.start()

    def start(self) -> None:
        """Take sessions again after a `shutdown`; idempotent. A new server takes them already."""
        self.table.reopen()
        if self.forwarding is not None:
            self.forwarding.stay()
        if self._signals is not None:
            self._signals.arm()

    async def drain(self, timeout: float = 20.0, *, period: float = 5.0, retry_after: float = 0.0) -> Drained:
        """End all sessions gently before the server goes away, because others will have their clients.

        New sessions are refused (503, Retry-After). Those that there are, are told in turns: their handlers are done,
        what was sent before has gone out, and `disconnect` says "server shutting down". Our client opens a new session
        at once, or when it was asked to, and other clients by their own back-off. Sessions without a carrier have five
        seconds to come for it. `stats` shows how far it has got.

        Idempotent: a second call waits for the same end. Who waits may be cancelled, and the drain goes on. Called by a
        handler, it waits for that handler too, as for all: until the deadline. `start` takes sessions again.

        Args:
            timeout: Seconds after which what is left is cut. Handlers have half of it before their session is told.
            period: Seconds over which all are told, so that they do not all come back in one moment; few have their
                turns sooner, 200 a second at least. At most half of ``timeout``; 0 for all at once.
            retry_after: Seconds for which our clients are asked to stay away (each up to half as much longer): 0 where
                another worker takes them, or about what a restart takes where there is none.

        Returns:
            What became of the sessions.

        Raises:
            ValueError: a number below zero.
        """
        if timeout < 0 or period < 0 or retry_after < 0:
            raise ValueError("timeout, period and retry_after are seconds, and not below zero")
        drained = await self.table.drain(timeout=timeout, period=period, retry_after=retry_after).result()
        if self.forwarding is not None:
            self.forwarding.leave()
        return drained

    def drain_on_signal(
        self, *signals: int, timeout: float = 20.0, period: float = 5.0, retry_after: float = 0.0
    ) -> SignalDrain:
        """`drain` at the first of these signals, before the server's own handler of it runs; a second one goes to that
        at once.

        The lifespan arms it: call it once, where the application is made. Without a lifespan, put
        ``with io.drain_on_signal():`` round what serves it; a server that asks a function when to end gets
        `SignalDrain.wait`.

        Args:
            *signals: SIGTERM and SIGINT if none is given.
            timeout, period, retry_after: As of `drain`. What ends the process after a while, such as the grace period
                of a container, has to leave it ``timeout`` seconds, and the server some for its own end.
        """
        chosen = signals or (signal.SIGTERM, signal.SIGINT)
        drain = partial(self.drain, timeout, period=period, retry_after=retry_after)
        self._signals = SignalDrain(self.table.host, drain, [int(number) for number in chosen])
        return self._signals

    async def shutdown(self) -> None:
        """End all sessions ("server shutting down"), take no new ones, and wait a few seconds for their handlers.

        `lifespan` calls it where this one is mounted; at the root and round another application it is called by itself.
        """
        if self.forwarding is not None:
            self.forwarding.leave()
        await self.table.shutdown()
        if self.forwarding is not None:
            self.forwarding.stay()
        if self.siblings is not None:
            self.siblings.mesh.stop()
        if self._signals is not None:
            self._signals.disarm()

    async def answer(
        self, scope: Scope, receive: Receive, send: Send
    ) -> tuple[LiveSession, Attachment] | None:
        """Serve a request; what comes after it, if it was a WebSocket that carries a session now."""
        served = await self._begin(scope, receive, send)
        if served is None or isinstance(served, tuple):
            return served
        try:
            await served
        except (RequestRefused, RemoteProtocolError) as error:
            await self._refuse(error, scope, send, cors_headers(Head(scope), self.table.settings))
        return None

    async def _refuse(
        self,
        error: RequestRefused | RemoteProtocolError,
        scope: Scope,
        send: Send,
        headers: Mapping[str, str],
    ) -> None:
        self.table.counters.refuse(error)
        await refuse(scope, send, refusal_of(error), headers)

    def _go_on(
        self, visit: Visit, scope: Scope, receive: Receive, send: Send
    ) -> Coroutine[Any, Any, Receive | None]:
        session, attach, headers = visit
        table, asked = self.table, None
        if scope["method"] == "POST":
            return go_on_posting(table, session, receive, send, headers)
        if session.counting:
            asked = decode_attach(attach)
            table.find(session.sid, key=asked.key)
        return go_on_polling(session, asked, receive, send, headers, table.settings)

    async def _begin(
        self, scope: Scope, receive: Receive, send: Send
    ) -> tuple[LiveSession, Attachment] | Coroutine[Any, Any, None] | None:
        """`answer`, but what may take long, and needs nothing more of the request, is handed back."""
        head, settings = Head(scope), self.table.settings
        try:
            cors = self._let_page_in(scope, head)
        except RequestRefused as error:
            # A stranger's page may not read even this.
            await refuse(scope, send, error, {})
            return None
        try:
            if scope["type"] == "http" and scope["method"] == "OPTIONS":
                answer = {**_PREFLIGHT, **cors} if settings.cors == "own" else {"allow": "GET, POST"}
                await send_response(send, b"", headers=answer, status=200, content_type="text/plain")
                return None
            check_head(scope, settings)
            request = self._parse(scope, head)
            if self.forwarding is not None and await self._is_forwarded(request, receive, send):
                return None
            if request.sid is None:
                self.table.check_room(request.handshake)
                await self._permit(request)
            elif request.sid not in self.table.sessions:
                await self.table.summon(request.sid, self._permission)
            if request.method == "WEBSOCKET":
                # CORS does not apply to a WebSocket; the origin has been checked.
                return await self._serve_websocket(request, receive, send)
            if request.method == "POST":
                await serve_post(self.table, request, receive, send, cors)
            elif request.transport == "stream":
                await serve_stream(self.table, request, receive, send, cors)
            else:
                return await serve_poll(self.table, request, receive, send, cors)
        except (RequestRefused, RemoteProtocolError) as error:
            await self._refuse(error, scope, send, cors)
        return None

    async def _is_forwarded(self, request: Request, receive: Receive, send: Send) -> bool:
        """Whether another node has answered: it has the session."""
        if self.siblings is not None and not self.siblings.mesh.is_ready:
            # Those who get the next request of a session must know whose it is.
            await self.siblings.mesh.start()
        if self.forwarding is not None and self.forwarding.is_fresh:
            await self.forwarding.begin()
        node = "" if request.sid is None else await self.table.seat(request.sid)
        return bool(node) and await self._forward(node, request.scope, receive, send)

    async def _forward(self, node: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """Let a node answer a request, if it is there; whether it has.

        Raises:
            RequestRefused: it has left before it did.
        """
        assert self.forwarding is not None
        courier = await self.forwarding.finds(node)
        if courier is None:
            return False
        try:
            await self.forwarding.carry(courier, node, scope, receive, send)
        except Unanswered:
            raise self.table.unanswered() from None
        except OSError:
            pass  # The client left while it was answered.
        return True

    def _let_page_in(self, scope: Scope, head: Head) -> dict[str, str]:
        """What every answer to a request says, if its page may ask us.

        Raises:
            RequestRefused: it may not; whoever runs the server has been told.
        """
        settings = self.table.settings
        try:
            check_origin(head, settings, host=host_of(scope, head, settings))
        except RequestRefused as error:
            self._warn_once(error)
            self.table.counters.refuse(error)
            raise
        headers = cors_headers(head, settings)
        if self.table.is_closing and scope.get("http_version", "1.1").startswith("1"):
            # Or the client's next session would come by the same TCP connection, past the load balancer.
            headers["connection"] = "close"
        return headers

    def _parse(self, scope: Scope, head: Head) -> Request:
        """What is asked for.

        Raises:
            RequestRefused: as `parse_request`.
        """
        return parse_request(scope, self.table.settings, head)

    async def _serve_websocket(
        self, request: Request, receive: Receive, send: Send
    ) -> tuple[LiveSession, Attachment] | None:
        """A WebSocket that may come: see `serve_websocket`."""
        return await serve_websocket(self.table, request, receive, send)

    async def _permit(self, request: Request) -> None:
        handshake, identity = await self._ask(request.handshake)
        if identity is not None:
            request.allow(handshake, identity)

    async def _ask(self, handshake: Handshake) -> tuple[Handshake, Identity | None]:
        """Who opens a session with this request, as far as the application says so.

        Raises:
            RequestRefused: status 403.
        """
        allowed = await self._permission.ask(handshake)
        if allowed is None:
            return handshake, None
        handshake = replace(handshake, principal=allowed.principal)
        return handshake, Identity(self._permission, allowed, handshake)

    def _warn_once(self, refused: RequestRefused) -> None:
        message = refused.message
        if message not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(message)
            logger.warning("a page may not connect: %r", message)


async def close_unknown(receive: Receive, send: Send) -> None:
    """Refuse a WebSocket to an address where there is none."""
    await receive()
    await send({"type": "websocket.close", "code": 1000})


async def refuse(scope: Scope, send: Send, refused: RequestRefused, headers: Mapping[str, str]) -> None:
    """Answer a request, or a WebSocket that was not accepted, with Engine.IO's error object."""
    logger.info("request refused with code %d: %r", refused.code, refused.message)
    try:
        if scope["type"] == "websocket":
            await _deny(scope, send, refused)
        else:
            await send_refusal(send, refused, headers=headers)
    except OSError:
        pass  # The client has left.


async def _deny(scope: Scope, send: Send, refused: RequestRefused) -> None:
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        code = _TRY_AGAIN_LATER if refused.status in (429, 503) else 1008
        await send({"type": "websocket.close", "code": code, "reason": refused.message[:100]})
        return
    body = refusal_body(refused)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **BASE_HEADERS,
        **retry_headers(refused),
    }
    await send(
        {
            "type": "websocket.http.response.start",
            "status": refused.status,
            "headers": encode_headers(headers),
        }
    )
    await send({"type": "websocket.http.response.body", "body": body})
