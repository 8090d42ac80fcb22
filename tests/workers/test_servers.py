"""Servers that meet in a directory: rooms of all, and requests that come to the wrong one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from asgi_driver import Client, Exchange
from counting_peer import CountingPeer, client_of
from event_peer import until

from holdfast import Allowed, Engine, Handshake, Server, Session, Socket, SockJS, SockJSSession

pytestmark = pytest.mark.anyio

POLLING = "/socket.io/?EIO=4&transport=polling"


class Site:
    """Some servers of one application, each with a client of its own."""

    def __init__(self, servers: list[Server], clients: list[Client]) -> None:
        self.servers = servers
        self.clients = clients

    def get(self, number: int, sid: str = "", method: str = "GET", body: str = "") -> Exchange:
        url = POLLING + (f"&sid={sid}" if sid else "")
        return self.clients[number].request(method, url, body=body)

    async def open(self, number: int) -> str:
        """A session of one of them, connected, its answer taken."""
        sid = json.loads((await self.get(number).text())[1:])["sid"]
        assert await self.get(number, sid, "POST", "40").text() == "ok"
        assert (await self.get(number, sid).text()).startswith("40")
        return sid


@asynccontextmanager
async def site(base: Path, number: int = 3, **settings: Any) -> AsyncIterator[Site]:
    servers = [Server(workers=base, **settings) for _ in range(number)]
    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.join)
    clients: list[Client] = []
    try:
        async with (
            client_of(servers[0]) as one,
            client_of(servers[1]) as two,
            client_of(servers[-1]) as three,
        ):
            clients += [one, two, three]
            yield Site(servers, clients)
    finally:
        for server in servers:
            await server.shutdown()


async def test_session_may_be_met_by_any_worker(base: Path) -> None:
    async with site(base) as three:
        owner = three.servers[0]

        @owner.on("echo")
        async def echo(socket: Socket, value: object) -> object:
            return value

        sid = await three.open(0)
        assert sid.startswith(str(owner.table.node))
        for number in (1, 2, 0, 2, 1):
            assert await three.get(number, sid, "POST", f'42{number}["echo",[{number},"ü"]]').text() == "ok"
            other = (number + 1) % 3
            assert await three.get(other, sid).text() == f'43{number}[[{number},"ü"]]'
        assert [server.session_count for server in three.servers] == [1, 0, 0]


async def test_held_poll_at_one_worker_is_answered_by_what_comes_to_another(base: Path) -> None:
    async with site(base) as three:
        sid = await three.open(0)
        poll = three.get(1, sid)
        await three.servers[2].emit("hello", b"bytes")
        assert await poll.text() == '451-["hello",{"_placeholder":true,"num":0}]\x1ebYnl0ZXM='


async def test_client_that_leaves_a_carried_poll_leaves_its_session(base: Path) -> None:
    async with site(base) as three:
        sid = await three.open(0)
        session = three.servers[0].table.sessions[sid]
        poll = three.get(1, sid)
        await until(lambda: session.attached)
        poll.disconnect()
        await poll.finished()
        await until(lambda: not session.attached)


async def test_rooms_reach_all_workers(base: Path) -> None:
    async with site(base) as three:
        sids = [await three.open(number) for number in range(3)]
        sockets = [next(iter(server.sockets.values())) for server in three.servers]
        sockets[0].join("room")
        await three.servers[1].in_(sockets[2].id).sockets_join("room")
        await until(lambda: "room" in sockets[2].rooms)
        await three.servers[1].to("room").emit("x")
        for number in (0, 2):
            assert await three.get(number, sids[number]).text() == '42["x"]'
        found = await three.servers[1].fetch_sockets()
        assert {remote.id for remote in found} == {socket.id for socket in sockets}
        assert not found.missing


async def test_worker_that_is_gone_is_an_ordinary_refusal(base: Path) -> None:
    async with site(base) as three:
        sid = await three.open(0)
        held = three.get(1, sid)
        await until(lambda: three.servers[0].stats().running == 0)
        siblings = three.servers[0].siblings
        assert siblings is not None
        siblings.mesh.stop()
        for exchange in (held, three.get(1, sid), three.get(2, sid, "POST", "2")):
            assert await exchange.start() == 400
            answer = await exchange.json()
            assert answer["code"] == 1
            assert answer["message"].startswith("Session ID unknown")
        # Others are not harmed.
        other = await three.open(1)
        assert await three.get(2, other, "POST", "1").text() == "ok"


async def test_sid_of_nobody_is_looked_for_nowhere(base: Path) -> None:
    async with site(base) as three:
        for sid in ("x", "../../etc/passwd", "aaaaaaaa" + "b" * 24, "%00" * 12, "ü" * 20):
            exchange = three.get(0, sid)
            assert await exchange.start() == 400
            assert (await exchange.json())["code"] == 1


async def test_what_of_the_request_is_plain_is_known_where_it_is_answered(base: Path) -> None:
    seen: list[tuple[object, ...]] = []

    async def allow(handshake: Handshake) -> Allowed:
        scope = handshake.scope
        seen.append((handshake.headers.get("x"), handshake.address, scope.get("session"), scope.get("user")))
        return Allowed(principal="ann")

    async with site(base, allow_request=allow) as three:
        inside = three.clients[1].app

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            scope["session"] = {"name": "ann", "cart": [1, (2, 3)], "object": object()}
            scope["user"] = object()
            await inside(scope, receive, send)

        three.clients[1].app = middleware
        sid = await three.open(0)
        upgrade = three.clients[1].websocket(
            f"/socket.io/?EIO=4&transport=websocket&sid={sid}", headers={"x": "carried"}
        )
        await upgrade.accept()
        upgrade.send("2probe")
        assert await upgrade.receive() == "3probe"
        upgrade.send("5")
        upgrade.send('420["unknown"]')
        await until(lambda: three.servers[0].stats().upgrades == 1)
    assert seen[-1] == ("carried", ("127.0.0.1", 50000), {"name": "ann", "cart": [1, [2, 3]]}, None)


async def test_bare_sessions_are_carried_too_by_every_transport(base: Path) -> None:
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    one, two = Engine(echo, workers=base), Engine(echo, workers=base)
    for engine in (one, two):
        await engine.join()

    async def anyone(scope: Any, receive: Any, send: Any) -> None:
        await (two if b"sid=" in scope["query_string"] else one)(scope, receive, send)

    async with client_of(anyone) as client:
        for transport in ("websocket", "stream", "polling"):
            peer = CountingPeer(client)
            carrier = await peer.open("polling")
            if transport != "polling":
                carrier = await peer.attach(transport)
                await carrier.attached()
            await carrier.send("a", b"\x00\xff", "ü")
            assert await carrier.take(3) == ["a", b"\x00\xff", "ü"]
    assert two.session_count == 0
    for engine in (one, two):
        await engine.shutdown()


async def test_servers_that_are_told_not_to_meet_are_alone(base: Path) -> None:
    server = Server(workers=None)
    assert server.forwarding is None
    async with client_of(server) as client:
        exchange = client.get(POLLING + "&sid=aaaaaaaabbbbbbbb")
        assert await exchange.start() == 400


async def echo(session: SockJSSession) -> None:
    async for message in session:
        await session.send(message)


async def test_session_of_sockjs_is_found_although_its_id_says_nothing(base: Path) -> None:
    servers = [SockJS(echo, path="/echo", workers=base) for _ in range(3)]
    for server in servers:
        await server.join()
    async with client_of(servers[0]) as one, client_of(servers[1]) as two, client_of(servers[2]) as three:
        for id in ("some", "other"):
            url = f"/echo/000/{id}"
            assert await one.post(f"{url}/xhr", "").text() == "o\n"
            for number, client in enumerate((two, three, one, two)):
                sent = client.post(f"{url}/xhr_send", json.dumps([f"{number}"]))
                assert await sent.start() == 204
                poll = (three, one, two, three)[number].post(f"{url}/xhr", "")
                assert await poll.text() == f'a["{number}"]\n'
        unknown = two.post("/echo/000/unknown/xhr_send", '["x"]')
        assert await unknown.start() == 404
        assert [server.session_count for server in servers] == [2, 0, 0]
        held = two.post("/echo/000/some/xhr", "")
        await until(lambda: any(session.attached for session in servers[0].table.sessions.values()))
        await servers[0].shutdown()
        assert "3000" in await held.text()
        # Nobody has it now: it is a new one.
        assert await three.post("/echo/000/some/xhr", "").text() == "o\n"
    for server in servers:
        await server.shutdown()


async def test_worker_that_leaves_ends_what_it_carries_of_sockjs(base: Path) -> None:
    servers = [SockJS(echo, path="/echo", workers=base) for _ in range(2)]
    for server in servers:
        await server.join()
    owner, leaving = servers
    assert leaving.forwarding is not None
    async with client_of(owner) as one, client_of(leaving) as two:
        assert await one.post("/echo/000/some/xhr", "").text() == "o\n"
        for way in ("xhr", "xhr_streaming"):
            held = two.post(f"/echo/000/some/{way}", "")
            await until(lambda: any(session.attached for session in owner.table.sessions.values()))
            leaving.forwarding.leave()
            assert (await held.text()).strip("h\n") == ""
            leaving.forwarding.stay()
        assert await two.post("/echo/000/some/xhr_send", '["x"]').start() == 204
        assert await one.post("/echo/000/some/xhr", "").text() == 'a["x"]\n'
    for server in servers:
        await server.shutdown()
