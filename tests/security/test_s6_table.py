"""S6: every limit that there is, in one table: what goes beyond it, and the code that it gets within a second.

The time is that of a clock which only a limit of time may move. What the transports do at their limits besides has
tests of its own: tests/reliability/test_s6_limits.py and, for fragments, test_history_frames.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import anyio
import msgpack
import pytest
from asgi_driver import Client, Exchange, ManualClock, WebSocketExchange, settled
from counting_peer import SEPARATOR, client_of

from holdfast import LocalProtocolError, Server, Settings, Socket
from holdfast.engine.wire.message import Message

PATH = "/socket.io/?EIO=4&transport="
# Of these none is a bound of what a peer may cost.
NO_LIMITS = {
    *("ping_interval", "counting_ping_interval", "when_full", "volatile", "trusted_proxies", "transports"),
    *("allow_upgrades", "origins", "cors", "credentials", "cookie", "serve_client", "ack_timeout"),
    *("connection_state_recovery", "max_disconnection_duration", "skip_middlewares"),
    *("cleanup_empty_child_namespaces", "workers"),
}


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Site]:
    clock = ManualClock()
    settings = {"ping_interval": 1000, "counting_ping_interval": 1000} | settings
    io = Server(clock=clock, **settings)
    async with client_of(io) as client:
        yield Site(io, clock, client)


class Site:
    """A server of events, its clock, and what became of its sessions."""

    def __init__(self, io: Server, clock: ManualClock, client: Client) -> None:
        self.io, self.clock, self.client = io, clock, client
        self.never = anyio.Event()
        self.sockets: list[Socket] = []
        self.heard: list[Any] = []
        io.on("connect", self.connect)
        io.on("e", self.heard_event)
        io.on("hang", self.hang)

    async def connect(self, socket: Socket) -> None:
        self.sockets.append(socket)

    async def heard_event(self, socket: Socket, *args: object) -> None:
        self.heard.append(args)

    async def hang(self, socket: Socket, *args: object) -> None:
        await self.never.wait()

    def live(self) -> Any:
        [session] = self.io.table.sessions.values()
        return session


@dataclass
class Peer:
    """A client with a WebSocket, in one of the two kinds that there are."""

    site: Site
    socket: WebSocketExchange
    counting: bool
    sid: str = ""
    key: str = ""

    def send(self, *messages: str | bytes) -> None:
        for message in messages:
            self.socket.send(f"4{message}" if isinstance(message, str) else message)

    async def close(self) -> tuple[int, str]:
        """Code and reason, which are there now."""
        await settled()
        while not self.socket.quiet():
            message = await self.socket.next()
            if message["type"] == "websocket.close":
                return message["code"], message.get("reason", "")
        raise AssertionError("it has not been closed")


async def connected(site: Site, *, counting: bool, codec: str = "json", connect: bool = True) -> Peer:
    query = f"websocket{'&holdfast=1&codec=' + codec if counting else ''}"
    socket = site.client.websocket(PATH + query)
    await socket.accept()
    opened = json.loads(str(await socket.receive())[1:].split(SEPARATOR)[0])
    peer = Peer(site, socket, counting, opened["sid"], opened.get("holdfast", {}).get("key", ""))
    if connect:
        peer.send("0" if codec == "json" else msgpack_packet(0))
        await settled()
        assert len(site.sockets) == 1
    return peer


def msgpack_packet(kind: int, *data: object) -> bytes:
    value: dict[str, object] = {"type": kind, "nsp": "/"}
    if data:
        value["data"] = list(data)
    return msgpack.packb(value)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def event(*args: object) -> str:
    return f"2{json.dumps(['e', *args])}"


def announced(count: int) -> str:
    """The header of an event with so many attachments."""
    places = ",".join(f'{{"_placeholder":true,"num":{place}}}' for place in range(count))
    return f'5{count}-["e",{places}]'


@dataclass
class Row:
    """What a connected peer sends beyond a limit, and what its WebSocket is then closed with."""

    setting: str
    settings: dict[str, Any]
    code: int
    messages: list[str | bytes]
    codec: str = "json"
    seconds: float = 0.0
    within: list[str | bytes] = field(default_factory=list[str | bytes])
    counting_code: int = 4003

    def __str__(self) -> str:
        return f"{self.setting}-{self.codec}"


TEN_MB = {"max_payload": 10_000_000}
ROWS = [
    Row("max_attachments", {}, 1008, [announced(11)]),
    Row("max_attachments", {"max_attachments": 1}, 1008, [announced(2)]),
    Row("max_payload", {"max_payload": 999}, 1009, [announced(2), b"x" * 500, b"x" * 500]),
    Row("attachment_timeout", {}, 1008, [announced(1)], seconds=30),
    Row("attachment_timeout", {"max_payload": 25_000}, 1008, [announced(1)], seconds=10.5),
    Row(
        "attachment_timeout",
        {"attachment_timeout": 3, "max_payload": 5_000},
        1008,
        [announced(2), b"x"],
        seconds=3,
    ),
    Row("max_depth", {}, 1009, [event(nested(64))], within=[event(nested(63))]),
    Row("max_depth", {}, 1009, [msgpack_packet(2, "e", nested(64))], codec="msgpack"),
    Row("max_containers", {}, 1009, [event([[]] * 50_000)], within=[event([[]] * 49_000)]),
    Row("max_containers", {}, 1009, [msgpack_packet(2, "e", [[]] * 50_000)], codec="msgpack"),
    Row("max_namespaces_per_session", {}, 1008, [f"0/{number}," for number in range(100)]),
    Row("max_pending_events", {"max_pending_events": 20}, 1008, ['2["hang"]'] * 23),
    Row(
        "max_pending_event_bytes",
        {"max_pending_event_bytes": 10_000},
        1008,
        ['2["hang","%s"]' % ("x" * 6_000)] * 4,
    ),
    Row(
        "total_pending_event_bytes",
        {"total_pending_event_bytes": 10_000},
        1008,
        ['2["hang","%s"]' % ("x" * 6_000)] * 4,
    ),
]


@pytest.mark.parametrize("counting", [False, True], ids=["plain", "counting"])
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_s6_packets(row: Row, counting: bool) -> None:
    async with opened(**row.settings) as site:
        peer = await connected(site, counting=counting, codec=row.codec)
        peer.send(*row.within)
        await settled()
        peer.send(*row.messages)
        await settled()
        if row.seconds:
            await site.clock.advance(row.seconds - 0.5)
            assert site.io.session_count == 1
            await site.clock.advance(1)
        else:
            await site.clock.advance(1)
        code, reason = await peer.close()
        assert (code, row.setting in reason) == (row.counting_code if counting else row.code, True), reason
        assert len(site.heard) >= len(row.within)
        assert site.io.session_count == 0


async def opened_by_polling(site: Site, *, counting: bool) -> tuple[str, dict[str, Any]]:
    """The address of a session, and its open packet."""
    query = "polling&holdfast=1" if counting else "polling"
    packet = json.loads((await site.client.get(PATH + query).text())[1:].split(SEPARATOR)[0])
    return f"{PATH}{query}&sid={packet['sid']}", packet


async def refusal_of(exchange: Exchange) -> tuple[int, str]:
    return await exchange.start(), await exchange.text()


Scenario = Callable[[Site, bool], Awaitable[tuple[int, str]]]


async def long_body(site: Site, counting: bool) -> tuple[int, str]:
    url, _ = await opened_by_polling(site, counting=counting)
    headers = {"content-length": "1001"}
    return await refusal_of(site.client.request("POST", url, headers=headers, more_body=True))


async def long_body_in_pieces(site: Site, counting: bool) -> tuple[int, str]:
    url, _ = await opened_by_polling(site, counting=counting)
    exchange = site.client.request("POST", url, body=b"4" + b"x" * 500, more_body=True)
    await settled()
    exchange.give(b"x" * 501, more=True)
    return await refusal_of(exchange)


async def long_message(site: Site, counting: bool) -> tuple[int, str]:
    peer = await connected(site, counting=counting, connect=False)
    peer.send("x" * 1_000)
    return await peer.close()


async def pongs(site: Site, counting: bool) -> tuple[int, str]:
    peer = await connected(site, counting=counting)
    for _ in range(1_001):
        peer.socket.send("3")
    return await peer.close()


async def body_that_stops(site: Site, counting: bool) -> tuple[int, str]:
    url, _ = await opened_by_polling(site, counting=counting)
    # The body's time is the loop's, so that this one is short and not moved.
    return await refusal_of(site.client.request("POST", url, body=b"4", more_body=True))


async def bodies(site: Site, counting: bool) -> tuple[int, str]:
    exchanges: list[Exchange] = []
    for _ in range(3):
        url, _ = await opened_by_polling(site, counting=counting)
        exchanges.append(site.client.request("POST", url, body=b"x" * 4_000, more_body=True))
        await settled()
    return await refusal_of(exchanges[-1])


async def too_many_sessions(site: Site, counting: bool) -> tuple[int, str]:
    for _ in range(3):
        await opened_by_polling(site, counting=counting)
    return await refusal_of(site.client.get(f"{PATH}{'stream&holdfast=1' if counting else 'polling'}"))


async def too_many_posts(site: Site, counting: bool) -> tuple[int, str]:
    url, _ = await opened_by_polling(site, counting=True)
    for _ in range(4):
        site.client.request("POST", url, body=b"7", more_body=True)
        await settled()
    return await refusal_of(site.client.request("POST", url, body=b"7", more_body=True))


async def too_many_websockets(site: Site, counting: bool) -> tuple[int, str]:
    url, _ = await opened_by_polling(site, counting=counting)
    sockets: list[WebSocketExchange] = []
    for _ in range(5):
        sockets.append(site.client.websocket(url.replace("polling", "websocket")))
        await sockets[-1].accept()
        await settled()
    return await Peer(site, sockets[0], counting).close()


async def many_headers(site: Site, counting: bool) -> tuple[int, str]:
    headers = {f"x-{number}": "" for number in range(2_000)}
    return await refusal_of(site.client.get(f"{PATH}polling{'&holdfast=1' * counting}", headers=headers))


async def long_header_of_a_post(site: Site, counting: bool) -> tuple[int, str]:
    url, _ = await opened_by_polling(site, counting=counting)
    return await refusal_of(site.client.post(url, "4x", headers={"cookie": "x" * 32_768}))


async def long_query(site: Site, counting: bool) -> tuple[int, str]:
    return await refusal_of(site.client.get(f"{PATH}polling{'&holdfast=1' * counting}&x={'y' * 32_768}"))


async def long_header_of_a_websocket(site: Site, counting: bool) -> tuple[int, str]:
    url = f"{PATH}websocket{'&holdfast=1' * counting}"
    socket = site.client.websocket(url, headers={"cookie": "x" * 32_768})
    start = await socket.next()
    return start["status"], (await socket.next())["body"].decode()


async def no_attach(site: Site, counting: bool) -> tuple[int, str]:
    url, _ = await opened_by_polling(site, counting=counting)
    socket = site.client.websocket(url.replace("polling", "websocket"))
    await socket.accept()
    await site.clock.advance(10.5)
    return await Peer(site, socket, counting).close()


async def stalled_reader(site: Site, counting: bool) -> tuple[int, str]:
    peer = await connected(site, counting=counting)
    turns = peer.socket.slow()
    # What a plain peer is sent first is with its server, which waits for it.
    for size in (1, 6_000, 6_000):
        site.live().send_nowait(Message("x" * size))
    release(turns)
    return await peer.close()


async def stalled_readers(site: Site, counting: bool) -> tuple[int, str]:
    peers = [await connected(site, counting=counting, connect=False) for _ in range(3)]
    stalled = [peer.socket.slow() for peer in peers]
    for size in (1, 6_000):
        for live in list(site.io.table.sessions.values()):
            live.send_nowait(Message("x" * size))
    for turns in stalled:
        release(turns)
    return await peers[-1].close()


def release(turns: anyio.Semaphore) -> None:
    """Take what there is, and what will be said at the end."""
    for _ in range(9):
        turns.release()


async def nothing_said(site: Site, counting: bool) -> tuple[int, str]:
    peer = await connected(site, counting=counting, connect=False)
    await site.clock.advance(45.5)
    return await peer.close()


async def never_used(site: Site, counting: bool) -> tuple[int, str]:
    url, packet = await opened_by_polling(site, counting=counting)
    await site.clock.advance(15.5)
    return await asked_again(site, url, packet)


async def away(site: Site, counting: bool) -> tuple[int, str]:
    url, packet = await opened_by_polling(site, counting=True)
    attach = json.dumps({"key": packet["holdfast"]["key"], "received": 0})
    assert await site.client.post(url, f"7{attach}\x1e91\x1e40").start() == 200
    await site.clock.advance(120.5)
    return await asked_again(site, url, packet)


async def asked_again(site: Site, url: str, packet: dict[str, Any]) -> tuple[int, str]:
    key = packet.get("holdfast", {}).get("key")
    headers = {"holdfast-attach": json.dumps({"key": key, "received": 0, "carrier": 2})} if key else {}
    assert site.io.session_count == 0
    return await refusal_of(site.client.get(url, headers=headers))


async def forgotten(site: Site, counting: bool) -> tuple[int, str]:
    """Who was away for too long is told how far the server had got; who was so among many is not."""
    url, packet = await opened_by_polling(site, counting=True)
    await opened_by_polling(site, counting=True)
    await site.clock.advance(15.5)
    status, text = await asked_again(site, url, packet)
    assert "received" not in text
    return status, text


async def forgotten_with_time(site: Site, counting: bool) -> tuple[int, str]:
    url, packet = await opened_by_polling(site, counting=True)
    await site.clock.advance(15.5)
    assert "received" in (await asked_again(site, url, packet))[1]
    await site.clock.advance(600)
    status, text = await asked_again(site, url, packet)
    assert "received" not in text
    return status, text


async def silent(site: Site, counting: bool) -> tuple[int, str]:
    peer = await connected(site, counting=counting)
    await site.clock.advance(1000 + (5.5 if counting else 20.5))
    return await peer.close()


async def long_stream(site: Site, counting: bool) -> tuple[int, str]:
    exchange = site.client.get(f"{PATH}stream&holdfast=1")
    status = await exchange.start()
    await settled()
    for _ in range(2):
        site.live().send_nowait(Message("x" * 1_000))
        await settled()
    return status, await exchange.text()


async def too_many_rooms(site: Site, counting: bool) -> tuple[int, str]:
    await connected(site, counting=counting)
    [socket] = site.sockets
    # One it is in already, its own.
    for number in range(9_999):
        socket.join(str(number))
    with pytest.raises(LocalProtocolError) as raised:
        socket.join("one more")
    return 0, str(raised.value)


async def too_many_acks(site: Site, counting: bool) -> tuple[int, str]:
    await connected(site, counting=counting)
    [socket] = site.sockets
    for _ in range(20):
        site.client.tasks.start_soon(socket.emit_with_ack, "question")
    await settled()
    with pytest.raises(LocalProtocolError) as raised:
        await socket.emit_with_ack("question")
    return 0, str(raised.value)


# Setting, settings, what happens, the code of a plain peer and of a counting one, and what the text has to say.
NAMES_IT, ENDS = "", "Session ID unknown"
CASES: list[tuple[str, dict[str, Any], Scenario, int, int, str]] = [
    ("max_payload", {"max_payload": 1_000}, long_body, 413, 413, NAMES_IT),
    ("max_payload", {"max_payload": 1_000}, long_body_in_pieces, 413, 413, NAMES_IT),
    ("max_payload", {"max_payload": 1_000}, long_message, 1009, 1009, "maxPayload"),
    ("max_events_per_second", {"max_events_per_second": 1_000}, pongs, 1008, 4003, NAMES_IT),
    ("body_timeout", {"body_timeout": 0.02}, body_that_stops, 408, 408, NAMES_IT),
    ("max_bodies", {"max_bodies": 9_000}, bodies, 503, 503, NAMES_IT),
    ("max_sessions", {"max_sessions": 3}, too_many_sessions, 503, 503, NAMES_IT),
    (
        "max_unused_sessions_per_address",
        {"max_unused_sessions_per_address": 3},
        too_many_sessions,
        429,
        429,
        NAMES_IT,
    ),
    ("max_carriers", {"max_carriers": 4}, too_many_posts, 429, 429, NAMES_IT),
    ("max_carriers", {"max_carriers": 4}, too_many_websockets, 1008, 1008, NAMES_IT),
    ("max_header_bytes", {}, many_headers, 431, 431, NAMES_IT),
    ("max_header_bytes", {}, long_header_of_a_post, 431, 431, NAMES_IT),
    ("max_header_bytes", {}, long_header_of_a_websocket, 431, 431, NAMES_IT),
    ("max_header_bytes", {}, long_query, 431, 431, NAMES_IT),
    ("upgrade_timeout", {}, no_attach, 1002, 4003, "in time|not completed"),
    ("buffer_limit", {"buffer_limit": 10_000}, stalled_reader, 1008, 4001, NAMES_IT),
    ("total_buffer_limit", {"total_buffer_limit": 13_000}, stalled_readers, 1008, 4001, NAMES_IT),
    ("connect_timeout", {}, nothing_said, 1000, 1000, ""),
    ("handshake_timeout", {}, never_used, 400, 400, ENDS),
    ("grace_period", {}, away, 400, 400, ENDS),
    ("tombstone_period", {}, forgotten_with_time, 400, 400, ENDS),
    ("max_tombstones", {"max_tombstones": 1}, forgotten, 400, 400, ENDS),
    ("ping_timeout", {}, silent, 1000, 4006, ""),
    ("counting_ping_timeout", {}, silent, 1000, 4006, ""),
    ("stream_limit", {"stream_limit": 1_500}, long_stream, 200, 200, "data: "),
    ("max_rooms_per_socket", {}, too_many_rooms, 0, 0, NAMES_IT),
    ("max_pending_acks", {"max_pending_acks": 20}, too_many_acks, 0, 0, NAMES_IT),
]


@pytest.mark.parametrize("counting", [False, True], ids=["plain", "counting"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[2].__name__)
async def test_s6_others(case: tuple[str, dict[str, Any], Scenario, int, int, str], counting: bool) -> None:
    setting, settings, scenario, plain_code, counting_code, text = case
    async with opened(**settings) as site:
        code, said = await scenario(site, counting)
        assert code == (counting_code if counting else plain_code)
        assert re.search(text or setting, said) or text == "", said


def test_s6_no_limit_is_left_out() -> None:
    tried = {row.setting for row in ROWS} | {case[0] for case in CASES}
    assert tried | NO_LIMITS == {field.name for field in fields(Settings)}
    assert not tried & NO_LIMITS
