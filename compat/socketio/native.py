"""The server that does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from starlette.types import Receive, Scope, Send

from ... import Server
from .environ import current_scope, environ_of

if TYPE_CHECKING:
    from ...engine.dispatch import EventSession
    from ...engine.live import LiveSession

__all__ = ["Native"]


class Native(Server):
    """A server that keeps the request of each session, which handlers get as ``environ``."""

    def __init__(self, **options: Any) -> None:
        # Any: checked by Server. ASGIApp says which paths are ours.
        super().__init__(path="", **options)
        self.environs: WeakKeyDictionary[LiveSession, dict[str, object]] = WeakKeyDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        current_scope.set(scope)
        await super().__call__(scope, receive, send)

    def session_opened(self, session: LiveSession) -> EventSession:
        self.environs[session] = environ_of(current_scope.get(), session.request)
        return super().session_opened(session)
