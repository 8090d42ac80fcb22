"""The bare session: messages in order, both ways, and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self, cast

import anyio

from ..errors import ErrorCode, LocalProtocolError, SessionClosed
from ..live import Handshake, LiveSession, SessionHandler
from ..session import CloseReason
from ..settings import Settings
from ..wire.message import MESSAGE_OVERHEAD, Message
from .backlog import Backlog

__all__ = ["Session", "SessionFunction", "check_ending", "handler_maker"]

# RFC 6455, section 5.5.
_MOST_REASON = 123


def check_ending(code: int, reason: str) -> None:
    """Return if a session may be closed with these.

    Raises:
        LocalProtocolError: another code, or a longer reason.
    """
    if code != 1000 and not 3000 <= code <= 4999:
        raise LocalProtocolError(f"a session is closed with 1000 or 3000 to 4999, and not with {code!r}")
    if Message(reason).size_bytes > _MOST_REASON:
        raise LocalProtocolError(f"the reason has more than {_MOST_REASON} bytes")


class Session:
    """One peer that sends and receives messages, whatever carries them.

    ``async for message in session`` ends when the session does. Text arrives as `str`, binary as `bytes`.
    """

    def __init__(self, live: LiveSession) -> None:
        self._live = live
        self._waiting: deque[str | bytes] = deque()
        self._waiting_bytes = 0
        self._bell: anyio.Event | None = None
        self._backlog: Backlog | None = None

    @property
    def transport(self) -> str:
        """What carries the session now, or carried it last."""
        return self._live.transport

    @property
    def request(self) -> Handshake:
        """The request that opened the session."""
        return self._live.request

    @property
    def is_open(self) -> bool:
        return self._live.is_open

    @property
    def reason(self) -> CloseReason | None:
        """Why the session ended; None while it is open."""
        return self._live.ended_with()

    async def send(self, data: str | bytes) -> None:
        """Send one message; waits while too much is kept for a slow peer.

        Raises:
            SessionClosed: the session is over; the message is not delivered.
            LocalProtocolError: the text cannot be encoded, or not for this peer.
        """
        await self._live.send(Message(data))

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            SessionClosed: the session is over, and every message that had arrived was taken.
        """
        while not self._waiting:
            if not self._live.is_open:
                raise SessionClosed(f"the session is closed: {self.reason}")
            self._bell = anyio.Event()
            await self._bell.wait()
        data = self._waiting.popleft()
        was_behind = self.is_behind
        self._live.message_taken()
        self._takes(len(data) + MESSAGE_OVERHEAD)
        if was_behind and not self.is_behind:
            self._live.caught_up()
        return data

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session. What was sent before still goes out.

        Args:
            code: 1000, or from 3000 to 4999, as with a WebSocket: for the `close` of a `HoldfastSocket`. Other clients
                hear that the session is over.
            reason: At most 123 bytes of UTF-8.

        Raises:
            LocalProtocolError: another code, or a longer reason.
        """
        check_ending(code, reason)
        self._live.end_as(code, reason)

    async def end(self, code: int, reason: str) -> None:
        """`close`, for a protocol above that has codes of its own."""
        self._live.end_as(code, reason)

    @property
    def close_code(self) -> int | None:
        """The code that the session was closed with, by us or by a `HoldfastSocket`; None where none was said."""
        return None if self._live.ended_as is None else self._live.ended_as[0]

    @property
    def close_reason(self) -> str:
        """What was said with that code."""
        return "" if self._live.ended_as is None else self._live.ended_as[1]

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except SessionClosed:
            raise StopAsyncIteration from None

    # -- with what waits for all sessions

    def share(self, backlog: Backlog) -> None:
        """What waits here is counted there, too, until `run` has ended."""
        self._backlog = backlog
        backlog.sessions += 1

    def _takes(self, size_bytes: int) -> None:
        self._waiting_bytes -= size_bytes
        if self._backlog is not None:
            self._backlog.used_bytes -= size_bytes

    def drop_events(self) -> str:
        """See `Backlog`."""
        number = len(self._waiting)
        self._waiting.clear()
        self._takes(self._waiting_bytes)
        return f"session {self._live.name}: {number} messages of a client" if number else ""

    # -- called by the live session

    def message_received(self, data: str | bytes) -> None:
        """See `SessionHandler`."""
        self._waiting.append(data)
        size = len(data) + MESSAGE_OVERHEAD
        self._waiting_bytes += size
        self._ring()
        backlog, text = self._backlog, ""
        if backlog is not None:
            backlog.used_bytes += size
            # A single message is as long as max_payload allows.
            if backlog.used_bytes > backlog.limit_bytes and not backlog.has_room(self._waiting_bytes - size):
                text = "too many messages of all clients wait (setting total_pending_event_bytes)"
        if self._waiting_bytes > self._live.max_payload * 16:
            # Nobody takes what the peer sends; without a bound it would all be kept here.
            text = "the application does not take its messages (16 times the setting max_payload wait)"
        if text:
            self._live.fail(
                CloseReason.BUFFER_FULL, code=int(ErrorCode.BAD_REQUEST), message=text, close_code=1008
            )

    def session_closed(self, reason: CloseReason) -> None:
        """See `SessionHandler`."""
        self._live.caught_up()
        self._ring()
        if self._backlog is not None and self._waiting:
            self._backlog.left(self)

    @property
    def is_behind(self) -> bool:
        """See `SessionHandler`."""
        return self._waiting_bytes > self._live.max_payload

    @property
    def is_busy(self) -> bool:
        """See `SessionHandler`. Its function runs as long as the session."""
        return False

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.set()
            self._bell = None

    async def run(self, function: Callable[[Self], Awaitable[None]]) -> None:
        """Run the application's function to its end, then end the session."""
        try:
            await function(self)
        except BaseException as error:
            # Not at the end of the event loop: closing would start a timer that never ends.
            await self._live.host.go_on_after(error)
            # Whoever sends to a client that has just left has done nothing wrong.
            if self._live.is_open or not _is_of_the_end(error):
                self._live.close()
                raise
        finally:
            self._leave_backlog()
        self.close()

    def _leave_backlog(self) -> None:
        backlog = self._backlog
        if backlog is not None:
            # Nobody will take what is there, or comes.
            backlog.done(self)
            backlog.sessions -= 1
            backlog.used_bytes -= self._waiting_bytes
            self._backlog = None


def _is_of_the_end(error: BaseException) -> bool:
    """Whether it says that a session is over, and nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_of_the_end, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    return isinstance(error, SessionClosed)


SessionFunction = Callable[[Session], Awaitable[None]]


def handler_maker(
    function: SessionFunction, settings: Settings | None = None
) -> Callable[[LiveSession], SessionHandler]:
    """What a `SessionTable` calls with each new session."""
    backlog = Backlog((settings or Settings()).total_pending_event_bytes)

    def make(live: LiveSession) -> SessionHandler:
        session = Session(live)
        session.share(backlog)
        live.host.spawn(session.run, function)
        return session

    return make
