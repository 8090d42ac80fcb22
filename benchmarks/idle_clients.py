"""Many clients that connect and then do nothing: the other end of `idle.py`, in a process of its own.

Says "ready" when all are connected, and leaves when its standard input ends. Clients answer heartbeats.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
from typing import Any

__all__ = ["CLIENTS", "Idle"]

SEPARATOR = "\x1e"


class Idle:
    """One client; `connect` returns when it is connected, `stay` serves its heartbeats until the connection ends."""

    def __init__(self, port: int, *, counting: bool) -> None:
        self.port = port
        self.counting = counting
        self.query = "&holdfast=1" if counting else ""
        self.opened: dict[str, Any] = {}
        self.path = "/socket.io/?EIO=4&transport="
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def open(self) -> None:
        # A small buffer: what counts is the server's memory, but both ends are on this machine.
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=8_192)

    def ask(self, target: str, *headers: str, body: str | None = None) -> None:
        lines = [f"{'GET' if body is None else 'POST'} {self.path}{target}{self.query} HTTP/1.1"]
        lines += [f"Host: 127.0.0.1:{self.port}", *headers]
        data = (body or "").encode()
        if body is not None:
            lines += ["Content-Type: text/plain;charset=UTF-8", f"Content-Length: {len(data)}"]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + data)

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def body(self) -> str:
        head = (await self.head()).lower()
        if not head.startswith("http/1.1 200"):
            raise ConnectionError(head)
        if "content-length:" in head:
            size = int(head.partition("content-length:")[2].partition("\r\n")[0])
            return (await self.reader.readexactly(size)).decode()
        found = b""
        while size := int(await self.reader.readline(), 16):
            found += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return found.decode()

    def take_open(self, packet: str) -> None:
        self.opened = json.loads(packet[1:])

    def post_body(self, *packets: str) -> str:
        if self.counting:
            attach = {"key": self.opened["holdfast"]["key"], "received": 0}
            packets = (f"7{json.dumps(attach)}", *packets)
        return SEPARATOR.join(packets)

    async def bring(self, *packets: str) -> None:
        """A POST on a connection of its own."""
        other = Idle(self.port, counting=self.counting)
        other.opened = self.opened
        other.query += f"&sid={self.opened['sid']}"
        await other.open()
        other.ask("polling", "Connection: close", body=other.post_body(*packets))
        await other.body()
        other.writer.close()

    @property
    def hello(self) -> list[str]:
        return ["91", "40"] if self.counting else ["40"]

    async def connect(self) -> None:
        raise NotImplementedError

    async def stay(self) -> None:
        raise NotImplementedError


class IdleWebSocket(Idle):
    def send(self, text: str) -> None:
        data = text.encode()
        assert len(data) < 126
        self.writer.write(bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data)

    async def frame(self) -> str:
        """The next text; pings of the server itself are answered meanwhile."""
        while True:
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2))
            data = await self.reader.readexactly(size)
            if first & 0x0F != 9:
                return data.decode()
            self.writer.write(bytes([0x8A, 0x80 | len(data), 0, 0, 0, 0]) + data)

    async def shake_hands(self, target: str) -> None:
        await self.open()
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        self.ask(target, *upgrade, f"Sec-WebSocket-Key: {key}")
        head = await self.head()
        if " 101 " not in head:
            raise ConnectionError(head)

    async def connect(self) -> None:
        await self.shake_hands("websocket")
        self.take_open((await self.frame()).split(SEPARATOR)[0])
        self.send("40")
        while "40{" not in await self.frame():
            pass

    async def stay(self) -> None:
        while True:
            if "2" in (await self.frame()).split(SEPARATOR):
                self.send("3")


class IdleBare(IdleWebSocket):
    """Of a server without a protocol."""

    async def connect(self) -> None:
        self.path = "/"
        await self.shake_hands("echo")

    async def stay(self) -> None:
        await self.frame()


class IdlePolling(Idle):
    carrier = 1

    async def connect(self) -> None:
        await self.open()
        self.ask("polling")
        self.take_open((await self.body()).split(SEPARATOR)[0])
        self.query += f"&sid={self.opened['sid']}"
        self.ask("polling", body=self.post_body(*self.hello))
        await self.body()
        received = 0
        while True:
            self.poll(received)
            if "40{" in await self.body():
                break
        self.poll(1)

    def poll(self, received: int) -> None:
        self.carrier += 1
        headers = []
        if self.counting:
            attach = {"key": self.opened["holdfast"]["key"], "received": received, "carrier": self.carrier}
            headers = [f"Holdfast-Attach: {json.dumps(attach)}"]
        self.ask("polling", *headers)

    async def stay(self) -> None:
        while True:
            if (await self.body()).startswith("2"):
                self.ask("polling", body=self.post_body("3"))
                await self.body()
            self.poll(1)


class IdleStream(Idle):
    async def event(self) -> str:
        while True:
            line = (await self.reader.readline()).decode()
            if not line:
                raise ConnectionError("the stream has ended")
            if line.startswith("data: "):
                return line[6:].strip()

    async def connect(self) -> None:
        await self.open()
        self.ask("stream")
        await self.head()
        self.take_open((await self.event()).split(SEPARATOR)[0])
        await self.bring(*self.hello)
        while "40{" not in await self.event():
            pass
        await self.bring("81")

    async def stay(self) -> None:
        while True:
            if "2" in (await self.event()).split(SEPARATOR):
                await self.bring("3")


CLIENTS = {"websocket": IdleWebSocket, "bare": IdleBare, "polling": IdlePolling, "stream": IdleStream}


async def run(options: argparse.Namespace) -> None:
    clients = [
        CLIENTS[options.transport](options.port, counting=options.counting) for _ in range(options.count)
    ]
    turns = asyncio.Semaphore(100)
    staying: list[asyncio.Task[None]] = []

    async def come(client: Idle) -> None:
        async with turns:
            await client.connect()
        staying.append(asyncio.create_task(client.stay()))

    try:
        await asyncio.gather(*map(come, clients))
    except OSError as error:
        print(f"one could not connect: {error}", flush=True)
        os._exit(1)
    print("ready", flush=True)
    ends = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait([ends, *staying], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {ends}:
        print(f"one was lost: {task.exception()!r}", flush=True)
    for client in clients:
        client.writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transport", choices=list(CLIENTS), required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--counting", action="store_true")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
