"""All queues of a broker, and what they may take together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ..errors import LocalProtocolError
from ..host import Host
from ..settings import StompSettings
from ..subprotocols.stomp import SendTo, StompError
from .client import StompClient
from .message import Published
from .queue import Consumer, Kept, Queue

__all__ = ["Queues", "check_size", "drop", "published"]

logger = logging.getLogger("holdfast.stomp")

K = TypeVar("K")
V = TypeVar("V")


def published(headers: Mapping[str, str], body: bytes) -> Published:
    """Raises:
    StompError: it cannot be sent.
    """
    try:
        return Published(headers, body)
    except LocalProtocolError as error:
        raise StompError(str(error)) from error


def check_size(limits: StompSettings, message: Published, most: int | None = None) -> None:
    """Return if it does not end each client that is sent it.

    Raises:
        StompError: it would.
    """
    most = most or limits.max_outgoing_bytes
    if message.size_bytes > most:
        raise StompError(
            f"this cannot be sent, nobody got it: it has {message.size_bytes} bytes, and {most} may wait for a "
            "client (setting max_outgoing_bytes; of a queue, half of it)"
        )


def drop(table: dict[K, dict[V, None]], key: K, value: V) -> None:
    """Take one out, and what it was in if that is empty then; idempotent."""
    members = table.get(key, {})
    members.pop(value, None)
    if not members:
        table.pop(key, None)


class Queues:
    """All of them. One that nobody reads and that keeps nothing is forgotten.

    Attributes:
        by_name: Those that there are.
    """

    def __init__(self, limits: StompSettings, host: Host) -> None:
        self._limits = limits
        self._host = host
        self.by_name: dict[str, Queue] = {}
        self._kept = Kept(limits)
        # Those that nobody reads, by who has made them.
        self._unread: dict[str, dict[Queue, None]] = {}

    def get(self, name: str) -> Queue:
        """One, made if there is none.

        Raises:
            StompError: there are too many.
        """
        queue = self.by_name.get(name)
        if queue is None:
            self._check_number([name])
            queue = self.by_name[name] = self._new(name)
        return queue

    def _new(self, name: str) -> Queue:
        return Queue(name, self._limits, self._kept)

    def join(self, queue: Queue, consumer: Consumer) -> None:
        """Let somebody take from it."""
        queue.add(consumer)
        self.tidy(queue)
        queue.pump()

    def leave(self, queue: Queue, consumer: Consumer) -> None:
        """He takes no more, and gives back what he has not acknowledged."""
        queue.remove(consumer)
        self.tidy(queue)

    def check_room(self, client: StompClient | None, sends: Sequence[SendTo]) -> None:
        """Return if there is room for all of them that go to queues.

        Raises:
            StompError: there is not.
        """
        by_queue: dict[str, list[Published]] = {}
        for send in sends:
            if send.destination.startswith("/queue/"):
                message = published(send.headers, send.body)
                self._check_size(message)
                by_queue.setdefault(send.destination, []).append(message)
        self._check_number(by_queue)
        queues = [self.by_name.get(name) or self._new(name) for name in by_queue]
        if client is not None:
            self._check_unread(client, [queue for queue in queues if queue.is_empty])
        self._kept.check_room(sum([queue.check_room(by_queue[queue.name]) for queue in queues]))

    def put(self, name: str, message: Published, client: StompClient | None = None) -> None:
        """Keep it in a queue.

        Args:
            client: Who sends by himself; None where the application does.

        Raises:
            StompError: there is no room for it.
        """
        self._check_size(message)
        queue = self.get(name)
        try:
            if client is not None and queue.is_empty:
                self._check_unread(client, [queue])
            queue.check_room([message])
            if client is None:
                queue.is_kept = True
            elif queue.is_empty:
                queue.maker = client.id
            queue.put(message)
        finally:
            self.tidy(queue)

    def _check_size(self, message: Published) -> None:
        # A queue stops for a client at half of what may be kept for it: beside that, this must have room.
        check_size(self._limits, message, self._limits.max_outgoing_bytes // 2)

    def _check_number(self, names: Iterable[str]) -> None:
        most, new = self._limits.max_queues, [name for name in names if name not in self.by_name]
        if new and len(self.by_name) + len(new) > most:
            raise StompError(f"there are {most} queues already (setting max_queues)")

    def _check_unread(self, client: StompClient, begun: Sequence[Queue]) -> None:
        most = self._limits.max_unread_queues
        if begun and len(self._unread.get(client.id, ())) + len(begun) > most:
            raise StompError(
                f"nobody subscribes to {most} queues that this client has begun (setting max_unread_queues)"
            )

    def tidy(self, queue: Queue) -> None:
        """Forget a queue of which nothing would be lost, and give one that nobody reads its time; idempotent."""
        if queue.is_unused and self.by_name.get(queue.name) is queue:
            del self.by_name[queue.name]
        if queue.is_unread:
            if queue.expiry is None:
                self._unread.setdefault(queue.maker, {})[queue] = None
                queue.expiry = self._host.call_later(
                    self._limits.unread_queue_timeout, lambda: self._expire(queue)
                )
        elif queue.expiry is not None:
            queue.expiry.cancel()
            queue.expiry = None
            drop(self._unread, queue.maker, queue)

    def _expire(self, queue: Queue) -> None:
        logger.warning(
            "nobody has subscribed to %r for %g s; its messages, %d, are dropped (setting unread_queue_timeout)",
            queue.name,
            self._limits.unread_queue_timeout,
            queue.drop(),
        )
        self.tidy(queue)
