"""The table of SockJS's sessions: their clients choose the ids, and what has ended is still told for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from .host import Host
from .live import Handshake, Identity, LiveSession, LiveSockJS, SessionHandler
from .server import SessionTable, new_id
from .session import SockJSCore
from .settings import SockJSSettings

__all__ = ["SockJSTable"]


@dataclass(frozen=True, slots=True)
class _Ended:
    code: int
    text: str
    until: float


class SockJSTable(SessionTable):
    """All sessions of one SockJS endpoint.

    Args:
        settings: Limits and intervals.
        host: Runs the tasks and timers.
        open_handler: Called with each new session before any message of it; returns what runs above it.
        beside: The other table of the endpoint, where it has one; see `SessionTable`.
        bytes_as_numbers: Whether bytes are sent as lists of numbers, where only texts can be; else they are refused.
    """

    def __init__(
        self,
        settings: SockJSSettings,
        host: Host,
        open_handler: Callable[[LiveSession], SessionHandler],
        *,
        beside: SessionTable | None = None,
        bytes_as_numbers: bool = False,
    ) -> None:
        super().__init__(settings, host, open_handler, beside=beside)
        self.sockjs = settings
        self._bytes_as_numbers = bytes_as_numbers
        self._ended: OrderedDict[str, _Ended] = OrderedDict()

    def begin(
        self,
        transport: str,
        request: Handshake,
        *,
        id: str | None = None,
        raw: bool = False,
        identity: Identity | None = None,
    ) -> LiveSockJS:
        """Make a session; its first receiver has the open frame to write.

        Args:
            id: The client's; None for a WebSocket, whose session nobody else can ask for.
            raw: Whether it is a WebSocket without frames.
            identity: Whose it is to be; None where the application has no word on that.

        Raises:
            RequestRefused: as from `SessionTable.open`.
        """
        self.check_room(request)
        settings = self.sockjs
        core = SockJSCore(
            transport=transport,
            raw=raw,
            heartbeat=settings.ping_interval,
            expiry=settings.disconnect_delay,
            limit_bytes=settings.buffer_limit,
            now=self.host.now(),
            budget=self.budget,
            takes_bytes=self._bytes_as_numbers,
        )
        # A client's id is a part of a path: none has a slash.
        sid = f"/{new_id()}" if id is None else id
        session = self._live(LiveSockJS, core, sid=sid, request=request, identity=identity)
        self._admit(session)
        return session

    def of(self, id: str) -> LiveSockJS | None:
        """The session of this id, if there is one."""
        session = self.sessions.get(id)
        if session is not None:
            session.check_time()
            session = self.sessions.get(id)
        assert session is None or isinstance(session, LiveSockJS)
        return session

    def ended(self, id: str) -> tuple[int, str] | None:
        """What a session of this id ended with a moment ago."""
        found = self._ended.get(id)
        if found is None or found.until <= self.host.now():
            return None
        return found.code, found.text

    def remembers(self, id: str) -> bool:
        """Whether there is a session of this id, or was a moment ago."""
        return self.of(id) is not None or self.ended(id) is not None

    def _forget(self, session: LiveSession) -> None:
        super()._forget(session)
        assert isinstance(session, LiveSockJS)
        ended, now = self._ended, self.host.now()
        if not session.sid.startswith("/"):
            code, text = session.end
            ended.pop(session.sid, None)
            ended[session.sid] = _Ended(code, text, now + self.sockjs.disconnect_delay)
        while ended:
            oldest = next(iter(ended.values()))
            if oldest.until > now and len(ended) <= self.sockjs.max_tombstones:
                break
            ended.popitem(last=False)
