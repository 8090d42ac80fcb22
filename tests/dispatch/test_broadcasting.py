"""Every way to say who is meant, and what can be asked of them."""

from __future__ import annotations

import itertools
import re

import anyio
import event_peer
import pytest
from event_peer import EventPeer, Wire

from holdfast.engine.dispatch import BroadcastOperator, Events, Socket
from holdfast.engine.errors import AckTimeout, Disconnected, EventError, LocalProtocolError
from holdfast.engine.host import Host
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio


async def several(io: Events, *names: str) -> tuple[dict[str, EventPeer], dict[str, Socket]]:
    wire = Wire(io)
    peers = {name: await wire.connect() for name in names}
    return peers, {name: io.sockets[peer.ids["/"]] for name, peer in peers.items()}


def clocked() -> tuple[Events, event_peer.TestClock]:
    """Events whose broadcasts go by a clock that the test moves."""
    clock = event_peer.TestClock()
    return Events(host=Host(clock)), clock


def who_got(peers: dict[str, EventPeer]) -> str:
    return "".join(name for name, peer in peers.items() for _ in peer.received())


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["to", "except_", "local", "volatile", "timeout"]))
)
async def test_steps_of_a_chain_may_come_in_any_order(order: tuple[str, ...]) -> None:
    io = Events()
    peers, sockets = await several(io, *"abcd")
    for name in "abc":
        sockets[name].join("room")
    sockets["c"].join("not")
    peers["d"].lose()

    def chain(start: object) -> BroadcastOperator:
        operator = start
        for step in order:
            found = getattr(operator, step)
            operator = {"to": ["room"], "except_": ["not"], "timeout": [5]}.get(step, found)
            if isinstance(operator, list):
                operator = found(*operator)
        assert isinstance(operator, BroadcastOperator)
        return operator

    await chain(io).emit("x")
    assert who_got(peers) == "ab"
    await chain(sockets["a"]).emit("x")
    assert who_got(peers) == "b"
    await chain(sockets["a"].broadcast).emit("x")
    assert who_got(peers) == "b"
    assert chain(io).timeout_seconds == chain(sockets["a"]).timeout_seconds == 5


async def test_volatile_of_a_socket_is_that_socket_until_others_are_named() -> None:
    io = Events()
    peers, sockets = await several(io, *"abc")
    a, b, c = sockets.values()
    b.join("room")
    # A room may bear the id of a socket, which is still that socket's own.
    c.join(a.id)
    await a.volatile.emit("x")
    assert who_got(peers) == "a"
    await a.timeout(3).volatile.send("x")
    assert peers["a"].received() == ['2["message","x"]']
    await a.volatile.broadcast.except_("room").to(c.id).emit("x")
    assert who_got(peers) == ""
    await b.volatile.broadcast.emit("x")
    assert who_got(peers) == "ac"
    await a.volatile.in_("room").emit("x")
    assert who_got(peers) == "b"
    await b.volatile.local.emit("x")
    assert who_got(peers) == "ac"
    await b.volatile.except_(c.id).emit("x")
    assert who_got(peers) == "a"


async def test_volatile_event_without_a_carrier_is_dropped_and_a_counting_peer_gets_the_others() -> None:
    io = Events()
    wire = Wire(io)
    peer = wire.open(counting=True, codecs=("json",))
    peer.send("0")
    peer.ids["/"] = str(await peer.receive())[8:-2]
    (socket,) = io.sockets.values()
    peer.lose()
    await socket.volatile.emit("dropped")
    await io.volatile.emit("dropped")
    await io.to(socket.id).volatile.emit("dropped")
    with pytest.raises(AckTimeout):
        await socket.volatile.emit_with_ack("dropped")
    assert await io.volatile.emit_with_ack("dropped") == []
    await socket.emit("kept")
    peer.session.attach("websocket", number=2, received=1)
    assert peer.session.buffered_bytes == 150 + len('2["kept"]')


async def test_volatile_to_one_who_has_left_is_dropped() -> None:
    io = Events()
    peers, sockets = await several(io, "a")
    peers["a"].send("1")
    await sockets["a"].volatile.emit("x")
    with pytest.raises(LocalProtocolError, match="reserved"):
        await sockets["a"].volatile.emit("disconnect")
    with pytest.raises(Disconnected):
        await sockets["a"].timeout(1).emit("x")
    assert peers["a"].received() == []


async def test_timeout_of_a_socket() -> None:
    io = Events()
    wire = Wire(io)
    peer = await wire.connect()
    socket = io.sockets[peer.ids["/"]]
    errors: list[AckTimeout] = []

    async def ask() -> None:
        with pytest.raises(AckTimeout) as info:
            await socket.timeout(5).emit_with_ack("ask")
        errors.append(info.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        assert await peer.receive() == '20["ask"]'
        wire.clock.move(4)
        await anyio.wait_all_tasks_blocked()
        assert errors == []
        wire.clock.move(1.5)


async def test_operators_are_values() -> None:
    io = Events()
    peers, sockets = await several(io, *"abc")
    for name, room in (("a", "x"), ("b", "y"), ("c", "x")):
        sockets[name].join(room)
    x = io.to("x")
    y, not_c = x.to("y"), x.except_(sockets["c"].id)
    assert x == io.to("x")
    for operator, got in ((x, "ac"), (y, "abc"), (not_c, "a"), (x, "ac")):
        await operator.emit("e")
        assert who_got(peers) == got
    with pytest.raises(AttributeError):
        x.timeout_seconds = 5  # type: ignore[misc]


# -- acknowledgements of many


async def test_acknowledgements_of_several_namespaces_are_collected() -> None:
    io, clock = clocked()
    parent = io.of(re.compile("/t-.*"))
    wire = Wire(io)
    names = ["/t-a", "/t-b", "/t-c"]
    peers = {name: await wire.connect(name) for name in names}
    result: list[object] = []

    async def ask() -> None:
        result.extend(await parent.emit_with_ack("ask", 1))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        for name in reversed(names):
            assert await peers[name].receive() == f'2{name},0["ask",1]'
            peers[name].send(f'3{name},0["{name}"]')
    assert result == list(reversed(names))
    peers["/t-b"].lose()
    tasks_done: list[object] = []

    async def ask_again() -> None:
        with pytest.raises(AckTimeout) as info:
            await parent.timeout(5).emit_with_ack("ask")
        tasks_done.append(info.value.answers)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask_again)
        await peers["/t-a"].receive()
        await peers["/t-c"].receive()
        peers["/t-c"].send('3/t-c,1["c"]')
        await anyio.wait_all_tasks_blocked()
        clock.move(6)
    assert tasks_done == [["c"]]
    # One that comes later is no answer of the next question.
    peers["/t-a"].send('3/t-a,1["late"]')


async def test_who_leaves_is_not_waited_for_and_an_error_is_an_answer() -> None:
    io = Events()
    peers, sockets = await several(io, *"abcd")
    result: list[object] = []

    async def ask() -> None:
        result.append(await io.emit_with_ack("ask"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        for peer in peers.values():
            await peer.receive()
        peers["a"].lose()
        sockets["b"].disconnect()
        peers["c"].send("30[]")
        peers["d"].send('30[{"error":{"message":"no"}}]')
    assert result == [[None, {"error": {"message": "no"}}]]


async def test_nothing_is_kept_of_a_question_that_was_given_up() -> None:
    io = Events()
    _, sockets = await several(io, *"ab")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(io.emit_with_ack, "ask")
        tasks.start_soon(sockets["a"].emit_with_ack, "ask")
        await anyio.wait_all_tasks_blocked()
        assert all(socket._membership._acks for socket in sockets.values())
        tasks.cancel_scope.cancel()
    assert not any(socket._membership._acks for socket in sockets.values())
    with pytest.raises(LocalProtocolError):
        await io.emit_with_ack("ask", object())
    with pytest.raises(LocalProtocolError):
        await sockets["a"].emit_with_ack("ask", object())
    assert not any(socket._membership._acks for socket in sockets.values())


# -- sockets from afar


async def test_fetched_socket_is_described_and_reached() -> None:
    io = Events()
    peers, sockets = await several(io, *"ab")
    a = sockets["a"]
    a.join("room")
    a.data["user"] = "ann"
    (remote,) = await io.to("room").fetch_sockets()
    assert (remote.id, remote.namespace, remote.rooms) == (a.id, "/", {a.id, "room"})
    assert remote.data is a.data
    assert remote.handshake is a.handshake
    assert a.id in repr(remote)
    await remote.emit("x", 1)
    assert (peers["a"].received(), peers["b"].received()) == (['2["x",1]'], [])
    await remote.join("more", "yet")
    await remote.leave("room", "never in")
    assert a.rooms == {a.id, "more", "yet"}
    assert remote.rooms == {a.id, "room"}
    await remote.disconnect()
    assert peers["a"].received() == ["1"]
    await remote.emit("nobody")
    with pytest.raises(Disconnected):
        await remote.emit_with_ack("nobody")
    await remote.disconnect(close=True)
    assert peers["a"].session.is_open
    (other,) = await io.fetch_sockets()
    await other.disconnect(close=True)
    assert not peers["b"].session.is_open or peers["b"].received() == ["1"]


@pytest.mark.parametrize(
    ("answer", "result"), [("[]", None), ("[1]", 1), ("[1,2]", (1, 2)), ("[[1,2]]", [1, 2])]
)
async def test_answer_of_a_fetched_socket_is_as_of_the_socket_itself(answer: str, result: object) -> None:
    io = Events()
    peers, sockets = await several(io, "a")
    (remote,) = await io.fetch_sockets()
    got: list[object] = []

    async def ask() -> None:
        got.append(await remote.emit_with_ack("ask", timeout=5))
        got.append(await sockets["a"].emit_with_ack("ask"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        for id in (0, 1):
            await peers["a"].receive()
            peers["a"].send(f"3{id}{answer}")
    assert got == [result, result]


async def test_errors_of_a_fetched_sockets_answer() -> None:
    io, clock = clocked()
    peer = await Wire(io).connect()
    (remote,) = await io.fetch_sockets()
    seen: list[Exception] = []

    async def ask() -> None:
        for _ in range(3):
            try:
                await remote.emit_with_ack("ask", timeout=5)
            except (AckTimeout, Disconnected, EventError) as error:
                seen.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await peer.receive()
        peer.send('30[{"error":{"message":"no","code":"E"}}]')
        await peer.receive()
        clock.move(6)
        await peer.receive()
        peer.lose()
    assert [type(error) for error in seen] == [EventError, AckTimeout, Disconnected]


async def test_sockets_of_a_target_are_moved_and_put_out() -> None:
    io = Events()
    peers, sockets = await several(io, *"abc")
    sockets["a"].join("x")
    sockets["b"].join("x")
    await io.to("x").except_(sockets["b"].id).sockets_join("y", "z")
    await sockets["a"].to("x").sockets_leave("x")
    assert {name: socket.rooms - {socket.id} for name, socket in sockets.items()} == {
        "a": {"x", "y", "z"},
        "b": set(),
        "c": set(),
    }
    assert io.rooms["y"] == {sockets["a"].id}
    await sockets["a"].broadcast.disconnect_sockets()
    assert who_got(peers) == "bc"
    await io.disconnect_sockets(close=True)
    assert list(io.sockets) == []
    assert dict(io.rooms) == {}


async def test_views_of_a_namespace() -> None:
    io = Events()
    wire = Wire(io)
    a, b = await wire.connect(), await wire.connect()
    view, rooms = io.sockets, io.rooms
    ids = [a.ids["/"], b.ids["/"]]
    assert list(view) == ids
    assert len(view) == 2
    assert ids[0] in view
    view[ids[0]].join("x")
    assert dict(rooms) == {id: {id} for id in ids}
    assert io.rooms["x"] == {ids[0]}
    a.lose()
    assert list(view) == ids[1:]
    assert "x" not in io.rooms
    with pytest.raises(KeyError):
        view[ids[0]]


# -- rooms are bounded


async def test_rooms_of_one_socket_are_bounded_and_a_join_is_whole_or_nothing() -> None:
    io = Events(Settings(max_rooms_per_socket=4))
    _, sockets = await several(io, *"ab")
    a, b = sockets.values()
    a.join("1")
    with pytest.raises(LocalProtocolError, match="max_rooms_per_socket"):
        a.join("1", "2", "3", "4")
    assert a.rooms == {a.id, "1"}
    a.join("2", "3")
    a.join("3", "3")
    with pytest.raises(LocalProtocolError):
        a.join("4")
    assert a.rooms == {a.id, "1", "2", "3"}
    assert set(io.rooms) == {a.id, b.id, "1", "2", "3"}
    # One who is in too many already does not keep the others out.
    with pytest.raises(LocalProtocolError, match="max_rooms_per_socket"):
        await io.sockets_join("5")
    assert b.rooms == {b.id, "5"}
    a.leave("1")
    a.join("4")


async def test_namespace_whose_sockets_may_not_join_does_not_keep_others_out() -> None:
    io = Events(Settings(max_rooms_per_socket=2))
    parent = io.of(re.compile("/t-.*"))
    wire = Wire(io)
    for name in ("/t-1", "/t-2"):
        await wire.connect(name)
    (first, second) = await parent.fetch_sockets()
    await first.join("full")
    with pytest.raises(LocalProtocolError):
        await parent.sockets_join("x")
    assert [socket.id for socket in await parent.to("x").fetch_sockets()] == [second.id]
