"""Servers of one process that share their rooms."""

from __future__ import annotations

import re

import anyio
import pytest
from event_peer import EventPeer, Wire, until

from holdfast import Server
from holdfast.engine.adapters import MemoryHub
from holdfast.engine.dispatch import Events, Namespace, Socket
from holdfast.engine.errors import AckTimeout, Disconnected, LocalProtocolError
from holdfast.engine.settings import Settings
from holdfast.engine.wire.codec import JsonCodec, MsgpackCodec

pytestmark = pytest.mark.anyio


def servers(number: int = 2, settings: Settings | None = None) -> tuple[Events, ...]:
    hub = MemoryHub()
    return tuple(Events(settings, adapter=hub) for _ in range(number))


async def joined(*servers: Events, namespace: str = "/") -> list[EventPeer]:
    """One peer for each server."""
    return [await Wire(server).connect(namespace) for server in servers]


def socket_of(io: Events, peer: EventPeer) -> Socket:
    return io.sockets[peer.ids["/"]]


def texts(peers: list[EventPeer]) -> list[list[str]]:
    return [[str(message)[3:-2] for message in peer.received()] for peer in peers]


async def test_what_one_server_sends_reaches_the_members_of_all() -> None:
    one, two = servers()
    peers = await joined(one, two)
    a, b = socket_of(one, peers[0]), socket_of(two, peers[1])
    a.join("room")
    b.join("room")
    await one.emit("all")
    await two.to("room").emit("room")
    await a.broadcast.emit("others")
    await one.except_(b.id).emit("not b")
    await one.to(b.id).emit("to b")
    assert texts(peers) == [["all", "room", "not b"], ["all", "room", "others", "to b"]]
    await one.local.emit("local")
    await one.to("room").local.emit("local room")
    await a.local.emit("nobody")
    assert texts(peers) == [["local", "local room"], []]
    assert set(one.rooms) == {a.id, "room"}
    assert set(one.sockets) == {a.id}


async def test_sockets_of_other_servers_are_fetched_as_copies() -> None:
    one, two = servers()
    peers = await joined(one, two)
    a, b = socket_of(one, peers[0]), socket_of(two, peers[1])
    a.data["user"], b.data["user"] = "ann", "bob"
    found = {remote.id: remote for remote in await one.fetch_sockets()}
    assert found[a.id].data is a.data
    assert found[b.id].data == b.data
    assert found[b.id].data is not b.data
    assert [remote.id for remote in await one.local.fetch_sockets()] == [a.id]
    remote = found[b.id]
    await remote.join("room")
    assert b.rooms == {b.id, "room"}
    await one.to("room").sockets_join("more")
    await one.to("room").sockets_leave("room")
    assert b.rooms == {b.id, "more"}
    await remote.emit("x")
    assert texts(peers) == [[], ["x"]]
    await one.local.disconnect_sockets()
    assert [a.connected, b.connected] == [False, True]
    await one.disconnect_sockets(close=True)
    assert not b.connected


async def test_acknowledgements_are_collected_from_all_servers() -> None:
    one, two, three = servers(3)
    peers = await joined(one, two, two, three)
    result: list[object] = []

    async def ask() -> None:
        result.append(await one.emit_with_ack("ask"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        for number, peer in enumerate(peers):
            assert await peer.receive() == '20["ask"]'
            if number:
                peer.send(f"30[{number}]")
        peers[0].lose()
    assert result == [[1, 2, 3]]


async def test_socket_of_another_server_acknowledges() -> None:
    one, two = servers()
    (peer,) = await joined(two)
    (remote,) = await one.fetch_sockets()
    seen: list[object] = []

    async def ask() -> None:
        seen.append(await remote.emit_with_ack("ask"))
        with pytest.raises(Disconnected):
            await remote.emit_with_ack("ask")
        seen.append("left")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await peer.receive()
        peer.send('30["yes"]')
        await peer.receive()
        peer.lose()
    assert seen == ["yes", "left"]


async def test_question_that_one_servers_codec_cannot_carry_leaves_nobody_waiting() -> None:
    hub = MemoryHub()
    one = Events(adapter=hub, codecs=[MsgpackCodec()])
    two = Events(adapter=hub, codecs=[JsonCodec()])
    peer = Wire(one).open()
    peer.send(b"\x82\xa4type\x00\xa3nsp\xa1/")
    await peer.receive()
    other = await Wire(two).connect()
    attachments = [b""] * 11
    with pytest.raises(LocalProtocolError, match="at most 10"):
        await one.emit("x", *attachments)
    assert peer.received() == []
    with pytest.raises(LocalProtocolError, match="at most 10"):
        await one.emit_with_ack("x", *attachments)
    (member,) = one._registry.members.values()
    assert not member._acks
    assert not member.session.awaited_acks
    await two.emit("x", 1)
    assert peer.received()[-1] == b"\x83\xa4type\x02\xa4data\x92\xa1x\x01\xa3nsp\xa1/"
    assert other.received() == ['2["x",1]']


async def test_server_side_event_reaches_the_others_only() -> None:
    one, two, three = servers(3)
    log: list[tuple[object, ...]] = []
    for name, server in (("one", one), ("two", two), ("three", three)):

        async def note(*args: object, name: str = name) -> None:
            log.append((name, *args))

        server.on_server_side("x", note)
        server.of("/n").on_server_side("x", note)
    await one.server_side_emit("x", 1, {"a": b"bytes"})
    await until(lambda: len(log) == 2)
    assert sorted(log) == [("three", 1, {"a": b"bytes"}), ("two", 1, {"a": b"bytes"})]
    log.clear()
    await two.of("/n").server_side_emit("x")
    await until(lambda: len(log) == 2)
    assert sorted(log) == [("one",), ("three",)]
    await one.server_side_emit("nobody handles")


async def test_server_alone_hears_nobody() -> None:
    io = Events()
    io.on_server_side("x", lambda: 1)
    await io.server_side_emit("x")
    assert await io.server_side_emit_with_ack("x") == []
    assert await io.server_side_emit_with_ack("x", timeout=0) == []


async def test_answers_of_servers_are_those_of_handlers_that_did_not_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, two, three, four, five = servers(5)

    @two.on_server_side("sum")
    async def add(a: int, b: int) -> int:
        return a + b

    @three.on_server_side("sum")
    def in_thread(*numbers: int) -> int:
        return sum(numbers) * 10

    @four.on_server_side("sum")
    async def fail(a: int, b: int) -> int:
        raise KeyError("not the same as no handler")

    assert sorted(await one.server_side_emit_with_ack("sum", 1, 2), key=str) == [3, 30]
    assert len(caplog.records) == 1
    assert "KeyError: 'not the same as no handler'" in caplog.text
    caplog.clear()
    await five.server_side_emit("sum", 1, 2)
    await until(lambda: bool(caplog.records))
    assert len(caplog.records) == 1
    assert "KeyError" in caplog.text


async def test_server_that_does_not_answer_in_time_is_told_and_runs_its_handler_to_its_end() -> None:
    one, two, three = servers(3)
    gate, ended = anyio.Event(), list[str]()

    @two.on_server_side("x")
    async def slow() -> None:
        await gate.wait()
        ended.append("slow")

    three.on_server_side("x", lambda: "quick")
    asked: list[object] = []

    @three.on_server_side("started")
    async def started() -> None: ...

    async def ask() -> None:
        with pytest.raises(AckTimeout, match="1 servers") as info:
            await one.server_side_emit_with_ack("x", timeout=0.05)
        asked.append(info.value.answers)

    await ask()
    assert asked == [["quick"]]
    gate.set()
    await until(lambda: ended == ["slow"])
    assert asked == [["quick"]]


async def test_default_time_of_servers_is_the_setting() -> None:
    one, two = servers(settings=Settings(ack_timeout=0.01))

    @two.on_server_side("x")
    async def never() -> None:
        await anyio.sleep_forever()

    with pytest.raises(AckTimeout):
        await one.server_side_emit_with_ack("x")


async def test_names_and_signatures_of_server_side_events() -> None:
    one, two = servers()
    one.on_server_side("x", lambda: None)
    with pytest.raises(LocalProtocolError, match="already"):
        one.on_server_side("x", lambda: None)
    for name in ("connect", "connection", "disconnect", "disconnecting", "newListener"):
        with pytest.raises(LocalProtocolError, match="reserved"):
            one.on_server_side(name, lambda: None)

    @one.on_server_side("takes one")
    async def takes_one(value: int) -> int:
        return value

    assert await two.server_side_emit_with_ack("takes one", 1) == [1]
    assert await two.server_side_emit_with_ack("takes one") == []


async def test_namespace_of_one_server_only() -> None:
    one, two = servers()
    one.of("/only")
    (peer,) = await joined(one, namespace="/only")
    await one.of("/only").emit("x")
    assert peer.received() == ['2/only,["x"]']
    await one.of("/only").server_side_emit("x")
    assert await one.of("/only").server_side_emit_with_ack("x") == []
    refused = Wire(two).open()
    refused.send("0/only,")
    assert await refused.receive() == '4/only,{"message":"Invalid namespace"}'
    # Naming it is enough to reach it from there.
    await two.of("/only").emit("y")
    assert peer.received() == ['2/only,["y"]']


async def test_dynamic_namespaces_meet_across_servers_and_leave_nothing() -> None:
    hub = MemoryHub()
    one, two = Events(adapter=hub), Events(adapter=hub)
    parents = [io.of(re.compile("/t-.*")) for io in (one, two)]
    peers = await joined(one, two, namespace="/t-1")
    await parents[0].emit("x")
    assert [peer.received() for peer in peers] == [['2/t-1,["x"]']] * 2
    peers[0].lose()
    assert len(hub._adapters["/t-1"]) == 1
    # A server without that child has nobody to ask for it.
    await parents[0].emit("y")
    assert peers[1].received() == []
    peers[1].lose()
    assert set(hub._adapters) == {"/"}


async def test_handlers_of_one_server_are_not_those_of_another() -> None:
    one, two = servers()
    one.on("who", lambda socket: "one")
    two.on("who", lambda socket: "two")
    for io, name in ((one, "one"), (two, "two")):
        (peer,) = await joined(io)
        peer.send('21["who"]')
        assert await peer.receive() == f'31["{name}"]'


async def test_class_hears_the_other_servers() -> None:
    class Chat(Namespace):
        def __init__(self) -> None:
            super().__init__("/chat")
            self.heard: list[str] = []

        def listen(self) -> Chat:
            async def note(word: str) -> str:
                self.heard.append(word)
                return word.upper()

            self.on_server_side("note", note)
            return self

    one, two = servers()
    a = one.register_namespace(Chat())
    b = two.register_namespace(Chat())
    assert isinstance(b, Chat)
    b.listen()
    assert await a.server_side_emit_with_ack("note", "x") == ["X"]
    assert b.heard == ["x"]


async def test_server_that_is_shut_down_is_no_server_any_more() -> None:
    hub = MemoryHub()
    one, two = Server(adapter=hub), Server(adapter=hub)
    for io in (one, two):
        io.on_server_side("x", lambda: "here")
    assert await one.server_side_emit_with_ack("x") == ["here"]
    await two.shutdown()
    assert await one.server_side_emit_with_ack("x") == []
    await one.emit("still works")
    await one.shutdown()
    await one.shutdown()
    assert hub._adapters == {}


async def test_failing_outgoing_listener_of_one_server_does_not_reach_the_other() -> None:
    one, two = servers()

    def fail(socket: Socket, event: str, *args: object) -> None:
        raise ZeroDivisionError

    two.on_any_outgoing(fail)
    peers = await joined(one, two)
    await one.emit("x")
    assert texts(peers) == [["x"], ["x"]]
