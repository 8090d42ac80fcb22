"""What the lane does besides what the transports' tests ask of every way."""

from __future__ import annotations

from typing import Any

import pytest
from asgi_driver import WebSocketExchange, settled
from carried import MemoryCourier
from counting_peer import Lane, Site, open_site
from fast_driver import FastClient, encode_frame
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from holdfast import CloseReason, Engine, SockJS
from holdfast.fast import FastLane

pytestmark = pytest.mark.anyio

_CLOSE = encode_frame(8, b"\x03\xe8")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lane, "is_fast", True)


async def opened(site: Site) -> WebSocketExchange:
    """One that carries a session."""
    socket = site.client.websocket("/engine.io/?EIO=4&transport=websocket")
    await socket.accept()
    await socket.receive()
    return socket


async def test_what_is_said_before_a_close_counts_however_much_it_is() -> None:
    async with open_site("websocket") as site:
        socket = await opened(site)
        wire = socket._side.wire  # pyright: ignore
        said = [f"4{number}" for number in range(350)]
        wire.bring(b"".join([encode_frame(1, text.encode()) for text in said]) + _CLOSE)
        assert await socket.closed() == 1000
        await socket.finished()
        assert site.received == [text[1:] for text in said]


async def test_pings_without_end_are_answered_by_a_few_and_by_the_last() -> None:
    async with open_site("websocket") as site:
        socket = await opened(site)
        side = socket._side  # pyright: ignore
        for count, expected in ((10, [*range(10)]), (20_000, [*range(15), 19_999])):
            written = list[bytes]()
            side.written = written.append
            side.wire.bring(b"".join([encode_frame(9, b"%d" % number) for number in range(count)]))
            pongs = [b"%d" % number for number in expected]
            assert written == [b"".join([bytes((0x8A, len(pong))) + pong for pong in pongs])]


async def test_others_have_their_turn_between_two_large_reads() -> None:
    async with open_site("websocket") as site:
        socket = await opened(site)
        wire = socket._side.wire  # pyright: ignore
        wire.bring(encode_frame(10, b"") * 10_000)
        wire.bring(encode_frame(10, b"") * 10_000)
        socket.send("4hello")
        assert site.received == []
        await settled()
        assert site.received == ["hello"]


@pytest.mark.parametrize("count", [1, 350])
async def test_what_is_said_between_the_end_of_an_upgrade_and_a_close_counts(count: int) -> None:
    async with open_site("polling") as site:
        opened = await site.client.get("/engine.io/?EIO=4&transport=polling").text()
        socket = site.client.websocket(
            f"/engine.io/?EIO=4&transport=websocket&sid={opened.split(chr(34))[3]}"
        )
        await socket.accept()
        socket.send("2probe")
        assert await socket.receive() == "3probe"
        wire = socket._side.wire  # pyright: ignore
        said = [f"4{number}" for number in range(count)]
        # As an official client that is disconnected in the moment of its upgrade.
        wire.bring(b"".join([encode_frame(1, text.encode()) for text in ("5", *said)]) + _CLOSE)
        await socket.finished()
        await settled()
        assert site.received == [text[1:] for text in said]
        assert site.application.ended == [CloseReason.TRANSPORT_CLOSE]


@pytest.mark.parametrize("place", ["/elsewhere", "/behind/engine.io"])
async def test_a_request_for_another_node_is_answered_there_wherever_the_lane_is(place: str) -> None:
    async with open_site("polling") as site:
        opened = await site.client.get("/engine.io/?EIO=4&transport=polling").text()
        query = f"/?EIO=4&sid={opened.split(chr(34))[3]}&transport="
        edge = Engine(site.application)
        others: dict[str, MemoryCourier] = {}
        for endpoint in (site.engine, edge):
            endpoint.carry_by(MemoryCourier(str(endpoint.table.node), others))
        client = FastClient(FastLane(edge, place), edge, site.client.tasks)
        assert await client.post(f"{place}{query}polling", "4by another").text() == "ok"
        socket = client.websocket(f"{place}{query}websocket")
        await socket.accept()
        socket.send("2probe")
        assert await socket.receive() == "3probe"
        await client.leave()
        client.close()
        assert site.received == ["by another"]


@pytest.mark.parametrize("lengths", [("2", "0"), ("2", "2"), ("0", "2")])
async def test_a_body_of_two_lengths_is_not_taken(lengths: tuple[str, str]) -> None:
    async with open_site("polling") as site:
        opened = await site.client.get("/engine.io/?EIO=4&transport=polling").text()
        sid = opened.split('"')[3]
        url = f"/engine.io/?EIO=4&transport=polling&sid={sid}"
        headers = [("content-length", length) for length in lengths]
        exchange = site.client.post(url, "4x", headers=headers)
        assert await exchange.start() == 400
        assert site.received == []


async def test_an_older_uvicorn_has_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = HttpToolsProtocol.__init__

    def begin_as_before(self: HttpToolsProtocol, *args: Any, **more: Any) -> None:
        begin(self, *args, **more)
        # Before 0.50 its configuration alone had it.
        del self.asgi_version

    monkeypatch.setattr(HttpToolsProtocol, "__init__", begin_as_before)
    async with open_site("websocket") as site:
        await opened(site)


def test_what_is_no_server_of_ours_is_refused() -> None:
    async def nothing(session: object) -> None:
        pass

    lane = FastLane(Engine(nothing))
    with pytest.raises(TypeError, match="SockJS"):
        lane.add(SockJS(nothing), "/echo")
