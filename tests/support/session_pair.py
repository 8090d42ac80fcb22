"""Two real sessions and the carriers between them, moved by hand: what a trace of a few lines needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.engine.session import Budget, Carrier, ClientSession, Role, ServerSession
from holdfast.engine.wire.handshake import Attach, decode_attach
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import Packet, PacketType
from holdfast.engine.wire.payload import decode_payload, encode_frames, encode_payload

__all__ = ["NOW", "Pair", "Way", "data_of", "make_server", "packets_of"]

NOW = 100.0
Frames = list[str | bytes]


def make_server(
    transport: str = "websocket",
    *,
    counting: bool = True,
    limit_bytes: int = 1_000_000,
    grace: float = 60.0,
    budget: Budget | None = None,
) -> ServerSession:
    """A server's session that was opened at `NOW`: it pings every 10 s and waits 5 s for the answer."""
    return ServerSession(
        transport=transport,
        counting=counting,
        ping_interval=10.0,
        ping_timeout=5.0,
        grace=grace,
        limit_bytes=limit_bytes,
        now=NOW,
        budget=budget,
    )


def packets_of(frame: str | bytes) -> list[Packet]:
    """What one WebSocket message, event or body between counting peers holds."""
    if isinstance(frame, bytes):
        return [(PacketType.MESSAGE, frame)]
    return list(decode_payload(frame, counting=True))


def data_of(packets: Sequence[str | Message]) -> list[str | bytes]:
    """What a session hands out: control packets as they are, messages in brackets' stead as their data."""
    return [packet.data if isinstance(packet, Message) else packet for packet in packets]


@dataclass(frozen=True, eq=False)
class Way:
    """One carrier, as each end has it."""

    client: Carrier
    server: Carrier


class Pair:
    """A counting client and its server. Frames are on the way until they are delivered; what is not delivered is lost.

    Attributes:
        first: The carrier of the opening request.
        server_heard: The messages that counted at the server.
        client_heard: The messages that counted at the client.
        now: The time of everything that happens.
    """

    def __init__(self, opening: str = "websocket", *, limit_bytes: int = 1_000_000) -> None:
        self.now = NOW
        self.server = make_server(opening, limit_bytes=limit_bytes)
        self.client = ClientSession(key="key", transport=opening, limit_bytes=limit_bytes)
        self.first = Way(self.client.opening, self.server.opening)
        self.server_heard: list[str | bytes] = []
        self.client_heard: list[str | bytes] = []

    def client_says(self, *texts: str | bytes) -> None:
        for text in texts:
            self.client.send(Message(text), now=self.now)

    def server_says(self, *texts: str | bytes) -> None:
        for text in texts:
            self.server.send(Message(text), now=self.now)

    # -- attaching

    def ask(self, transport: str) -> tuple[Carrier, Attach]:
        """The client sends an attach, which is on the way now."""
        carrier = self.client.attach(transport)
        return carrier, self.client.attach_value(carrier)

    def arrive(self, asked: tuple[Carrier, Attach]) -> Way:
        """The attach arrives; its answer is not written yet."""
        carrier, value = asked
        server = self.server.attach(
            carrier.transport, number=value.carrier, received=value.received, now=self.now
        )
        return Way(carrier, server)

    def attach(self, transport: str = "websocket") -> Way:
        """Attach, and let the answer and what comes with it arrive."""
        way = self.arrive(self.ask(transport))
        self.down(way)
        return way

    def lose(self, way: Way) -> None:
        """Both ends notice that a carrier is over."""
        self.client.detach(way.client, now=self.now)
        self.server.detach(way.server, now=self.now)

    # -- frames

    def write_down(self, way: Way, *, limit_bytes: int | None = None) -> Frames:
        packets = self.server.packets_to_send(way.server, now=self.now, limit_bytes=limit_bytes)
        if way.client.transport == "websocket" or not packets:
            return encode_frames(packets, counting=True)
        return [encode_payload(packets, counting=True)]

    def write_up(self, way: Way) -> Frames:
        return encode_frames(self.client.packets_to_send(way.client, now=self.now), counting=True)

    def deliver_down(self, way: Way, frames: Frames) -> None:
        for packet in [packet for frame in frames for packet in packets_of(frame)]:
            message = self.client.receive(way.client, packet, now=self.now)
            if message is not None:
                self.client_heard.append(message)

    def deliver_up(self, way: Way, frames: Frames) -> None:
        for packet in [packet for frame in frames for packet in packets_of(frame)]:
            message = self.server.receive(way.server, packet, now=self.now)
            if message is not None:
                self.server_heard.append(message)

    def down(self, way: Way) -> None:
        self.deliver_down(way, self.write_down(way))

    def up(self, way: Way) -> None:
        self.deliver_up(way, self.write_up(way))

    def poll(self, *, limit_bytes: int | None = None) -> Way:
        """One poll that is answered at once: attach, write one payload, detach."""
        way = self.arrive(self.ask("polling"))
        frames = self.write_down(way, limit_bytes=limit_bytes)
        self.server.detach(way.server, now=self.now)
        self.deliver_down(way, frames)
        self.client.detach(way.client, now=self.now)
        return way

    # -- POSTs

    def write_post(self, *, limit_bytes: int | None = None) -> str:
        return encode_payload(self.client.post(limit_bytes=limit_bytes), counting=True)

    def deliver_post(self, body: str) -> str:
        """Returns the answer, which is on the way now."""
        attach, *packets = packets_of(body)
        received = decode_attach(attach[1]).received
        bringer = self.server.bring(received=received, now=self.now)
        for packet in packets:
            message = self.server.receive(bringer, packet, now=self.now)
            if message is not None:
                self.server_heard.append(message)
        return self.server.answer_to_post()

    def deliver_answer(self, answer: str) -> None:
        self.client.receive(Carrier("polling", Role.BRINGER), packets_of(answer)[0], now=self.now)

    def post(self) -> None:
        self.deliver_answer(self.deliver_post(self.write_post()))

    @property
    def is_level(self) -> bool:
        """Whether nobody keeps anything for the other any more."""
        return all(
            outbox.acknowledged == outbox.last and outbox.size_bytes == 0
            for outbox in (self.client.outbox, self.server.outbox)
        )
