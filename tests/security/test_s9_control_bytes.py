"""S9: no control byte of a peer is raw in a log, an answer's head or an error; no session's id is in a log in full."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest
from asgi_driver import Client, ManualClock, settled
from counting_peer import CountingPeer, WebSocketCarrier, client_of

from holdfast import Server, Socket

# C0 without what is a line's end of its own, DEL, C1, and Unicode's line ends and changes of direction.
CONTROL = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E, 0x2066]))
NASTY = f"evil\r\n[31mERROR forged{CONTROL}%s{{0}}%(message)s"
HEADER = NASTY.encode().decode("latin-1")
POLLING = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


class Reading:
    """What the log said, as an administrator reads it: every level, formatted, with tracebacks."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="holdfast")
        self._caplog = caplog

    def lines(self) -> Iterator[str]:
        formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")
        for record in self._caplog.records:
            text = formatter.format(record)
            if record.exc_info is None:
                assert "\n" not in text, text
            yield from text.split("\n")

    def check(self, *secrets: str) -> int:
        """Nothing raw, and nothing of the secrets; how many lines there were."""
        count = 0
        for line in self.lines():
            count += 1
            assert not set(CONTROL) & set(line), repr(line)
            for secret in secrets:
                assert secret not in line, line
        return count


@pytest.fixture
def reading(caplog: pytest.LogCaptureFixture) -> Reading:
    return Reading(caplog)


def server() -> Server:
    io = Server(clock=ManualClock())
    chat = io.of(re.compile("/room.*", re.DOTALL))

    @io.on("arity")
    async def arity(socket: Socket) -> None:
        """Takes nothing: what more comes is a mistake that is logged."""

    for namespace in (io, chat):

        @namespace.on("*")
        async def fail(socket: Socket, event: str, *args: object) -> None:
            raise ValueError("of the application")

    return io


def check_head(headers: dict[str, str]) -> None:
    for name, value in headers.items():
        assert "evil" not in value
        assert not set(CONTROL) & set(name + value)


@pytest.mark.parametrize(
    "url",
    [
        f"/socket.io/{NASTY}",
        f"/{NASTY}",
        f"{POLLING}&{NASTY}={NASTY}",
        f"/socket.io/?EIO={NASTY}&transport=polling",
        f"/socket.io/?EIO=4&transport={NASTY}",
        f"{POLLING}&sid={NASTY}",
        f"{POLLING}&holdfast=1&codec={NASTY}",
        f"{POLLING}&holdfast={NASTY}&t={NASTY}",
    ],
    ids=["file", "path", "query", "EIO", "transport", "sid", "codec", "extension"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "WEBSOCKET"])
async def test_s9_path_and_query(url: str, method: str, reading: Reading) -> None:
    async with client_of(server()) as client:
        if method == "WEBSOCKET":
            start = await client.websocket(url, subprotocols=[HEADER]).next()
            check_head({name.decode(): value.decode() for name, value in start.get("headers", ())})
            assert start.get("subprotocol") is None
        else:
            exchange = client.request(method, url)
            await exchange.start()
            check_head(exchange.headers)
            if not exchange.headers["content-type"].startswith("text/event-stream") and method != "GET":
                body = await exchange.body()
                assert b"evil" not in body
    reading.check()


@pytest.mark.parametrize(
    "name", ["origin", "host", "cookie", "sec-fetch-site", "content-length", "holdfast-attach"]
)
async def test_s9_headers(name: str, reading: Reading) -> None:
    async with client_of(server()) as client:
        headers = {name: NASTY} | ({"origin": "https://other.example"} if name == "host" else {})
        for url in (POLLING, f"{POLLING}&sid=unknown", f"{POLLING}&holdfast=1&sid=unknown"):
            for method in ("GET", "POST"):
                exchange = client.request(method, url, headers=headers)
                await exchange.start()
                check_head(exchange.headers)
        start = await client.websocket(WEBSOCKET, headers=headers).next()
        check_head({key.decode(): value.decode() for key, value in start.get("headers", ())})
    lines = reading.check()
    assert lines >= (2 if name in ("origin", "host") else 1)


async def open_socket(client: Client) -> tuple[str, WebSocketCarrier]:
    peer = CountingPeer(client, path="/socket.io/")
    carrier = await peer.open("websocket")
    assert isinstance(carrier, WebSocketCarrier)
    await carrier.send("0")
    await carrier.take(1)
    return peer.sid, carrier


@pytest.mark.parametrize(
    "packets",
    [
        ['2["%s"]', '21["%s",{"a":"%s"}]', '2["arity","%s"]', '2["%s"'],
        ['0/room%s,{"token":"%s"}', '2/room%s,["%s"]', "1/room%s,"],
        ["0/%s,", '0/other%s,{"%s":1}', "4/%s"],
        ['3%s["x"]'],
        ['2"%s"'],
        ["%s"],
        ['51-["%s",{"_placeholder":true,"num":"%s"}]'],
    ],
    ids=["event", "room", "namespace", "ack", "not an event", "not a packet", "binary"],
)
async def test_s9_events_and_namespaces(packets: list[str], reading: Reading) -> None:
    # Within JSON as its escapes, and raw.
    for text in (json.dumps(NASTY)[1:-1], NASTY.replace("\x1e", "").replace(",", "")):
        async with client_of(server()) as client:
            sid, carrier = await open_socket(client)
            for packet in packets:
                carrier.socket.send("j" + json.dumps(packet.replace("%s", text)))
                await settled()
            assert reading.check(sid) >= 1


async def test_s9_id_of_a_session_is_never_in_a_log_in_full(reading: Reading) -> None:
    async with client_of(server()) as client:
        sids: list[str] = []
        for end in ("1", "0", "x", '42["arity",1]\x1e1', "42["):
            opened = json.loads((await client.get(POLLING).text())[1:])
            sids.append(opened["sid"])
            url = f"{POLLING}&sid={opened['sid']}"
            await client.post(url, "40").start()
            await client.post(url, end).start()
            await client.get(url).start()
            await client.get(url).start()
            await client.request("PUT", url).start()
            await client.websocket(url.replace("polling", "websocket")).next()
            await client.get(f"{url}&EIO=3").start()
            await client.get(url, headers={"origin": "null"}).start()
        sid, carrier = await open_socket(client)
        carrier.cut()
        await settled()
    assert reading.check(*sids, sid) >= 10
