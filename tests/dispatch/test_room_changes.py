"""Being told of what becomes of rooms."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Any, get_args

import pytest
from event_peer import Wire, until

from holdfast import LocalProtocolError, MemoryHub, Settings, Socket
from holdfast.engine.adapters import RoomChange
from holdfast.engine.dispatch import Events

pytestmark = pytest.mark.anyio

CHANGES: tuple[RoomChange, ...] = get_args(RoomChange)


def heard_by(io: Events) -> list[tuple[str, ...]]:
    """What `io` will be told, except of the sockets' own rooms, as it is told."""
    heard: list[tuple[str, ...]] = []

    def hear(change: RoomChange, room: str, id: str) -> None:
        if room != id:
            heard.append((change, room, id))

    for change in CHANGES:
        io.on_room(change, partial(hear, change))
    return heard


async def several(io: Events, number: int) -> list[Socket]:
    wire = Wire(io)
    return [io.sockets[(await wire.connect()).ids["/"]] for _ in range(number)]


async def test_first_socket_makes_a_room_and_the_last_one_ends_it() -> None:
    io = Events()
    heard = heard_by(io)
    a, b = await several(io, 2)
    a.join("x")
    a.join("x")
    b.join("x")
    a.leave("x")
    a.leave("x")
    b.leave("x", "never there")
    assert heard == [
        ("create-room", "x", a.id),
        ("join-room", "x", a.id),
        ("join-room", "x", b.id),
        ("leave-room", "x", a.id),
        ("leave-room", "x", b.id),
        ("delete-room", "x", b.id),
    ]


async def test_who_disconnects_leaves_its_rooms_and_its_own() -> None:
    io = Events()
    created: list[str] = []
    deleted: list[str] = []
    io.on_room("create-room", created.append)

    @io.on_room("delete-room")
    def gone(room: str) -> None:
        assert room not in io.rooms
        deleted.append(room)

    (a,) = await several(io, 1)
    assert created == [a.id]
    a.join("x")
    a.disconnect()
    assert sorted(deleted) == sorted([a.id, "x"])


async def test_rooms_that_another_server_fills_are_told_where_the_socket_is() -> None:
    hub = MemoryHub()
    one, two = Events(adapter=hub), Events(adapter=hub)
    on_one, on_two = heard_by(one), heard_by(two)
    (a,) = await several(one, 1)
    await two.sockets_join("x")
    assert on_one == [("create-room", "x", a.id), ("join-room", "x", a.id)]
    await two.sockets_leave("x")
    assert on_one[2:] == [("leave-room", "x", a.id), ("delete-room", "x", a.id)]
    assert on_two == []


async def test_a_join_that_is_refused_is_told_with_its_end() -> None:
    io = Events(Settings(max_rooms_per_socket=2))
    heard = heard_by(io)
    (a,) = await several(io, 1)
    a.join("x")
    with pytest.raises(LocalProtocolError):
        a.join("y")
    assert [change for change, room, _ in heard if room == "y"] == [*CHANGES]


async def test_room_of_a_lost_socket_lasts_until_it_cannot_be_recovered() -> None:
    io = Events(Settings(connection_state_recovery=True))
    heard = heard_by(io)
    wire = Wire(io)

    async def connect(**auth: str) -> tuple[Any, dict[str, str]]:
        peer = wire.open()
        peer.send(f"0{json.dumps(auth)}")
        return peer, json.loads(str(await peer.receive())[1:])

    peer, answer = await connect()
    id = answer["sid"]
    io.sockets[id].join("x")
    peer.lose()
    peer, again = await connect(pid=answer["pid"], offset="")
    assert again["sid"] == id
    assert heard == [("create-room", "x", id), ("join-room", "x", id)]
    peer.lose()
    wire.clock.move(200)
    await until(lambda: not io.rooms)
    assert heard[2:] == [("leave-room", "x", id), ("delete-room", "x", id)]


async def test_lost_socket_that_was_put_out_of_all_rooms_comes_back_to_none_and_leaves_nothing() -> None:
    io = Events(Settings(connection_state_recovery=True))
    wire = Wire(io)
    peer = wire.open()
    peer.send("0{}")
    answer = json.loads(str(await peer.receive())[1:])
    peer.lose()
    await io.sockets_leave(answer["sid"])
    refused: list[Socket] = []

    @io.on("connect")
    def connect(socket: Socket) -> bool:
        refused.append(socket)
        return False

    peer = wire.open()
    peer.send(f"0{json.dumps({'pid': answer['pid'], 'offset': ''})}")
    assert str(await peer.receive()).startswith("4")
    assert refused
    assert dict(io.rooms) == {}
    assert await io.fetch_sockets() == []


async def test_listeners_can_be_removed_one_by_one_or_all() -> None:
    io = Events()
    heard: list[str] = []

    def first(room: str) -> None:
        heard.append(f"first {room}")

    def second(room: str) -> None:
        heard.append(f"second {room}")

    for listener in (first, second):
        io.on_room("create-room", listener)
    (a,) = await several(io, 1)
    heard.clear()
    a.join("1")
    io.off_room("create-room", first)
    io.off_room("create-room", first)
    a.join("2")
    io.off_room("create-room")
    a.join("3")
    assert heard == ["first 1", "second 1", "second 2"]


async def test_listener_that_fails_is_logged_and_the_socket_joins(caplog: pytest.LogCaptureFixture) -> None:
    io = Events()
    heard: list[str] = []

    @io.on_room("join-room")
    def fail(room: str) -> None:
        raise RuntimeError("mine")

    io.on_room("join-room", lambda room, id: heard.append(room))
    (a,) = await several(io, 1)
    with caplog.at_level(logging.ERROR, "holdfast"):
        a.join("x")
    assert a.rooms == {a.id, "x"}
    assert heard[-1] == "x"
    assert "join-room" in caplog.text
    assert "RuntimeError: mine" in caplog.text


async def test_listener_may_move_the_socket_itself() -> None:
    io = Events()
    (a,) = await several(io, 1)

    @io.on_room("join-room")
    def also(room: str, id: str) -> None:
        if not room.endswith("+"):
            io.sockets[id].join(room + "+")

    @io.on_room("leave-room")
    def neither(room: str, id: str) -> None:
        a.leave(room + "+")

    a.join("x", "y")
    assert a.rooms == {a.id, "x", "x+", "y", "y+"}
    a.leave("x")
    assert a.rooms == {a.id, "y", "y+"}
    a.disconnect()
    assert dict(io.rooms) == {}


def test_what_could_never_be_called_is_refused() -> None:
    io = Events()

    async def wait(room: str) -> None:
        raise AssertionError("never called")

    with pytest.raises(LocalProtocolError, match="plain `def`"):
        io.on_room("join-room", wait)
    with pytest.raises(LocalProtocolError, match="takes"):
        io.on_room("join-room", lambda: None)
    with pytest.raises(LocalProtocolError, match="takes"):
        io.on_room("join-room", lambda room, id, more: None)
    with pytest.raises(LocalProtocolError, match="'create-room', 'join-room'"):
        io.on_room("create", lambda room: None)  # pyright: ignore[reportArgumentType]
