"""What the server lets in of what it could: transports, upgrades, the JavaScript client."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from asgi_driver import ManualClock
from counting_peer import CountingPeer, Site, client_of, open_site
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from holdfast import Engine, Server, Session
from holdfast.transports.client_files import CLIENT_FILES

PATH = "/engine.io/"
URL = f"{PATH}?EIO=4&transport="
ALL = ("websocket", "stream", "polling")
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(ALL, size)]


async def tried(site: Site, query: str) -> tuple[int, dict[str, Any]]:
    """Status, and the refusal or the open packet."""
    if "websocket" in query:
        socket = site.client.websocket(URL + query)
        first = await socket.next()
        if first["type"] != "websocket.accept":
            return first["status"], json.loads((await socket.next())["body"])
        return 200, json.loads(str(await socket.receive())[1:])
    exchange = site.client.get(URL + query)
    status = await exchange.start()
    if status != 200:
        return status, await exchange.json()
    body = b""
    while b"}" not in body:
        body += await exchange.chunk()
    return status, json.loads(body[body.index(b"{") :].splitlines()[0])


@pytest.mark.parametrize("transports", SUBSETS)
@pytest.mark.parametrize("counting", [False, True])
async def test_transports_that_are_let_in_open_a_session_and_tell_of_each_other(
    transports: tuple[str, ...], counting: bool
) -> None:
    async with open_site(transports=transports) as site:
        for transport in ALL if counting else ("websocket", "polling"):
            status, value = await tried(site, transport + ("&holdfast=1" if counting else ""))
            if transport in transports:
                assert status == 200
                upgrades = ["websocket"] if transport != "websocket" and "websocket" in transports else []
                assert value["upgrades"] == upgrades
                if counting:
                    assert value["holdfast"]["transports"] == list(transports)
            else:
                assert status == 400
                assert value["code"] == 0
                assert value["message"].startswith("Transport unknown: ")
                assert "setting transports" in value["message"]
                assert ", ".join(transports) in value["message"]


async def test_transport_that_is_left_out_cannot_be_attached_either() -> None:
    async with open_site(transports=["websocket"]) as site:
        peer = CountingPeer(site.client)
        carrier = await peer.open("websocket")
        for transport in ("stream", "polling"):
            exchange = peer.attach_exchange(transport, peer.new_number())
            assert await exchange.start() == 400
            assert (await exchange.json())["code"] == 0
        await site.session.send("unharmed")
        assert await carrier.take(1) == ["unharmed"]


async def test_post_brings_whatever_carries_the_session() -> None:
    async with open_site(transports=["stream"]) as site:
        peer = CountingPeer(site.client)
        await peer.open("stream")
        peer.said.append("hello")
        assert (await peer.post()).status == 200
        assert site.received == ["hello"]
        # It opens nothing, and is nothing to a plain peer.
        for query in ("polling&holdfast=1", f"polling&sid={peer.sid}"):
            exchange = site.client.post(URL + query, "4x")
            assert await exchange.start() == 400
            assert (await exchange.json())["code"] == 0


async def test_plain_client_upgrades_unless_it_must_not() -> None:
    async with open_site(allow_upgrades=False) as site:
        status, value = await tried(site, "polling")
        assert (status, value["upgrades"]) == (200, [])
        sid = value["sid"]
        socket = site.client.websocket(f"{URL}websocket&sid={sid}")
        start, body = await socket.next(), await socket.next()
        refusal = json.loads(body["body"])
        assert (start["status"], refusal["code"]) == (400, 3)
        assert refusal["message"].startswith("Bad request: ")
        assert "allow_upgrades" in refusal["message"]
        # It goes on by polling, and others open by WebSocket as before.
        assert await site.client.post(f"{URL}polling&sid={sid}", "4hello").text() == "ok"
        assert (await tried(site, "websocket"))[0] == 200


async def test_unknown_session_is_told_so_before_that_there_are_no_upgrades() -> None:
    async with open_site(allow_upgrades=False) as site:
        assert (await tried(site, "websocket&sid=unknown"))[1]["code"] == 1


async def test_counting_client_moves_to_what_there_is_even_without_upgrades() -> None:
    async with open_site("polling", allow_upgrades=False) as site:
        peer, _ = await site.opened()
        assert peer.open_packet["upgrades"] == ["websocket"]
        carrier = await peer.attach("websocket")
        await carrier.attached()
        await site.session.send("moved")
        assert await carrier.take(1) == ["moved"]


# -- the JavaScript client


async def function(session: Session) -> None:
    del session


@pytest.mark.parametrize("name", CLIENT_FILES)
async def test_client_is_served_or_is_not_there(name: str) -> None:
    for options, found in (({}, True), ({"serve_client": False}, False)):
        server = Server(clock=ManualClock(), **options)
        async with client_of(server) as client:
            for method in ("GET", "HEAD", "POST"):
                status = await client.request(method, f"/socket.io/{name}").start()
                assert (status != 404) == found
            assert await client.get("/socket.io/?EIO=4&transport=polling").start() == 200


async def test_without_the_client_its_names_at_the_root_are_the_applications() -> None:
    def hello(request: object) -> PlainTextResponse:
        return PlainTextResponse("mine")

    other = Starlette(routes=[Route("/holdfast.min.js", hello)])
    engine = Engine(function, path="/", app=other, serve_client=False, clock=ManualClock())
    async with client_of(engine) as client:
        assert await client.get("/holdfast.min.js").text() == "mine"
        assert (await client.get("/?EIO=4&transport=polling").text()).startswith("0{")
