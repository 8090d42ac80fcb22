"""A live session of SockJS: it ends with a code and a text of the application's."""

from __future__ import annotations

from typing import Any

from ..session import CloseReason, SockJSCore
from .attachment import Attachment
from .session import LiveSession

__all__ = ["LiveSockJS"]


class LiveSockJS(LiveSession):
    """One SockJS peer, as its application sees it."""

    __slots__ = ("_sockjs",)

    def __init__(self, core: SockJSCore, **options: Any) -> None:
        # Any: what `LiveSession` takes, handed on as it came.
        super().__init__(core, **options)
        self._sockjs = core

    @property
    def raw(self) -> bool:
        """Whether a WebSocket without frames carries it."""
        return self._sockjs.raw

    @property
    def end(self) -> tuple[int, str]:
        """The code and the text that it has ended with, or would."""
        return self._sockjs.end

    # An answer that is taken slowly is as good as a receiver; whoever sends it watches over that. The next one may come
    # before its end is known here, so in the core there is none by then.

    def _tick(self) -> None:
        if self.is_served:
            self._sockjs.gone_at = self.host.now()
        super()._tick()

    def detach(self, attachment: Attachment, reason: CloseReason = CloseReason.TRANSPORT_CLOSE) -> None:
        """See `LiveSession.detach`."""
        self._sockjs.gone_at = self.host.now()
        super().detach(attachment, reason)
