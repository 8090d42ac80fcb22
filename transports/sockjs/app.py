"""The ASGI application: which of SockJS's addresses a request is for.

SockJS protocol 0.3.4, "Base URL" and "Session URLs".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ...engine.dispatch import Namespace
from ...engine.dispatch.sockjs import SockJSFunction, sockjs_handler_maker
from ...engine.errors import RemoteProtocolError, RequestRefused
from ...engine.host import Clock, Host
from ...engine.live import AllowRequest
from ...engine.settings import Settings, SockJSSettings
from ...engine.sockjs import SockJSTable
from ...engine.wire.sockjs import is_callback, wrap_jsonp, wrap_xhr
from ..endpoint import Endpoint, close_unknown, refuse, route_of
from ..http import refusal_of, safely
from ..request import Head, check_head, handshake_of, subprotocol_of
from ..workers import Finder
from .answers import NOT_CACHED, answer, answer_options, cookie_of
from .pages import serve_greeting, serve_iframe, serve_info
from .receivers import EVENTSOURCE, XHR, htmlfile, serve_poll, serve_stream
from .senders import take_messages
from .visit import Visit
from .websocket import Carried, open_websocket, serve_websocket

__all__ = ["SockJS", "SockJSEndpoint"]

_IFRAME = re.compile(r"/iframe[0-9A-Za-z._-]*\.html")
_LONGEST_NAME = 256

# Which method each takes, and which transport it is: of those that send, either that has no other way.
_WAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "xhr": ("POST", ("polling",)),
    "xhr_streaming": ("POST", ("stream",)),
    "xhr_send": ("POST", ("polling", "stream")),
    "eventsource": ("GET", ("stream",)),
    "websocket": ("GET", ("websocket",)),
}
_OLD_WAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "htmlfile": ("GET", ("stream",)),
    "jsonp": ("GET", ("polling",)),
    "jsonp_send": ("POST", ("polling",)),
}


class SockJSEndpoint(Endpoint):
    """The addresses of SockJS below a path.

    Args:
        table: The sessions.
        path, app, allow_request: As of `SockJS`.
    """

    table: SockJSTable

    def __init__(
        self, table: SockJSTable, *, path: str, app: ASGIApp | None, allow_request: AllowRequest | None
    ) -> None:
        super().__init__(table, path=path, app=app, allow_request=allow_request)
        self.table = table
        # Their clients choose the ids, so these do not say whose a session is.
        self._finder = None if self.siblings is None else Finder(self.siblings.mesh, table.remembers)
        self._ways = {
            name: method
            for name, (method, transports) in {
                **_WAYS,
                **(_OLD_WAYS if table.sockjs.old_transports else {}),
            }.items()
            if not set(transports).isdisjoint(table.sockjs.transports)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        route = self._below(scope)
        if route is None:
            await self._elsewhere(scope, receive, send)
        else:
            send = safely(send, self.table.host)
            carried = await self._visit(scope, receive, send, route)
            if carried is not None:
                # Nothing else of the request stays on the stack for as long as the WebSocket is there.
                await serve_websocket(*carried, receive, send)

    def serves(self, scope: Scope) -> bool:
        """Whether a request is for an address that is SockJS's alone: all but our own path and what nobody knows."""
        route = self._below(scope)
        return route is not None and (
            route in ("/info", "/websocket")
            or self._session_of(route) is not None
            or _IFRAME.fullmatch(route) is not None
        )

    def _below(self, scope: Scope) -> str | None:
        """The path below our own, as it is; None for a path that is not ours."""
        route = route_of(scope)
        if route == self.path or route.startswith(self.path + "/"):
            return route[len(self.path) :]
        # Below a mount point every path is ours.
        mounted = scope.get("root_path") and scope.get("app_root_path") != scope["root_path"]
        return route if mounted and self.app is None else None

    async def _visit(self, scope: Scope, receive: Receive, send: Send, route: str) -> Carried | None:
        head, settings = Head(scope), self.table.sockjs
        if self._is_iframe(scope, route):
            # A page of any origin may ask for it, and browsers then look at who may embed it.
            await serve_iframe(send, head, settings)
            return None
        try:
            cors = self._let_page_in(scope, head)
        except RequestRefused as error:
            await refuse(scope, send, error, {})
            return None
        try:
            check_head(scope, settings)
            return await self._route(scope, receive, send, route, head, cors)
        except (RequestRefused, RemoteProtocolError) as error:
            self.table.counters.refuse(error)
            await refuse(scope, send, refusal_of(error), cors)
        return None

    def _let_page_in(self, scope: Scope, head: Head) -> dict[str, str]:
        cors = super()._let_page_in(scope, head)
        if "access-control-allow-origin" in cors:
            # SockJS's client asks with the cookies of its user, always.
            cors["access-control-allow-credentials"] = "true"
        return cors

    def _is_iframe(self, scope: Scope, route: str) -> bool:
        settings = self.table.sockjs
        return (
            settings.old_transports
            and settings.sockjs_url is not None
            and scope["type"] == "http"
            and scope["method"] == "GET"
            and _IFRAME.fullmatch(route) is not None
        )

    async def _route(
        self, scope: Scope, receive: Receive, send: Send, route: str, asked: Head, cors: dict[str, str]
    ) -> Carried | None:
        """Serve a request; the WebSocket that it was, if it is accepted."""
        method = scope.get("method", "")
        found = ("", "websocket") if route == "/websocket" else self._session_of(route)
        if found is not None and found[1] in self._ways:
            id, way = found
            visit = self._visitor(scope, asked, id, cors)
            if scope["type"] == "http":
                if not await self._is_elsewhere(id, scope, receive, send):
                    await self._serve_way(way, visit, scope, receive, send)
                return None
            if way == "websocket":
                subprotocol = self._subprotocol(scope.get("subprotocols") or ())
                return await open_websocket(visit, receive, send, raw=not id, subprotocol=subprotocol)
        if scope["type"] == "websocket":
            await close_unknown(receive, send)
        elif route in ("", "/") and method == "GET":
            await serve_greeting(send)
        elif route == "/info" and method == "GET":
            await serve_info(send, self.table.sockjs, cors)
        elif route == "/info" and method == "OPTIONS":
            await answer_options(send, asked, "GET", cors)
        else:
            await answer(send, 404, "Not found.\n", headers=cors)
        return None

    async def _is_elsewhere(self, id: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether another worker has answered: it has the session."""
        if self._finder is None or self.siblings is None or scope["method"] == "OPTIONS":
            return False
        await self.siblings.mesh.start()
        node = await self._finder.find(id)
        return bool(node) and await self._forward(node, scope, receive, send)

    def _subprotocol(self, offered: Iterable[str]) -> str | None:
        # A browser that offers subprotocols closes a WebSocket on which none of them is chosen.
        return subprotocol_of(offered)

    def _session_of(self, route: str) -> tuple[str, str] | None:
        """The id and the way that an address names: ``/{server}/{session}/{way}``. What the first is, nobody asks."""
        parts = route.split("/")
        if len(parts) != 4 or parts[0]:
            return None
        names = parts[1:3]
        if any(
            not name or "." in name or len(name) > _LONGEST_NAME or not name.isprintable() for name in names
        ):
            return None
        return parts[2], parts[3]

    def _visitor(self, scope: Scope, asked: Head, id: str, cors: dict[str, str]) -> Visit:
        handshake = handshake_of(scope, self.table.sockjs)
        cookie = cookie_of(asked, self.table.sockjs, secure=handshake.secure)
        return Visit(table=self.table, handshake=handshake, id=id, headers={**cors, **cookie}, ask=self._ask)

    async def _serve_way(self, way: str, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await answer_options(send, Head(scope), self._ways[way], visit.headers)
        elif scope["method"] != self._ways[way]:
            allow = {"allow": f"OPTIONS, {self._ways[way]}", **visit.headers}
            await answer(send, 405, headers=allow, content_type=None)
        elif way == "websocket":
            await answer(send, 400, 'Can "Upgrade" only to "WebSocket".\n', headers=visit.headers)
        elif way in ("xhr_send", "jsonp_send"):
            await take_messages(visit, receive, send, jsonp=way == "jsonp_send")
        elif way in ("jsonp", "htmlfile"):
            await self._serve_callback(way, visit, receive, send)
        elif way == "xhr":
            await serve_poll(visit, wrap_xhr, receive, send)
        else:
            await serve_stream(visit, XHR if way == "xhr_streaming" else EVENTSOURCE, receive, send)

    async def _serve_callback(self, way: str, visit: Visit, receive: Receive, send: Send) -> None:
        query = visit.handshake.query
        callback = query.get("c") or query.get("callback") or ""
        if not callback or not is_callback(callback):
            text = 'invalid "callback" parameter' if callback else '"callback" parameter required'
            await answer(send, 500, text + "\n", headers={**NOT_CACHED, **visit.headers})
        elif way == "jsonp":
            await serve_poll(visit, wrap_jsonp(callback), receive, send)
        else:
            await serve_stream(visit, htmlfile(callback), receive, send)


class SockJS(SockJSEndpoint):
    """Messages to and from SockJS clients, by whatever of its transports gets through; an ASGI application.

    Args:
        function: Called with each `SockJSSession`; when it returns, the session is closed ("Go away!").
        path: Where it answers when it is not mounted.
        app: Another ASGI application that gets every other request.
        namespace: A `Server`, or a namespace of one, whose rooms sessions can join: what is emitted there is then a
            message to them. None for no rooms.
        clock: Where time comes from; for tests.
        allow_request: As of `Engine`.
        settings: Whole settings, `Settings` or `SockJSSettings`…
        **options: …and single ones by name, which go over them; see `SockJSSettings`.

    Raises:
        TypeError: a setting of that name does not exist (the text suggests the right one), or a value is of another
            type.
        ValueError: a setting's value is not allowed; the text names what is.
    """

    def __init__(
        self,
        function: SockJSFunction,
        *,
        path: str = "/sockjs",
        app: ASGIApp | None = None,
        namespace: Namespace | None = None,
        clock: Clock | None = None,
        allow_request: AllowRequest | None = None,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        if not callable(function):
            raise TypeError(
                "SockJS takes the function that serves a session, such as async def talk(session)"
            )
        chosen = SockJSSettings.of(options, base=SockJSSettings.over(settings))
        make = sockjs_handler_maker(function, namespace, chosen, max_rooms=chosen.max_rooms_per_socket)
        table = SockJSTable(chosen, Host(clock), make)
        super().__init__(table, path=path, app=app, allow_request=allow_request)
