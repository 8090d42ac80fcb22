"""The endpoint of STOMP: who is let in, by which way, and what is behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener
from asgi_driver import Client, ManualClock, drive, settled
from stomp_peer import Site, StompPeer

from holdfast import Engine, LocalProtocolError, Server, Stomp, StompClient, StompSettings

NOBODY = "stomp://127.0.0.1:1"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["v10.stomp", "v12.stomp", "v11.stomp"], "v12.stomp"),
        (["other", "v10.stomp"], "v10.stomp"),
        (["other"], None),
        ([], None),
    ],
)
async def test_the_newest_version_that_is_offered_is_chosen(offered: list[str], chosen: str | None) -> None:
    async with drive(Stomp(clock=ManualClock())) as client:
        socket = client.websocket("/stomp", subprotocols=offered)
        accepted = await socket.next()
        assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", chosen)


async def test_pages_of_other_origins_are_refused_unless_they_are_listed() -> None:
    for options, status in (({}, 403), ({"origins": ["https://app.example"]}, None)):
        stomp = Stomp(clock=ManualClock(), **options)
        async with drive(stomp) as client:
            socket = client.websocket("/stomp", headers={"origin": "https://app.example"})
            assert (await socket.next()).get("status") == status


async def test_there_are_only_so_many_clients_and_a_head_is_only_so_long() -> None:
    async with drive(Stomp(clock=ManualClock(), max_sessions=2)) as client:
        sockets = [client.websocket("/stomp") for _ in range(2)]
        for socket in sockets:
            await socket.accept()
        assert (await client.websocket("/stomp").next())["status"] == 503
        sockets[0].close()
        await sockets[0].finished()
        await client.websocket("/stomp").accept()
        long = client.websocket("/stomp", headers={"cookie": "x" * 40_000})
        assert (await long.next())["status"] == 431


async def test_allow_request_is_asked_about_a_bare_websocket() -> None:
    stomp = Stomp(clock=ManualClock(), allow_request=lambda request: "token" in request.query)
    async with drive(stomp) as client:
        assert (await client.websocket("/stomp").next())["status"] == 403
        await client.websocket("/stomp?token=1").accept()


async def test_what_is_not_for_it_goes_to_the_application_inside() -> None:
    io = Server(clock=ManualClock())
    async with drive(Stomp(app=io, clock=ManualClock())) as client:
        exchange = client.get("/socket.io/?EIO=4&transport=polling")
        assert await exchange.start() == 200
        assert await client.get("/stomp").start() == 400


async def test_any_session_of_messages_can_carry_it() -> None:
    stomp, clock = Stomp(clock=ManualClock()), ManualClock()
    async with drive(Engine(stomp.serve, path="/other", clock=clock)) as client:
        socket = client.websocket("/other?EIO=4&transport=websocket")
        await socket.accept()
        await socket.receive()
        peer = StompPeer(socket, in_session=True)
        await peer.connect()
        peer.send("SUBSCRIBE", id=1, destination="/topic/a")
        peer.send("SEND", b"\xff\0", destination="/topic/a", content_length=2)
        assert (await peer.one()).body == b"\xff\0"
        peer.send("DISCONNECT", receipt="r")
        assert (await peer.one()).command == "RECEIPT"
        await settled()
        assert peer.closed is not None


async def test_a_drained_server_says_so_to_bare_websockets_at_once() -> None:
    clock = ManualClock()
    stomp = Stomp(clock=clock)
    async with drive(stomp) as client:
        peer = await Site(stomp, clock, client).connected()
        client.tasks.start_soon(stomp.drain)
        assert await peer.error() == "server shutting down"
        assert (await client.websocket("/stomp").next())["status"] == 503


class SilentBroker:
    """Takes connections and what is said, and says what the test wants it to.

    Attributes:
        heard: All that came, of all connections.
    """

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting
        self.heard = b""
        self.ended = 0

    async def serve(self, listener: MultiListener[SocketStream]) -> None:
        await listener.serve(self._take)

    async def _take(self, stream: SocketStream) -> None:
        async with stream:
            await stream.send(self.greeting)
            try:
                while True:
                    self.heard += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self.ended += 1


@asynccontextmanager
async def relay_to(
    broker: SilentBroker, login: str = "", path: str = "", **options: Any
) -> AsyncIterator[tuple[Site, ManualClock]]:
    clock = ManualClock()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        port = listener.extra(SocketAttribute.local_port)
        relay = f"stomp://{login}127.0.0.1:{port}{path}"
        stomp = Stomp(relay=relay, clock=clock, limits=StompSettings(heart_beat=0), **options)
        async with anyio.create_task_group() as tasks, drive(stomp) as client:
            tasks.start_soon(broker.serve, listener)
            yield Site(stomp, clock, client), clock
            tasks.cancel_scope.cancel()


async def text_of(peer: StompPeer, word: str) -> str:
    """The next message with a word in it."""
    while word not in (text := (await peer.socket.next()).get("text") or ""):
        pass
    return text


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.001)


CONNECTED = b"CONNECTED\nversion:1.2\nheart-beat:10000,10000\n\n\0"


async def test_a_broker_that_falls_silent_is_gone_after_three_of_its_intervals() -> None:
    broker = SilentBroker(CONNECTED)
    async with relay_to(broker) as (site, clock):
        peer = await site.peer()
        peer.send("CONNECT", accept_version="1.2", host="h")
        assert "CONNECTED" in await text_of(peer, "CONNECTED")
        await until(lambda: b"CONNECT" in broker.heard)
        # We beat, as it wants.
        for _ in range(2):
            before = broker.heard.count(b"\n")
            await clock.advance(10)
            await until(lambda before=before: broker.heard.count(b"\n") > before)
        await clock.advance(9)
        assert peer.socket.quiet()
        await clock.advance(31)
        assert "message:the broker cannot be reached" in await text_of(peer, "ERROR")
        assert await peer.socket.closed() == 1013
        await until(lambda: broker.ended == 1)


async def test_a_broker_that_beats_is_not_taken_for_gone() -> None:
    class Beating(SilentBroker):
        async def _take(self, stream: SocketStream) -> None:
            self.stream = stream
            await super()._take(stream)

    broker = Beating(CONNECTED)
    async with relay_to(broker) as (site, clock):
        peer = await site.peer()
        peer.send("CONNECT", accept_version="1.2", host="h")
        await text_of(peer, "CONNECTED")
        for n in range(12):
            await broker.stream.send(
                b"\nMESSAGE\nsubscription:1\nmessage-id:%d\ndestination:/topic/a\n\n\0" % n
            )
            assert f"message-id:{n}\n" in await text_of(peer, "MESSAGE")
            await clock.advance(10)
        assert peer.socket.quiet()
        assert broker.ended == 0


async def test_a_broker_that_never_answers_is_given_up() -> None:
    broker = SilentBroker(b"\n")
    async with relay_to(broker) as (site, clock):
        peer = await site.peer()
        peer.send("CONNECT", accept_version="1.2", host="h")
        await until(lambda: b"CONNECT" in broker.heard)
        await clock.advance(5)
        assert "message:the broker cannot be reached" in await text_of(peer, "ERROR")
        assert await peer.socket.closed() == 1013
        await until(lambda: broker.ended == 1)


async def test_a_broker_that_takes_what_the_application_sends_and_confirms_nothing() -> None:
    broker = SilentBroker(CONNECTED)
    async with relay_to(broker) as (site, clock), anyio.create_task_group() as tasks:

        async def send() -> None:
            with pytest.raises(LocalProtocolError, match="cannot be reached"):
                await site.stomp.send("/topic/a", "x")

        tasks.start_soon(send)
        # Once more by a new connection, as the first might have ended while nobody looked.
        for number in (1, 2):
            await until(lambda number=number: broker.heard.count(b"SEND\n") == number)
            await clock.advance(5)


async def relayed(site: Site) -> StompPeer:
    """A client that is in."""
    peer = await site.peer()
    peer.send("CONNECT", accept_version="1.2", host="h")
    await text_of(peer, "CONNECTED")
    return peer


@pytest.mark.parametrize(
    ("command", "headers", "listed"),
    [
        *[
            (command, headers, ["/topic/", "/queue/"])
            for command in ("SEND", "SUBSCRIBE")
            for headers in (
                {"destination": "/exchange/amq.topic/#"},
                {"destination": "/amq/queue/orders"},
                {"destination": "/topic"},
                {},
            )
        ],
        ("SUBSCRIBE", {"destination": "/reply-queue/orders"}, ["/topic/", "/queue/"]),
        ("SEND", {"destination": "/reply-queue/orders"}, ["/topic/"]),
        ("SUBSCRIBE", {"destination": "/topic/a", "x_queue_name": "orders"}, ["/topic/"]),
    ],
)
async def test_clients_do_not_reach_all_of_the_virtual_host(
    command: str, headers: dict[str, str], listed: list[str]
) -> None:
    broker = SilentBroker(CONNECTED)
    async with relay_to(broker, relay_destinations=listed) as (site, _):
        peer = await relayed(site)
        peer.send(command, id=1, receipt="r", **headers)
        error = await text_of(peer, "ERROR")
        assert "(argument relay_destinations)" in error
        assert "receipt-id:r" in error
        await until(lambda: b"DISCONNECT" in broker.heard)
        assert command.encode() + b"\n" not in broker.heard


REFUSED = b"ERROR\nmessage:Bad CONNECT\n\nAccess refused for user 'ann', passcode hidden\n\0"


async def test_a_broker_that_refuses_our_login_is_said_once_and_is_not_the_fault_of_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = SilentBroker(REFUSED)
    async with relay_to(broker, login="ann:hidden@", path="/shop") as (site, _):
        for _ in range(3):
            peer = await site.peer()
            peer.send("CONNECT", accept_version="1.2", host="h", login="bob", passcode="bob's")
            assert "message:the broker is not available\n" in await text_of(peer, "ERROR")
            assert await peer.socket.closed() == 1013
        with pytest.raises(LocalProtocolError, match="refuses the login or the virtual host of relay="):
            await site.stomp.send("/topic/a", "x")
        [line] = [each for each in caplog.records if each.name == "holdfast.stomp"]
        assert line.levelname == "ERROR"
        assert all(word in line.getMessage() for word in ("relay=", "127.0.0.1:", "'shop'"))
        assert not any(word in caplog.text for word in ("hidden", "bob"))
        # It lets us in, and refuses again.
        broker.greeting = CONNECTED
        await relayed(site)
        broker.greeting = REFUSED
        peer = await site.peer()
        peer.send("CONNECT", accept_version="1.2", host="h")
        await text_of(peer, "ERROR")
        assert caplog.text.count("refuses us") == 2


async def test_a_client_whose_own_login_is_refused_reads_what_the_broker_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with relay_to(SilentBroker(REFUSED)) as (site, _):
        peer = await site.peer()
        peer.send("CONNECT", accept_version="1.2", host="h", login="bob", passcode="wrong")
        assert "message:Bad CONNECT" in await text_of(peer, "ERROR")
        # Who names none cannot be to blame.
        peer = await site.peer()
        peer.send("CONNECT", accept_version="1.2", host="h")
        assert "message:the broker is not available" in await text_of(peer, "ERROR")
        assert "wrong" not in caplog.text


async def test_what_is_listed_reaches_the_broker_and_queues_for_answers_always_do() -> None:
    broker = SilentBroker(CONNECTED)
    async with relay_to(broker, relay_destinations=["/exchange/prices/", "/queue/public."]) as (site, _):
        peer = await relayed(site)
        sent = ["/exchange/prices/x", "/queue/public.a", "/temp-queue/a", "/reply-queue/public.b"]
        for destination in sent:
            peer.send("SEND", destination=destination)
        peer.send("SUBSCRIBE", id=1, destination="/exchange/prices/#", x_queue_name="public.c")
        await until(lambda: b"public.c" in broker.heard)
        assert all(f"destination:{each}\n".encode() in broker.heard for each in sent)
        peer.send("SEND", destination="/topic/a")
        assert "relay_destinations" in await text_of(peer, "ERROR")


async def test_the_queue_that_a_subscription_names_is_asked_about() -> None:
    broker, asked = SilentBroker(CONNECTED), list[str]()
    async with relay_to(broker) as (site, _):

        @site.stomp.authorize
        def may(client: StompClient, action: str, destination: str) -> bool:
            asked.append(destination)
            return destination.startswith("/topic/")

        peer = await relayed(site)
        peer.send("SUBSCRIBE", id=1, destination="/topic/a", x_queue_name="orders")
        assert "may not subscribe here" in await text_of(peer, "ERROR")
        assert asked == ["/topic/a", "/queue/orders"]


@pytest.mark.parametrize(
    ("listed", "error"), [("/topic/", TypeError), ([], TypeError), ([1], TypeError), (["topic/"], ValueError)]
)
def test_what_clients_may_reach_is_a_list_of_beginnings(listed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="relay_destinations"):
        Stomp(relay=NOBODY, relay_destinations=listed)


async def by_sockjs(client: Client, id: str, *messages: str) -> str:
    """What a poll of a SockJS session brings after these."""
    await client.post(f"/stomp/0/{id}/xhr", "").text()
    assert await client.post(f"/stomp/0/{id}/xhr_send", json.dumps(messages)).start() == 204
    await settled()
    return await client.post(f"/stomp/0/{id}/xhr", "").text()


async def test_sockjs_at_the_same_address_and_all_in_one_conversation() -> None:
    clock = ManualClock()
    stomp = Stomp(sockjs=True, clock=clock)
    async with drive(stomp) as client:
        assert (await client.get("/stomp/info").json())["websocket"] is True
        raw = client.websocket("/stomp/websocket", subprotocols=["v10.stomp", "v12.stomp"])
        accepted = await raw.next()
        assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", "v12.stomp")
        bare = await Site(stomp, clock, client).connected()
        others = [StompPeer(raw, in_session=False), await Site(stomp, clock, client).peer(in_session=True)]
        for peer in others:
            await peer.connect()
        bare.send("SUBSCRIBE", id=1, destination="/topic/a")
        said = await by_sockjs(
            client,
            "id",
            "CONNECT\naccept-version:1.2\n\n\0",
            "SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0",
        )
        assert said.startswith('a["CONNECTED\\nversion:1.2\\n')
        for peer in others:
            peer.send("SEND", "hello", destination="/topic/a")
        assert [frame.body for frame in await bare.take()] == [b"hello", b"hello"]
        assert (await client.post("/stomp/0/id/xhr", "").text()).count("hello") == 2
        bare.send("SEND", b"\xff\0", destination="/topic/a", content_length=2)
        await settled()
        [numbers] = json.loads((await client.post("/stomp/0/id/xhr", "").text())[1:])
        assert bytes(numbers).endswith(b"\n\n\xff\0\0")
        assert dict(stomp.stats().sessions) == {"websocket": 3, "stream": 0, "polling": 1}
        assert stomp.session_count == len(stomp.clients) == 4


async def test_an_error_by_sockjs_is_said_and_then_its_code() -> None:
    stomp = Stomp(sockjs=True, clock=ManualClock())
    async with drive(stomp) as client:
        assert "ERROR" in await by_sockjs(client, "id", "[object ArrayBuffer]")
        assert (await client.post("/stomp/0/id/xhr", "").text()).startswith("c[1002,")


async def test_limits_are_for_all_ways_together_and_a_drain_tells_all() -> None:
    clock = ManualClock()
    stomp = Stomp(sockjs=True, clock=clock, max_sessions=2)
    async with drive(stomp) as client:
        bare = await Site(stomp, clock, client).connected()
        await by_sockjs(client, "id", "CONNECT\naccept-version:1.2\n\n\0")
        for full in (client.post("/stomp/0/other/xhr", ""), client.get("/stomp/?EIO=4&transport=polling")):
            assert await full.start() == 503
        assert (await client.websocket("/stomp").next())["status"] == 503
        client.tasks.start_soon(stomp.drain)
        assert await bare.error() == "server shutting down"
        assert "message:server shutting down" in await client.post("/stomp/0/id/xhr", "").text()
        assert await client.post("/stomp/0/other/xhr", "").start() == 503
        stomp.start()
        assert await client.post("/stomp/0/other/xhr", "").text() == "o\n"


async def test_without_sockjs_there_is_none_and_a_way_may_be_left_out() -> None:
    async with drive(Stomp(clock=ManualClock())) as client:
        assert await client.get("/stomp/info").start() == 404
    chosen = {"transports": ["polling"], "jsessionid": True}
    async with drive(Stomp(sockjs=chosen, clock=ManualClock())) as client:
        info = await client.get("/stomp/info").json()
        assert (info["websocket"], info["cookie_needed"]) == (False, True)


@pytest.mark.parametrize("path", ["/stomp", "/stomp/"])
async def test_who_looks_by_hand_reads_what_is_there(path: str) -> None:
    async with drive(Stomp(clock=ManualClock())) as client:
        exchange = client.get(path)
        assert await exchange.start() == 400
        message = (await exchange.json())["message"]
        assert "a STOMP endpoint" in message
        assert "Socket.IO" not in message
    async with drive(Stomp(sockjs=True, clock=ManualClock())) as client:
        assert await client.get(path).text() == "Welcome to SockJS!\n"
        # A session of ours comes there, too.
        assert await client.get(f"{path}?EIO=4&transport=polling").start() == 200


@pytest.mark.parametrize("url", ["http://localhost", "localhost:61613", "stomp://", "stomp:///x"])
def test_a_relay_has_an_address(url: str) -> None:
    with pytest.raises(ValueError, match="relay"):
        Stomp(relay=url)


def test_the_topics_of_a_relay_are_no_rooms() -> None:
    with pytest.raises(LocalProtocolError, match="relay"):
        Stomp(relay=NOBODY).join_rooms(Server(), ["news"])


async def test_a_broker_that_cannot_be_reached_is_an_error_of_who_wants_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    stomp = Stomp(relay=NOBODY, clock=clock)
    async with drive(stomp) as client:
        peer = await Site(stomp, clock, client).peer()
        peer.send("CONNECT", accept_version="1.2", host="h")
        error: Any = None
        while error is None:
            message = await peer.socket.next()
            error = message.get("text")
        assert "message:the broker cannot be reached" in error
        assert await peer.socket.closed() == 1013
        await peer.socket.finished()
        with pytest.raises(LocalProtocolError, match="cannot be reached"):
            await stomp.send("/topic/a", "x")
        assert "cannot be reached" in caplog.text
