"""What `make bench` has servers do. Each workload checks every answer: what it says, its order, and how many there are.

Payloads are texts that begin with their number, so that each message differs from the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bench_peers import Http, Link, Peer
from bench_servers import Running
from bench_sessions import Polling, Streaming, crowd, expect, leave, upgraded, websocket
from bench_wire import SEPARATOR, WrongAnswer, client_frame, server_frame

__all__ = ["WORKLOADS", "Meter", "Workload"]

SOCKETS = 100
MEMBERS = 1_000
WINDOW = 20


@dataclass
class Meter:
    """Between ``with`` and its end: what the server spent, what the clients spent, and how long it took, in seconds.

    Args:
        scale: Of the usual number of clients.
    """

    server: Running
    scale: float = 1.0
    cpu: float = field(default=0.0, init=False)
    own_cpu: float = field(default=0.0, init=False)
    wall: float = field(default=0.0, init=False)

    def clients(self, usual: int) -> int:
        """How many of them."""
        return max(2, int(usual * self.scale))

    def __enter__(self) -> None:
        self.wall -= time.monotonic()
        self.own_cpu -= time.process_time()
        self.cpu -= self.server.cpu_seconds()

    def __exit__(self, *_: object) -> None:
        self.cpu += self.server.cpu_seconds()
        self.own_cpu += time.process_time()
        self.wall += time.monotonic()


Work = Callable[[Meter, int], Awaitable[int]]


@dataclass(frozen=True)
class Workload:
    """One row.

    Args:
        operations: Of one run, about; the run says how many there were.
        protocols: Those of the servers that can do it.
    """

    name: str
    title: str
    operations: int
    work: Work
    protocols: tuple[str, ...] = ("socket.io", "holdfast", "bare")


def payload(number: int, size: int) -> str:
    return f"{number:08}".ljust(size, "x")


def complain(link: Link, found: str, wanted: str) -> None:
    link.fail(WrongAnswer(f"{found[:300]!r} instead of {wanted[:300]!r}"))


async def all_finished(links: Sequence[Link]) -> None:
    await asyncio.gather(*(link.finished() for link in links))


# --- an event, and its answer


def events(bare: bool, count: int, size: int) -> tuple[list[str], list[str]]:
    """So many, and their answers."""
    texts = [payload(number, size) for number in range(count)]
    if bare:
        asked = [f'42["echo","{text}"]' for text in texts]
        return asked, asked
    asked = [f'42{number}["echo","{text}"]' for number, text in enumerate(texts)]
    return asked, [f'43{number}["{text}"]' for number, text in enumerate(texts)]


def echo(size: int) -> Work:
    async def work(meter: Meter, operations: int) -> int:
        server = meter.server
        bare = server.subject.protocol == "bare"
        sockets = meter.clients(SOCKETS)
        share = max(1, operations // sockets)
        asked, answers = events(bare, share, size)
        frames, expected = [*map(client_frame, asked)], [*map(server_frame, answers)]
        peers = await crowd(sockets, lambda: websocket(server.host, path="/echo" if bare else ""))
        for peer in peers:
            one_after_the_other(peer, frames, expected, answers)
        with meter:
            for peer in peers:
                peer.transport.write(frames[0])
            await all_finished(peers)
        await leave(peers, bare=bare)
        return share * sockets

    return work


def one_after_the_other(peer: Peer, frames: list[bytes], expected: list[bytes], answers: list[str]) -> None:
    """Let a peer send each frame when the answer to the one before has come."""
    at = 0

    def advance() -> None:
        nonlocal at
        at += 1
        if at == len(frames):
            peer.expected = b""
            peer.finish()
        else:
            peer.expected = expected[at]
            peer.transport.write(frames[at])

    def take(packet: str) -> None:
        if at < len(answers) and packet == answers[at]:
            advance()
        else:
            complain(peer, packet, answers[at] if at < len(answers) else "nothing")

    peer.expected, peer.on_expected, peer.on_item = expected[0], advance, take


# --- events that are on their way at once


def load(counting: bool) -> Work:
    async def work(meter: Meter, operations: int) -> int:
        server = meter.server
        bare = server.subject.protocol == "bare"
        sockets = meter.clients(SOCKETS)
        share = max(WINDOW, operations // sockets)
        asked, answers = events(bare, share, 64)
        frames = [*map(client_frame, asked)]
        peers = await crowd(
            sockets, lambda: websocket(server.host, counting=counting, path="/echo" if bare else "")
        )
        with meter:
            for peer in peers:
                in_a_window(peer, asked, frames, answers, counting=counting)
            await all_finished(peers)
        await leave(peers, bare=bare)
        return share * sockets

    return work


def in_a_window(
    peer: Peer, asked: list[str], frames: list[bytes], answers: list[str], *, counting: bool
) -> None:
    """Let a peer send as many events as have been answered since it sent the last, and have `WINDOW` out at first."""
    sent = done = 0

    def send() -> None:
        nonlocal sent
        until = min(done + WINDOW, len(asked))
        if sent < until and counting:
            # Its namespace's answer was its first message.
            peer.send(SEPARATOR.join((f"8{done + 1}", *asked[sent:until])))
        elif sent < until:
            peer.transport.write(b"".join(frames[sent:until]))
        sent = until

    def take(packet: str) -> None:
        nonlocal done
        if done < sent and packet == answers[done]:
            done += 1
            if done == len(answers):
                peer.finish()
        else:
            complain(peer, packet, answers[done] if done < sent else "nothing")

    peer.on_item, peer.on_batch = take, send
    send()


# --- one event to all


async def broadcast(meter: Meter, operations: int) -> int:
    server = meter.server
    members = meter.clients(MEMBERS)
    bare = server.subject.protocol == "bare"
    rounds = max(1, operations // members)
    texts = [payload(number, 64) for number in range(rounds)]
    asked = texts if bare else [f'42["cast","{text}"]' for text in texts]
    news = texts if bare else [f'42["news","{text}"]' for text in texts]
    peers = await crowd(members, lambda: websocket(server.host, path="/cast" if bare else ""))
    frames, expected = [*map(client_frame, asked)], [*map(server_frame, news)]
    left = members

    def delivered() -> None:
        nonlocal left
        left -= 1
        if not left:
            peers[0].finish()

    taking = [in_order(peer, expected, news, delivered) for peer in peers]
    for peer in peers[1:]:
        peer.partner = peers[0]
    with meter:
        for frame in frames:
            left = members
            peers[0].transport.write(frame)
            await peers[0].finished()
    await leave(peers, bare=bare)
    expect(all(count() == rounds for count in taking), "a member that has not heard all")
    return rounds * members


def in_order(
    peer: Peer, expected: list[bytes], texts: list[str], delivered: Callable[[], None]
) -> Callable[[], int]:
    """Let a peer take these texts and no others; returns how many have come."""
    at = 0

    def advance() -> None:
        nonlocal at
        at += 1
        peer.expected = expected[at] if at < len(expected) else b""
        delivered()

    def take(packet: str) -> None:
        if at < len(texts) and packet == texts[at]:
            advance()
        else:
            complain(peer, packet, texts[at] if at < len(texts) else "nothing")

    peer.expected, peer.on_expected, peer.on_item = expected[0], advance, take
    return lambda: at


# --- events without an answer


async def one_way(meter: Meter, operations: int) -> int:
    server = meter.server
    bare = server.subject.protocol == "bare"
    sockets = meter.clients(SOCKETS)
    share = max(1, operations // sockets)
    texts = [payload(number, 64) for number in range(share)]
    asked = [*texts, "count"] if bare else [*(f'42["up","{text}"]' for text in texts), '420["count"]']
    block = b"".join(map(client_frame, asked))
    peers = await crowd(sockets, lambda: websocket(server.host, path="/up" if bare else ""))
    with meter:
        for peer in peers:
            peer.transport.write(block)
        for peer in peers:
            found = await peer.next()
            expect(found == (str(share) if bare else f"430[{share}]"), found)
    await leave(peers, bare=bare)
    return share * sockets


# --- over HTTP


async def polling(meter: Meter, operations: int) -> int:
    clients = meter.clients(SOCKETS // 2)
    share = max(1, operations // clients)
    asked, answers = events(False, share, 64)
    sessions = await crowd(clients, lambda: Polling.open(meter.server.host))
    requests = [[session.post(event) for event in asked] for session in sessions]
    with meter:
        for session, posts in zip(sessions, requests, strict=True):
            poll = session.poll_request
            round_trips(
                session.posts, posts, lambda found, _: found.lower() == "ok", session.polls, answers, poll
            )
        await all_finished([session.posts for session in sessions])
    await asyncio.gather(*(session.close() for session in sessions))
    return share * clients


async def stream(meter: Meter, operations: int) -> int:
    clients = meter.clients(SOCKETS // 2)
    share = max(1, operations // clients)
    asked, answers = events(False, share, 64)
    sessions = await crowd(clients, lambda: Streaming.open(meter.server.host))
    # The first message each way was the namespace's.
    requests = [
        [session.post(number + 1, f"9{number + 2}", event) for number, event in enumerate(asked)]
        for session in sessions
    ]
    with meter:
        for session, posts in zip(sessions, requests, strict=True):
            round_trips(session.posts, posts, is_taken, session.stream, answers, b"")
        await all_finished([session.posts for session in sessions])
    await asyncio.gather(*(session.close(share + 1) for session in sessions))
    return share * clients


def is_taken(found: str, number: int) -> bool:
    return found.startswith(f'7{{"received":{number + 2},')


def round_trips(
    posts: Http,
    requests: list[bytes],
    is_right: Callable[[str, int], bool],
    other: Link,
    answers: list[str],
    poll: bytes,
) -> None:
    """Let a session POST each event, and the next when both that request and the answer to the event have come.

    Args:
        is_right: Of the answer to a POST, and which.
        other: What brings the answers to events; where it is polled, ``poll`` asks for the next.
    """
    at = missing = 0
    other.partner = posts

    def begin() -> None:
        nonlocal missing
        missing = 2
        if poll:
            other.transport.write(poll)
        posts.transport.write(requests[at])

    def one() -> None:
        nonlocal at, missing
        missing -= 1
        if not missing:
            at += 1
            if at == len(requests):
                posts.finish()
            else:
                begin()

    def posted(found: str) -> None:
        if at < len(requests) and is_right(found, at):
            one()
        else:
            complain(posts, found, f"the answer to POST {at}")

    def answered(found: str) -> None:
        if at < len(requests) and found == answers[at]:
            one()
        else:
            complain(posts, found, answers[at] if at < len(requests) else "nothing")

    posts.on_item, other.on_item = posted, answered
    begin()


# --- coming and going


async def connect(meter: Meter, operations: int) -> int:
    bare = meter.server.subject.protocol == "bare"

    async def one() -> None:
        peer = await websocket(meter.server.host, path="/echo" if bare else "")
        await leave([peer], bare=bare)

    with meter:
        await crowd(operations, one)
    return operations


async def upgrade(meter: Meter, operations: int) -> int:
    async def one() -> None:
        peer = await upgraded(meter.server.host)
        peer.send('421["echo","over WebSocket"]')
        expect((answer := await peer.next()) == '431["over WebSocket"]', answer)
        await leave([peer])

    with meter:
        await crowd(operations, one)
    return operations


SOCKETIO = ("socket.io", "holdfast")
OWN = ("holdfast",)
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("echo", "echo with ack, 64 B, 100 sockets", 10_000, echo(64)),
        Workload("echo-1k", "echo with ack, 1 KB, 100 sockets", 10_000, echo(1024)),
        Workload("broadcast", "broadcast to 1,000, per delivery", 20_000, broadcast),
        Workload("one-way", "events one way, pipelined, per event", 20_000, one_way),
        Workload("polling", "long-polling round trip (POST + GET)", 2_500, polling, SOCKETIO),
        Workload("connect", "connect and close, WebSocket", 500, connect),
        Workload("upgrade", "connect by polling, upgrade, close", 300, upgrade, SOCKETIO),
        Workload("stream", "stream round trip (POST + event)", 2_500, stream, OWN),
        Workload("load", "echo, 20 outstanding on each of 100 sockets, per event", 20_000, load(False)),
        Workload("load-counting", "the same by counting peers", 20_000, load(True), OWN),
    )
}
