"""What brings frames from one node to another, as `Forwarding` sees it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Courier", "Frames"]


class Frames(Protocol):
    """Who hears what a courier brings. Nothing here waits."""

    def frame(self, courier: Courier, node: str, data: bytes) -> None:
        """A node has said something.

        Raises:
            RemoteProtocolError: nothing that makes sense.
        """
        ...

    def node_left(self, courier: Courier, node: str) -> None:
        """It says and hears nothing more; idempotent."""
        ...


class Courier(Protocol):
    """A way to other nodes that keeps order: what one says to another arrives as it was said, or the node leaves."""

    def join(self, frames: Frames) -> None:
        """Let somebody hear what comes. Once, before anything is carried."""
        ...

    async def begin(self) -> None:
        """Return when others can find this node, or when that may take long; idempotent. Before the first request is
        answered. Never raises an `Exception`.
        """
        ...

    async def finds(self, node: str) -> bool:
        """Whether a node is there. It may take a moment, for one that has only just come.

        Raises:
            BrokerUnavailable: that cannot be told now.
        """
        ...

    async def is_over(self, node: str) -> bool:
        """Whether one that has left is gone for good, and not only out of reach for a moment. Never raises an
        `Exception`."""
        ...

    def send(self, node: str, frame: bytes) -> None:
        """Say something to it. To one that is gone nothing is said."""
        ...
