"""However a socket has ended, it is freed at once: tests/transports/test_freed.py has the transports."""

from __future__ import annotations

import logging

import anyio
import pytest
from event_peer import Wire
from garbage import left_by_another, uncollected

from holdfast import Disconnected, Settings, Socket
from holdfast.engine.dispatch import Events
from holdfast.engine.session import CloseReason

__all__ = ["uncollected"]

RECOVERY = Settings(connection_state_recovery=True)


def events_with(settings: Settings) -> Events:
    events = Events(settings)

    @events.use
    async def middleware(socket: Socket) -> None: ...

    @events.on("connect")
    async def connect(socket: Socket) -> None: ...

    @events.on("ask")
    async def ask(socket: Socket) -> None:
        await socket.emit_with_ack("question")

    @events.on("again")
    async def again(socket: Socket) -> None:
        socket.reauthenticate_after(1_000_000)

    @events.on("raise")
    async def fail(socket: Socket) -> None:
        raise ValueError

    return events


async def let_run() -> None:
    for _ in range(4):
        await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("settings", "event"),
    [
        (Settings(), '2["ask"]'),
        (Settings(), '2["again"]'),
        (Settings(), '2["raise"]'),
        (Settings(), '27["raise"]'),
        (Settings(), '2["ask","one too many"]'),
        (RECOVERY, '2["nothing"]'),
        (RECOVERY, '2["ask"]'),
    ],
)
async def test_socket_is_freed_however_it_has_ended(
    settings: Settings, event: str, uncollected: None
) -> None:
    wire = Wire(events_with(settings))

    async def visit() -> None:
        peer = wire.open()
        peer.send("0")
        await let_run()
        peer.send(event)
        await let_run()
        peer.lose()
        for _ in range(3):
            await let_run()
            wire.clock.move(1_000)
        await let_run()

    assert await left_by_another(visit) == {}


async def test_fresh_auth_that_is_due_when_the_peer_leaves_is_not_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = Events(Settings())

    @events.use
    async def middleware(socket: Socket) -> None: ...

    @events.on("connect")
    async def connect(socket: Socket) -> None:
        socket.reauthenticate_after(1)

    wire = Wire(events)
    with caplog.at_level(logging.ERROR):
        for turns in range(4):
            peer = await wire.connect()
            await let_run()
            wire.clock.move(2)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            peer.session.fail(CloseReason.TRANSPORT_CLOSE)
            await let_run()
    assert caplog.text == ""


async def test_who_has_kept_the_socket_to_judge_by_is_told_that_it_is_gone() -> None:
    events, kept = Events(Settings()), list[Socket]()

    async def check(socket: Socket, auth: object) -> None:
        kept.append(socket)

    @events.on("fresh")
    async def fresh(socket: Socket) -> None:
        await socket.reauthenticate(check=check)

    peer = await Wire(events).connect()
    peer.send('2["fresh"]')
    asked = str(await peer.receive())
    peer.send("3" + asked[1 : asked.index("[")] + '[{"token":1}]')
    await let_run()
    peer.session.fail(CloseReason.TRANSPORT_CLOSE)
    await let_run()
    with pytest.raises(Disconnected):
        await kept[0].reauthenticate(check=check)
    with pytest.raises(Disconnected):
        await kept[0].emit("x")
    assert not kept[0].connected
