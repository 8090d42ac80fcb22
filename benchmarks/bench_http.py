"""The workloads of `make bench` that go by HTTP requests, and from there to a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench_peers import Http, Link
from bench_sessions import Polling, Streaming, crowd, expect, leave, upgraded
from bench_work import SOCKETS, Meter, all_finished, complain, events

__all__ = ["polling", "stream", "upgrade"]


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


async def upgrade(meter: Meter, operations: int) -> int:
    async def one() -> None:
        peer = await upgraded(meter.server.host)
        peer.send('421["echo","over WebSocket"]')
        expect((answer := await peer.next()) == '431["over WebSocket"]', answer)
        await leave([peer])

    with meter:
        await crowd(operations, one)
    return operations
