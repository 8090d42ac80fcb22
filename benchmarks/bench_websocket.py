"""The workloads of `make bench` that go over WebSockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench_peers import Peer
from bench_sessions import crowd, expect, leave, websocket
from bench_wire import SEPARATOR, client_frame, server_frame
from bench_work import SOCKETS, Meter, Work, all_finished, complain, events, payload

__all__ = ["broadcast", "cast", "connect", "echo", "in_order", "load", "one_way"]

MEMBERS = 1_000
WINDOW = 20


# --- an event, and its answer


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
    peers = await crowd(members, lambda: websocket(server.host, path="/cast" if bare else ""))
    with meter:
        await cast(peers, rounds, bare=bare)
    await leave(peers, bare=bare)
    return rounds * members


async def cast(peers: Sequence[Peer], rounds: int, *, bare: bool) -> None:
    """Let the first have all told something, itself too, and each wait for the one before."""
    texts = [payload(number, 64) for number in range(rounds)]
    asked = texts if bare else [f'42["cast","{text}"]' for text in texts]
    news = texts if bare else [f'42["news","{text}"]' for text in texts]
    frames, expected = [*map(client_frame, asked)], [*map(server_frame, news)]
    left = 0

    def delivered() -> None:
        nonlocal left
        left -= 1
        if not left:
            peers[0].finish()

    taking = [in_order(peer, expected, news, delivered) for peer in peers]
    for peer in peers[1:]:
        peer.partner = peers[0]
    for frame in frames:
        left = len(peers)
        peers[0].transport.write(frame)
        await peers[0].finished()
    expect(all(count() == rounds for count in taking), "a member that has not heard all")


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


# --- coming and going


async def connect(meter: Meter, operations: int) -> int:
    bare = meter.server.subject.protocol == "bare"

    async def one() -> None:
        peer = await websocket(meter.server.host, path="/echo" if bare else "")
        await leave([peer], bare=bare)

    with meter:
        await crowd(operations, one)
    return operations
