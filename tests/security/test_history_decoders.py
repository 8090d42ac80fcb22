"""The security history of decoders: what has brought others down, sent to us.

Each test has the identifier in its name.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import anyio
import anyio.lowlevel
import msgpack
import pytest
from asgi_driver import Client, ManualClock, WebSocketExchange, drive, settled
from bombs import SEPARATOR, packet_of

import holdfast
from holdfast import CloseReason, Engine, Server, Session, Socket
from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.wire.codec import JsonCodec
from holdfast.engine.wire.socketio import RESERVED_EVENTS, BinaryHeader

pytestmark = pytest.mark.anyio

POLLING = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"
CONNECT = {"json": "40", "msgpack": b"\x82\xa4type\x00\xa3nsp\xa1/"}


def server(**settings: object) -> tuple[Server, list[object]]:
    io, heard = Server(**settings), list[object]()

    @io.on("*")
    async def any_event(socket: Socket, name: str, *args: object) -> None:
        heard.append(name)

    return io, heard


async def websocket(client: Client, codec: str = "json") -> WebSocketExchange:
    """A plain peer that is connected to the main namespace."""
    peer = client.websocket(WEBSOCKET)
    await peer.accept()
    await peer.receive()
    peer.send(CONNECT[codec])
    await peer.receive()
    return peer


async def polling(client: Client) -> str:
    """The address of a plain peer's session, connected to the main namespace."""
    opened = json.loads((await client.get(POLLING).text())[1:])
    url = f"{POLLING}&sid={opened['sid']}"
    assert await client.post(url, "40").text() == "ok"
    await client.get(url).text()
    return url


@pytest.mark.parametrize("body", ["99999991:4222", "0" * 5_000, "4" + "2" * 900_000, "9" * 900_000 + ":4"])
async def test_cve_2020_36048_cve_2020_36049_numbers_and_lengths_of_a_body_are_not_believed(
    body: str,
) -> None:
    io, heard = server()
    async with drive(io) as client:
        url = await polling(client)
        exchange = client.post(url, body)
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 3
        assert not io.table.sessions
    assert heard == []


@pytest.mark.parametrize("size", [1_000_001, 50_000_000])
async def test_cve_2020_36048_body_over_the_limit_is_not_read(size: int) -> None:
    io, _ = server()
    async with drive(io) as client:
        url = await polling(client)
        exchange = client.request(
            "POST", url, body=b"4", more_body=True, headers={"content-length": str(size)}
        )
        assert await exchange.start() == 413


@pytest.mark.parametrize(
    "number", ["-1", "0.5", "1", "2", "true", "null", '"__proto__"', '"constructor"', "[0]", '{"toString":1}']
)
async def test_cve_2022_2421_number_of_a_placeholder_is_checked(number: str) -> None:
    text = f'51-["e",{{"_placeholder":true,"num":{number}}}]'
    with pytest.raises(RemoteProtocolError):
        JsonCodec().decode(text)
    io, heard = server()
    async with drive(io) as client:
        peer = await websocket(client)
        peer.send("4" + text)
        assert await peer.closed() == 1002
    assert heard == []


@pytest.mark.parametrize("name", ['{"toString":1}', '{"toString":1,"valueOf":1}', "null", "0", "[]", "true"])
@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_cve_2023_32695_name_of_an_event_is_a_text(name: str, codec: str) -> None:
    io, heard = server()
    async with drive(io) as client:
        peer = await websocket(client, codec)
        packed = msgpack.packb({"type": 2, "nsp": "/", "data": [json.loads(name)]})
        peer.send(f"42[{name}]" if codec == "json" else packed)
        assert await peer.closed() == 1002
    assert heard == []


@pytest.mark.parametrize("name", sorted(RESERVED_EVENTS))
@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_cve_2024_38355_reserved_event_is_refused(name: str, codec: str) -> None:
    io, heard = server()
    async with drive(io) as client:
        peer = await websocket(client, codec)
        packed = msgpack.packb({"type": 2, "nsp": "/", "data": [name]})
        peer.send(f'42["{name}"]' if codec == "json" else packed)
        assert await peer.closed() == 1002
    assert heard == []


@pytest.mark.parametrize("name", ["error", "__init__", "on", "emit", "*", "constructor", "__proto__", ""])
async def test_cve_2024_38355_any_other_name_is_an_event_like_all(name: str) -> None:
    io, heard = server()
    async with drive(io) as client:
        peer = await websocket(client)
        peer.send(f'421["{name}"]')
        assert await peer.receive() == "431[]"
    assert heard == [name]


class TestCve202633151:
    """Attachments that are announced, and kept for ever."""

    async def test_cve_2026_33151_number_of_attachments_is_bounded(self) -> None:
        io, _ = server()
        async with drive(io) as client:
            for number in (11, 999_999, 10**30):
                peer = await websocket(client)
                peer.send(f'45{number}-["e"]')
                assert await peer.closed() in (1002, 1008)

    async def test_cve_2026_33151_attachments_are_bounded_together(self) -> None:
        io, _ = server(max_payload=10_000)
        places = ",".join(f'{{"_placeholder":true,"num":{place}}}' for place in range(10))
        async with drive(io) as client:
            peer = await websocket(client)
            peer.send(f'4510-["e",{places}]')
            for _ in range(2):
                peer.send(b"x" * 5_001)
            assert await peer.closed() == 1009
            assert not io.table.sessions

    @pytest.mark.parametrize("sent", [0, 1])
    async def test_cve_2026_33151_attachments_have_their_time(self, sent: int) -> None:
        clock = ManualClock()
        io, heard = server(clock=clock, max_payload=1_000)
        places = ",".join(f'{{"_placeholder":true,"num":{place}}}' for place in range(3))
        async with drive(io) as client:
            peer = await websocket(client)
            peer.send(f'453-["e",{places}]')
            await clock.advance(9)
            for _ in range(sent):
                peer.send(b"x")
            await clock.advance(0.9 if not sent else 9.9)
            assert len(io.table.sessions) == 1
            await clock.advance(0.2)
            assert await peer.closed() == 1008
            assert not io.table.sessions
        assert heard == []

    async def test_cve_2026_33151_packet_that_is_complete_in_time_is_one_like_all(self) -> None:
        clock = ManualClock()
        io, heard = server(clock=clock)
        async with drive(io) as client:
            peer = await websocket(client)
            for _ in range(3):
                peer.send('451-["e",{"_placeholder":true,"num":0}]')
                await clock.advance(9)
                peer.send(b"x")
                await settled()
            await clock.advance(11)
            assert len(io.table.sessions) == 1
        assert heard == ["e"] * 3

    async def test_cve_2026_33151_large_one_has_the_time_that_a_slow_uplink_takes(self) -> None:
        clock = ManualClock()
        io, heard = server(clock=clock, ping_interval=1000)
        async with drive(io) as client:
            peer = await websocket(client)
            peer.send('452-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
            await clock.advance(29)
            peer.send(b"x" * 500_000)
            # Half a megabyte may be in the second.
            await clock.advance(19)
            peer.send(b"x" * 500_000)
            await settled()
        assert heard == ["e"]

    async def test_cve_2026_33151_session_without_a_carrier_has_the_time_it_is_away(self) -> None:
        clock = ManualClock()
        io, heard = server(clock=clock)
        url = WEBSOCKET + "&holdfast=1"
        async with drive(io) as client:
            peer = client.websocket(url)
            await peer.accept()
            opened = json.loads(str(await peer.receive())[1:].split(SEPARATOR)[0])
            peer.send(f'91{SEPARATOR}40{SEPARATOR}451-["e",{{"_placeholder":true,"num":0}}]')
            await peer.receive()
            peer.close()
            await peer.finished()
            await clock.advance(60)
            peer = client.websocket(f"{url}&sid={opened['sid']}")
            await peer.accept()
            attach = {"key": opened["holdfast"]["key"], "received": 0, "carrier": 2}
            peer.send("7" + json.dumps(attach))
            await peer.receive()
            await clock.advance(9)
            peer.send(f"93{SEPARATOR}beA==")
            await settled()
        assert heard == ["e"]

    @pytest.mark.parametrize("first", [b"x", '451-["e",{"_placeholder":true,"num":0}]'])
    async def test_python_socketio_5_16_2_nothing_binary_before_connect(self, first: str | bytes) -> None:
        io, heard = server()
        async with drive(io) as client:
            peer = client.websocket(WEBSOCKET)
            await peer.accept()
            await peer.receive()
            peer.send(first)
            assert await peer.closed() == 1002
        assert heard == []


@pytest.mark.parametrize("number", [19_000, 50_000])
@pytest.mark.parametrize("packet", ["3", "6"])
async def test_cve_2026_48802_unsolicited_pongs_start_no_tasks(number: int, packet: str) -> None:
    io, _ = server(clock=ManualClock())
    async with drive(io) as client:
        peer = client.websocket(WEBSOCKET)
        await peer.accept()
        await peer.receive()
        running = io.table.host.running
        for _ in range(number):
            peer.send(packet)
        with anyio.fail_after(20):
            while peer.untaken() and io.table.sessions:
                assert io.table.host.running <= running
                await anyio.lowlevel.checkpoint()
        if number > 20_000:
            # Far more than anybody sends: max_events_per_second.
            assert await peer.closed() == 1008
        assert io.table.host.running <= running


@pytest.mark.parametrize("transport", ["plain", "counting", "websocket"])
async def test_cve_2026_32689_body_of_nothing_but_separators_ends_at_the_first(transport: str) -> None:
    io, _ = server()
    body = SEPARATOR * 1_000_000
    async with drive(io) as client:
        if transport == "plain":
            exchange = client.post(await polling(client), body)
            assert await exchange.start() == 400
        elif transport == "counting":
            opened = json.loads((await client.get(POLLING + "&holdfast=1").text())[1:].split(SEPARATOR)[0])
            attach = "7" + json.dumps({"key": opened["holdfast"]["key"], "received": 0})
            url = f"{POLLING}&holdfast=1&sid={opened['sid']}"
            exchange = client.post(url, attach + body[: 1_000_000 - len(attach)])
            assert await exchange.start() == 400
        else:
            peer = client.websocket(WEBSOCKET + "&holdfast=1")
            await peer.accept()
            await peer.receive()
            peer.send(body)
            assert await peer.closed() == 4003
        assert not io.table.sessions


@pytest.mark.parametrize(
    "header", [b"\xdd\x00\x00\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_cve_2026_21452_ghsa_qjvr_435c_5fjh_announced_lengths_are_not_believed(
    header: bytes, transport: str
) -> None:
    io, heard = server()
    bomb = header * (700_000 // len(header))
    async with drive(io) as client:
        if transport == "websocket":
            peer = await websocket(client, "msgpack")
            peer.send(bomb)
            assert await peer.closed() == 1002
        else:
            opened = json.loads((await client.get(POLLING).text())[1:])
            url = f"{POLLING}&sid={opened['sid']}"
            assert await client.post(url, packet_of(CONNECT["msgpack"])).text() == "ok"
            assert await client.post(url, packet_of(bomb)).start() == 400
    assert heard == []


DATE = b"\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff"
STAMP = b"\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"
WRONG: dict[str, str | bytes] = {
    "digits": "42" + "9" * 5_000,
    "digits of a value": '42["e",' + "9" * 5_000 + "]",
    "digits of attachments": "45" + "9" * 5_000 + '-["e"]',
    "depth": "42" + "[" * 100_000,
    "depth of a header": '451-["e",{"_placeholder":true,"num":0},' + "[" * 970 + "]" * 970 + "]",
    "no JSON": '42["e",}',
    "constants": '42["e",NaN]',
    "date": b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e" + DATE,
    "timestamp": b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e" + STAMP,
    "no UTF-8": b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa2\xff\xfe",
    "nested": b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data" + b"\x91" * 100_000,
    "key": b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e\x81\xc4\x01k\x00",
}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("name", WRONG)
async def test_cve_2020_10735_no_error_of_a_decoder_reaches_the_server(
    name: str, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    io, heard = server()
    packet = WRONG[name]
    codec = "json" if isinstance(packet, str) else "msgpack"
    async with drive(io) as client:
        if transport == "websocket":
            peer = await websocket(client, codec)
            peer.send(packet)
            assert await peer.closed() in (1002, 1008, 1009)
        else:
            opened = json.loads((await client.get(POLLING).text())[1:])
            url = f"{POLLING}&sid={opened['sid']}"
            first = CONNECT[codec]
            await client.post(url, first if isinstance(first, str) else packet_of(first)).text()
            body = packet if isinstance(packet, str) else packet_of(packet)
            assert await client.post(url, body).start() == 400
        assert not io.table.sessions
    assert heard == []
    assert "Traceback" not in caplog.text


def test_cve_2020_10735_header_that_was_taken_is_completed_or_refused_wherever_that_is() -> None:
    depth = 900
    text = '51-["e",{"_placeholder":true,"num":0},' + "[" * depth + "]" * depth + "]"
    header = JsonCodec(max_depth=10_000).decode(text)
    assert isinstance(header, BinaryHeader)

    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        else:
            header.complete([b"x"])

    assert header.complete([b"x"]).data
    # Since Python 3.12 the stack of C code, which reads it, is another one.
    with nullcontext() if sys.version_info >= (3, 12) else pytest.raises(RemoteProtocolError):
        deeper(300)


def test_cve_2025_61765_nothing_here_can_run_what_it_decodes() -> None:
    package = Path(holdfast.__file__).parent
    files = [
        file for folder in ("engine", "transports", "compat") for file in (package / folder).rglob("*.py")
    ]
    assert len(files) > 50
    dangerous = re.compile(
        r"^\s*(?:from|import)\s+(?:pickle|cPickle|marshal|shelve|dill|yaml)\b|\b(?:eval|exec)\(", re.MULTILINE
    )
    assert [file.name for file in files if dangerous.search(file.read_text("utf-8"))] == []


async def test_messages_without_bytes_are_not_free_to_who_keeps_them() -> None:
    sessions: list[Session] = []

    async def asleep(session: Session) -> None:
        sessions.append(session)
        await anyio.sleep_forever()

    clock = ManualClock()
    async with drive(Engine(asleep, clock=clock, max_payload=10_000)) as client:
        peer = client.websocket("/engine.io/?EIO=4&transport=websocket")
        await peer.accept()
        await peer.receive()
        for _ in range(10_000 * 16 // 150 + 1):
            peer.send("4")
        await clock.advance(2)
        assert await peer.closed() == 1008
    assert sessions[0].reason is CloseReason.BUFFER_FULL


async def test_acknowledgements_that_a_peer_owes_are_bounded() -> None:
    io, _ = server(max_pending_acks=3)
    sockets: list[Socket] = []
    io.on("connect", lambda socket: sockets.append(socket))
    errors: list[str] = []
    async with drive(io) as client:
        owing, other = await websocket(client), await websocket(client)

        async def ask() -> None:
            try:
                await sockets[0].emit_with_ack("q")
            except holdfast.LocalProtocolError as error:
                errors.append(str(error))

        for number in range(3):
            client.tasks.start_soon(ask)
            assert await owing.receive() == f'42{number}["q"]'
        await ask()
        assert errors == ["the client owes 3 acknowledgements (setting max_pending_acks)"]

        # Nobody else misses a question to all, and who owes too much is asked like them.
        answers: list[object] = []

        async def ask_all() -> None:
            answers.append(await io.emit_with_ack("all"))

        client.tasks.start_soon(ask_all)
        question = str(await other.receive())
        assert str(await owing.receive()) == question
        other.send(f'43{question[2:].partition("[")[0]}["here"]')
        await settled()
        assert answers == [["here"]]
        owing.send("430[]")
        await settled()
        client.tasks.start_soon(ask)
        assert str(await owing.receive()).endswith('["q"]')


async def test_packets_in_a_second_are_bounded_and_their_number_comes_back() -> None:
    clock = ManualClock()
    io, heard = server(max_events_per_second=100, clock=clock)
    async with drive(io) as client:
        peer = await websocket(client)
        for _ in range(5):
            for _ in range(90):
                peer.send('42["e"]')
            await settled()
            assert len(io.table.sessions) == 1
            await clock.advance(1)
        for _ in range(210):
            peer.send('42["e"]')
        await settled()
        # No more is read for now.
        assert len(heard) <= 450 + 201
        for _ in range(200):
            await clock.advance(0.02)
        assert len(io.table.sessions) == 1
    assert len(heard) == 450 + 210


async def test_peer_that_comes_and_goes_while_handlers_hang_is_closed() -> None:
    io = Server()

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        await anyio.sleep_forever()

    async with drive(io) as client:
        peer = client.websocket(WEBSOCKET)
        await peer.accept()
        await peer.receive()
        for _ in range(201):
            peer.send("40")
            # Who has left before his handler has begun costs nothing.
            await settled()
            peer.send("41")
        assert await peer.closed() == 1008
        await settled()
        assert io.table.host.running <= 201


async def test_nothing_is_decoded_after_the_end() -> None:
    io, heard = server()
    async with drive(io) as client:
        url = await polling(client)
        body = SEPARATOR.join(['42["first"]', "1", *["broken"] * 1_000])
        assert await client.post(url, body).text() == "ok"
    assert heard == ["first"]
