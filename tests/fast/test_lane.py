"""What the lane does besides what the transports' tests ask of every way."""

from __future__ import annotations

import pytest
from counting_peer import Lane, open_site

from holdfast import Engine, SockJS
from holdfast.fast import FastLane

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lane, "is_fast", True)


async def test_what_is_said_before_a_close_counts_however_much_it_is() -> None:
    async with open_site("websocket") as site:
        socket = site.client.websocket("/engine.io/?EIO=4&transport=websocket")
        await socket.accept()
        await socket.receive()
        wire = socket._side.wire  # pyright: ignore
        said = [f"4{number}" for number in range(350)]
        frames = b"".join([bytes((0x81, 0x80 | len(text))) + b"\0" * 4 + text.encode() for text in said])
        wire.bring(frames + b"\x88\x82\0\0\0\0\x03\xe8")
        assert await socket.closed() == 1000
        await socket.finished()
        assert site.received == [text[1:] for text in said]


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


def test_what_is_no_server_of_ours_is_refused() -> None:
    async def nothing(session: object) -> None:
        pass

    lane = FastLane(Engine(nothing))
    with pytest.raises(TypeError, match="SockJS"):
        lane.add(SockJS(nothing), "/echo")
