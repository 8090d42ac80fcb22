"""Opening a counting session, and moving it about."""

from __future__ import annotations

import itertools
import json
import logging

import pytest
from asgi_driver import settled
from check_transport import TRANSPORTS
from counting_peer import Data, open_site


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_open_packet_confirms_the_extension(transport: str) -> None:
    async with open_site(transport, counting_ping_interval=10.0, counting_ping_timeout=5.0) as site:
        peer, _ = await site.opened()
        value = peer.open_packet
        assert len(value["sid"]) >= 22
        assert value["pingInterval"] == 10_000
        assert value["pingTimeout"] == 5_000
        assert value["maxPayload"] == 1_000_000
        extension = value["holdfast"]
        assert len(extension.pop("key")) >= 22
        assert extension == {
            "version": 1,
            "codec": "json",
            "transports": ["websocket", "stream", "polling"],
            "grace": 120_000,
        }


@pytest.mark.parametrize(
    ("asked", "codec"),
    [
        ("", "json"),
        ("&codec=msgpack,json", "msgpack"),
        ("&codec=json,msgpack", "json"),
        ("&codec=cbor,msgpack", "msgpack"),
        ("&codec=cbor", "json"),
    ],
)
async def test_codec_is_the_first_that_both_know(asked: str, codec: str) -> None:
    async with open_site() as site:
        text = await site.client.get(f"/engine.io/?EIO=4&transport=polling&holdfast=1{asked}").text()
        assert json.loads(text[1:])["holdfast"]["codec"] == codec


@pytest.mark.parametrize("version", ["0", "2", "", "true"])
async def test_other_version_of_the_extension_is_not_confirmed(version: str) -> None:
    async with open_site() as site:
        text = await site.client.get(f"/engine.io/?EIO=4&transport=polling&holdfast={version}").text()
        assert "holdfast" not in json.loads(text[1:])


async def test_streaming_cannot_be_opened_without_the_extension() -> None:
    async with open_site() as site:
        exchange = site.client.get("/engine.io/?EIO=4&transport=stream")
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 0


@pytest.mark.parametrize("order", list(itertools.permutations(TRANSPORTS)), ids="-".join)
async def test_one_session_over_all_transports_up_and_down(order: tuple[str, ...]) -> None:
    async with open_site(order[0]) as site:
        peer, carrier = await site.opened()
        said: list[Data] = []
        heard: list[Data] = []
        for lap, transport in enumerate(order * 4):
            said.append(f"{lap} up \x1e\n")
            await carrier.send(said[-1])
            await site.session.send(b"down %d" % lap)
            if lap % 3:
                carrier.cut()
            carrier = await peer.attach(transport)
            await site.session.send(f"{lap} after")
            while peer.received < 2 * lap + 2:
                await carrier.read()
            heard += carrier.messages
            carrier.messages.clear()
            assert site.session.transport == transport
        await settled()
        assert site.received == said
        assert heard == [message for lap in range(12) for message in (b"down %d" % lap, f"{lap} after")]


async def test_acknowledgement_on_the_old_carrier_may_overtake_the_attach_on_the_new() -> None:
    async with open_site() as site:
        peer, old = await site.opened()
        for message in ("a", "b", "c"):
            await site.session.send(message)
        await old.take(3)
        new = await peer.attach("stream", received=1)
        await peer.post("83")
        await site.session.send("d")
        # Rule 5: what the writer owes since the attach is written, though it was acknowledged elsewhere meanwhile.
        assert await new.take(1) == ["d"]
        assert new.next == 5


async def test_older_acknowledgement_changes_nothing() -> None:
    async with open_site("stream") as site:
        peer, carrier = await site.opened()
        for message in ("a", "b", "c"):
            await site.session.send(message)
        await carrier.take(3)
        await peer.post("83")
        assert (await peer.post("3", received=1)).status == 200
        assert site.engine.table.sessions[peer.sid].buffered_bytes == 0
        resumed = await peer.attach("stream")
        await site.session.send("d")
        assert await resumed.take(1) == ["d"]
        assert resumed.next == 5


async def test_attach_at_a_position_that_was_forgotten_goes_on_at_the_acknowledged_one() -> None:
    async with open_site("stream") as site:
        peer, carrier = await site.opened()
        await site.session.send("a")
        await site.session.send("b")
        await carrier.take(2)
        await peer.post("82")
        late = await peer.attach("polling", received=1)
        await site.session.send("c")
        assert await late.take(1) == ["c"]
        assert late.next == 4


async def test_tombstones_are_limited() -> None:
    async with open_site("polling", max_tombstones=2) as site:
        peers = []
        for _ in range(3):
            peer, _ = await site.opened()
            await peer.post("91", "4one", "1")
            peers.append(peer)
        received = [(await (await peer.attach("polling")).refusal()).received for peer in peers]
        assert received == [None, 1, 1]


async def test_change_of_transport_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="holdfast.session")
    async with open_site("polling") as site:
        peer, _ = await site.opened()
        for transport in ("polling", "stream", "stream", "websocket", "polling"):
            await peer.attach(transport)
    assert [text.partition("goes on ")[2] for text in caplog.messages if "goes on" in text] == [
        "by stream, after polling",
        "by websocket, after stream",
        "by polling, after websocket",
    ]


async def test_secrets_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="holdfast")
    async with open_site() as site:
        peer, carrier = await site.opened()
        await carrier.send("private words")
        refused = await peer.attach("polling", key="wrong" + peer.key)
        await refused.refusal()
        await peer.post("x private words")
        await settled()
        assert not site.session.is_open
    assert len(caplog.records) >= 3
    for secret in (peer.sid, peer.key, "private words"):
        assert secret not in caplog.text


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_shutdown_tells_every_session_and_takes_no_more(transport: str) -> None:
    async with open_site(transport) as site:
        peer, carrier = await site.opened()
        await carrier.send("one")
        lost, gone = await site.opened()
        gone.cut()
        await settled()
        # Who may come back is counted, too.
        assert site.engine.session_count == 2
        site.client.tasks.start_soon(site.engine.shutdown)
        closing = await carrier.closing()
        assert closing.value == {"message": "server shutting down", "received": 1}
        await carrier.ended()
        await settled()
        assert [str(reason) for reason in site.application.ended] == ["server shutting down"] * 2
        assert site.engine.session_count == 0
        refusal = site.client.get(peer.url("polling", sid=False))
        assert await refusal.start() == 503
        assert (await (await lost.attach("polling")).refusal()).code == 1


async def test_more_sessions_than_the_limit_are_refused_with_503() -> None:
    async with open_site("polling", max_sessions=2) as site:
        peer, _ = await site.opened()
        await site.opened()
        full = site.client.get(peer.url("polling", sid=False))
        assert await full.start() == 503
        assert "max_sessions" in (await full.json())["message"]
        await peer.post("1")
        await site.opened()
