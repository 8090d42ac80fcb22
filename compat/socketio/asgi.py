"""`ASGIApp`: which requests are Socket.IO's, which are files, and which are another application's."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, PlainTextResponse
from starlette.types import ASGIApp as Application
from starlette.types import Receive, Scope, Send

from ...transports.endpoint import overhear_lifespan
from ...transports.http import BASE_HEADERS
from .static_files import Entry, find_static_file

if TYPE_CHECKING:
    from .server import AsyncServer

__all__ = ["ASGIApp"]

logger = logging.getLogger("holdfast.compat")

Hook = Callable[[], object]


class ASGIApp:
    """An ASGI application for an `AsyncServer`, alone, mounted, or round another application.

    Args:
        socketio_server: The server.
        other_asgi_app: Gets every other request, and the lifespan if there is neither ``on_startup`` nor
            ``on_shutdown``.
        static_files: Files and folders by path.
        socketio_path: Where the server answers; None for every path.
        on_startup: Called when the application starts; ``def`` or ``async def``.
        on_shutdown: Called when it ends, after the sessions have ended.
    """

    def __init__(
        self,
        socketio_server: AsyncServer,
        other_asgi_app: Application | None = None,
        static_files: Mapping[str, Entry] | None = None,
        socketio_path: str | None = "socket.io",
        on_startup: Hook | None = None,
        on_shutdown: Hook | None = None,
    ) -> None:
        self.engineio_server = socketio_server
        self.other_asgi_app = other_asgi_app
        self.static_files = static_files or {}
        self.engineio_path = None if socketio_path is None else "/" + socketio_path.strip("/")
        self.on_startup = on_startup
        self.on_shutdown = on_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        prefix = self._prefix(scope)
        if prefix is None:
            await self._elsewhere(scope, receive, send)
        else:
            await self.engineio_server.native({**scope, "root_path": prefix}, receive, send)

    def _prefix(self, scope: Scope) -> str | None:
        """The beginning of a path that is ours; None for one that is not."""
        path: str = scope["path"]
        if self.engineio_path in (None, "/"):
            return path.rstrip("/")
        # Below a mount point the path may be meant with it or without it.
        for prefix in (self.engineio_path, scope.get("root_path", "").rstrip("/") + self.engineio_path):
            if (path + "/").startswith(prefix + "/"):
                return prefix
        return None

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = find_static_file(scope["path"], self.static_files) if scope["type"] == "http" else None
        if file is not None:
            headers = {"x-content-type-options": "nosniff"}
            response = FileResponse(file.filename, media_type=file.content_type, headers=headers)
            await response(scope, receive, send)
        elif self.other_asgi_app is not None:
            await self.other_asgi_app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._not_found(scope, receive, send)

    async def _not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404."""
        await PlainTextResponse("Not Found", status_code=404, headers=BASE_HEADERS)(scope, receive, send)

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and end, with the sessions ended before the application."""
        receive = overhear_lifespan(receive, self.engineio_server.native.join, self.engineio_server.shutdown)
        if self.other_asgi_app is not None and self.on_startup is None and self.on_shutdown is None:
            await self.other_asgi_app(scope, receive, send)
            return
        for step, hook in (("startup", self.on_startup), ("shutdown", self.on_shutdown)):
            message = await receive()
            assert message["type"] == f"lifespan.{step}", message
            try:
                result = None if hook is None else hook()
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                # The server ends with this; without the log nobody would know why.
                logger.exception("on_%s failed", step)
                await send({"type": f"lifespan.{step}.failed", "message": str(error)})
                return
            await send({"type": f"lifespan.{step}.complete"})
