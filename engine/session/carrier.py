"""One attached transport, as the session sees it: which numbers come next on it, each way."""

from __future__ import annotations

from enum import Enum

__all__ = ["Carrier", "Role"]


class Role(Enum):
    """What a carrier does for us.

    A WRITER carries our messages. A REPLACED one wrote until a newer came, and is still read (rule 2). A BRINGER only
    brings: a POST. A DETACHED one is over.
    """

    WRITER = "writer"
    REPLACED = "replaced"
    BRINGER = "bringer"
    DETACHED = "detached"


class Carrier:
    """One WebSocket, stream, poll or POST.

    Attributes:
        transport: "websocket", "stream" or "polling".
        number: The client's number for it; None for a POST that only brings.
        role: Changed by the session alone.
        next_in: Number of the peer's next message here; None until the peer has stated it (rule 4).
        written: Our position on it: the number of the last message written here, or before the first to come.
        control: Encoded packets that are not messages and wait to be written here.
        held: How many of these, at the head, are no reason to write: a poll waits for something that goes with them.
    """

    __slots__ = ("control", "held", "next_in", "number", "role", "transport", "written")

    def __init__(
        self,
        transport: str,
        role: Role,
        *,
        number: int | None = None,
        next_in: int | None = None,
        written: int = 0,
    ) -> None:
        self.transport = transport
        self.role = role
        self.number = number
        self.next_in = next_in
        self.written = written
        self.control: list[str] = []
        self.held = 0

    def __repr__(self) -> str:
        return f"<Carrier {self.number} {self.transport} {self.role.value}>"
