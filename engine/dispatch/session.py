"""The event layer of one session: what its messages mean, and the sockets of its peer."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Mapping

from ..errors import ErrorCode, LocalProtocolError, SessionClosed
from ..host import Timer, guarded
from ..live import LiveSession
from ..session.reason import CloseReason
from ..settings import Settings
from ..subprotocols.socketio import (
    AckReceived,
    ConnectRequested,
    DisconnectReceived,
    EventReceived,
    SocketIOState,
)
from ..wire.codec import Codec
from ..wire.message import Message
from ..wire.socketio import EventFields, SocketPacket, SocketPacketType
from .backlog import memory_of
from .complaints import Complaints
from .membership import Life, Membership
from .registry import Registries, Registry
from .runner import Runner

__all__ = ["EventSession"]

# Bytes in a second that an uplink has at least.
_SLOWEST = 50_000

# Up to so much of one session, what waits counts as the bytes that came: nearly always it runs in the same moment.
_LITTLE = 2_000

logger = logging.getLogger("holdfast.dispatch")


class EventSession:
    """What a server puts above a session that speaks Socket.IO (a `SessionHandler`).

    Args:
        registries: The server's namespaces.
        codecs: By name.

    Attributes:
        awaited_acks: Acknowledgements of the peer that somebody waits for.
    """

    __slots__ = (
        "_changes",
        "_closed",
        "_complaints",
        "_incoming_bytes",
        "_many",
        "_many_bytes",
        "_members",
        "_part_at",
        "_part_timer",
        "_registries",
        "_searches",
        "_searching",
        "_timer",
        "_waiting",
        "_waiting_bytes",
        "_waiting_memory",
        "awaited_acks",
        "live",
        "protocol",
        "settings",
    )

    def __init__(
        self,
        live: LiveSession,
        registries: Registries,
        codecs: Mapping[str, Codec],
        settings: Settings,
    ) -> None:
        self.live = live
        self.settings = settings
        self.protocol = SocketIOState(
            codecs[live.codec] if live.codec is not None else None,
            codecs=codecs,
            max_bytes=settings.max_payload,
            max_namespaces=settings.max_namespaces_per_session,
        )
        self._registries = registries
        self._members: dict[str, Membership] = {}
        registries.backlog.sessions += 1
        # For whom the application is still asked whether there is such a namespace.
        self._searching: dict[str, ConnectRequested] | None = None
        # How often it is being asked, for those too who do not wait any more.
        self._searches = 0
        self._closed = False
        self._waiting = 0
        self._waiting_bytes = 0
        self._waiting_memory = 0
        self._incoming_bytes = 0
        # More than these wait: it is behind.
        self._many = settings.max_pending_events / 10
        self._many_bytes = settings.max_pending_event_bytes / 2
        # `connect` and `disconnect` handlers that wait or run.
        self._changes = 0
        self.awaited_acks = 0
        self._complaints: Complaints | None = None
        # When the last part of an incomplete packet came; the timer stays for the next one.
        self._part_at = 0.0
        self._part_timer: Timer | None = None
        self._timer: Timer | None = None
        self._start_timer()

    def make_member(self, registry: Registry, codec: Codec, auth: dict[str, object]) -> Membership:
        """What stands behind one of its sockets."""
        return Membership(self, registry, codec, auth)

    def make_runner(self, member: Membership) -> Runner:
        """What runs the handlers of one of its sockets."""
        return Runner(member)

    def touched(self) -> None:
        """The rooms of one of its sockets are others now."""

    @property
    def complaints(self) -> Complaints:
        """What the log is told of it."""
        if self._complaints is None:
            self._complaints = Complaints(self.live.host)
        return self._complaints

    def message_received(self, data: str | bytes) -> None:
        """One message of the peer.

        Raises:
            RemoteProtocolError: the session has to end.
        """
        if self._closed:
            return
        event = self.protocol.receive_event(data)
        if event is None:
            received = self.protocol.receive(data)
            if received is None:
                self._incoming_bytes += len(data)
                if self.protocol.is_incomplete:
                    self._part_came()
                return
            if not isinstance(received, EventReceived):
                self._incoming_bytes = 0
                self.live.apart()
                self._answer(received)
                return
            event = received
        size = len(data)
        if self._incoming_bytes:
            size += self._incoming_bytes
            self._incoming_bytes = 0
        runner = self._members[event[0]].runner
        if not (
            self.live.begins_at_once
            and self._waiting < self._many
            and self._waiting_bytes + size <= self._many_bytes
            and runner.run_at_once(event)
        ):
            # It has to wait, or would be one too many.
            self._queue(runner, event, size)

    def _answer(self, received: AckReceived | ConnectRequested | DisconnectReceived) -> None:
        if isinstance(received, AckReceived):
            if not self._members[received.namespace].resolve(received.id, received.args):
                self.live.brought_nothing()
        else:
            # Nobody who means well comes and goes thousands of times in a second.
            self.live.brought_nothing()
            if isinstance(received, ConnectRequested):
                self._connect(received)
            elif received.namespace in self._members:
                self._members[received.namespace].leave(CloseReason.CLIENT_NAMESPACE)
            else:
                self._searched(received.namespace)

    def _queue(self, runner: Runner, event: EventFields, size_bytes: int) -> None:
        _, name, args, _ = event
        # One that nobody is to hear of takes no place.
        if not runner.wants(name):
            return
        self._waiting += 1
        self._waiting_bytes += size_bytes
        # What is too much is many, and that is known without the settings.
        if (self._waiting > self._many or self._waiting_bytes > self._many_bytes) and self._is_too_much():
            self._fail(
                "too many events wait for their handlers (settings max_pending_events and max_pending_event_bytes)"
            )
            return
        memory = size_bytes
        if self._waiting_bytes > _LITTLE:
            memory = max(memory, memory_of(args))
        backlog = self._registries.backlog
        backlog.used_bytes += memory
        self._waiting_memory += memory
        if backlog.used_bytes > backlog.limit_bytes and not backlog.has_room(self._waiting_memory):
            backlog.used_bytes -= memory
            self._fail(
                "too many events of all clients wait for their handlers (setting total_pending_event_bytes)"
            )
            return
        runner.push_event(event, size_bytes, memory)

    def _is_too_much(self) -> bool:
        settings = self.settings
        return (
            self._waiting > settings.max_pending_events
            or self._waiting_bytes > settings.max_pending_event_bytes
        )

    def _fail(self, message: str) -> None:
        logger.warning("session %s closed: %s", self.live.name, message)
        self.live.fail(
            CloseReason.BUFFER_FULL, code=int(ErrorCode.BAD_REQUEST), message=message, close_code=1008
        )

    def change_begins(self) -> None:
        """A `connect` or `disconnect` handler is to run. Each is a task of its own for a peer that comes and goes."""
        self._changes += 1
        if self._changes > 2 * self.settings.max_namespaces_per_session and not self._closed:
            self._fail(
                "the client connects and disconnects faster than handlers run (setting max_namespaces_per_session)"
            )

    def change_ends(self) -> None:
        """It has run."""
        self._changes -= 1

    def _part_came(self) -> None:
        host = self.live.host
        self._part_at = host.now()
        if self._part_timer is None:
            self._part_timer = host.call_later(self.settings.attachment_timeout, self._check_parts)

    def _check_parts(self) -> None:
        self._part_timer = None
        if self._closed or not self.protocol.is_incomplete:
            return
        # While a slow uplink brings a large one, nothing is seen of it.
        host = self.live.host
        most = self.settings.max_payload - self.protocol.pending_bytes
        seconds = self.settings.attachment_timeout + most / _SLOWEST
        if self.live.counting and not self.live.attached:
            # What is missing comes by the next carrier.
            self._part_at = host.now()
        due = self._part_at + seconds
        if due > host.now():
            self._part_timer = host.call_at(due, self._check_parts)
        else:
            self._fail(f"an attachment did not come within {seconds:.3g} s (setting attachment_timeout)")

    def event_taken(self, size_bytes: int, memory_bytes: int) -> None:
        """A handler begins with an event that waited, or it is dropped."""
        was_behind = self._waiting > self._many or self._waiting_bytes > self._many_bytes
        self.live.message_taken()
        self._waiting -= 1
        self._waiting_bytes -= size_bytes
        self._waiting_memory -= memory_bytes
        self._registries.backlog.used_bytes -= memory_bytes
        if was_behind and not self.is_behind:
            self.live.caught_up()

    @property
    def is_behind(self) -> bool:
        """See `SessionHandler`."""
        return self._waiting > self._many or self._waiting_bytes > self._many_bytes

    @property
    def is_busy(self) -> bool:
        """See `SessionHandler`."""
        if self._waiting or self._changes or self._searching:
            return True
        return any(member.runner.is_running for member in self._members.values())

    def _connect(self, request: ConnectRequested) -> None:
        try:
            found = self._registries.find(request.namespace, request.auth)
        except KeyboardInterrupt:
            raise
        except BaseException:
            # A function of the application: its failure must not leave the peer without an answer.
            logger.exception("the function of a dynamic namespace failed")
            self._refuse(request.namespace, "internal error")
            return
        if inspect.isawaitable(found):
            if self._searching is None:
                self._searching = {}
            self._searching[request.namespace] = request
            self._searches += 1
            self.live.host.spawn(self._search, request, found)
            if self._searches > self.settings.max_namespaces_per_session:
                # One that asks and leaves again and again would start any number of them.
                self._fail("too many namespaces are being looked for (setting max_namespaces_per_session)")
        else:
            self._join(request, found)

    async def _search(self, request: ConnectRequested, found: Awaitable[Registry | None]) -> None:
        message, registry = "internal error", None
        try:
            registry = await guarded(found, "the function of a dynamic namespace")
            message = "Invalid namespace"
        except BaseException as error:
            await self.live.host.go_on_after(error)
            logger.error("the function of a dynamic namespace failed", exc_info=error)
        finally:
            self._searches -= 1
        if self._searching is None or self._searching.get(request.namespace) is not request:
            # The peer, or all of the session, has gone meanwhile.
            if registry is not None:
                registry.end_if_unused()
            return
        self._searched(request.namespace)
        if registry is None:
            self._refuse(request.namespace, message)
        else:
            self._join(request, registry)

    def _searched(self, namespace: str) -> None:
        searching = self._searching
        if searching is not None:
            searching.pop(namespace, None)
            if not searching:
                self._searching = None

    def _refuse(self, namespace: str, message: str) -> None:
        codec = self.protocol.codec
        assert codec is not None
        self.protocol.refuse(namespace)
        packet = SocketPacket(SocketPacketType.CONNECT_ERROR, namespace, {"message": message})
        self.send_nowait(self.encode_own(codec, packet))

    def encode_own(self, codec: Codec, packet: SocketPacket) -> list[Message]:
        """A packet in which nothing is the application's; empty if the codec cannot carry even that: the session is
        over then.
        """
        try:
            return codec.encode(packet)
        except LocalProtocolError:
            logger.exception("session %s closed: its codec %r cannot answer", self.live.name, codec.name)
            self.live.fail(CloseReason.FORCED_SERVER_CLOSE)
            return []

    def _join(self, request: ConnectRequested, registry: Registry | None) -> None:
        codec = self.protocol.codec
        assert codec is not None
        if registry is None:
            self._refuse(request.namespace, "Invalid namespace")
            return
        recovery = None if self.live.counting else registry.recovery
        if recovery is None:
            member = self.make_member(registry, codec, request.auth)
        else:
            member = self.make_member(registry, recovery.codec(codec), request.auth)
            recovery.admit(member, request.auth)
        self._members[request.namespace] = member
        member.begin()

    def send_nowait(self, messages: list[Message]) -> None:
        """Send what belongs to no membership."""
        try:
            self.live.send_nowait(*messages)
        except SessionClosed:
            # Its end is announced to us separately.
            return

    def forget(self, member: Membership) -> None:
        """A membership is gone."""
        if self._members.get(member.registry.name) is member:
            del self._members[member.registry.name]
        if member.runner.is_running:
            self._registries.backlog.left(member.runner)

    def close_if_empty(self) -> None:
        """End the session if it is in no namespace any more."""
        if not self._members and not self._searching:
            self.live.close(CloseReason.FORCED_SERVER_CLOSE)

    def disconnect(self) -> None:
        """Put the peer out of every namespace and end the session."""
        for member in list(self._members.values()):
            member.put_out()
        self.live.close(CloseReason.FORCED_SERVER_CLOSE)

    def session_closed(self, reason: CloseReason) -> None:
        """The session is over."""
        self._end()
        for member in list(self._members.values()):
            member.leave(reason)

    def _end(self) -> None:
        if not self._closed:
            self._registries.backlog.sessions -= 1
        self._closed = True
        self.live.caught_up()
        self.settled()
        if self._part_timer is not None:
            self._part_timer.cancel()
        self.protocol.clear()
        self._searching = None

    def ran_out(self, runner: Runner) -> None:
        """Nothing waits for the handlers of one of its sockets any more."""
        self._registries.backlog.done(runner)

    # -- a session has to connect somewhere, soon

    def settled(self) -> None:
        """It has connected, or it is over: there is nothing left to wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        self._timer = self.live.host.call_later(self.settings.connect_timeout, self._check_connected)

    def _check_connected(self) -> None:
        if self._searching or any(member.life is Life.PENDING for member in self._members.values()):
            # Our own handler is what takes its time.
            self._start_timer()
        else:
            self.live.close(CloseReason.CONNECT_TIMEOUT)
