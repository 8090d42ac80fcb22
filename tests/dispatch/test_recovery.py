"""Connection state recovery: what `engine/dispatch/recovery.py` promises, rule by rule."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from event_peer import EventPeer, Wire, until

from holdfast import ConnectionRefusedError, Disconnected, MessageTooLarge, Settings, Socket
from holdfast.engine.dispatch import Events
from holdfast.engine.session import CloseReason

pytestmark = pytest.mark.anyio

SETTINGS = Settings(connection_state_recovery=True, buffer_limit=10_000, max_tombstones=3)
# A loss goes unnoticed for 45 s at most, and can be recovered for 120 s after that.
KEPT = 165


@dataclass
class Client:
    """What an official client keeps between its connections."""

    wire: Wire
    namespace: str = "/"
    pid: str | None = None
    offset: str | None = None
    id: str = ""
    recovered: bool = False
    heard: list[Any] = field(default_factory=list[Any])
    # What comes before the answer waits for it, and for the next one if that does not come.
    early: list[str | bytes] = field(default_factory=list[str | bytes])
    peer: EventPeer = field(init=False)

    @property
    def prefix(self) -> str:
        return "" if self.namespace == "/" else f"{self.namespace},"

    async def connect(
        self, peer: EventPeer | None = None, *, only: int | None = None, **auth: object
    ) -> None:
        """Connect; with ``only``, no more than so many packets arrive."""
        self.peer = peer or self.wire.open()
        known = {} if self.pid is None else {"pid": self.pid, "offset": self.offset}
        content = {key: value for key, value in (known | auth).items() if value is not None}
        self.peer.send(f"0{self.prefix}{json.dumps(content)}")
        packets, is_answered = 0, False
        while packets != only and not (is_answered and only is None):
            packet = await self.peer.receive()
            packets += 1
            assert isinstance(packet, str)
            if packet[0] == "0":
                self._answered(packet)
                is_answered = True
            elif is_answered:
                self.take(packet)
            else:
                self.early.append(packet)

    def _answered(self, packet: str) -> None:
        answer = json.loads(packet[1 + len(self.prefix) :])
        self.recovered = self.pid is not None and self.pid == answer["pid"]
        self.id, self.pid = answer["sid"], answer["pid"]
        early, self.early = self.early, []
        for event in early:
            self.take(event)

    def take(self, packet: str | bytes) -> None:
        assert isinstance(packet, str)
        if packet.startswith("2" + self.prefix + "["):
            event, *args = json.loads(packet[1 + len(self.prefix) :])
            if args and isinstance(args[-1], str):
                self.offset = args.pop()
            self.heard.append((event, *args))
        else:
            self.heard.append(packet)

    def read(self) -> list[Any]:
        """What has come since the last time."""
        for packet in self.peer.received():
            self.take(packet)
        heard, self.heard = self.heard, []
        return heard

    def lose(self) -> None:
        """The connection ends, and what was on its way with it."""
        self.peer.lose()


def recovering(**settings: Any) -> tuple[Wire, list[Socket]]:
    io = Events(Settings(connection_state_recovery=True, **settings)) if settings else Events(SETTINGS)
    sockets: list[Socket] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        sockets.append(socket)

    return Wire(io), sockets


async def connected(wire: Wire, namespace: str = "/") -> Client:
    client = Client(wire, namespace)
    await client.connect()
    return client


async def test_lost_socket_comes_back_with_what_it_missed_its_id_rooms_and_data() -> None:
    wire, sockets = recovering()
    client = await connected(wire)
    [first] = sockets
    first.join("room")
    first.data["name"] = "Ann"
    await first.emit("to it", 1)
    assert client.read() == [("to it", 1)]
    client.lose()
    assert not first.connected
    await wire.events.emit("to all", 2)
    await wire.events.to("room").emit("to the room", 3)
    await wire.events.to("elsewhere").emit("not to it")
    await wire.events.to(first.id).emit("to its id", {"deep": [4]})
    id = client.id
    await client.connect()
    assert client.recovered
    assert client.id == id
    _, second = sockets
    assert (second.recovered, first.recovered) == (True, False)
    assert second.id == id
    assert second.rooms == {id, "room"}
    assert second.data is first.data
    assert client.read() == [("to all", 2), ("to the room", 3), ("to its id", {"deep": [4]})]
    assert dict(wire.events.sockets) == {id: second}
    await wire.events.to("room").emit("again", 5)
    assert client.read() == [("again", 5)]


async def test_what_was_written_and_never_arrived_is_repeated() -> None:
    wire, [*_] = recovering()
    client = await connected(wire)
    for number in range(5):
        await wire.events.emit("n", number)
    # The server has written all five; the client has read two.
    received = client.peer.received()
    for packet in received[:2]:
        client.take(packet)
    client.lose()
    await client.connect()
    assert client.read() == [("n", number) for number in range(5)]
    client.lose()
    await client.connect()
    assert client.recovered
    assert client.read() == []


async def test_idle_client_comes_back_however_long_it_heard_nothing() -> None:
    """Socket.IO keeps the client's last packet for two minutes and recovers nobody who heard nothing newer."""
    wire, _ = recovering(ping_interval=3600)
    client = await connected(wire)
    await wire.events.emit("one", 1)
    assert client.read() == [("one", 1)]
    for _ in range(10):
        wire.clock.move(60)
    client.lose()
    await client.connect()
    assert client.recovered
    never_heard = await connected(wire)
    wire.clock.move(600)
    never_heard.lose()
    await wire.events.emit("two", 2)
    await never_heard.connect()
    assert never_heard.recovered
    assert never_heard.read() == [("two", 2)]


async def test_client_that_returns_before_its_old_connection_was_missed_takes_over() -> None:
    io = Events(SETTINGS)
    story: list[str] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        story.append(f"connect {socket.recovered}")
        socket.join("room")

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        await anyio.lowlevel.checkpoint()
        story.append(reason)

    wire = Wire(io)
    client = await connected(wire)
    half_open = client.peer
    await io.emit("written to nobody", 1)
    id = client.id
    await client.connect()
    assert client.recovered
    assert client.id == id
    assert client.read() == [("written to nobody", 1)]
    await until(lambda: not half_open.session.is_open)
    await io.to("room").emit("once", 2)
    assert client.read() == [("once", 2)]
    assert len(io.sockets) == 1
    assert story == ["connect False", "transport close", "connect True"]


async def test_pid_used_twice_at_once_leaves_one_socket_and_tells_the_other() -> None:
    wire, _ = recovering()
    io = wire.events
    one = await connected(wire)
    two = Client(wire, pid=one.pid, offset=one.offset)
    await two.connect()
    assert two.recovered
    await io.emit("a", 1)
    assert two.read() == [("a", 1)]
    assert one.read() == ["1"]
    assert not one.peer.session.is_open
    assert two.peer.session.is_open
    assert len(io.sockets) == 1


async def test_only_the_socket_moves_while_the_old_session_has_others() -> None:
    io = Events(SETTINGS)
    io.of("/other")
    wire = Wire(io)
    main = await connected(wire)
    other = Client(wire, "/other")
    await other.connect(main.peer)
    old = main.peer
    await main.connect()
    assert main.recovered
    assert old.session.is_open
    await other.connect(main.peer)
    assert other.recovered
    await until(lambda: not old.session.is_open)
    await io.of("/other").emit("b", 1)
    assert other.read() == [("b", 1)]


async def test_volatile_event_that_ends_in_a_text_does_not_become_the_offset() -> None:
    """Socket.IO numbers no volatile event, and its client takes the text at its end for the offset."""
    wire, [*_] = recovering()
    io = wire.events
    client = await connected(wire)
    await io.emit("kept", 1)
    await io.volatile.emit("flying", "a text")
    assert client.read() == [("kept", 1), ("flying", "a text")]
    client.lose()
    await io.volatile.emit("missed for ever", "a text")
    await io.emit("missed", 2)
    await client.connect()
    assert client.recovered
    assert client.read() == [("missed", 2)]


async def test_volatile_event_that_was_lost_with_the_connection_is_not_repeated() -> None:
    wire, _ = recovering()
    client = await connected(wire)
    await wire.events.volatile.emit("flying", 1)
    await wire.events.emit("kept", 2)
    client.lose()
    await client.connect()
    assert client.read() == [("kept", 2)]


async def test_event_with_an_acknowledgement_has_no_offset_and_is_not_repeated() -> None:
    wire, sockets = recovering()
    client = await connected(wire)
    [socket] = sockets
    came: list[str | bytes] = []

    async def ask() -> None:
        with pytest.raises(Disconnected):
            await socket.emit_with_ack("ask", "text")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await until(lambda: came.extend(client.peer.received()) or came != [])
        client.lose()
    assert came == ['20["ask","text"]']
    await client.connect()
    assert client.recovered
    assert client.read() == []


async def test_what_a_handler_tells_the_socket_that_it_knew_reaches_the_one_that_came_back() -> None:
    wire, sockets = recovering()
    client = await connected(wire)
    [first] = sockets
    client.lose()
    await first.emit("lost", 1)
    await client.connect()
    await first.emit("back", 2)
    assert client.read() == [("lost", 1), ("back", 2)]
    client.lose()
    wire.clock.move(121)
    await until(lambda: wire.events.rooms == {})
    with pytest.raises(Disconnected):
        await first.emit("gone", 3)


async def test_event_that_is_refused_costs_no_recovery() -> None:
    wire, sockets = recovering(buffer_limit=1_000)
    client = await connected(wire)
    await sockets[0].emit("kept", 1)
    with pytest.raises(MessageTooLarge):
        await sockets[0].emit("large", "x" * 1_000)
    client.lose()
    await client.connect()
    assert client.recovered
    assert client.read() == [("kept", 1)]


async def test_all_that_may_be_kept_leaves_room_for_the_answer() -> None:
    wire, _ = recovering(buffer_limit=50_000)
    client = await connected(wire)
    client.lose()
    for _ in range(100):
        await wire.events.emit("n", "x" * 20)
    await client.connect()
    assert client.recovered
    assert len(client.read()) == 100


async def test_old_handler_does_not_keep_who_comes_back_waiting_for_long() -> None:
    wire, _ = recovering()
    never = anyio.Event()

    @wire.events.on("disconnect")
    async def disconnect(socket: Socket) -> None:
        await never.wait()

    client = await connected(wire)
    client.lose()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.connect)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert not client.recovered
        wire.clock.move(6)
    assert client.recovered
    never.set()


async def test_who_is_displaced_while_it_comes_back_is_told() -> None:
    wire, _ = recovering()
    io = wire.events
    io.of("/other")
    client = await connected(wire)
    client.lose()
    may_go_on = anyio.Event()
    asked: list[Socket] = []

    async def slow(socket: Socket) -> None:
        asked.append(socket)
        await may_go_on.wait()

    io.off("connect")
    io.on("connect", slow)
    displaced = wire.open()
    await displaced.connect("/other")
    displaced.send("0" + json.dumps({"pid": client.pid}))
    await until(lambda: len(asked) == 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.connect)
        assert await displaced.receive() == '4{"message":"another connection has taken over"}'
        may_go_on.set()
    assert client.recovered
    assert displaced.session.is_open


async def test_names_that_the_application_uses_itself_stay_its_own() -> None:
    wire, sockets = recovering()
    client = Client(wire)
    await client.connect(pid="process 7", offset=3)
    assert sockets[0].handshake.auth == {"pid": "process 7", "offset": 3}


@pytest.mark.parametrize("seconds", [119, 121])
async def test_time_to_come_back_ends(seconds: int) -> None:
    wire, sockets = recovering()
    client = await connected(wire)
    sockets[0].join("room")
    client.lose()
    id = client.id
    wire.clock.move(seconds)
    await until(lambda: (wire.events.rooms == {}) is (seconds > 120))
    await client.connect()
    assert client.recovered is (seconds < 120)
    assert (client.id == id) is (seconds < 120)


async def test_offset_of_an_earlier_life_neither_skips_nor_repeats() -> None:
    wire, _ = recovering()
    io = wire.events
    client = await connected(wire)
    for number in range(3):
        await io.emit("before", number)
    client.read()
    stale = client.offset
    client.lose()
    wire.clock.move(121)
    await until(lambda: io.rooms == {})
    await client.connect()
    assert not client.recovered
    assert client.offset == stale
    # Its offset is still the one of the life before, because it has heard nothing since.
    client.lose()
    await io.emit("missed", 1)
    await client.connect()
    assert client.recovered
    assert client.read() == [("missed", 1)]
    # The same with the offset of another server, whatever its number is.
    client.lose()
    await io.emit("missed", 2)
    client.offset = "99999.another"
    await client.connect()
    assert client.read() == [("missed", 1), ("missed", 2)]


@pytest.mark.parametrize("offset", [7, {"a": 1}, ["x"], True, 1.5])
async def test_what_is_no_offset_makes_a_new_socket(offset: Any) -> None:
    wire, _ = recovering()
    client = await connected(wire)
    id = client.id
    client.lose()
    client.offset = offset
    await client.connect()
    assert not client.recovered
    assert client.id != id
    assert len(wire.events.rooms) == 1


@pytest.mark.parametrize("offset", ["", "x" * 10_000, "-1.tag", "9" * 5_000, "1.\ud800", "\u0663.tag"])
async def test_strange_text_for_an_offset_is_harmless(offset: str) -> None:
    wire, _ = recovering()
    client = await connected(wire)
    client.lose()
    await wire.events.emit("missed", 1)
    client.offset = offset
    await client.connect()
    assert client.recovered
    assert client.read() == [("missed", 1)]


@pytest.mark.parametrize("pid", ["unknown", 7, None, {"a": 1}, ""])
async def test_unknown_pid_makes_a_new_socket(pid: Any) -> None:
    wire, _ = recovering()
    client = await connected(wire)
    client.lose()
    client.pid = pid
    await client.connect()
    assert not client.recovered


async def test_pid_counts_in_its_own_namespace_only() -> None:
    io = Events(SETTINGS)
    io.of("/other")
    wire = Wire(io)
    client = await connected(wire)
    client.lose()
    client.namespace = "/other"
    await client.connect()
    assert not client.recovered


@pytest.mark.parametrize("how", ["client", "server", "close", "refused"])
async def test_who_went_on_purpose_does_not_come_back(how: str) -> None:
    wire, sockets = recovering()
    client = await connected(wire)
    [socket] = sockets
    if how == "client":
        client.peer.send("1")
    elif how == "server":
        socket.disconnect()
    elif how == "close":
        socket.disconnect(close=True)
    else:
        client.lose()

        async def refuse(socket: Socket) -> None:
            raise ConnectionRefusedError

        wire.events.off("connect")
        wire.events.on("connect", refuse)
        refused = wire.open()
        refused.send("0" + json.dumps({"pid": client.pid}))
        assert await refused.receive() == '4{"message":"Connection refused"}'
        wire.events.off("connect")
    assert wire.events.rooms == {}
    await client.connect()
    assert not client.recovered


@pytest.mark.parametrize("skip", [True, False])
async def test_middleware_is_skipped_or_not(skip: bool) -> None:
    wire, _ = recovering(skip_middlewares=skip)
    seen: list[dict[str, object]] = []

    @wire.events.use
    async def check(socket: Socket, auth: dict[str, object]) -> None:
        seen.append(auth)

    client = Client(wire)
    await client.connect(token=1)
    client.lose()
    await client.connect(token=1)
    assert client.recovered
    # What recovery needs is not the application's.
    assert seen == [{"token": 1}] * (1 if skip else 2)


async def test_connection_that_dies_while_it_comes_back_can_come_back_again() -> None:
    wire, _ = recovering()
    io = wire.events
    client = await connected(wire)
    client.lose()
    await io.emit("missed", 1)
    may_go_on = anyio.Event()
    asked: list[Socket] = []

    async def slow(socket: Socket) -> None:
        asked.append(socket)
        await may_go_on.wait()

    io.off("connect")
    io.on("connect", slow)
    dying = wire.open()
    dying.send("0" + json.dumps({"pid": client.pid}))
    await until(lambda: len(asked) == 1)
    await io.emit("missed", 2)
    dying.lose()
    await io.emit("missed", 3)
    may_go_on.set()
    await client.connect()
    assert client.recovered
    assert client.read() == [("missed", 1), ("missed", 2), ("missed", 3)]


async def test_client_that_is_cut_off_while_it_catches_up_hears_nothing_twice_and_gets_further() -> None:
    """Its client keeps what comes before the answer, also for the next answer; only what follows it counts."""
    wire, _ = recovering()
    client = await connected(wire)
    client.lose()
    for number in range(1, 6):
        await wire.events.emit("missed", number)
    for _ in range(2):
        await client.connect(only=3)
        client.lose()
    assert client.heard == [("missed", number) for number in range(1, 5)]
    await client.connect()
    assert client.read() == [("missed", number) for number in range(1, 6)]


async def test_what_is_sent_while_it_comes_back_follows_what_it_missed() -> None:
    wire, _ = recovering()
    io = wire.events
    client = await connected(wire)
    client.lose()
    await io.emit("missed", 1)

    async def connect(socket: Socket) -> None:
        await socket.emit("from connect", 2)
        await io.emit("broadcast meanwhile", 3)

    io.off("connect")
    io.on("connect", connect)
    await client.connect()
    assert client.read() == [("missed", 1), ("from connect", 2), ("broadcast meanwhile", 3)]
    client.lose()
    io.off("connect")
    await client.connect()
    assert client.read() == []


async def test_lost_socket_is_no_socket() -> None:
    wire, sockets = recovering()
    io = wire.events
    client = await connected(wire)
    sockets[0].join("room")
    client.lose()
    assert len(io.sockets) == 0
    assert await io.fetch_sockets() == []
    assert await io.emit_with_ack("ask") == []
    await io.in_("room").sockets_leave("room")
    assert "room" in io.rooms


async def test_two_codecs_come_back_each_in_order() -> None:
    import msgpack

    wire, _ = recovering()
    io = wire.events
    pack: Any = msgpack.packb
    unpack: Any = msgpack.unpackb
    text = await connected(wire)
    binary = wire.open()
    binary.send(pack({"type": 0, "nsp": "/"}))
    pid = unpack(await binary.receive())["data"]["pid"]
    binary.lose()
    text.lose()
    for number in range(3):
        await io.emit("n", number)
    await text.connect()
    assert text.read() == [("n", 0), ("n", 1), ("n", 2)]
    again = wire.open()
    again.send(pack({"type": 0, "nsp": "/", "data": {"pid": pid}}))
    packets = [unpack(await again.receive()) for _ in range(4)]
    assert packets[0]["data"]["pid"] == pid
    assert [packet["data"][1] for packet in packets[1:]] == [0, 1, 2]
    # Not in the other format: what is kept for it is written already.
    again.lose()
    other = Client(wire, pid=pid)
    await other.connect()
    assert not other.recovered


async def test_what_is_kept_is_bounded() -> None:
    wire, _ = recovering()
    io = wire.events
    client = await connected(wire)
    client.lose()
    for _ in range(20):
        await io.emit("large", "x" * 1_000)
    await client.connect()
    assert not client.recovered
    lost = [await connected(wire) for _ in range(5)]
    for one in lost:
        one.lose()
    assert len(io.rooms) == SETTINGS.max_tombstones + 1
    for one in lost:
        await one.connect()
    assert [one.recovered for one in lost] == [False, False, True, True, True]


async def test_who_is_put_out_by_a_listener_while_it_is_being_lost_leaves_once() -> None:
    wire, _ = recovering(max_tombstones=1)
    io = wire.events
    left: list[str] = []

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        left.append(f"{socket.id}: {reason}")

    one, other = await connected(wire), await connected(wire)

    @io.on_room("delete-room")
    def gone(room: str) -> None:
        # That of the first, for which there is no place any more; the second is being lost.
        if room == one.id:
            for socket in list(io.sockets.values()):
                socket.disconnect()

    one.lose()
    other.lose()
    await until(lambda: len(left) >= 2)
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    assert sorted(left) == sorted(f"{client.id}: transport close" for client in (one, other))
    await other.connect()
    assert other.recovered


async def test_what_a_live_socket_was_sent_long_ago_is_forgotten() -> None:
    wire, sockets = recovering()
    client = await connected(wire)
    log = sockets[0]._membership.log  # pyright: ignore[reportPrivateUsage]
    assert log is not None
    for _ in range(5):
        await wire.events.emit("n", 1)
        client.read()
        # The peer answers its pings.
        wire.clock.time += KEPT + 1
    assert len(log._entries) == 1  # pyright: ignore[reportPrivateUsage]


async def test_counting_peer_and_server_without_recovery_see_no_offset() -> None:
    io = Events(SETTINGS)
    wire = Wire(io)
    counting = wire.open(counting=True)
    counting.send("0")
    answer = await counting.receive()
    assert isinstance(answer, str)
    assert "pid" not in answer
    await io.emit("n", 1)
    assert counting.received() == ['2["n",1]']
    plain = await Wire(Events()).connect()
    assert list(plain.ids) == ["/"]


async def test_slow_peer_gets_its_offsets_in_order() -> None:
    """An `emit` that waits for room must not be overtaken by a later number."""
    wire, sockets = recovering(buffer_limit=1_000)
    client = await connected(wire)
    [socket] = sockets
    await wire.events.emit("fills", "x" * 600)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(socket.emit, "waits", 1)
        await anyio.lowlevel.checkpoint()
        await wire.events.emit("overtakes", 2)
        heard = client.read()
        await until(lambda: heard.extend(client.read()) or len(heard) == 3)
    assert [name for name, *_ in heard] == ["fills", "overtakes", "waits"]
    client.lose()
    await client.connect()
    assert client.recovered
    assert client.read() == []


async def test_nothing_is_kept_of_who_did_not_come_back() -> None:
    wire, sockets = recovering()
    client = await connected(wire)
    member = weakref.ref(sockets[0]._membership)  # pyright: ignore[reportPrivateUsage]
    client.lose()
    wire.clock.move(121)
    await until(lambda: wire.events.rooms == {})
    sockets.clear()
    del client
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    gc.collect()
    assert member() is None


async def test_reason_decides() -> None:
    wire, sockets = recovering()
    client = await connected(wire)
    # A peer that breaks the protocol is not invited back.
    with pytest.raises(Exception, match="packet type"):
        client.peer.send("nonsense")
    assert not sockets[0].connected
    await client.connect()
    assert not client.recovered
    assert CloseReason.PARSE_ERROR == "parse error"
