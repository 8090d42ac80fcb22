"""The workers of one server: every two of them have one link.

1. Each listens at the common place. Of two, the one whose name is the greater connects; the other knocks, if it comes
   later, which is a connection that says its name and no more. So there is one link, whoever comes first, as long as
   who connects does so once.
2. A link is there for both ends once both have said who they are.
3. What one says to another arrives in order, or the link ends, and with it whatever waits for an answer on it.
4. Who finds nobody listening at a socket removes it.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing.util
import socket
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Protocol, cast

import anyio

from ...engine.errors import RemoteProtocolError
from ...engine.host import Event, Host, in_event_loop, make_event
from ...engine.node import NodeName, is_node_name
from ..values import pack, unpack
from .link import Link
from .place import Place, Prevented

__all__ = ["BUS", "FIND", "FORWARD", "Channel", "Mesh"]

logger = logging.getLogger("holdfast.workers")

BUS, FORWARD, FIND = b"\x01", b"\x02", b"\x03"
"""The first byte of each frame: what it is about."""

_VERSION = 1
_LOOK_EVERY = 5.0
# A busy machine is not a dead worker.
_HELLO_SECONDS = 10.0
_START_SECONDS = 3.0
_FIND_SECONDS = 3.0


class Channel(Protocol):
    """Who hears frames of one kind. Nothing here waits."""

    def linked(self, link: Link) -> None:
        """A worker has come."""
        ...

    def frame(self, link: Link, data: bytes) -> None:
        """It has said something.

        Raises:
            RemoteProtocolError: nothing that makes sense; the link is closed.
        """
        ...

    def unlinked(self, link: Link) -> None:
        """It has gone."""
        ...


class _State(Enum):
    """IDLE until it is started, and after it has ended; PREVENTED where workers cannot meet."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    PREVENTED = "prevented"


class Mesh:
    """One worker among those of a server. Begins with `start`, as often as an event loop does.

    Args:
        place: Where they meet.
        name: Of this one.
        host: Runs it.

    Attributes:
        links: To the others, by name.
    """

    def __init__(self, place: Place, name: NodeName, host: Host) -> None:
        self.links: dict[str, Link] = {}
        self._place = place
        self._name = name
        self._host = host
        self._channels: dict[int, Channel] = {}
        self._state = _State.IDLE
        self._started: Event = make_event()
        # To whom a connection of ours leads, or is about to.
        self._meeting: set[str] = set()
        self._scope: anyio.CancelScope | None = None
        self._leave_place: Callable[[], None] | None = None
        self._look: Event = make_event()
        self._joined: Event = make_event()

    @property
    def node(self) -> str:
        """The name of this worker."""
        return str(self._name)

    def add(self, kind: bytes, channel: Channel) -> None:
        """Let somebody hear the frames of a kind. Before it starts."""
        self._channels[kind[0]] = channel

    @property
    def is_ready(self) -> bool:
        """Whether there is nothing to wait for: all who are there are linked, or none can be."""
        return self._state in (_State.RUNNING, _State.PREVENTED)

    async def start(self) -> None:
        """Begin, and wait until it knows the others; idempotent."""
        self.begin()
        if not self.is_ready:
            with anyio.move_on_after(_START_SECONDS):
                await self._started.wait()

    def begin_if_running(self) -> None:
        """`begin` if an event loop runs: where the application is made by it, it need not be told of its start."""
        if in_event_loop():
            self.begin()

    def begin(self) -> None:
        """Begin, and do not wait."""
        if self._state is _State.IDLE:
            self._state = _State.STARTING
            self._started, self._look, self._joined = make_event(), make_event(), make_event()
            self._host.spawn_aside(self._run)

    async def finds(self, node: str) -> Link | None:
        """The link to a worker, which may have begun this very moment."""
        link = self.links.get(node)
        if link is None and self._state in (_State.STARTING, _State.RUNNING) and self._place.has(node):
            with anyio.move_on_after(_FIND_SECONDS):
                self._look.set()
                while node not in self.links and self._place.has(node):
                    await self._joined.wait()
            link = self.links.get(node)
        return link

    def stop(self) -> None:
        """Leave the others; idempotent."""
        self._leave()
        if self._scope is not None:
            self._scope.cancel()

    def _leave(self) -> None:
        """What others see goes first: the process may end before anything else."""
        leave, self._leave_place = self._leave_place, None
        if leave is not None:
            leave()
            atexit.unregister(leave)
        for link in list(self.links.values()):
            link.close()

    async def _run(self) -> None:
        node = self.node
        try:
            listener = self._place.listen(node)
        except Prevented as error:
            self._state = _State.PREVENTED
            logger.warning(
                "the workers of this server cannot find each other: %s. A request that comes to another worker than "
                "its session's is refused, and rooms are each worker's own. Give a directory of this user's by the "
                "setting workers=, or say workers=None and make sessions sticky",
                error,
            )
            self._started.set()
            return
        except BaseException:
            self._state = _State.IDLE
            self._started.set()
            raise
        self._leave_place = partial(self._place.leave, node)
        _at_exit(self._leave_place)
        try:
            with anyio.CancelScope() as self._scope:
                self._place.tidy()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._accept, listener)
                    await self._find_others()
                    self._state = _State.RUNNING
                    logger.info(
                        "worker %s of this server meets %d others in %s",
                        node,
                        len(self.links),
                        self._place.directory(),
                    )
                    self._started.set()
                    while True:
                        with anyio.move_on_after(_LOOK_EVERY):
                            await self._look.wait()
                        self._look = make_event()
                        await self._find_others()
                        # Whoever looks for one that is dead looks again.
                        self._ring()
        finally:
            self._state = _State.IDLE
            self._scope = None
            listener.close()
            self._leave()
            self._started.set()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await anyio.wait_readable(listener)
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionError):
                continue
            except OSError:
                # Too many files are open, perhaps.
                logger.exception("another worker cannot be let in")
                await anyio.sleep(1)
                continue
            connection.setblocking(False)
            self._host.spawn_aside(self._serve, connection, None)

    async def _find_others(self) -> None:
        async with anyio.create_task_group() as tasks:
            for name in self._place.others(self.node):
                if name not in self.links and name not in self._meeting:
                    tasks.start_soon(self._meet, name)

    async def _meet(self, name: str) -> None:
        connection = self._place.connect(name)
        if connection is None:
            return
        if name > self.node:
            # It is for the other one to connect (rule 1).
            knock = Link(connection, self._host, _hear_nothing)
            knock.send(self._hello(knocks=True))
            knock.close()
            with anyio.move_on_after(_START_SECONDS):
                while name not in self.links:
                    await self._joined.wait()
            return
        # One at a time: a second link would end the first, and what goes over it.
        self._meeting.add(name)
        done = make_event()
        self._host.spawn_aside(self._serve_own, connection, name, done)
        with anyio.move_on_after(_START_SECONDS):
            await done.wait()

    async def _serve_own(self, connection: socket.socket, name: str, done: Event) -> None:
        try:
            await self._serve(connection, done)
        finally:
            self._meeting.discard(name)

    def _hello(self, *, knocks: bool = False) -> bytes:
        return pack([_VERSION, self.node, knocks])

    async def _serve(self, connection: socket.socket, done: Event | None) -> None:
        """Serve a connection, ours if somebody waits for it to be done."""
        link = Link(connection, self._host, partial(self._greeted, done))
        if done is not None:
            link.send(self._hello())
        timer = self._host.call_later(_HELLO_SECONDS, partial(_close_unless_named, link))
        try:
            await link.read()
        finally:
            timer.cancel()
            if done is not None:
                done.set()
            if self.links.get(link.name) is link:
                del self.links[link.name]
                logger.info("worker %s is gone", link.name)
                for channel in self._channels.values():
                    channel.unlinked(link)

    def _greeted(self, done: Event | None, link: Link, data: bytes) -> None:
        """The first frame of a link says whose it is."""
        try:
            version, name, knocks = cast("list[object]", unpack(data))
        except (RemoteProtocolError, ValueError, TypeError):
            version, name, knocks = 0, "", False
        if version != _VERSION or not isinstance(name, str) or not is_node_name(name):
            logger.warning("a worker of another version of holdfast is not talked to")
            link.close()
        elif knocks:
            link.close()
            if name not in self.links:
                self._look.set()
        else:
            self._join(link, name, done)

    def _join(self, link: Link, name: str, done: Event | None) -> None:
        old = self.links.get(name)
        if old is not None:
            # It would not connect again if it had not lost that one.
            del self.links[name]
            for channel in self._channels.values():
                channel.unlinked(old)
            old.close()
        if done is None:
            link.send(self._hello())
        link.name = name
        link.hear = self._hear
        self.links[name] = link
        for channel in self._channels.values():
            channel.linked(link)
        if done is not None:
            done.set()
        self._ring()

    def _ring(self) -> None:
        joined, self._joined = self._joined, make_event()
        joined.set()

    def _hear(self, link: Link, data: bytes) -> None:
        channel = self._channels.get(data[0]) if data else None
        try:
            if channel is not None:
                channel.frame(link, data[1:])
        except RemoteProtocolError as error:
            logger.error("the link to worker %s is closed: %s", link.name, error)
            link.close()


def _hear_nothing(link: Link, data: bytes) -> None:
    """Who knocks has nothing to hear."""


def _close_unless_named(link: Link) -> None:
    if not link.name:
        link.close()


def _at_exit(call: Callable[[], None]) -> None:
    """However the process ends, if it has time for anything."""
    atexit.register(call)
    # A process of multiprocessing that was forked ends without the others.
    multiprocessing.util.Finalize(None, call, exitpriority=0)
