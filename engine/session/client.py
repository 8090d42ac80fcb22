"""The client's end of a session: it numbers its attaches and proves itself on each."""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..wire.handshake import Attach, decode_attached, encode_attach
from ..wire.message import Message
from ..wire.packet import PacketType, encode_packet
from .carrier import Carrier, Role
from .session import Session

__all__ = ["ClientSession"]


class ClientSession(Session):
    """A counting peer's side; Python clients and the random network use it.

    Args:
        key: The resume key from the open packet.
        transport: What the session was opened with.
        limit_bytes: Bytes kept for the server before the session is closed.
    """

    def __init__(self, *, key: str, transport: str, limit_bytes: int) -> None:
        super().__init__(transport=transport, counting=True, limit_bytes=limit_bytes)
        self.key = key
        self.opening = Carrier(transport, Role.WRITER, number=1, next_in=1)
        self._last_number = 1
        self._current = 1
        self._pongs: list[str] = []
        if transport == "websocket":
            self.writer = self.opening
        else:
            self.opening.role = Role.BRINGER

    def attach(self, transport: str) -> Carrier:
        """Number a new carrier. It becomes a writer when the server has answered, if it can write at all."""
        self._last_number += 1
        return Carrier(transport, Role.BRINGER, number=self._last_number)

    def attach_value(self, carrier: Carrier) -> Attach:
        """What the client says on that carrier; in a header, or after ``7`` in a packet."""
        return Attach(key=self.key, received=self._position(), carrier=carrier.number)

    def post(self, *, limit_bytes: int | None = None) -> list[str | Message]:
        """The packets of one POST: our position, pongs, and what is not acknowledged yet."""
        position = self.outbox.acknowledged
        packets: list[str | Message] = [
            encode_packet(PacketType.ATTACH, encode_attach(Attach(key=self.key, received=self._position())))
        ]
        packets.extend(self._pongs)
        self._pongs.clear()
        messages = self.outbox.after(position, limit_bytes)
        if messages:
            packets.append(encode_packet(PacketType.NEXT, str(position + 1)))
            packets.extend(messages)
            self.outbox.mark_written(position + len(messages))
        return packets

    def _position(self) -> int:
        # An attach or a POST may fail without a trace while a WebSocket goes on: it still owes the acknowledgement.
        return self.told() if self.writer is None else self.inbox.received

    def _receive_control(self, carrier: Carrier, kind: PacketType, data: str | bytes, now: float) -> None:
        if kind is PacketType.ATTACH:
            self._receive_answer(carrier, data)
        else:
            super()._receive_control(carrier, kind, data, now)

    def _receive_ping(self, carrier: Carrier, data: str) -> None:
        if carrier is self.writer:
            super()._receive_ping(carrier, data)
        else:
            # A stream or a poll cannot bring it back: a POST does (docs/protocol.md, section 6).
            self._pongs.append(encode_packet(PacketType.PONG, data))

    def _receive_answer(self, carrier: Carrier, data: str | bytes) -> None:
        answer = decode_attached(data)
        self._acknowledge(answer.received)
        if answer.carrier is None:
            return
        if answer.carrier != carrier.number:
            raise RemoteProtocolError("the answer is for another carrier")
        # Answers may overtake one another as attaches do; the highest number decides here too (rule 6).
        if answer.carrier < self._current or carrier.role is Role.DETACHED:
            return
        self._current = answer.carrier
        self.transport = carrier.transport
        if carrier.transport != "websocket":
            if self.writer is not None:
                self.writer.role = Role.REPLACED
                self.writer = None
                self._forget()
            return
        position = self.outbox.acknowledged
        carrier.written = position
        carrier.control.append(encode_packet(PacketType.NEXT, str(position + 1)))
        self._replace_writer(carrier)
        self._forget()
