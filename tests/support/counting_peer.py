"""A counting client over the in-process driver: it speaks docs/protocol.md and does exactly what the test tells it to.

It is written from that page and shares nothing with the engine's own client but the framing.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import anyio
from asgi_driver import Client, Exchange, ManualClock, WebSocketExchange, settled
from carried import Carried
from fast_driver import FastClient

from holdfast import CloseReason, Engine, Session
from holdfast.transports.endpoint import Endpoint

__all__ = [
    "SEPARATOR",
    "Answer",
    "Application",
    "Carrier",
    "CountingPeer",
    "HttpCarrier",
    "Site",
    "WebSocketCarrier",
    "check_unharmed",
    "Lane",
    "client_of",
    "open_site",
]


class Lane:
    """By which one clients come: a test sets it."""

    is_fast = False
    is_carried = False


SEPARATOR = "\x1e"
Data = str | bytes


class Application:
    """Keeps the sessions that were opened and what each has received."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.received: list[Data] = []
        self.ended: list[CloseReason | None] = []
        self.handle = self._keep

    async def __call__(self, session: Session) -> None:
        self.sessions.append(session)
        await self.handle(session)
        self.ended.append(session.reason)

    async def _keep(self, session: Session) -> None:
        async for message in session:
            self.received.append(message)

    @property
    def session(self) -> Session:
        """The newest session."""
        return self.sessions[-1]


class Site:
    """One server in memory, its clock and a client's network."""

    def __init__(
        self, transport: str, engine: Engine, application: Application, clock: ManualClock, client: Client
    ) -> None:
        self.transport = transport
        self.engine = engine
        self.application = application
        self.clock = clock
        self.client = client

    def peer(self) -> CountingPeer:
        return CountingPeer(self.client)

    async def opened(self, transport: str | None = None) -> tuple[CountingPeer, Carrier]:
        """A peer with an open session, and the carrier it opened with."""
        peer = self.peer()
        return peer, await peer.open(transport or self.transport)

    @property
    def session(self) -> Session:
        return self.application.session

    @property
    def received(self) -> list[Data]:
        return self.application.received

    def say(self, message: Data) -> None:
        """Send without waiting until it is written."""
        self.client.tasks.start_soon(self.session.send, message)


@asynccontextmanager
async def client_of(app: Any, root_path: str = "") -> AsyncIterator[Client]:
    """A client of an application, whose requests end with the context."""
    with ExitStack() as stack:
        async with anyio.create_task_group() as tasks:
            if Lane.is_fast and isinstance(app, Endpoint) and not root_path:
                client: Client = FastClient.of(app, tasks)
            elif Lane.is_carried and isinstance(app, Endpoint) and not root_path:
                client = Client(Carried(app), tasks)
            else:
                client = Client(app, tasks, root_path=root_path)
            # Closed when the requests have ended, not before.
            stack.callback(client.close)
            try:
                yield client
            finally:
                if isinstance(client, FastClient):
                    await client.leave()
                tasks.cancel_scope.cancel()
        # What that has led to is nobody's later.
        with anyio.CancelScope(shield=True):
            await settled()


@asynccontextmanager
async def open_site(transport: str = "websocket", **settings: Any) -> AsyncIterator[Site]:
    """A bare engine at `/engine.io`."""
    clock, application = ManualClock(), Application()
    engine = Engine(application, clock=clock, **settings)
    async with client_of(engine) as client:
        yield Site(transport, engine, application, clock, client)


class Answer:
    """The server's answer to an attach, or the refusal in its place."""

    def __init__(self, status: int, value: dict[str, Any]) -> None:
        self.status = status
        self.value = value

    @property
    def code(self) -> int | None:
        return self.value.get("code")

    @property
    def received(self) -> int | None:
        return self.value.get("received")


def encode(message: Data) -> str:
    """A message as a packet of a payload."""
    if isinstance(message, bytes):
        return "b" + base64.b64encode(message).decode()
    if any(character in message for character in "\x1e\r\n"):
        return "j" + json.dumps(message)
    return "4" + message


class Carrier:
    """One attached transport, from the client's end."""

    transport: str

    def __init__(self, peer: CountingPeer, number: int) -> None:
        self.peer = peer
        self.number = number
        self.next: int | None = 1 if number == 1 else None
        self.answer: Answer | None = None
        self.control: list[str] = []
        self.messages: deque[Data] = deque()
        self.is_over = False

    async def _unit(self) -> list[Data]:
        """The packets of the next frame, event or body."""
        raise NotImplementedError

    async def send(self, *messages: Data) -> None:
        """Say something new, and write what the server has not acknowledged."""
        self.peer.said.extend(messages)
        await self.flush()

    async def flush(self) -> None:
        await self.peer.post()

    def cut(self) -> None:
        """The network drops it."""
        raise NotImplementedError

    def is_quiet(self) -> bool:
        """Whether nothing waits to be read."""
        raise NotImplementedError

    async def ended(self) -> int:
        """Read to the end; the close code of a WebSocket, else 0. What came meanwhile is kept."""
        while not self.is_over:
            await self.read()
        return 0

    async def read(self) -> None:
        """Read one unit and take what it carries."""
        for packet in await self._unit():
            self._take(packet)

    def _take(self, packet: Data) -> None:
        if isinstance(packet, bytes):
            self._message(packet)
        elif packet[0] == "4":
            self._message(packet[1:])
        elif packet[0] == "j":
            self._message(json.loads(packet[1:]))
        elif packet[0] == "b":
            self._message(base64.b64decode(packet[1:]))
        elif packet[0] == "0":
            self.peer.opened(json.loads(packet[1:]))
        elif packet[0] == "7":
            self.answer = Answer(200, json.loads(packet[1:]))
            assert self.answer.value["carrier"] == self.number
            self.peer.acknowledged = max(self.peer.acknowledged, self.answer.value["received"])
        elif packet[0] == "9":
            self.next = int(packet[1:])
        else:
            self.control.append(packet)
            if packet[0] == "8":
                self.peer.acknowledged = max(self.peer.acknowledged, int(packet[1:]))

    def _message(self, data: Data) -> None:
        assert self.next is not None, "a message before its number was stated (rule 4)"
        assert self.next <= self.peer.received + 1, "messages are missing (rule 1)"
        if self.next == self.peer.received + 1:
            self.peer.received += 1
            self.messages.append(data)
        self.next += 1

    async def take(self, count: int) -> list[Data]:
        """The next messages; waits for them."""
        while len(self.messages) < count:
            await self.read()
        return [self.messages.popleft() for _ in range(count)]

    async def packet(self, kind: str) -> str:
        """Read until a control packet of this type is there."""
        while True:
            for packet in self.control:
                if packet[0] == kind:
                    self.control.remove(packet)
                    return packet
            # What a poll did not bring may come by the next one.
            assert not self.is_over or self.transport == "polling", "the carrier ended without it"
            await self.read()

    async def closing(self) -> Answer:
        """The server's `1`."""
        return Answer(200, json.loads((await self.packet("1"))[1:]))

    async def attached(self) -> Answer:
        """The server's answer to the attach."""
        while self.answer is None:
            await self.read()
        return self.answer

    async def refusal(self) -> Answer:
        """The refusal that came in place of an answer."""
        raise NotImplementedError


class WebSocketCarrier(Carrier):
    transport = "websocket"

    def __init__(self, peer: CountingPeer, number: int, socket: WebSocketExchange) -> None:
        super().__init__(peer, number)
        self.socket = socket
        self.code: int | None = None
        self._written: int | None = 0 if number == 1 else None

    async def _unit(self) -> list[Data]:
        message = await self.socket.next()
        if message["type"] == "websocket.close":
            self.is_over, self.code = True, message["code"]
            return []
        text = message.get("text")
        return [message["bytes"]] if text is None else text.split(SEPARATOR)

    async def flush(self) -> None:
        peer = self.peer
        if self._written is None:
            await self.attached()
            self._written = peer.acknowledged
            self.socket.send(f"9{self._written + 1}")
        for message in peer.said[self._written :]:
            self.socket.send(message if isinstance(message, bytes) else encode(message))
        self._written = len(peer.said)
        await settled()

    async def begin(self, **value: Any) -> None:
        """Say the attach, once it is accepted."""
        self._written = None
        await self.socket.accept()
        hello = {"key": self.peer.key, "received": self.peer.received, "carrier": self.number} | value
        self.socket.send("7" + json.dumps(hello))

    def cut(self) -> None:
        self.is_over = True
        self.socket.close(1006)

    def is_quiet(self) -> bool:
        return self.socket.quiet()

    async def ended(self) -> int:
        await super().ended()
        return self.code or 0

    async def refusal(self) -> Answer:
        code = await self.ended()
        closing = next((packet for packet in self.control if packet[0] == "1"), "1{}")
        value = json.loads(closing[1:]) or {"code": code - 4000}
        assert value["code"] == code - 4000
        return Answer({4: 403, 6: 409, 7: 409}.get(value["code"], 400), value)


class HttpCarrier(Carrier):
    def __init__(self, peer: CountingPeer, number: int, exchange: Exchange) -> None:
        super().__init__(peer, number)
        self.exchange = exchange

    def cut(self) -> None:
        self.is_over = True
        self.exchange.disconnect()

    def is_quiet(self) -> bool:
        return not self.exchange.answered()

    async def refusal(self) -> Answer:
        return Answer(await self.exchange.start(), await self.exchange.json())


class StreamCarrier(HttpCarrier):
    transport = "stream"

    def __init__(self, peer: CountingPeer, number: int, exchange: Exchange) -> None:
        super().__init__(peer, number, exchange)
        self._rest = b""
        self.ids: list[int] = []
        self.size = 0

    async def _unit(self) -> list[Data]:
        if self.exchange.status is None:
            assert await self.exchange.start() == 200, await self.exchange.text()
        chunk = await self.exchange.chunk()
        self.is_over = self.exchange.ended
        self.size += len(chunk)
        *events, self._rest = (self._rest + chunk).split(b"\n\n")
        packets: list[Data] = []
        for event in events:
            if event.startswith(b":"):
                continue
            id_line, data_line = event.split(b"\n")
            assert id_line.startswith(b"id: ")
            assert data_line.startswith(b"data: ")
            self.ids.append(int(id_line[4:]))
            packets.extend(data_line[6:].decode().split(SEPARATOR))
        return packets


class PollingCarrier(HttpCarrier):
    """One poll; `take` goes on with further ones."""

    transport = "polling"

    async def _unit(self) -> list[Data]:
        if self.exchange.ended:
            self.number = self.peer.new_number()
            self.exchange = self.peer.attach_exchange("polling", self.number)
            self.next = None
        status = await self.exchange.start()
        text = await self.exchange.text()
        assert status == 200, text
        self.is_over = True
        return list(text.split(SEPARATOR))


class CountingPeer:
    """A client's end of a session.

    Attributes:
        said: Everything it has ever sent.
        acknowledged: How far the server says it has that.
        received: Its position in the server's stream.
    """

    def __init__(self, client: Client, path: str = "/engine.io/") -> None:
        self.client = client
        self.path = path
        self.sid = ""
        self.key = ""
        self.open_packet: dict[str, Any] = {}
        self.said: list[Data] = []
        self.acknowledged = 0
        self.received = 0
        self._number = 1

    def url(self, transport: str, *, sid: bool = True) -> str:
        query = f"EIO=4&transport={transport}&holdfast=1"
        return f"{self.path}?{query}&sid={self.sid}" if sid else f"{self.path}?{query}"

    def opened(self, value: dict[str, Any]) -> None:
        self.open_packet = value
        self.sid, self.key = value["sid"], value["holdfast"]["key"]

    def new_number(self) -> int:
        self._number += 1
        return self._number

    async def open(self, transport: str) -> Carrier:
        """Open a session; returns when the open packet is there. By polling, the first poll is under way then."""
        url = self.url(transport, sid=False)
        carrier = self._carrier(transport, 1, url, {})
        if isinstance(carrier, WebSocketCarrier):
            await carrier.socket.accept()
        while not self.sid:
            await carrier.read()
        if transport == "polling":
            await settled()
            return await self.attach("polling")
        return carrier

    def attach_header(self, **value: Any) -> dict[str, str]:
        value = {"key": self.key, "received": self.received} | value
        return {"holdfast-attach": json.dumps(value)}

    def attach_exchange(self, transport: str, number: int, **value: Any) -> Exchange:
        return self.client.get(self.url(transport), headers=self.attach_header(carrier=number, **value))

    async def attach(self, transport: str, *, number: int | None = None, **value: Any) -> Carrier:
        """Attach a carrier; does not wait for the server's answer."""
        number = number or self.new_number()
        headers = {} if transport == "websocket" else self.attach_header(carrier=number, **value)
        carrier = self.carrier(transport, number, headers)
        if isinstance(carrier, WebSocketCarrier):
            await carrier.begin(**value)
        await settled()
        return carrier

    def carrier(self, transport: str, number: int, headers: dict[str, str]) -> Carrier:
        """Ask for a carrier; a WebSocket is to `begin` when it is accepted."""
        carrier = self._carrier(transport, number, self.url(transport), headers)
        carrier.next = None
        return carrier

    def _carrier(self, transport: str, number: int, url: str, headers: dict[str, str]) -> Carrier:
        if transport == "websocket":
            return WebSocketCarrier(self, number, self.client.websocket(url, headers=headers))
        exchange = self.client.get(url, headers=headers)
        return (StreamCarrier if transport == "stream" else PollingCarrier)(self, number, exchange)

    def post_exchange(self, *packets: str, **value: Any) -> Exchange:
        """A POST of these packets, after its attach."""
        hello = {"key": self.key, "received": self.received} | value
        body = SEPARATOR.join(["7" + json.dumps(hello), *packets])
        headers = {"content-type": "text/plain;charset=UTF-8"}
        return self.client.post(self.url("polling"), body, headers=headers)

    def packets(self) -> list[str]:
        """What is not acknowledged, with its first number before it."""
        waiting = [encode(message) for message in self.said[self.acknowledged :]]
        return [f"9{self.acknowledged + 1}", *waiting] if waiting else []

    async def post(self, *packets: str, **value: Any) -> Answer:
        """POST these packets, or what is not acknowledged; takes the answer."""
        exchange = self.post_exchange(*(packets or self.packets()), **value)
        status = await exchange.start()
        if status != 200:
            return Answer(status, await exchange.json())
        text = await exchange.text()
        assert text[0] == "7"
        answer = Answer(status, json.loads(text[1:]))
        self.acknowledged = max(self.acknowledged, answer.value["received"])
        return answer


async def check_unharmed(site: Site, victim: CountingPeer) -> None:
    """The victim goes on with its session, both ways, and nobody else has said or taken anything."""
    await site.session.send("for the victim")
    carrier = await victim.attach("polling")
    assert await carrier.take(1) == ["for the victim"]
    await carrier.send("from the victim")
    await settled()
    assert site.received == ["from the victim"]
    assert site.engine.session_count == 1
