"""Row S3: decoder bombs through each transport.

Each stalls the event loop for at most 50 ms, costs at most 5 MB more than a harmless message of its size, and ends
with a code.
"""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import thread_time

import anyio
import anyio.lowlevel
import pytest
from asgi_driver import Client, ManualClock, drive
from bombs import MESSAGES, PAYLOADS, SEPARATOR, packet_of

from holdfast import Server, Socket

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

STALL = 0.050
MEMORY = 5_000_000
BASE = "/socket.io/?EIO=4&transport="
CONNECT = {str: "0", bytes: b"\x82\xa4type\x00\xa3nsp\xa1/"}


def server() -> Server:
    # Its time stands still: what is counted by the second does not depend on how busy the machine is.
    io = Server(serve_client=False, clock=ManualClock())

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        del socket

    @io.on("e")
    async def event(socket: Socket, *args: object) -> int:
        return len(args)

    return io


class Stall:
    """The longest time for which nothing else had its turn, as processor time: what others on the machine take of it
    is not ours."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        before = thread_time()
        while True:
            await anyio.lowlevel.checkpoint()
            now = thread_time()
            self.longest = max(self.longest, now - before)
            before = now


@asynccontextmanager
async def watched() -> AsyncIterator[Stall]:
    stall = Stall()
    gc.collect()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stall.watch)
        await anyio.lowlevel.checkpoint()
        yield stall
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


class Peer:
    """One session of a transport, connected to the main namespace, about to throw something."""

    def __init__(self, client: Client, transport: str, *, counting: bool) -> None:
        self._client = client
        self._counting = counting
        self._url = f"{BASE}{transport}" + ("&holdfast=1" if counting else "")
        self._transport = transport
        self._attach: dict[str, object] = {}

    async def connect(self, first: str | bytes, codec: str) -> None:
        if self._counting:
            self._url += f"&codec={codec}"
        if self._transport == "websocket":
            self._websocket = self._client.websocket(self._url)
            await self._websocket.accept()
            await self._websocket.receive()
            if self._counting:
                first = SEPARATOR.join(["91", packet_of(first)])
                self._websocket.send(first)
            else:
                self._websocket.send("4" + first if isinstance(first, str) else first)
            await self._websocket.receive()
            return
        opened = json.loads((await self._client.get(self._url).text()).split(SEPARATOR)[0][1:])
        self._url += f"&sid={opened['sid']}"
        if self._counting:
            self._attach = {"key": opened["holdfast"]["key"], "received": 0}
        assert (await self._post("91", packet_of(first))).startswith("7" if self._counting else "ok")

    async def _post(self, *packets: str) -> str:
        return await self._client.post(self._url, self._body(*packets)).text()

    def _body(self, *packets: str) -> str:
        if self._counting:
            return SEPARATOR.join(["7" + json.dumps(self._attach), *packets])
        return SEPARATOR.join(packets[1:])

    async def throw(self, bomb: str | bytes, *, payload: bool = False) -> int:
        """What it ends with: a close code, or a status."""
        if self._transport == "websocket":
            if payload or self._counting:
                assert isinstance(bomb, str) or not payload
                self._websocket.send(bomb if payload and isinstance(bomb, str) else packet_of(bomb))
            else:
                self._websocket.send("4" + bomb if isinstance(bomb, str) else bomb)
            return await self._websocket.closed()
        packets = [bomb] if payload and isinstance(bomb, str) else [packet_of(bomb)]
        exchange = self._client.post(self._url, self._body("92", *packets))
        status = await exchange.start()
        assert (await exchange.json())["code"] == 3
        return status


CARRIERS = [("polling", False), ("polling", True), ("websocket", False), ("websocket", True)]
EXPECTED = {
    ("polling", False): {400},
    ("polling", True): {400},
    ("websocket", False): {1002, 1008, 1009},
    ("websocket", True): {4001, 4003},
}


async def thrown(
    carrier: tuple[str, bool], bomb: str | bytes, *, payload: bool = False, like: type = str
) -> tuple[float, int]:
    """The stall, and the code."""
    async with drive(server()) as client:
        peer = Peer(client, carrier[0], counting=carrier[1])
        await peer.connect(CONNECT[like], "json" if like is str else "msgpack")
        async with watched() as stall:
            with anyio.fail_after(5):
                code = await peer.throw(bomb, payload=payload)
        return stall.longest, code


async def best(carrier: tuple[str, bool], bomb: str | bytes, *, payload: bool = False) -> float:
    # The processor's own caches are shared with others: the best of three.
    longest = 1.0
    for _ in range(3):
        stall, code = await thrown(carrier, bomb, payload=payload, like=type(bomb))
        assert code in EXPECTED[carrier]
        longest = min(longest, stall)
        if longest <= STALL / 2:
            break
    return longest


@pytest.mark.parametrize(
    "carrier", CARRIERS, ids=["POST", "counting POST", "WebSocket", "counting WebSocket"]
)
@pytest.mark.parametrize("name", MESSAGES)
async def test_s3_message_that_is_a_bomb_stalls_nobody_and_is_refused(
    name: str, carrier: tuple[str, bool]
) -> None:
    assert await best(carrier, MESSAGES[name]) <= STALL


def payload_of(name: str, *, counting: bool) -> str:
    unit = PAYLOADS[name]
    if not counting:
        return SEPARATOR.join([unit] * (980_000 // (len(unit) + 1)))
    return SEPARATOR.join(["92", *[unit] * (980_000 // (len(unit) + 1))])


@pytest.mark.parametrize(
    "carrier", [CARRIERS[0], CARRIERS[1], CARRIERS[3]], ids=["POST", "counting POST", "counting WebSocket"]
)
@pytest.mark.parametrize("name", PAYLOADS)
async def test_s3_payload_of_countless_packets_stalls_nobody_and_is_refused(
    name: str, carrier: tuple[str, bool]
) -> None:
    assert await best(carrier, payload_of(name, counting=carrier[1]), payload=True) <= STALL


async def cost(carrier: tuple[str, bool], bomb: str | bytes, *, payload: bool = False) -> int:
    """Bytes at the highest, above what there was before."""
    async with drive(server()) as client:
        peer = Peer(client, carrier[0], counting=carrier[1])
        await peer.connect(CONNECT[type(bomb)], "json" if type(bomb) is str else "msgpack")
        gc.collect()
        tracemalloc.start()
        try:
            with anyio.fail_after(20):
                await peer.throw(bomb, payload=payload)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", MESSAGES)
async def test_s3_message_that_is_a_bomb_costs_little(anyio_backend: str, name: str) -> None:
    bomb = MESSAGES[name]
    # One that is refused at its first character.
    harmless = "9" + "x" * len(bomb) if isinstance(bomb, str) else b"\x90" + b"x" * len(bomb)
    for carrier in (CARRIERS[0], CARRIERS[2]):
        assert await cost(carrier, bomb) - await cost(carrier, harmless) <= MEMORY


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", PAYLOADS)
async def test_s3_payload_of_countless_packets_costs_little(anyio_backend: str, name: str) -> None:
    bomb = payload_of(name, counting=False)
    harmless = SEPARATOR.join(["9" + "x" * len(bomb)])
    difference = await cost(CARRIERS[0], bomb, payload=True) - await cost(CARRIERS[0], harmless, payload=True)
    assert difference <= MEMORY
