"""Each known fault of this kind of software in WebSockets and their frames, tried on real servers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
from raw_client import BINARY, PING, PONG, TEXT, frame, peak_kilobytes, raw_websocket, unharmed
from real_server import Running, free_port, running, server_command

pytestmark = pytest.mark.servers

WEBSOCKET = "/engine.io/?EIO=4&transport=websocket"
SERVERS = {
    "uvicorn": ["--ws=auto"],
    "uvicorn-fast": [],
    # wsproto unpacks a message whole before anybody counts it: docs/security.md says to leave its compression off.
    "uvicorn-sansio-h11": ["--ws=wsproto", "--ws-per-message-deflate=false"],
    "hypercorn-asyncio": [],
}


@pytest.fixture(scope="module", params=SERVERS)
def process(request: pytest.FixtureRequest) -> Iterator[Running]:
    port = free_port()
    with running(
        server_command(request.param, "server_app:app", port, *SERVERS[request.param]), port
    ) as server:
        yield server


@pytest.fixture
def server(process: Running) -> Iterator[Running]:
    with unharmed(process):
        yield process


@pytest.mark.parametrize("rsv", [1, 2, 4, 7])
def test_cve_2022_21676_reserved_bits_end_their_websocket_only(server: Running, rsv: int) -> None:
    with raw_websocket(server, WEBSOCKET) as socket:
        assert socket.head.startswith("HTTP/1.1 101 ")
        socket.send(frame(TEXT, b"4x", rsv=rsv))
        assert socket.closed() in (1002, 0)


def test_cve_2016_10518_pong_is_the_ping_and_nothing_of_the_memory(server: Running) -> None:
    with raw_websocket(server, WEBSOCKET) as socket:
        assert socket.frame()[0] == TEXT
        for size in (125, 0, 1, 64, 125, 2):
            data = bytes(range(size))
            socket.send(frame(PING, data))
            assert socket.frame() == (PONG, data)
        socket.send(frame(PING, bytes(126)))
        assert socket.closed() in (1002, 0)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_cve_2016_10542_cve_2018_1000518_message_of_any_size_is_not_kept(
    server: Running, opcode: int
) -> None:
    """Some servers refuse what is announced, some count what comes."""
    before = peak_kilobytes(server, again=True)
    with raw_websocket(server, WEBSOCKET) as socket:
        announced = frame(opcode, bytes(100_000_000))
        try:
            socket.send(announced[:20_000_000])
        except OSError:
            pass  # It has closed long since.
        assert socket.closed() in (1009, 0)
    assert peak_kilobytes(server) - before < 80_000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_cve_2026_42786_cve_2026_39804_fragments_are_counted_together(server: Running, opcode: int) -> None:
    with raw_websocket(server, WEBSOCKET) as socket:
        part = b"4" * 100_000
        rest = [frame(0, part, fin=number == 12) for number in range(13)]
        socket.send(frame(opcode, part, fin=False), *rest)
        assert socket.closed() == 1009


@pytest.mark.parametrize("millions", [2, 64])
def test_cve_2026_39804_bomb_of_deflate_is_counted_unpacked(server: Running, millions: int) -> None:
    packer = zlib.compressobj(9, wbits=-15)
    bomb = packer.compress(b"4" * millions * 1_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    before = peak_kilobytes(server, again=True)
    with raw_websocket(server, WEBSOCKET, ("Sec-WebSocket-Extensions", "permessage-deflate")) as socket:
        packed = "permessage-deflate" in socket.head
        socket.send(frame(TEXT, bomb.removesuffix(b"\0\0\xff\xff"), rsv=4))
        assert socket.closed() in ((1009, 0) if packed else (1002, 0))
    assert peak_kilobytes(server) - before < 60_000


def test_cve_2026_48779_cve_2026_45736_tiny_fragments_do_not_pile_up(server: Running) -> None:
    count = 40_000
    before = peak_kilobytes(server, again=True)
    with raw_websocket(server, WEBSOCKET) as socket:
        assert socket.frame()[0] == TEXT
        rest = [frame(0, b"x", fin=False)] * count
        socket.send(frame(TEXT, b"4", fin=False), *rest, frame(0, b"!"))
        opcode, data = socket.frame()
        assert (opcode, data) == (TEXT, b"4" + b"x" * count + b"!")
    assert peak_kilobytes(server) - before < 20_000
