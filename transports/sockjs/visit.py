"""One request below a session's address, and the receiver that it becomes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...engine.errors import StaleAttach
from ...engine.live import Attachment, Handshake, Identity, LiveSockJS
from ...engine.session import ANOTHER_RECEIVER
from ...engine.sockjs import SockJSTable
from ...engine.wire.packet import Packet, PacketType

__all__ = ["Over", "Visit", "packets_of"]


class Over(Exception):
    """A receiver that is told an end instead: of the session, or only its own.

    Attributes:
        code, text: For its frame.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def packets_of(messages: Sequence[str]) -> Iterator[Packet]:
    """What a session takes. Some clients bring nothing, now and then, to be heard of; that counts, too."""
    if not messages:
        yield (PacketType.NOOP, "")
    for message in messages:
        yield (PacketType.MESSAGE, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a request is about.

    Attributes:
        table: The sessions.
        handshake: What the application is told of the request.
        id: What its client calls the session.
        headers: For every answer to it.
        ask: Says who opens a session with it; may refuse.
    """

    table: SockJSTable
    handshake: Handshake
    id: str = field(repr=False)
    headers: Mapping[str, str]
    ask: Callable[[Handshake], Awaitable[tuple[Handshake, Identity | None]]]

    async def receiver(self, transport: str) -> tuple[LiveSockJS, Attachment]:
        """The session, opened if there is none, with this request as its receiver.

        Raises:
            Over: it has ended, or has a receiver.
            RequestRefused: the server has no room, or the request may not go on with the session.
        """
        table, id = self.table, self.id
        session = table.of(id)
        if session is None:
            ended = table.ended(id)
            if ended is not None:
                raise Over(*ended)
            table.check_room(self.handshake)
            handshake, identity = await self.ask(self.handshake)
            # Another request may have opened it meanwhile; that one was asked about by itself.
            session = table.of(id)
            if session is None:
                session = table.begin(transport, handshake, id=id, identity=identity)
                return session, session.opening()
        found = await table.recognise(id, self.handshake, transport=transport)
        assert isinstance(found, LiveSockJS)
        try:
            return found, found.attach(transport)
        except StaleAttach:
            raise Over(*ANOTHER_RECEIVER) from None
