"""What leads from one process to others, as an adapter sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from .messages import ClusterMessage

__all__ = ["UNKNOWN", "Bus", "BusFactory", "Receiver"]

UNKNOWN = "?"
"""Stands for the other nodes while nobody can tell whether there are any."""


class Receiver(Protocol):
    """Who hears of what comes by a bus."""

    async def receive(self, message: ClusterMessage) -> None:
        """A message of another node. To be awaited before the next of the same node; it does not wait for clients or
        handlers. Never raises an `Exception`.
        """
        ...

    def node_left(self, node: str) -> None:
        """It says nothing more; idempotent."""
        ...


class Bus(Protocol):
    """The way from one namespace of one server to the same namespace of others. It knows nothing of what it carries.

    The plain methods do not wait: they take their place in the order. What cannot be said (nobody is there, too much
    waits) is the business of the bus, which reports it.
    """

    @property
    def uid(self) -> str:
        """The name of this node, unique among all."""
        ...

    @property
    def is_alone(self) -> bool:
        """Whether it is sure that nobody would hear what is published now."""
        ...

    def nodes(self) -> Collection[str]:
        """The other nodes that are there at this moment."""
        ...

    async def refresh(self) -> bool:
        """Learn who is there, before somebody is asked; whether that was possible. Never raises an `Exception`; it may
        be cancelled."""
        ...

    def publish(self, message: ClusterMessage) -> None:
        """Say something to all others.

        Raises:
            LocalProtocolError: it cannot be encoded; nobody gets it.
        """
        ...

    def answer(self, node: str, message: ClusterMessage) -> None:
        """Say something to one that has asked; nothing happens if it has left.

        Raises:
            LocalProtocolError: it cannot be encoded.
        """
        ...

    async def flush(self) -> None:
        """Wait while more is to be sent than should be; gives others their turn. What waits is sent even if this is
        cancelled."""
        ...

    def open(self, receiver: Receiver) -> None:
        """Begin, or begin again after `close`; idempotent. It may be called outside an event loop, and then begins
        with the first request."""
        ...

    def close(self) -> None:
        """Leave the others; idempotent."""
        ...


BusFactory = Callable[[str], Bus]
"""Makes the bus of the namespace of this name."""
