"""A plain peer on a WebSocket, played by the test, under a real session with the event layer above it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio
import anyio.lowlevel

from holdfast.engine.dispatch import Events
from holdfast.engine.host import Host
from holdfast.engine.live import Handshake, LiveSession
from holdfast.engine.server import SessionTable
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import PacketType
from holdfast.engine.wire.socketio import SocketPacket, SocketPacketType

__all__ = ["EventPeer", "Idle", "TestClock", "Wire", "event", "until"]


class TestClock:
    """Time that only the test moves."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def now(self) -> float:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += seconds
        for when, changed in self._sleepers:
            if when <= self.time:
                changed.set()
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].is_set()]

    async def sleep_until(self, when: float, changed: anyio.Event) -> None:
        self._sleepers.append((when, changed))
        await changed.wait()


class Wire:
    """One server in memory: its clock, its sessions, its events."""

    def __init__(self, events: Events) -> None:
        self.clock = TestClock()
        self.events = events
        host = Host(self.clock)
        self.table = SessionTable(events.settings, host, events.session_opened, codecs=events.codec_names)

    def open(
        self, *, request: Handshake | None = None, codecs: tuple[str, ...] = (), counting: bool = False
    ) -> EventPeer:
        return EventPeer(
            self.table.open("websocket", request or Handshake(), counting=counting, codecs=codecs)
        )

    async def connect(self, namespace: str = "/", auth: str = "") -> EventPeer:
        """A peer that is connected to one namespace."""
        peer = self.open()
        await peer.connect(namespace, auth)
        return peer


class Idle(Exception):
    """Nothing came."""


class EventPeer:
    """What a client does and sees.

    Attributes:
        ids: Public ids by namespace.
    """

    def __init__(self, session: LiveSession) -> None:
        self.session = session
        self.ids: dict[str, str] = {}
        self._attachment = session.opening()
        self._received: deque[str | bytes] = deque()

    def send(self, *messages: str | bytes) -> None:
        packets = [(PacketType.MESSAGE, message) for message in messages]
        self.session.receive(self._attachment.carrier, packets)

    def acknowledge(self) -> None:
        """As a counting peer: everything has come."""
        self.control(PacketType.ACK, str(self._attachment.carrier.written))

    def control(self, kind: PacketType, data: str) -> None:
        """Send a packet that is no message."""
        self.session.receive(self._attachment.carrier, [(kind, data)])

    def _take(self) -> None:
        for packet in self._attachment.take():
            if isinstance(packet, Message):
                self._received.append(packet.data)
            elif packet[0] == "4":
                self._received.append(packet[1:])

    async def receive(self) -> str | bytes:
        """The next message."""
        with anyio.fail_after(5):
            while True:
                self._take()
                if self._received:
                    return self._received.popleft()
                if not self.session.is_open:
                    raise Idle
                await self._attachment.wait()

    def received(self) -> list[str | bytes]:
        """What is there already."""
        self._take()
        found, self._received = list(self._received), deque()
        return found

    async def connect(self, namespace: str = "/", auth: str = "") -> None:
        prefix = "" if namespace == "/" else f"{namespace},"
        self.send(f"0{prefix}{auth}")
        reply = await self.receive()
        assert isinstance(reply, str)
        assert reply.startswith(f'0{prefix}{{"sid":"'), reply
        self.ids[namespace] = reply.removeprefix(f'0{prefix}{{"sid":"').removesuffix('"}')

    def lose(self) -> None:
        """The WebSocket is gone."""
        self.session.detach(self._attachment)


async def until(condition: Callable[[], bool]) -> None:
    """Let the tasks run until something holds."""
    with anyio.fail_after(5):
        while not condition():
            await anyio.lowlevel.checkpoint()


def event(name: str, *args: object, id: int | None = None, namespace: str = "/") -> SocketPacket:
    """An event as a value."""
    return SocketPacket(SocketPacketType.EVENT, namespace, [name, *args], id)
