"""How the clients of `make bench` come in and go: by WebSocket, by polling, by a stream, in each protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from bench_peers import EventStream, Http, Peer, dial
from bench_wire import SEPARATOR, WrongAnswer, get, handshake, post

__all__ = ["Polling", "Streaming", "crowd", "expect", "leave", "upgraded", "websocket"]

T = TypeVar("T")
PATH = "/socket.io/?EIO=4&transport="
AT_ONCE = 25


def expect(is_right: bool, found: object) -> None:
    """Refuse an answer that is not what it had to be."""
    if not is_right:
        raise WrongAnswer(f"unexpected: {found!r}")


async def crowd(count: int, come: Callable[[], Awaitable[T]]) -> list[T]:
    """So many, a few at once."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one() -> T:
        async with turns:
            return await come()

    return await asyncio.gather(*(one() for _ in range(count)))


def _opened(packet: str) -> dict[str, Any]:
    # Any: JSON.
    expect(packet.startswith("0{"), packet)
    found: dict[str, Any] = json.loads(packet[1:])
    return found


async def websocket(host: str, *, counting: bool = False, path: str = "") -> Peer:
    """A WebSocket with its namespace connected; with a ``path``, bare."""
    peer = await dial(Peer, host)
    target = path or f"{PATH}websocket{'&holdfast=1' if counting else ''}"
    peer.transport.write(handshake(host, target))
    await peer.next()
    if not path:
        opened = _opened(await peer.next())
        expect(("holdfast" in opened) == counting, opened)
        peer.send("40")
        connected = await peer.next()
        expect(connected.startswith("40{"), connected)
    return peer


async def leave(peers: Sequence[Peer], *, bare: bool = False) -> None:
    """Close them all."""
    await asyncio.gather(*(peer.close(*([] if bare else ["41"])) for peer in peers))


class Polling:
    """A session by long-polling: one connection for its polls, one for its POSTs."""

    def __init__(self, host: str, polls: Http, posts: Http) -> None:
        self.host = host
        self.polls = polls
        self.posts = posts
        self.query = ""
        self.poll_request = b""

    @classmethod
    async def open(cls, host: str) -> Polling:
        self = cls(host, await dial(Http, host), await dial(Http, host))
        opened = _opened(await self.polls.ask(get(host, f"{PATH}polling")))
        self.query = f"&sid={opened['sid']}"
        self.poll_request = get(host, f"{PATH}polling{self.query}")
        expect("websocket" in opened["upgrades"], opened)
        ok, connected = await asyncio.gather(
            self.posts.ask(self.post("40")), self.polls.ask(self.poll_request)
        )
        expect(ok.lower() == "ok", ok)
        expect(connected.startswith("40{"), connected)
        return self

    def post(self, *packets: str) -> bytes:
        """A request that brings these."""
        return post(self.host, f"{PATH}polling{self.query}", SEPARATOR.join(packets))

    async def close(self) -> None:
        """End the session."""
        self.polls.keep()
        self.polls.transport.write(self.poll_request)
        expect((ok := await self.posts.ask(self.post("41", "1"))).lower() == "ok", ok)
        for link in (self.polls, self.posts):
            link.transport.close()
            await link.lost()


async def upgraded(host: str) -> Peer:
    """A session that began by polling and has moved to a WebSocket."""
    session = await Polling.open(host)
    polled = asyncio.ensure_future(session.polls.ask(session.poll_request))
    peer = await dial(Peer, host)
    peer.transport.write(handshake(host, f"{PATH}websocket{session.query}"))
    await peer.next()
    peer.send("2probe")
    expect((answer := await peer.next()) == "3probe", answer)
    expect((last := await polled) == "6", last)
    peer.send("5")
    for link in (session.polls, session.posts):
        link.transport.close()
    return peer


class Streaming:
    """A session by our stream, and one connection for its POSTs."""

    def __init__(self, host: str, stream: EventStream, posts: Http) -> None:
        self.host = host
        self.stream = stream
        self.posts = posts
        self._key = ""
        self._query = ""

    @classmethod
    async def open(cls, host: str) -> Streaming:
        self = cls(host, await dial(EventStream, host), await dial(Http, host))
        self.stream.transport.write(get(host, f"{PATH}stream&holdfast=1"))
        opened = _opened(await self.stream.next())
        self._key = opened["holdfast"]["key"]
        self._query = f"&holdfast=1&sid={opened['sid']}"
        answer = await self.posts.ask(self.post(0, "91", "40"))
        expect(answer.startswith('7{"received":1,'), answer)
        connected = await self.stream.next()
        expect(connected.startswith("40{"), connected)
        return self

    def post(self, received: int, *packets: str) -> bytes:
        """A request that brings these, and says how many messages have been received."""
        attach = json.dumps({"key": self._key, "received": received}, separators=(",", ":"))
        return post(self.host, f"{PATH}polling{self._query}", SEPARATOR.join((f"7{attach}", *packets)))

    async def close(self, received: int) -> None:
        """End the session."""
        self.stream.keep()
        await self.posts.ask(self.post(received, "1"))
        for link in (self.stream, self.posts):
            link.transport.close()
            await link.lost()
