from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from event_peer import EventPeer, Wire, until

from holdfast.engine.dispatch import Events, Socket
from holdfast.engine.errors import (
    AuthenticationFailed,
    ConnectionRefusedError,
    Disconnected,
    LocalProtocolError,
)

pytestmark = pytest.mark.anyio

ASKED = '20["reauthenticate"]'


class Gate:
    """A namespace whose middleware knows good tokens, and a peer in it that came with one.

    Attributes:
        seen: What each run of the middleware saw of the handshake, and what the socket itself showed meanwhile.
    """

    def __init__(self) -> None:
        self.io = Events()
        self.wire = Wire(self.io)
        self.seen: list[tuple[object, object]] = []
        self.reasons: list[str] = []
        self.sockets: list[Socket] = []
        self.result: Any = None
        self.io.use(self._known)
        self.io.on("connect", self.sockets.append)
        self.io.on("disconnect", self._left)

    async def _known(self, socket: Socket) -> None:
        auth = socket.handshake.auth
        self.seen.append((auth, self.sockets[0].handshake.auth if self.sockets else None))
        if auth.get("token") not in ("old", "new"):
            raise ConnectionRefusedError("unknown token")
        socket.data["token"] = auth["token"]

    async def _left(self, socket: Socket, reason: str) -> None:
        self.reasons.append(reason)

    async def enter(self) -> EventPeer:
        peer = await self.wire.connect(auth='{"token":"old"}')
        await until(lambda: bool(self.sockets))
        return peer

    async def run(self, group: Any, **options: Any) -> None:
        """Ask, beside the test; `result` is what comes of it."""

        async def ask() -> None:
            try:
                self.result = await self.sockets[0].reauthenticate(**options)
            except Exception as error:
                self.result = error

        group.start_soon(ask)

    async def answer(self, peer: EventPeer, answer: str, **options: Any) -> Any:
        async with anyio.create_task_group() as group:
            await self.run(group, **options)
            assert await peer.receive() == ASKED
            peer.send(answer)
        return self.result


async def test_fresh_auth_counts_when_middleware_has_accepted_it_and_not_before() -> None:
    gate = Gate()
    peer = await gate.enter()
    assert await gate.answer(peer, '30[{"token":"new"}]') == {"token": "new"}
    [socket] = gate.sockets
    assert gate.seen[1:] == [({"token": "new"}, {"token": "old"})]
    assert socket.handshake.auth == {"token": "new"}
    assert socket.data["token"] == "new"
    assert socket.connected


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('30[{"token":"forged"}]', "refused: unknown token"),
        ("30[null]", "no fresh auth"),
        ("30[]", "no fresh auth"),
        ('30["new"]', "no fresh auth"),
        ('30[{"token":"new"},1]', "no fresh auth"),
        ('30[{"error":{"message":"signed out"}}]', "no fresh auth"),
    ],
)
async def test_whoever_has_none_that_is_accepted_is_put_out_and_its_session_lives(
    answer: str, text: str
) -> None:
    gate = Gate()
    peer = await gate.enter()
    gate.io.of("/other")
    await peer.connect("/other")
    error = await gate.answer(peer, answer)
    assert isinstance(error, AuthenticationFailed)
    assert text in str(error)
    assert await peer.receive() == "1"
    await until(lambda: bool(gate.reasons))
    await until(lambda: gate.reasons == ["authentication expired"])
    [socket] = gate.sockets
    assert socket.handshake.auth == {"token": "old"}
    assert peer.session.is_open
    await gate.io.of("/other").emit("x")
    assert await peer.receive() == '2/other,["x"]'


async def test_whoever_does_not_answer_in_time_is_put_out() -> None:
    gate = Gate()
    peer = await gate.enter()
    async with anyio.create_task_group() as group:
        await gate.run(group, timeout=5)
        assert await peer.receive() == ASKED
        gate.wire.clock.move(4.9)
        assert gate.sockets[0].connected
        gate.wire.clock.move(0.2)
    assert str(gate.result) == "no fresh auth came within 5 seconds"
    assert await peer.receive() == "1"
    peer.send('30[{"token":"new"}]')
    assert peer.session.is_open


async def test_whoever_leaves_meanwhile_has_left() -> None:
    gate = Gate()
    peer = await gate.enter()
    error = await gate.answer(peer, "1")
    assert isinstance(error, Disconnected)
    assert not isinstance(error, AuthenticationFailed)


async def test_whoever_leaves_while_it_is_judged_has_left() -> None:
    gate = Gate()
    peer = await gate.enter()

    async def check(socket: Socket) -> None:
        peer.send("1")

    error = await gate.answer(peer, '30[{"token":"new"}]', check=check)
    assert isinstance(error, Disconnected)
    assert gate.sockets[0].handshake.auth == {"token": "old"}


@pytest.mark.parametrize("verdict", [True, None, False])
async def test_a_check_judges_instead_of_the_middleware(verdict: bool | None) -> None:
    gate = Gate()
    peer = await gate.enter()
    judged: list[object] = []

    def check(socket: Socket, auth: dict[str, object]) -> bool | None:
        judged.append((socket.id, auth))
        return verdict

    result = await gate.answer(peer, '30[{"token":"other"}]', check=check)
    [socket] = gate.sockets
    assert judged == [(socket.id, {"token": "other"})]
    assert len(gate.seen) == 1
    assert isinstance(result, AuthenticationFailed) == (verdict is False) != socket.connected


@pytest.mark.parametrize("failure", [RuntimeError, LocalProtocolError, Disconnected])
async def test_a_check_that_fails_lets_nobody_in(failure: type[Exception]) -> None:
    gate = Gate()
    peer = await gate.enter()

    async def check(socket: Socket) -> None:
        raise failure("the database is gone")

    result = await gate.answer(peer, '30[{"token":"new"}]', check=check)
    assert type(result) is failure
    assert await peer.receive() == "1"


async def test_without_anybody_to_judge_nothing_is_asked() -> None:
    io = Events()
    peer = await Wire(io).connect()
    [socket] = io.sockets.values()
    with pytest.raises(LocalProtocolError, match="nobody would judge"):
        await socket.reauthenticate()
    with pytest.raises(LocalProtocolError, match="a check takes"):
        await socket.reauthenticate(check=lambda socket, auth, more: None)
    assert peer.received() == []
    assert socket.connected


async def test_a_connect_handler_cannot_ask_and_a_handler_can() -> None:
    gate = Gate()
    failures: list[Exception] = []

    async def connect(socket: Socket) -> None:
        try:
            await socket.reauthenticate()
        except LocalProtocolError as error:
            failures.append(error)

    async def spend(socket: Socket) -> object:
        return (await socket.reauthenticate())["token"]

    gate.io.off("connect")
    gate.io.on("connect", connect)
    gate.io.on("spend", spend)
    peer = await gate.wire.connect(auth='{"token":"old"}')
    assert len(failures) == 1
    peer.send('27["spend"]')
    question = await peer.receive()
    assert question.endswith('["reauthenticate"]')
    peer.send(f'3{question[1:].partition("[")[0]}[{{"token":"new"}}]')
    assert await peer.receive() == '37["new"]'


# -- by itself


async def nothing(peer: EventPeer) -> None:
    """All that can happen has happened, and nothing has come."""
    await anyio.wait_all_tasks_blocked()
    assert peer.received() == []


def expiring(gate: Gate, after: Callable[[Socket], float | None]) -> None:
    @gate.io.use
    async def lifetime(socket: Socket) -> None:  # pyright: ignore[reportUnusedFunction]
        socket.reauthenticate_after(after(socket), timeout=5)


async def test_an_auth_that_ends_is_asked_for_again_as_long_as_the_socket_lives() -> None:
    gate = Gate()
    expiring(gate, lambda socket: {"old": 2.0, "new": 4.0}[str(socket.handshake.auth["token"])])
    peer = await gate.enter()
    for number, seconds in enumerate((2.0, 4.0, 4.0)):
        gate.wire.clock.move(seconds - 0.5)
        await nothing(peer)
        gate.wire.clock.move(1)
        assert await peer.receive() == f'2{number}["reauthenticate"]'
        peer.send(f'3{number}[{{"token":"new"}}]')
        await until(lambda number=number: len(gate.seen) == number + 2)
        await nothing(peer)
    gate.wire.clock.move(4.5)
    assert await peer.receive() == '23["reauthenticate"]'
    gate.wire.clock.move(6)
    assert await peer.receive() == "1"
    await until(lambda: gate.reasons == ["authentication expired"])


async def test_what_was_set_is_replaced_cancelled_and_forgotten_with_the_socket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    peer = await gate.enter()
    [socket] = gate.sockets
    socket.reauthenticate_after(10)
    socket.reauthenticate_after(20)
    gate.wire.clock.move(15)
    await nothing(peer)
    socket.reauthenticate_after(None)
    gate.wire.clock.move(15)
    await nothing(peer)
    socket.reauthenticate_after(10)
    peer.send("1")
    await until(lambda: bool(gate.reasons))
    socket.reauthenticate_after(10)
    with caplog.at_level(logging.INFO):
        gate.wire.clock.move(30)
        await nothing(peer)
    assert caplog.records == []


async def test_an_auth_that_ends_before_connect_is_done_is_asked_for_after_it() -> None:
    gate = Gate()
    done = anyio.Event()

    async def connect(socket: Socket) -> None:
        socket.reauthenticate_after(1, timeout=5)
        await done.wait()

    gate.io.off("connect")
    gate.io.on("connect", connect)
    peer = gate.wire.open()
    peer.send('0{"token":"old"}')
    await nothing(peer)
    gate.wire.clock.move(1.5)
    await nothing(peer)
    done.set()
    assert '"sid"' in await peer.receive()
    gate.wire.clock.move(1.5)
    assert await peer.receive() == ASKED
