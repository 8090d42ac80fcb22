"""A real broker behind the endpoint: each client has a connection of its own to it, as Spring's relay has it.

1. Frames pass through as they are; both ends see the same version. What the application answers for, ``/app/…`` and
   ``/user/…``, does not leave us; what was not named as the broker's does not reach it.
2. Heart-beats end here, on both sides: the broker's client is we, who are there as long as the session is.
3. Who does not take his messages is not read from: the broker keeps them, by its own flow control.
4. A broker that cannot be reached, or goes away, is an ERROR; clients come again by themselves.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import anyio
from anyio.abc import ByteStream

from ..engine.errors import LocalProtocolError, RemoteProtocolError, SessionClosed
from ..engine.host import Event, Host, make_event
from ..engine.settings import StompSettings
from ..engine.stomp.message import Published
from ..engine.stomp.session import Close, StompSession, Subscriber
from ..engine.subprotocols.stomp import Connect, SendTo, StompError, Subscription
from ..engine.subprotocols.stomp_frames import Frame, FrameDecoder, Version, encode_frame

if TYPE_CHECKING:
    from ..engine.stomp import Messages, StompBroker
    from ..engine.stomp.queue import Letter

__all__ = ["FORWARDED", "Relay", "RelaySession"]

logger = logging.getLogger("holdfast.stomp")

_TRY_LATER = 1013
_PORT, _TLS_PORT = 61613, 61614
# To reach the broker, and for its answers: less than a client has to be let in, or it would be to blame.
_PATIENCE = 5.0
# How often we beat, where the broker wants it; and after how many of its intervals it is gone.
_BEAT = 10.0
_SILENT = 3
_OURS = ("/app/", "/user/")
FORWARDED = ("/topic/", "/queue/")
# They belong to one connection to the broker, so to one client.
_OF_ONE_CLIENT = ("/temp-queue/", "/temp-topic/")
_REPLIES = "/reply-queue/"
_GONE = "the broker cannot be reached"
_REFUSED = "the broker is not available"
_BROKEN = (
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    RemoteProtocolError,
)


class BrokerRefuses(Exception):
    """The broker does not take the login or the virtual host that the application has given for it."""


class Relay:
    """Where the broker is, and the application's own connection to it.

    Args:
        url: ``stomp://login:passcode@host:61613/virtual-host``, or ``stomp+ssl://``. Without a login, clients' own are
            handed on; without a virtual host, it is ``/``.
        host: Whose time it is.
        forwarded: How destinations begin that clients may reach there.

    Raises:
        TypeError: ``forwarded`` is no list of texts.
        ValueError: the address is none, or what ``forwarded`` lists is no beginning of a destination.
    """

    def __init__(
        self, url: str, limits: StompSettings, host: Host, forwarded: Iterable[str] = FORWARDED
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("stomp", "stomp+ssl") or not parts.hostname:
            raise ValueError("relay must be an address such as stomp://login:passcode@localhost:61613/")
        self._tls = parts.scheme == "stomp+ssl"
        self._host = parts.hostname
        self._port = parts.port or (_TLS_PORT if self._tls else _PORT)
        self._vhost = unquote(parts.path[1:]) or "/"
        self._login = None if parts.username is None else unquote(parts.username)
        self._passcode = unquote(parts.password or "")
        # What a broker says may be as large as what is kept for one client.
        self.limits = replace(limits, max_frame_bytes=max(limits.max_frame_bytes, limits.max_outgoing_bytes))
        self._forwarded = _beginnings(forwarded)
        self._time = host
        self._own: Upstream | None = None
        self._turn = anyio.Lock()
        self._receipts = count()
        self._is_refused = False

    def destinations_of(self, frame: Frame) -> list[str]:
        """All that a SEND or a SUBSCRIBE reaches at the broker.

        Raises:
            StompError: it is not for clients.
        """
        destination = frame.headers.get("destination", "")
        forwarded = destination.startswith((*self._forwarded, *_OF_ONE_CLIENT))
        if not forwarded and frame.command == "SEND" and destination.startswith(_REPLIES):
            # RabbitMQ's other name of a queue, to answer by. Who subscribes to it would take another's answers.
            forwarded = self._is_queue_forwarded(destination.removeprefix(_REPLIES))
        if not forwarded:
            raise StompError(
                "this destination is not one that clients may reach at the broker (argument relay_destinations)"
            )
        # RabbitMQ lets a subscription to a topic name the queue that it reads, which may be any.
        queue = frame.headers.get("x-queue-name") if frame.command == "SUBSCRIBE" else None
        if queue is None:
            return [destination]
        if not self._is_queue_forwarded(queue):
            raise StompError(
                "x-queue-name is not a queue that clients may reach at the broker (argument relay_destinations)"
            )
        return [destination, f"/queue/{queue}"]

    def _is_queue_forwarded(self, name: str) -> bool:
        return f"/queue/{name}".startswith(self._forwarded)

    async def open(self, version: Version, login: str | None, passcode: str | None, beat: float) -> Upstream:
        """A connection; `Upstream.connected` is what the broker has said.

        Raises:
            OSError, TimeoutError: it cannot be reached.
            StompError: it refuses the client's own login.
            BrokerRefuses: it refuses ours, and the log says so.
            RemoteProtocolError: it is none.
        """
        with self._patience():
            stream: ByteStream = await anyio.connect_tcp(
                self._host, self._port, tls=self._tls, tls_standard_compatible=False
            )
            upstream = Upstream(stream, self.limits, version)
            if self._login is not None:
                login, passcode = self._login, self._passcode
            milliseconds = str(round(beat * 1000))
            headers = {
                "accept-version": version,
                "host": self._vhost,
                "heart-beat": f"{milliseconds},{milliseconds}",
            }
            if login is not None:
                headers |= {"login": login, "passcode": passcode or ""}
            try:
                await upstream.send(Frame("CONNECT", headers))
                await upstream.connect()
            except StompError as error:
                await anyio.aclose_forcefully(stream)
                if self._login is None and login is not None:
                    raise
                self._note_refusal()
                raise BrokerRefuses from error
            except BaseException:
                await anyio.aclose_forcefully(stream)
                raise
            self._is_refused = False
            return upstream

    def _note_refusal(self) -> None:
        """Once until it lets us in again: clients come back every few seconds. No word of the broker's, which may name
        what is secret."""
        if not self._is_refused:
            self._is_refused = True
            logger.error(
                "the broker at %s:%d refuses us: check the login and the passcode in Stomp(relay=…), and that this "
                "user exists there and may use the virtual host %r; until then STOMP clients are turned away",
                self._host,
                self._port,
                self._vhost,
            )

    async def send(self, destination: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send a message of the application, and return when the broker has it.

        Raises:
            LocalProtocolError: the broker cannot be reached, or does not take it.
        """
        async with self._turn:
            # The connection may have ended while nobody looked: then once more, by a new one.
            for upstream in (self._own, None):
                try:
                    if upstream is None:
                        upstream = self._own = await self.open("1.2", None, None, 0)
                    await self._send(upstream, destination, headers, body)
                    return
                except StompError as error:
                    self._own = None
                    raise LocalProtocolError(str(error)) from error
                except BrokerRefuses as error:
                    self._own = None
                    raise LocalProtocolError(
                        "the broker refuses the login or the virtual host of relay="
                    ) from error
                except (*_BROKEN, TimeoutError) as error:
                    self._own, failure = None, error
            raise LocalProtocolError(_GONE) from failure

    async def _send(
        self, upstream: Upstream, destination: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        receipt = str(next(self._receipts))
        with self._patience():
            try:
                await upstream.send(
                    Frame("SEND", {**headers, "destination": destination, "receipt": receipt}, body)
                )
                while (frame := await upstream.next()) is not None:
                    if frame.command == "ERROR":
                        raise StompError(frame.headers.get("message", "the broker refuses it"))
                    if frame.headers.get("receipt-id") == receipt:
                        return
                raise anyio.EndOfStream
            except BaseException:
                await anyio.aclose_forcefully(upstream.stream)
                raise

    @contextmanager
    def _patience(self) -> Generator[None]:
        with self._time.move_on_after(_PATIENCE) as scope:
            yield
        if scope.cancelled_caught:
            raise TimeoutError

    async def close(self) -> None:
        """End the application's own connection; idempotent."""
        own, self._own = self._own, None
        if own is not None:
            await anyio.aclose_forcefully(own.stream)


def _beginnings(forwarded: Iterable[object]) -> tuple[str, ...]:
    listed = [] if isinstance(forwarded, str) else list(forwarded)
    texts = [each for each in listed if isinstance(each, str)]
    if not texts or len(texts) < len(listed):
        raise TypeError('relay_destinations must be a list of texts, such as ["/topic/", "/queue/"]')
    for each in texts:
        if not each.startswith("/"):
            raise ValueError(f"relay_destinations: {each!r} does not begin with a slash, as destinations do")
    return tuple(texts)


class Upstream:
    """One connection to the broker.

    Attributes:
        connected: Its CONNECTED.
        beats: How often it wants to hear from us, and how often it says something; 0 for never.
    """

    def __init__(self, stream: ByteStream, limits: StompSettings, version: Version) -> None:
        self.stream = stream
        self.version: Version = version
        self.connected = Frame("")
        self.beats = (0.0, 0.0)
        self.is_silent = False
        self._decoder = FrameDecoder(limits)
        self._decoded: Iterator[Frame] = iter(())
        self._turn = anyio.Lock()

    async def send(self, frame: Frame) -> None:
        """Send a frame; waits while the broker takes none."""
        data = encode_frame(frame, self.version)
        await self.write(data.encode() if isinstance(data, str) else data)

    async def write(self, data: bytes) -> None:
        async with self._turn:
            await self.stream.send(data)

    async def connect(self) -> None:
        """Return when it has let us in.

        Raises:
            StompError: it refuses.
            RemoteProtocolError: it is none that we could speak to.
            EndOfStream: it has gone.
        """
        frame = await self.next()
        if frame is None:
            raise anyio.EndOfStream
        if frame.command == "ERROR":
            raise StompError(frame.headers.get("message", "access refused"))
        if frame.command != "CONNECTED" or frame.headers.get("version", "1.0") != self.version:
            raise RemoteProtocolError("this broker does not speak the client's version of STOMP")
        self.connected = frame
        self._decoder.version = self.version
        can, _, wants = frame.headers.get("heart-beat", "0,0").partition(",")
        if can.strip().isdigit() and wants.strip().isdigit():
            self.beats = (int(wants) / 1000, int(can) / 1000)

    async def next(self) -> Frame | None:
        """The next frame that it says; None at its end."""
        while True:
            for frame in self._decoded:
                return frame
            try:
                data = await self.stream.receive()
            except anyio.EndOfStream:
                return None
            self.is_silent = False
            self._decoded = self._decoder.feed(data)


class RelaySession(StompSession):
    """One client whose messages a real broker has."""

    def __init__(
        self,
        relay: Relay,
        broker: StompBroker,
        peer: Messages,
        *,
        heart_beat: float,
        close: Close,
    ) -> None:
        super().__init__(broker, peer, heart_beat=heart_beat, close=close)
        self._relay = relay
        self._upstream: Upstream | None = None
        self._own: dict[str, Subscriber] = {}
        self._numbers = count(1)
        self._leaves = False
        self._opened: Event | None = None
        self._room: Event | None = None

    async def _read(self) -> None:
        while self._end is None:
            try:
                data = await self.peer.receive()
            except SessionClosed:
                break
            self._is_held = True
            try:
                for each in self._connection.pass_on(data, now=self._host.now()):
                    await (self._connect(each) if isinstance(each, Connect) else self._frame(each))
            except StompError as error:
                self._fail(error)
            except BrokerRefuses:
                self._fail(StompError(_REFUSED), code=_TRY_LATER)
            except (*_BROKEN, TimeoutError):
                self._broker_is_gone()
            self._is_held = False
        else:
            if self._is_writing:
                await anyio.sleep_forever()

    async def _connect(self, connect: Connect) -> None:
        client = await self._broker.let_in(self, connect)
        version = self._connection.version
        upstream = await self._relay.open(version, connect.login, connect.passcode, _BEAT)
        self._upstream = upstream
        self.client = client
        server = upstream.connected.headers.get("server", self._broker.server)
        user = client.user if client.principal is not None else None
        self._say(self._connection.accept(session=self.id, server=server, user=user))
        self._set_time()
        if self._opened is not None:
            self._opened.set()

    async def _frame(self, frame: Frame) -> None:
        upstream, headers = self._upstream, frame.headers
        assert upstream is not None
        receipt, destination = headers.get("receipt"), headers.get("destination", "")
        try:
            if frame.command in ("SEND", "SUBSCRIBE"):
                if destination.startswith(_OURS):
                    if not await self._answer(frame, destination):
                        return
                    if receipt is not None:
                        self._say(Frame("RECEIPT", {"receipt-id": receipt}))
                    return
                action = "send" if frame.command == "SEND" else "subscribe"
                for each in self._relay.destinations_of(frame):
                    await self._broker.check(self._in(), action, each)
            elif frame.command == "UNSUBSCRIBE" and headers.get("id") in self._own:
                self._end_own(headers["id"])
                if receipt is not None:
                    self._say(Frame("RECEIPT", {"receipt-id": receipt}))
                return
        except StompError as error:
            error.receipt = receipt
            raise
        self._leaves = self._leaves or frame.command == "DISCONNECT"
        await upstream.send(frame)

    async def _answer(self, frame: Frame, destination: str) -> bool:
        """What is ours (rule 1); False where a function has failed, and its client has been told."""
        headers = frame.headers
        client = self._in()
        if "transaction" in headers:
            raise StompError("what the application answers is in no transaction of the broker")
        if frame.command == "SEND":
            own = {name: value for name, value in headers.items() if name not in ("destination", "receipt")}
            send = SendTo(destination, own, frame.body, headers.get("receipt"))
            await self._broker.check_send(client, send)
            return await self._broker.send_from(client, send)
        id = headers.get("id", destination)
        if id in self._own:
            raise StompError("there is a subscription of this id")
        if len(self._own) >= self._limits.max_subscriptions:
            raise StompError("too many subscriptions (setting max_subscriptions)")
        subscription: Subscription[Letter | None] = Subscription(
            id, "id" in headers, destination, "auto", headers
        )
        subscriber = Subscriber(self, subscription)
        await self._broker.subscribe(client, subscriber)
        self._own[id] = subscriber
        return True

    def _end_own(self, id: str) -> None:
        subscriber = self._own.pop(id)
        subscriber.subscription.is_open = False
        if subscriber.leave is not None:
            subscriber.leave()

    def deliver(
        self,
        subscription: Subscription[Letter | None],
        message: Published,
        letter: Letter | None,
        *,
        again: bool = False,
    ) -> None:
        """Of what is ours; see `StompSession.deliver`."""
        if self._end is None and subscription.is_open:
            own = {"destination": subscription.destination, "message-id": f"{self.id}-{next(self._numbers)}"}
            if subscription.named:
                own["subscription"] = subscription.id
            self._put((message, own))

    # -- what the broker says

    async def _work(self) -> None:
        if self._upstream is None:
            self._opened = make_event()
            await self._opened.wait()
        upstream = self._upstream
        assert upstream is not None
        async with self._beating(upstream):
            try:
                while (frame := await upstream.next()) is not None:
                    await self._wait_for_room()
                    self._say(frame)
                    if frame.command == "ERROR":
                        self._finish(1002, frame.headers.get("message", "")[:100])
            except (*_BROKEN, LocalProtocolError):
                pass
        if self._leaves:
            self._finish(1000, "")
        else:
            self._broker_is_gone()

    def _broker_is_gone(self) -> None:
        if self._end is None:
            logger.warning("the broker behind the STOMP endpoint cannot be reached, or has gone away")
        self._fail(StompError(_GONE), code=_TRY_LATER)

    async def _wait_for_room(self) -> None:
        while not self.has_room and self._end is None:
            self._room = make_event()
            await self._room.wait()

    def _pump(self) -> None:
        if self._room is not None:
            self._room.set()

    @asynccontextmanager
    async def _beating(self, upstream: Upstream) -> AsyncGenerator[None]:
        wanted, promised = upstream.beats
        async with anyio.create_task_group() as tasks:
            if wanted:
                tasks.start_soon(self._beat, upstream, max(wanted, _BEAT))
            if promised:
                tasks.start_soon(self._watch, upstream, max(promised, _BEAT) * _SILENT)
            yield
            tasks.cancel_scope.cancel()

    async def _beat(self, upstream: Upstream, seconds: float) -> None:
        while True:
            await self._host.sleep(seconds)
            try:
                await upstream.write(b"\n")
            except _BROKEN:
                return  # The reader hears of it.

    async def _watch(self, upstream: Upstream, seconds: float) -> None:
        while not upstream.is_silent:
            # While we do not read (rule 3), it may say what it likes.
            upstream.is_silent = self.has_room
            await self._host.sleep(seconds)
        await anyio.aclose_forcefully(upstream.stream)

    def _leave(self) -> None:
        super()._leave()
        for id in list(self._own):
            self._end_own(id)
        if self._upstream is not None:
            self._host.spawn_aside(self._say_bye, self._upstream)

    async def _say_bye(self, upstream: Upstream) -> None:
        """What the client has sent is not to be lost with its connection."""
        with self._host.move_on_after(2):
            try:
                if not self._leaves:
                    await upstream.send(Frame("DISCONNECT"))
                while True:
                    await upstream.stream.receive()
            except _BROKEN:
                pass
        await anyio.aclose_forcefully(upstream.stream)
