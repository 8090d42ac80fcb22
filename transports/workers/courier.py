"""The `Courier` between workers of one host."""

from __future__ import annotations

from ..forwarding.courier import Frames
from .link import Link
from .mesh import FORWARD, Mesh

__all__ = ["MeshCourier"]


class MeshCourier:
    """See `Courier`; also a `Channel` of the mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._frames: Frames | None = None
        mesh.add(FORWARD, self)

    def join(self, frames: Frames) -> None:
        self._frames = frames

    async def begin(self) -> None:
        """The mesh does."""

    async def finds(self, node: str) -> bool:
        return await self._mesh.finds(node) is not None

    async def is_over(self, node: str) -> bool:
        return True

    def send(self, node: str, frame: bytes) -> None:
        link = self._mesh.links.get(node)
        if link is not None:
            link.send(FORWARD, frame)

    def linked(self, link: Link) -> None:
        """It is asked for by name."""

    def frame(self, link: Link, data: bytes) -> None:
        if self._frames is not None:
            self._frames.frame(self, link.name, data)

    def unlinked(self, link: Link) -> None:
        if self._frames is not None:
            self._frames.node_left(self, link.name)
