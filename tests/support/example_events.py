"""The events of an example in memory: fresh for each test, with guests that are played by it."""

from __future__ import annotations

import itertools
import json
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from event_peer import EventPeer, Wire

from holdfast.engine.wire.codec import JsonCodec
from holdfast.engine.wire.socketio import BinaryHeader, SocketPacket, SocketPacketType

__all__ = ["EXAMPLES", "Guest", "Scene", "fresh"]

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
CODEC = JsonCodec()


def fresh(name: str) -> ModuleType:
    """The module `events` of an example, with nobody there and nothing said."""
    if "examples" not in sys.modules:
        # By its place: the repository's folder is not on the path, and another package may have this name.
        spec = spec_from_file_location("examples", EXAMPLES / "__init__.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["examples"] = package = module_from_spec(spec)
        spec.loader.exec_module(package)
    sys.modules.pop(f"examples.{name}.events", None)
    return import_module(f"examples.{name}.events")


class Guest:
    """A plain client.

    Attributes:
        heard: Events that came and were not asked for: name first.
    """

    def __init__(self, peer: EventPeer) -> None:
        self.peer = peer
        self.id = peer.ids["/"]
        self.heard: list[list[Any]] = []
        self._ids = itertools.count()

    def _send(self, event: str, args: tuple[Any, ...], id: int | None) -> None:
        packet = SocketPacket(SocketPacketType.EVENT, "/", [event, *args], id)
        self.peer.send(*(message.data for message in CODEC.encode(packet)))

    def send_raw(self, text: str) -> None:
        """Anything at all."""
        self.peer.send(text)

    def emit(self, event: str, *args: Any) -> None:
        self._send(event, args, None)

    async def ask(self, event: str, *args: Any) -> Any:
        """Emit, and wait for the answer; what else comes meanwhile is `heard`."""
        id = next(self._ids)
        self._send(event, args, id)
        return await self._answer(id)

    async def ask_raw(self, packet_data: str) -> Any:
        """`ask` with JSON as it is, which may say what no codec of ours would."""
        id = next(self._ids)
        self.peer.send(f"2{id}{packet_data}")
        return await self._answer(id)

    async def _answer(self, id: int) -> Any:
        while True:
            packet = await self._next()
            if packet.type is SocketPacketType.ACK and packet.id == id:
                return packet.data[0] if packet.data else None
            self.heard.append(packet.data)

    async def refused(self, event: str, *args: Any) -> str:
        """The code with which the server refuses."""
        answer = await self.ask(event, *args)
        assert isinstance(answer, dict), answer
        assert list(answer) == ["error"], answer
        return answer["error"].get("code", answer["error"]["message"])

    async def _next(self) -> Any:
        message = await self.peer.receive()
        found = CODEC.decode(message)
        if isinstance(found, BinaryHeader):
            return found.complete([await self.peer.receive() for _ in range(found.attachments)])  # type: ignore[misc]
        return found

    async def hear(self, event: str) -> list[Any]:
        """The arguments of the next event of this name; those before it are forgotten."""
        while True:
            if not self.heard:
                self.heard.append((await self._next()).data)
            name, *args = self.heard.pop(0)
            if name == event:
                return args

    def all_heard(self) -> list[list[Any]]:
        """Everything until now."""
        messages = iter(self.peer.received())
        for message in messages:
            found = CODEC.decode(message)
            if isinstance(found, BinaryHeader):
                found = found.complete([next(messages) for _ in range(found.attachments)])  # type: ignore[misc]
            self.heard.append(found.data)  # type: ignore[arg-type]
        heard, self.heard = self.heard, []
        return heard

    def lose(self) -> None:
        """The connection is gone, without a word."""
        self.peer.lose()

    def leave(self) -> None:
        """Say good-bye."""
        self.peer.send("1")


class Scene:
    """One server of an example, and its guests."""

    def __init__(self, name: str) -> None:
        self.events = fresh(name)
        self._wire = Wire(self.events.io)

    async def guest(self, **auth: object) -> Guest:
        return Guest(await self._wire.connect(auth=json.dumps(auth) if auth else ""))

    async def refusal(self, **auth: object) -> dict[str, Any]:
        """What somebody is told who may not come in."""
        peer = self._wire.open()
        peer.send("0" + json.dumps(auth))
        answer = await peer.receive()
        assert isinstance(answer, str)
        assert answer.startswith("4"), answer
        return json.loads(answer[1:])
