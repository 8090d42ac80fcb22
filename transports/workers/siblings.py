"""One server among the workers of its host: all that it has of them."""

from __future__ import annotations

from ...engine.host import Host
from ...engine.node import NodeName
from ...engine.settings import Settings
from .bus import Switchboard
from .courier import MeshCourier
from .mesh import Mesh
from .place import place_of

__all__ = ["Siblings", "siblings_of"]


class Siblings:
    """The mesh, and what goes over it.

    Attributes:
        rooms: Makes adapters whose rooms reach into all workers.
        courier: Carries requests to the workers whose sessions they are for.
    """

    def __init__(self, mesh: Mesh, host: Host) -> None:
        self.mesh = mesh
        self.rooms = Switchboard(mesh, host)
        self.courier = MeshCourier(mesh)


def siblings_of(
    settings: Settings, *, kind: type[object], path: str, name: NodeName, host: Host
) -> Siblings | None:
    """Those of a server of this class under this path; None if it stands alone."""
    place = place_of(settings.workers, kind=kind.__qualname__, path=path)
    return None if place is None else Siblings(Mesh(place, name, host), host)
