"""Servers that share rooms over a bus: what they do for users, what they say, and what becomes of who says nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
import pytest
from event_peer import EventPeer, Wire, until
from memory_bus import MemoryWire

from holdfast.engine.adapters import ClusterAdapter, ClusterMessage
from holdfast.engine.adapters.messages import MessageType
from holdfast.engine.dispatch import Events, Socket
from holdfast.engine.errors import AckTimeout, Disconnected, LocalProtocolError
from holdfast.engine.live import Handshake
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio


class Cluster:
    """Servers a, b, c … and the wire between them."""

    def __init__(self, number: int = 2, **options: object) -> None:
        self.wire = MemoryWire()
        settings = Settings.of(options)
        self.servers = [Events(settings, adapter=self.wire.node("abcdef"[at])) for at in range(number)]

    async def join(self, *numbers: int, namespace: str = "/") -> list[EventPeer]:
        return [await Wire(self.servers[number]).connect(namespace) for number in numbers]

    def adapter(self, number: int) -> ClusterAdapter:
        adapter = self.servers[number]._registry.adapter
        assert isinstance(adapter, ClusterAdapter)
        return adapter

    def socket(self, number: int, peer: EventPeer) -> Socket:
        return self.servers[number].sockets[peer.ids["/"]]

    async def hear(self, number: int, type: MessageType, **data: object) -> None:
        """A message of a node outside."""
        message: ClusterMessage = {"uid": "emitter", "nsp": "/", "type": type.value, "data": data}
        await self.adapter(number).receive(message)


async def test_rooms_reach_into_other_processes() -> None:
    cluster = Cluster(3)
    one, two, _ = cluster.servers
    peers = await cluster.join(0, 1, 2)
    a, b, c = (cluster.socket(number, peer) for number, peer in enumerate(peers))
    a.join("room")
    b.join("room")
    await one.emit("all", 1, b"bytes", {"when": datetime(2026, 1, 1, tzinfo=UTC)})
    for peer in peers:
        assert (
            await peer.receive()
            == '51-["all",1,{"_placeholder":true,"num":0},{"when":"2026-01-01T00:00:00.000Z"}]'
        )
        assert await peer.receive() == b"bytes"
    await one.to("room").emit("room")
    await two.except_("room").emit("not room")
    await b.broadcast.to("room").emit("others")
    await one.to(c.id).emit("to c")
    await one.local.emit("local")
    await one.to(*[]).emit("nobody")
    await one.emit("end")
    heard = []
    for peer in peers:
        names = list[str]()
        while not names or names[-1] != "end":
            names.append(str(await peer.receive())[3:-2])
        heard.append(names)
    assert heard[0][:1] == ["room"]
    assert sorted(heard[0][1:]) == ["end", "local", "others"]
    assert heard[1] == ["room", "end"]
    assert sorted(heard[2]) == ["end", "not room", "to c"]


async def test_order_of_one_node_is_the_same_everywhere_for_large_rooms_and_small_ones() -> None:
    cluster = Cluster()
    one, _ = cluster.servers
    watchers = await cluster.join(0, 1)
    for number, peer in enumerate(watchers):
        cluster.socket(number, peer).join("watchers")
    await cluster.join(*[1] * 200, *[0] * 150)
    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(one.emit, "n", number)
            tasks.start_soon(one.to("watchers").emit, "own", number)
            if number % 2:
                tasks.start_soon(one.to("watchers").timeout(60).emit_with_ack, "asked", number)
        seen: list[list[str]] = []
        for peer in watchers:
            texts = list[str]()
            while len(texts) < 15:
                text = str(await peer.receive())
                texts.append(text[text.index("[") :])
                if "asked" in text:
                    peer.send("3" + text[1 : text.index("[")] + "[]")
            seen.append(texts)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 15


async def test_who_enters_a_room_hears_what_is_sent_to_it_next() -> None:
    cluster = Cluster()
    one, _ = cluster.servers
    (peer,) = await cluster.join(1)
    for number in range(3):
        await one.sockets_join("room")
        await one.to("room").emit("in", number)
        await one.sockets_leave("room")
        await one.to("room").emit("out", number)
    await one.emit("end")
    assert [await peer.receive() for _ in range(4)] == ['2["in",0]', '2["in",1]', '2["in",2]', '2["end"]']


async def test_what_a_codec_here_cannot_carry_is_said_to_nobody() -> None:
    cluster = Cluster()
    one, _ = cluster.servers
    await cluster.join(0, 1)
    with pytest.raises(LocalProtocolError):
        await one.emit("x", object())
    with pytest.raises(LocalProtocolError):
        await one.emit_with_ack("x", *[b""] * 11)
    assert cluster.wire.said == []
    assert not cluster.adapter(0)._exchange.questions


async def test_what_the_bus_cannot_carry_reaches_nobody_and_waits_for_nobody() -> None:
    cluster = Cluster()
    one, _ = cluster.servers
    with pytest.raises(LocalProtocolError):
        await one.emit("x", object())
    with pytest.raises(LocalProtocolError):
        await one.emit_with_ack("x", object())
    with pytest.raises(LocalProtocolError):
        await one.server_side_emit_with_ack("x", object())
    assert not cluster.adapter(0)._exchange.questions


async def test_acknowledgements_come_from_all_processes() -> None:
    cluster = Cluster(3)
    one = cluster.servers[0]
    peers = await cluster.join(0, 1, 1, 2)
    result: list[object] = []

    async def ask() -> None:
        result.append(await one.timeout(5).emit_with_ack("ask"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        answers = ["[1]", "[]", '[2,"both"]']
        for peer in peers:
            assert await peer.receive() == '20["ask"]'
            if answers:
                peer.send("30" + answers.pop(0))
        peers[3].lose()
    (found,) = result
    assert isinstance(found, list)
    assert sorted(found, key=str) == sorted([1, None, (2, "both")], key=str)
    assert not cluster.adapter(0)._exchange.questions
    assert not cluster.adapter(1)._exchange.asked
    assert not cluster.adapter(2)._exchange.asked


async def test_time_is_over_for_those_who_were_asked_too() -> None:
    cluster = Cluster()
    one = cluster.servers[0]
    (peer,) = await cluster.join(1)
    with pytest.raises(AckTimeout, match="1 acknowledgements") as info:
        await one.timeout(0.02).emit_with_ack("ask")
    assert info.value.missing == frozenset()
    await until(lambda: not cluster.adapter(1)._exchange.asked)
    (member,) = cluster.servers[1]._registry.members.values()
    assert not member._acks
    peer.send("30[1]")
    assert peer.session.is_open


async def answer_first(peer: EventPeer) -> None:
    await peer.receive()
    peer.send("30[1]")


async def test_node_that_says_nothing_is_named_and_does_not_hide_what_came() -> None:
    cluster = Cluster(3)
    one, two, three = cluster.servers
    peers = await cluster.join(1, 2)
    for server in (two, three):
        server.on_server_side("x", lambda: "yes")
    cluster.wire.deaf.add("c")
    found = await one.fetch_sockets()
    assert [remote.id for remote in found] == [peers[0].ids["/"]]
    assert found.missing == {"c"}
    with pytest.raises(AckTimeout, match=r"1 servers .*: c") as info:
        await one.server_side_emit_with_ack("x", timeout=0.05)
    assert (info.value.answers, info.value.missing) == (["yes"], {"c"})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer_first, peers[0])
        with pytest.raises(AckTimeout, match="nothing came from c") as info:
            await one.timeout(0.2).emit_with_ack("ask")
    assert (info.value.answers, info.value.missing) == ([1], {"c"})


async def test_question_of_a_node_that_cannot_learn_who_is_there_takes_no_longer_than_any() -> None:
    cluster = Cluster(2)
    one, _ = cluster.servers
    (peer,) = await cluster.join(0)
    cluster.wire.lost.add("a")
    cluster.wire.deaf.add("b")
    with anyio.fail_after(5):
        found = await one.fetch_sockets()
        assert ([remote.id for remote in found], found.missing) == ([peer.ids["/"]], {"b"})
        with pytest.raises(AckTimeout) as info:
            await one.server_side_emit_with_ack("x", timeout=0.05)
        assert info.value.missing == {"b"}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_first, peer)
            with pytest.raises(AckTimeout, match="nothing came from b") as info:
                await one.timeout(0.5).emit_with_ack("ask")
        assert (info.value.answers, info.value.missing) == ([1], {"b"})


@pytest.mark.parametrize("seconds", [0.2, None])
async def test_question_of_a_node_that_knows_of_nobody_does_not_seem_to_be_answered(
    seconds: float | None,
) -> None:
    cluster = Cluster(2)
    one, _ = cluster.servers
    (peer,) = await cluster.join(0)
    cluster.wire.blind.add("a")
    cluster.wire.deaf.add("b")
    with anyio.fail_after(5):
        found = await one.fetch_sockets()
        assert ([remote.id for remote in found], found.missing) == ([peer.ids["/"]], {"?"})
        with pytest.raises(AckTimeout) as info:
            await one.server_side_emit_with_ack("x", timeout=seconds)
        assert info.value.missing == {"?"}
        with pytest.raises(AckTimeout, match=r"nothing came from \?") as info:
            await one.to("nobody").timeout(seconds).emit_with_ack("ask")
        assert (info.value.answers, info.value.missing) == ([], {"?"})


async def test_answers_that_come_from_whom_nobody_knew_are_kept() -> None:
    cluster = Cluster(2)
    one, two = cluster.servers
    two.on_server_side("x", lambda: "yes")
    (peer,) = await cluster.join(1)
    cluster.wire.blind.add("a")
    found = await one.fetch_sockets()
    assert ([remote.id for remote in found], found.missing) == ([peer.ids["/"]], {"?"})
    with pytest.raises(AckTimeout) as info:
        await one.server_side_emit_with_ack("x", timeout=0.5)
    assert (info.value.answers, info.value.missing) == (["yes"], {"?"})


async def test_node_that_leaves_ends_the_waiting_for_it() -> None:
    cluster = Cluster(3)
    one, two, three = cluster.servers
    peers = await cluster.join(1, 2, 2)
    results: dict[str, object] = {}

    @two.on_server_side("x")
    async def quick() -> str:
        return "two"

    @three.on_server_side("x")
    async def never() -> None:
        await anyio.sleep_forever()

    async def ask_sockets() -> None:
        results["sockets"] = await one.timeout(60).emit_with_ack("ask")

    async def ask_servers() -> None:
        results["servers"] = await one.server_side_emit_with_ack("x", timeout=60)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_sockets)
            tasks.start_soon(ask_servers)
            for number, peer in enumerate(peers[:2]):
                await peer.receive()
                peer.send(f"30[{number}]")
            await until(lambda: cluster.wire.answered("a", 12) == 2 and cluster.wire.answered("a", 10) == 1)
            cluster.wire.leave("c")
    answers = results["sockets"]
    assert isinstance(answers, list)
    assert sorted(answers) == [0, 1]
    assert results["servers"] == ["two"]


async def test_asker_that_leaves_leaves_nobody_waiting() -> None:
    cluster = Cluster()
    one, _ = cluster.servers
    (peer,) = await cluster.join(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.timeout(60).emit_with_ack, "ask")
        await peer.receive()
        cluster.wire.leave("a")
        assert not cluster.adapter(1)._exchange.asked
        tasks.cancel_scope.cancel()


async def test_server_without_a_handler_and_one_whose_handler_fails_are_not_waited_for() -> None:
    cluster = Cluster(4)
    one, two, three, _ = cluster.servers

    @two.on_server_side("x")
    async def fail() -> None:
        raise KeyError("expected here")

    @three.on_server_side("x")
    async def cannot_be_sent() -> object:
        return object()

    with anyio.fail_after(5):
        assert await one.server_side_emit_with_ack("x", timeout=60) == []
    heard: list[object] = []
    two.on_server_side("y", lambda *args: heard.append(args))
    await one.server_side_emit("y", 1, [2])
    await until(lambda: heard == [(1, [2])])


async def test_sockets_of_others_are_described_and_moved() -> None:
    cluster = Cluster(2, max_rooms_per_socket=2)
    one, two = cluster.servers
    request = Handshake(
        headers={"origin": "http://a", "x": "y"},
        query={"EIO": "4"},
        address=("10.0.0.1", 5),
        secure=True,
        url="/socket.io?EIO=4",
        principal="ann",
    )
    peer = Wire(two).open(request=request)
    await peer.connect("/", '{"token":1}')
    socket = cluster.socket(1, peer)
    socket.data["name"] = "ann"
    (remote,) = await one.fetch_sockets()
    assert (remote.id, remote.rooms, remote.data) == (socket.id, socket.rooms, {"name": "ann"})
    mine, theirs = socket.handshake, remote.handshake
    for name in ("headers", "query", "auth", "address", "secure", "url", "issued", "principal"):
        assert getattr(theirs, name) == getattr(mine, name), name
    assert dict(theirs.scope) == {}
    await remote.join("room")
    await until(lambda: "room" in socket.rooms)
    await remote.join("one too many")
    await remote.leave("room")
    await until(lambda: socket.rooms == {socket.id})
    await remote.disconnect()
    await until(lambda: not socket.connected)
    assert peer.session.is_open


async def test_session_of_another_is_ended() -> None:
    cluster = Cluster()
    (peer,) = await cluster.join(1)
    await cluster.servers[0].disconnect_sockets(close=True)
    await until(lambda: not peer.session.is_open)


async def test_namespaces_do_not_mix() -> None:
    cluster = Cluster()
    one, two = cluster.servers
    one.of("/n")
    two.of("/n")
    root, other = await cluster.join(1), await cluster.join(1, namespace="/n")
    await one.of("/n").emit("n")
    assert await other[0].receive() == '2/n,["n"]'
    assert root[0].received() == []


async def test_words_are_those_of_the_package_in_node() -> None:
    cluster = Cluster()
    one, _ = cluster.servers
    await one.to("r").except_("e").volatile.emit("x", 1)
    await one.to("r").sockets_join("s")
    await one.sockets_leave("s")
    await one.disconnect_sockets(close=True)
    await one.server_side_emit("x", 1)
    nobody = {"rooms": ["r"], "except": [], "flags": {}}
    everybody = {**nobody, "rooms": []}
    meant = {"rooms": ["r"], "except": ["e"], "flags": {"volatile": True}}
    said = [
        (message["uid"], message["nsp"], message["type"], message["data"]) for message in cluster.wire.said
    ]
    assert said == [
        ("a", "/", 3, {"packet": {"type": 2, "data": ["x", 1], "nsp": "/"}, "opts": meant}),
        ("a", "/", 4, {"opts": nobody, "rooms": ["s"]}),
        ("a", "/", 5, {"opts": everybody, "rooms": ["s"]}),
        ("a", "/", 6, {"opts": everybody, "close": True}),
        ("a", "/", 9, {"packet": ["x", 1]}),
    ]
    cluster.wire.said.clear()
    assert await one.timeout(5).emit_with_ack("x") == []
    assert await one.fetch_sockets() == []
    asked, counted, fetched, found = cluster.wire.said
    assert asked["data"]["opts"]["flags"] == {"timeout": 5000}  # type: ignore[index]
    assert (counted["uid"], counted["type"]) == ("b", 11)
    assert counted["data"] == {"requestId": asked["data"]["requestId"], "clientCount": 0}  # type: ignore[index]
    assert (fetched["type"], found["type"]) == (7, 8)
    assert found["data"] == {"requestId": fetched["data"]["requestId"], "sockets": []}  # type: ignore[index]


async def test_emitter_of_no_server_is_heard() -> None:
    cluster = Cluster()
    (peer,) = await cluster.join(0)
    packet = {"type": 2, "data": ["x", 1], "nsp": "/"}
    await cluster.hear(0, MessageType.BROADCAST, packet=packet, opts={"rooms": [], "except": []})
    assert await peer.receive() == '2["x",1]'
    await cluster.hear(0, MessageType.BROADCAST, packet=packet, opts={"rooms": [7], "flags": None})
    await cluster.hear(0, MessageType.SOCKETS_JOIN, opts={"rooms": []}, rooms=[7])
    await cluster.hear(0, MessageType.BROADCAST, packet=packet, opts={"rooms": [7]})
    assert peer.received() == ['2["x",1]']


@pytest.mark.parametrize(
    ("type", "data"),
    [
        (MessageType.BROADCAST, {}),
        (MessageType.BROADCAST, {"opts": {"rooms": 5}, "packet": {}}),
        (MessageType.BROADCAST, {"opts": {"flags": 5}, "packet": {}}),
        (MessageType.BROADCAST, {"opts": {}, "packet": {"type": 2, "data": []}}),
        (MessageType.BROADCAST, {"opts": {}, "packet": {"type": 2, "data": [5]}}),
        (MessageType.BROADCAST, {"opts": {}, "packet": {"type": 0, "data": ["x"]}}),
        (MessageType.SERVER_SIDE_EMIT, {"packet": []}),
        (MessageType.SERVER_SIDE_EMIT, {"packet": "x"}),
        (MessageType.SOCKETS_JOIN, {"opts": {}, "rooms": None}),
        (MessageType.FETCH_SOCKETS, {"opts": []}),
        (MessageType.FETCH_SOCKETS_RESPONSE, {"requestId": 5}),
    ],
)
async def test_nonsense_is_logged_and_left(
    type: MessageType, data: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(1)
    (peer,) = await cluster.join(0)
    await cluster.hear(0, type, **data)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert peer.received() == []


async def test_nonsense_outside_is_logged_and_left(caplog: pytest.LogCaptureFixture) -> None:
    adapter = Cluster(1).adapter(0)
    await adapter.receive({"uid": "x", "nsp": "/", "type": "3", "data": {}})
    await adapter.receive({"nsp": "/", "type": 3, "data": {}})
    await adapter.receive({"uid": "x", "nsp": "/", "type": 3, "data": []})
    assert len(caplog.records) == 3
    # What is to come, and what is ours or another namespace's.
    await adapter.receive({"uid": "x", "nsp": "/", "type": 99, "data": {}})
    await adapter.receive({"uid": "a", "nsp": "/", "type": 3, "data": {}})
    await adapter.receive({"uid": "x", "nsp": "/n", "type": 3, "data": {}})
    assert len(caplog.records) == 3


async def test_socket_that_cannot_be_read_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    async with anyio.create_task_group() as tasks:

        @tasks.start_soon
        async def answer() -> None:
            await until(lambda: bool(cluster.wire.said))
            request = cluster.wire.said[0]["data"]["requestId"]  # type: ignore[index]
            for uid, sockets in (
                ("x", [5]),
                ("y", [{"id": "s", "rooms": ["s"], "handshake": {"query": {"a": ["1", "2"]}}}]),
            ):
                await cluster.adapter(0).receive(
                    {"uid": uid, "nsp": "/", "type": 8, "data": {"requestId": request, "sockets": sockets}}
                )
            await cluster.adapter(0).receive(
                {"uid": "b", "nsp": "/", "type": 8, "data": {"requestId": request, "sockets": []}}
            )

        cluster.wire.deaf.add("b")
        (found,) = await cluster.servers[0].fetch_sockets()
    assert (found.id, found.handshake.query, found.data) == ("s", {"a": "2"}, {})
    assert len(caplog.records) == 1


async def test_adapter_that_is_closed_waits_for_nobody_and_may_open_again() -> None:
    cluster = Cluster()
    one, two = cluster.servers

    @two.on_server_side("x")
    async def never() -> None:
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        answers: list[object] = []

        @tasks.start_soon
        async def ask() -> None:
            answers.append(await one.server_side_emit_with_ack("x", timeout=60))

        await until(lambda: bool(cluster.wire.said))
        one.leave_adapters()
        one.leave_adapters()
    assert answers == [[]]
    one.join_adapters()
    (peer,) = await cluster.join(0)
    await two.emit("again")
    assert await peer.receive() == '2["again"]'


async def test_socket_that_left_is_no_answer() -> None:
    cluster = Cluster()
    (peer,) = await cluster.join(1)
    (remote,) = await cluster.servers[0].fetch_sockets()

    async with anyio.create_task_group() as tasks:

        @tasks.start_soon
        async def ask() -> None:
            with pytest.raises(Disconnected):
                await remote.emit_with_ack("x", timeout=60)

        await peer.receive()
        peer.lose()
