"""Many clients that hold a session by WebSocket, stream or polling each, and note how they hear of its end."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

__all__ = ["TRANSPORTS", "End", "Member", "hold"]

TRANSPORTS = ("websocket", "stream", "polling")
SEPARATOR = "\x1e"
HEAD = b"\r\n\r\n"
PATIENCE = 60.0


@dataclass(frozen=True)
class End:
    """How a client has heard of the end.

    Attributes:
        how: "told" (the protocol's close), "code 1012" and the like (a WebSocket's alone), "refused" (of the next
            request), or "cut" (the connection was gone).
        at: On the monotonic clock.
    """

    how: str
    at: float


class Member:
    """One client; `connected` is set when its session is connected to the namespace."""

    def __init__(self, host: str, port: int, transport: str) -> None:
        self.transport = transport
        self.connected = asyncio.Event()
        self.end: End | None = None
        self._host, self._port = host, port
        self._sid = self._key = ""
        self._received, self._carrier = 0, 1
        self._is_asked = False

    async def run(self) -> None:
        """From the handshake to the end of the session."""
        how = "cut"
        try:
            how = await getattr(self, f"_by_{self.transport}")()
        except (ConnectionClosed, OSError, EOFError):
            pass
        self.end = End(how, time.monotonic())

    def _path(self, transport: str) -> str:
        sid = f"&sid={self._sid}" if self._sid else ""
        return f"/socket.io/?EIO=4&transport={transport}&holdfast=1{sid}"

    def _take(self, payload: str) -> bool:
        """Whether the session's end was in it."""
        for packet in payload.split(SEPARATOR):
            if packet[0] == "0":
                value = json.loads(packet[1:])
                self._sid, self._key = value["sid"], value["holdfast"]["key"]
            elif packet[0] == "1":
                return True
            elif packet == "2":
                self._is_asked = True
            elif packet[0] == "4":
                self._received += 1
                if packet.startswith("40"):
                    self.connected.set()
        return False

    async def _by_websocket(self) -> str:
        url = f"ws://{self._host}:{self._port}{self._path('websocket')}"
        async with connect(url, proxy=None, compression=None, close_timeout=1) as socket:
            await socket.send("91\x1e40")
            try:
                async for frame in socket:
                    assert isinstance(frame, str)
                    if self._take(frame):
                        return "told"
                    if self._is_asked:
                        self._is_asked = False
                        await socket.send("3")
            except ConnectionClosed:
                pass
            return f"code {socket.close_code}"

    async def _request(self, method: str, transport: str, body: str = "", attach: str = "") -> Answer:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**20)
        lines = [f"{method} {self._path(transport)} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"Content-Length: {len(body)}", *([f"Holdfast-Attach: {attach}"] if attach else [])]
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        head = (await reader.readuntil(HEAD)).decode().lower()
        return Answer(int(head.split(" ")[1]), head, reader, writer)

    def _attach(self, **value: int) -> str:
        return json.dumps({"key": self._key, "received": self._received, **value})

    async def _post(self, packets: str) -> None:
        answer = await self._request("POST", "polling", f"7{self._attach()}\x1e{packets}")
        await answer.body()

    async def _by_stream(self) -> str:
        answer = await self._request("GET", "stream")
        reader, is_new = answer.reader, True
        posts: list[asyncio.Task[None]] = []
        try:
            while size := int(await reader.readline() or b"0", 16):
                for line in (await reader.readexactly(size + 2)).decode().split("\n"):
                    if line.startswith("data: ") and self._take(line[6:]):
                        return "told"
                if self._sid and is_new:
                    posts.append(asyncio.create_task(self._post("91\x1e40")))
                    is_new = False
                if self._is_asked:
                    posts.append(asyncio.create_task(self._post("3")))
                    self._is_asked = False
        finally:
            answer.writer.close()
            await asyncio.gather(*posts, return_exceptions=True)
        return "cut"

    async def _by_polling(self) -> str:
        self._take(await (await self._request("GET", "polling")).body())
        await self._post("91\x1e40")
        while True:
            self._carrier += 1
            answer = await self._request("GET", "polling", attach=self._attach(carrier=self._carrier))
            body = await answer.body()
            if answer.status != 200:
                return "refused"
            if self._take(body):
                return "told"


class Answer:
    """The answer to a request, its body not read yet."""

    def __init__(
        self, status: int, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.status, self.head, self.reader, self.writer = status, head, reader, writer

    async def body(self) -> str:
        try:
            size = int(self.head.partition("content-length: ")[2].partition("\r\n")[0])
            return (await self.reader.readexactly(size)).decode()
        finally:
            self.writer.close()


async def hold(host: str, port: int, count: int) -> tuple[list[Member], list[asyncio.Task[None]]]:
    """So many clients, by all transports alike; returns when they are connected."""
    members = [Member(host, port, TRANSPORTS[number % 3]) for number in range(count)]
    tasks: list[asyncio.Task[None]] = []
    for start in range(0, count, 50):
        some = members[start : start + 50]
        tasks += [asyncio.create_task(member.run()) for member in some]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(member.connected.wait() for member in some))
    return members, tasks
