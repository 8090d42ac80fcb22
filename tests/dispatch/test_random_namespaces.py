"""Peers that come, ask, speak and go at random: in the end nothing is left of them."""

from __future__ import annotations

import random
import re

import anyio
import anyio.lowlevel
import pytest
from event_peer import EventPeer, Wire, until

from holdfast.engine.adapters import MemoryHub
from holdfast.engine.dispatch import Events, Socket
from holdfast.engine.errors import Disconnected, EventError
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio

NAMES = ["/a-1", "/a-2", "/f-1", "/f-2"]


class Game:
    """Two servers with dynamic namespaces, and the peers of both."""

    def __init__(self, seed: int, *, recovery: bool) -> None:
        self.random = random.Random(seed)
        self.hub = MemoryHub()
        settings = Settings(connection_state_recovery=recovery, max_disconnection_duration=5.0)
        self.servers = [Events(settings, adapter=self.hub) for _ in range(2)]
        self.parents = [self._build(io) for io in self.servers]
        self.wires = [Wire(io) for io in self.servers]
        self.peers: list[tuple[EventPeer, set[str]]] = []
        self.connects = self.disconnects = 0

    async def _pause(self) -> None:
        for _ in range(self.random.randrange(4)):
            await anyio.lowlevel.checkpoint()

    def _build(self, io: Events) -> list[object]:
        async def function(name: str, auth: dict[str, object]) -> bool:
            await self._pause()
            if self.random.random() < 0.1:
                raise EventError("the function fails")
            return name.startswith("/f") and self.random.random() < 0.8

        parents = [io.of(re.compile("/a-.*")), io.of(function)]
        for parent in parents:

            @parent.use
            async def middleware(socket: Socket) -> bool:
                await self._pause()
                return self.random.random() < 0.9

            @parent.on("connect")
            async def connect(socket: Socket) -> bool:
                socket.join("room")
                await self._pause()
                if self.random.random() < 0.1:
                    return False
                self.connects += not socket.recovered
                return True

            @parent.on("x", concurrent=self.random.random() < 0.5)
            async def x(socket: Socket, io: Events = io) -> str:
                await self._pause()
                try:
                    await self.random.choice(
                        [
                            lambda: socket.emit("y"),
                            lambda: socket.to("room").emit("y"),
                            lambda: io.of(socket.namespace).emit("y"),
                            lambda: io.of(socket.namespace).disconnect_sockets(),
                            lambda: socket.volatile.emit("y"),
                        ]
                    )()
                except Disconnected:
                    pass
                return "done"

            @parent.on("disconnect")
            async def disconnect(socket: Socket) -> None:
                await self._pause()
                self.disconnects += 1

        return list(parents)

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.2 or not self.peers:
            self.peers.append((self.random.choice(self.wires).open(), set()))
            return
        peer, asked = self.random.choice(self.peers)
        name = self.random.choice(NAMES)
        if choice < 0.3:
            peer.lose()
        elif not peer.session.is_open:
            self.peers.remove((peer, asked))
        elif choice < 0.6 and name not in asked:
            asked.add(name)
            peer.send(f"0{name},")
        else:
            self.speak(peer, asked)

    def speak(self, peer: EventPeer, asked: set[str]) -> None:
        """Only where it is connected: all else is a protocol error."""
        handler = peer.session.handler
        states = {} if handler is None else dict(handler.protocol._states)  # type: ignore[attr-defined]
        for name, state in states.items():
            if state.value == "absent" or state.value == "left":
                asked.discard(name)
            elif self.random.random() < 0.3:
                asked.discard(name)
                peer.send(f"1{name},")
            elif state.value == "connected":
                peer.send(f'2{name},7["x"]')


@pytest.mark.parametrize("recovery", [False, True])
@pytest.mark.parametrize("seed", range(8))
async def test_nothing_is_left_of_peers_that_come_and_go_at_random(
    seed: int, recovery: bool, caplog: pytest.LogCaptureFixture
) -> None:
    game = Game(seed, recovery=recovery)
    for _ in range(400):
        game.step()
        await game._pause()
    handlers = [session.handler for wire in game.wires for session in wire.table.sessions.values()]
    for peer, _ in game.peers:
        if peer.session.is_open:
            peer.lose()
    for _ in range(3):
        await anyio.wait_all_tasks_blocked()
        for wire in game.wires:
            wire.clock.move(3)
    await until(lambda: all(not wire.table.sessions for wire in game.wires))
    await anyio.wait_all_tasks_blocked()
    assert game.connects == game.disconnects > 0
    assert [parent.children for parents in game.parents for parent in parents] == [frozenset()] * 4  # type: ignore[attr-defined]
    assert set(game.hub._adapters) == {"/"}
    assert all(handler._waiting == 0 for handler in handlers)  # type: ignore[union-attr]
    assert "background task failed" not in caplog.text
