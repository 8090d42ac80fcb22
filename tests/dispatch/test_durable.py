"""Two servers, one store of records, and clients that go from one to the other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from asgi_driver import ManualClock, settled
from counting_peer import Carrier, CountingPeer, Lane, WebSocketCarrier, client_of, encode
from memory_records import DurableHub

from holdfast import Allowed, Disconnected, Handshake, Server, Socket
from holdfast.engine.live.durable import DurableLive
from holdfast.engine.live.records import Outcome, Task


class Node:
    """One server, with an application that answers, keeps and remembers."""

    def __init__(self, name: str, hub: DurableHub, clock: ManualClock, **options: Any) -> None:
        self.name = name
        self.io = Server(adapter=hub, durable=True, clock=clock, path="/engine.io", **options)
        self.table: Any = self.io.table
        self.seen: list[tuple[str, object, bool, int | None]] = []
        self.came: list[bool] = []
        self.left: list[str] = []
        self.client: Any = None

        @self.io.on("connect")
        async def connect(socket: Socket) -> None:  # pyright: ignore[reportUnusedFunction]
            self.came.append(socket.recovered)
            if not socket.recovered:
                socket.join("lobby")

        @self.io.on("disconnect")
        async def disconnect(socket: Socket, reason: str) -> None:  # pyright: ignore[reportUnusedFunction]
            self.left.append(reason)

        @self.io.on("keep")
        async def keep(socket: Socket, value: object) -> str:  # pyright: ignore[reportUnusedFunction]
            self.note(socket, value)
            socket.data["kept"] = value
            return self.name

    def note(self, socket: Socket, value: object) -> None:
        self.seen.append((self.name, value, socket.replayed, socket.event_number))

    def peer(self) -> CountingPeer:
        return CountingPeer(self.client)

    def adopt(self, peer: CountingPeer) -> None:
        """From now on the load balancer leads that client here."""
        peer.client = self.client

    def kill(self) -> None:
        """Nothing that it does from now on reaches anybody."""
        self.table.keeper.records.frozen.add(self.table.keeper.node)


class Site:
    def __init__(self, hub: DurableHub, clock: ManualClock, **options: Any) -> None:
        self.hub = hub
        self.clock = clock
        self.a = Node("a", hub, clock, **options)
        self.b = Node("b", hub, clock, **options)


@asynccontextmanager
async def two_nodes(**options: Any) -> AsyncIterator[Site]:
    clock = ManualClock()
    site = Site(DurableHub(clock.now), clock, **options)
    async with AsyncExitStack() as stack:
        for node in (site.a, site.b):
            node.client = await stack.enter_async_context(client_of(node.io))
        yield site


async def connected(node: Node, transport: str = "websocket") -> tuple[CountingPeer, Carrier, str]:
    peer = node.peer()
    carrier = await peer.open(transport)
    await carrier.send("0")
    (answer,) = await carrier.take(1)
    assert isinstance(answer, str)
    assert answer.startswith("0{"), answer
    return peer, carrier, json.loads(answer[1:])["sid"]


async def moved(site: Site, peer: CountingPeer, carrier: Carrier, transport: str = "websocket") -> Carrier:
    """The client has lost its carrier and attaches to the other node, which finds the first one gone."""
    carrier.cut()
    await settled()
    site.b.adopt(peer)
    number = peer.new_number()
    headers = {} if transport == "websocket" else peer.attach_header(carrier=number)
    again = peer.carrier(transport, number, headers)
    for _ in range(50):
        await site.clock.advance(0.1)
        if site.b.io.session_count:
            break
    if isinstance(again, WebSocketCarrier):
        await again.begin()
    return again


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_another_node_goes_on_when_one_has_died(transport: str) -> None:
    async with two_nodes() as site:
        peer, carrier, id = await connected(site.a, transport)
        await carrier.send('21["keep","one"]')
        assert await carrier.take(1) == ['31["a"]']
        await settled()
        site.a.kill()
        peer.said.append('22["keep","two"]')
        again = await moved(site, peer, carrier, transport)
        await again.send()
        assert await again.take(1) == ['32["b"]']
        assert site.b.seen == [("b", "two", False, 3)]
        assert site.b.came == [True]
        socket = site.b.io.sockets[id]
        assert socket.rooms == {id, "lobby"}
        assert socket.data == {"kept": "two"}
        await site.b.io.to("lobby").emit("all")
        assert await again.take(1) == ['2["all"]']
        assert site.a.left == site.b.left == []


async def test_node_that_was_only_frozen_lets_go_silently() -> None:
    async with two_nodes() as site:
        peer, carrier, id = await connected(site.a)
        site.a.kill()
        await site.a.io.sockets[id].emit("never")
        await carrier.send('2["keep","early"]')
        again = await moved(site, peer, carrier)
        await again.send()
        await settled()
        assert site.b.seen == [("b", "early", False, 2)]
        assert site.a.seen == []
        site.hub.store.frozen.clear()
        await site.clock.advance(1.0)
        assert site.a.io.session_count == 0
        assert dict(site.a.io.sockets) == {}
        assert site.a.left == []
        assert site.a.seen == []
        await site.b.io.sockets[id].emit("last")
        assert await again.take(1) == ['2["last"]']


@pytest.mark.parametrize("late", [False, True])
async def test_client_that_meets_a_node_which_was_frozen_first_loses_nothing(late: bool) -> None:
    """Neither what another node has said nor the time that has passed is the client's fault."""
    async with two_nodes() as site:
        peer, carrier, id = await connected(site.a, "polling")
        site.a.kill()
        again = await moved(site, peer, carrier, "polling")
        for word in ("one", "two"):
            await site.b.io.sockets[id].emit(word)
            assert await again.take(1) == [f'2["{word}"]']
        if late:
            # All that was due on the frozen node meanwhile is due now, before it hears of anything.
            site.clock._now += 60.0
        site.hub.store.frozen.clear()
        site.a.adopt(peer)
        assert await peer.attach_exchange("polling", peer.new_number()).start() == 409
        await site.clock.advance(2.0)
        assert site.a.io.session_count == 0
        assert site.a.left == site.b.left == []
        assert dict(site.b.io.sockets).keys() == {id}


async def test_answer_that_waited_while_its_node_was_frozen_is_no_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with two_nodes() as site:
        _, _, id = await connected(site.a, "polling")
        store, clock = site.a.table.keeper.records, site.clock
        run = store.run

        async def late(node: str, tasks: Sequence[Task]) -> list[Outcome]:
            outcomes = await run(node, tasks)
            clock._now += 2.6
            return outcomes

        monkeypatch.setattr(store, "run", late)
        await site.a.io.sockets[id].emit("word")
        await settled()
        (session,) = site.a.table.sessions.values()
        assert isinstance(session, DurableLive)
        assert clock.now() - session.kept_at >= 2.6


async def test_event_whose_handler_had_begun_is_replayed_with_its_number() -> None:
    async with two_nodes() as site:
        peer, carrier, _ = await connected(site.a)
        gate = anyio.Event()

        @site.a.io.on("slow")
        async def slow(socket: Socket, value: str) -> str:
            site.a.note(socket, value)
            await gate.wait()
            return "a"

        @site.b.io.on("slow")
        async def again(socket: Socket, value: str) -> str:
            site.b.note(socket, value)
            return "b"

        await carrier.send('21["slow","x"]', '22["slow","y"]')
        await settled()
        assert site.a.seen == [("a", "x", False, 2)]
        site.a.kill()
        gate.set()
        carrier = await moved(site, peer, carrier)
        await carrier.send('23["slow","z"]')
        assert await carrier.take(3) == ['31["b"]', '32["b"]', '33["b"]']
        assert site.b.seen == [("b", "x", True, 2), ("b", "y", True, 3), ("b", "z", False, 4)]


async def test_owner_that_is_there_is_asked_and_hands_over_when_its_handler_has_ended() -> None:
    async with two_nodes() as site:
        peer, carrier, _ = await connected(site.a)
        gate = anyio.Event()

        @site.a.io.on("slow")
        async def slow(socket: Socket) -> str:
            await gate.wait()
            return "a"

        await carrier.send('21["slow"]')
        await settled()
        carrier.cut()
        await settled()
        site.b.adopt(peer)
        await peer.attach("polling")
        await site.clock.advance(1.0)
        assert site.b.io.session_count == 0
        gate.set()
        await site.clock.advance(1.0)
        assert site.b.io.session_count == 1
        assert site.a.io.session_count == 0
        carrier = await peer.attach("polling")
        assert await carrier.take(1) == ['31["a"]']
        assert site.a.left == []


async def test_drain_hands_over_and_nobody_hears_of_a_disconnect() -> None:
    async with two_nodes() as site:
        peer, carrier, _ = await connected(site.a)
        async with anyio.create_task_group() as tasks:
            results: list[Any] = []

            async def drain() -> None:
                results.append(await site.a.io.drain(5.0))

            tasks.start_soon(drain)
            await site.clock.advance(0.5)
            assert await carrier.ended() == 4006
            carrier.cut()
            await site.clock.advance(0.5)
        assert results[0].told == 1
        assert results[0].cut == 0
        site.b.adopt(peer)
        again = await peer.attach("websocket")
        await again.send('21["keep",1]')
        assert await again.take(1) == ['31["b"]']
        assert (site.a.left, site.b.left) == ([], [])
        assert site.b.came == [True]


@pytest.mark.parametrize("trouble", ["is_away", "is_full"])
async def test_what_waits_for_a_store_that_takes_nothing_goes_on_when_it_does(trouble: str) -> None:
    async with two_nodes() as site:
        _, carrier, id = await connected(site.a)
        store = site.hub.store
        setattr(store, trouble, True)
        await carrier.send('21["keep",1]')
        await site.a.io.sockets[id].emit("first")
        # In that time the node would have said that it is there, too.
        await site.clock.advance(0.5)
        assert site.a.seen == []
        assert carrier.is_quiet()
        # It has forgotten everything, too.
        store.entries.clear()
        setattr(store, trouble, False)
        await site.clock.advance(1.0)
        assert await carrier.take(2) == ['2["first"]', '31["a"]']
        assert len(store.entries) == 1


async def test_session_that_is_over_is_not_gone_on_with() -> None:
    async with two_nodes() as site:
        peer, *_ = await connected(site.a)
        await peer.post("1")
        await site.clock.advance(0.5)
        assert site.a.left == ["transport close"]
        site.b.adopt(peer)
        refused = await (await peer.attach("polling")).refusal()
        assert refused.code == 1


async def test_many_sessions_share_the_way_there_and_back() -> None:
    async with two_nodes() as site:
        peers = [await connected(site.a) for _ in range(20)]
        await settled()
        before = site.hub.store.writes
        await site.a.io.emit("all")
        await settled()
        assert site.hub.store.writes - before <= 2
        for _, carrier, _ in peers:
            assert await carrier.take(1) == ['2["all"]']


@pytest.mark.parametrize("is_fast", [False, True])
async def test_post_is_answered_when_the_record_has_what_it_brought(
    is_fast: bool, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # uvicorn's lane is asyncio's.
    monkeypatch.setattr(Lane, "is_fast", is_fast and anyio_backend_name == "asyncio")
    async with two_nodes() as site:
        peer, _, _ = await connected(site.a, "polling")
        site.hub.store.is_away = True
        post = peer.post_exchange("92", encode('2["keep",1]'))
        await settled()
        assert not post.answered()
        assert site.a.seen == []
        site.hub.store.is_away = False
        await site.clock.advance(0.2)
        assert (await post.text()).startswith('7{"received":2')
        assert site.a.seen == [("a", 1, False, 2)]


async def test_event_with_attachments_is_one_and_replayed_as_one() -> None:
    async with two_nodes() as site:
        peer, carrier, _ = await connected(site.a)
        gate = anyio.Event()

        @site.a.io.on("file")
        async def file(socket: Socket, data: bytes) -> None:
            await gate.wait()

        @site.b.io.on("file")
        async def again(socket: Socket, data: bytes) -> str:
            site.b.note(socket, data)
            return "b"

        await carrier.send('51-1["file",{"_placeholder":true,"num":0}]', b"content")
        await settled()
        site.a.kill()
        gate.set()
        carrier = await moved(site, peer, carrier)
        assert await carrier.take(1) == ['31["b"]']
        assert site.b.seen == [("b", b"content", True, 3)]


async def test_connect_whose_handler_still_ran_begins_again() -> None:
    async with two_nodes() as site:
        gate = anyio.Event()
        came: list[str] = []

        @site.a.io.of("/slow").on("connect")
        async def connect(socket: Socket, auth: dict[str, object]) -> None:
            came.append(f"a{auth['n']}")
            await gate.wait()

        @site.b.io.of("/slow").on("connect")
        async def connect_again(socket: Socket, auth: dict[str, object]) -> None:
            came.append(f"b{auth['n']}{socket.recovered}{socket.replayed}")

        peer, carrier, _ = await connected(site.a)
        await carrier.send('0/slow,{"n":1}')
        await settled()
        site.a.kill()
        carrier = await moved(site, peer, carrier)
        (answer,) = await carrier.take(1)
        assert str(answer).startswith("0/slow,{")
        assert came == ["a1", "b1FalseTrue"]


async def test_other_node_may_put_it_out_when_it_connects_again() -> None:
    async with two_nodes() as site:
        site.b.io.off("connect")

        @site.b.io.on("connect")
        async def connect(socket: Socket) -> bool:
            return False

        peer, carrier, _ = await connected(site.a)
        site.a.kill()
        carrier = await moved(site, peer, carrier)
        assert await carrier.take(1) == ["1"]
        assert site.b.left == ["server namespace disconnect"]


async def test_session_stays_the_one_of_its_principal() -> None:
    def allow(request: Handshake) -> Allowed:
        return Allowed(principal=request.headers.get("user", "anna"))

    async with two_nodes(allow_request=allow) as site:
        peer, carrier, id = await connected(site.a)
        site.a.kill()
        carrier.cut()
        await site.clock.advance(3.0)
        site.b.adopt(peer)
        stranger = peer.attach_header(carrier=9) | {"user": "bob"}
        refused = site.b.client.get(peer.url("polling"), headers=stranger)
        await site.clock.advance(0.5)
        assert await refused.start() == 403
        carrier = await peer.attach("polling")
        await carrier.send('21["keep",1]')
        assert await carrier.take(1) == ['31["b"]']
        assert site.b.io.sockets[id].handshake.principal == "anna"


async def test_session_of_a_principal_that_cannot_be_written_ends_with_its_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with two_nodes(allow_request=lambda request: Allowed(principal=object())) as site:
        _, carrier, _ = await connected(site.a)
        await carrier.send('21["keep",1]')
        assert await carrier.take(1) == ['31["a"]']
        assert site.hub.store.entries == {}
        assert "its principal is a object" in caplog.text


async def test_data_that_cannot_be_written_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    async with two_nodes() as site:
        peer, carrier, id = await connected(site.a)
        site.a.io.sockets[id].data["task"] = object()
        for number in (1, 2):
            await carrier.send(f'2{number}["keep",{number}]')
            assert await carrier.take(1) == [f'3{number}["a"]']
        await settled()
        assert caplog.text.count("socket.data['task'] cannot be kept") == 1
        site.a.kill()
        await moved(site, peer, carrier)
        assert site.b.io.sockets[id].data == {"kept": 2}


async def test_acknowledgement_of_what_another_node_has_asked_finds_nobody() -> None:
    async with two_nodes() as site:
        peer, carrier, id = await connected(site.a)
        failed: list[bool] = []

        async def ask() -> None:
            try:
                await site.a.io.sockets[id].emit_with_ack("question")
            except Disconnected:
                failed.append(True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            (question,) = await carrier.take(1)
            assert isinstance(question, str)
            site.a.kill()
            again = await moved(site, peer, carrier)
            await again.send(question.replace("2", "3", 1).split("[")[0] + '["late"]', '21["keep",1]')
            assert await again.take(1) == ['31["b"]']
            site.hub.store.frozen.clear()
            await site.a.io.sockets[id].emit("never")
            await site.clock.advance(1.0)
        assert failed == [True]


def test_durable_needs_an_adapter_that_keeps_records() -> None:
    with pytest.raises(ValueError, match="durable=True needs an adapter"):
        Server(durable=True)
