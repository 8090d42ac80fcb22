"""Every limit of a STOMP endpoint: what goes beyond it, and that what is told names it."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import anyio
import pytest
from asgi_driver import settled
from stomp_peer import Site, StompPeer, open_stomp

from holdfast import Settings, Stomp, StompMessage, StompSettings
from holdfast.engine.stomp.message import Published
from holdfast.engine.stomp.queue import Kept, Queue


def send(peer: StompPeer, body: str = "x", destination: str = "/queue/a", **headers: object) -> None:
    peer.send("SEND", body, destination=destination, **headers)


async def long_body(site: Site, peer: StompPeer) -> None:
    send(peer, "x" * 100)
    send(peer, "x" * 101)


async def many_headers(site: Site, peer: StompPeer) -> None:
    send(peer, **{f"h{number}": "" for number in range(5)})


async def long_head(site: Site, peer: StompPeer) -> None:
    send(peer, x="y" * 100)


async def subscriptions(site: Site, peer: StompPeer) -> None:
    for number in range(3):
        peer.send("SUBSCRIBE", id=number, destination="/topic/a")


async def transactions(site: Site, peer: StompPeer) -> None:
    for number in range(3):
        peer.send("BEGIN", transaction=number)


async def frames_of_transactions(site: Site, peer: StompPeer) -> None:
    peer.send("BEGIN", transaction=1)
    for _ in range(3):
        send(peer, transaction=1)


async def bytes_of_transactions(site: Site, peer: StompPeer) -> None:
    peer.send("BEGIN", transaction=1)
    for _ in range(3):
        send(peer, "x" * 400, transaction=1)


async def unacked_of_a_topic(site: Site, peer: StompPeer) -> None:
    peer.send("SUBSCRIBE", id=1, destination="/topic/a", ack="client")
    for _ in range(3):
        send(peer, destination="/topic/a")


async def destinations(site: Site, peer: StompPeer) -> None:
    for number, kind in enumerate(("/topic/a", "/topic/b", "/user/queue/a")):
        peer.send("SUBSCRIBE", id=number, destination=kind)


async def queues(site: Site, peer: StompPeer) -> None:
    for number in range(3):
        peer.send("SUBSCRIBE", id=number, destination=f"/queue/{number}")


async def queues_in_a_transaction(site: Site, peer: StompPeer) -> None:
    peer.send("BEGIN", transaction=1)
    for number in range(3):
        send(peer, destination=f"/queue/{number}", transaction=1)
    peer.send("COMMIT", transaction=1)


async def queues_by_sending(site: Site, peer: StompPeer) -> None:
    for number in range(3):
        send(peer, destination=f"/queue/{number}")


async def messages_of_a_queue(site: Site, peer: StompPeer) -> None:
    for _ in range(3):
        send(peer)


async def bytes_of_a_queue(site: Site, peer: StompPeer) -> None:
    for _ in range(3):
        send(peer, "x" * 250)


async def bytes_of_all_queues(site: Site, peer: StompPeer) -> None:
    for number in range(3):
        send(peer, "x" * 250, destination=f"/queue/{number}")


async def bytes_of_all_queues_in_a_transaction(site: Site, peer: StompPeer) -> None:
    peer.send("BEGIN", transaction=1)
    for number in range(3):
        send(peer, "x" * 250, destination=f"/queue/{number}", transaction=1)
    peer.send("COMMIT", transaction=1)


Scenario = Callable[[Site, StompPeer], Awaitable[None]]
ROWS: list[tuple[str, dict[str, Any], Scenario]] = [
    ("max_frame_bytes", {"max_frame_bytes": 100}, long_body),
    ("max_headers", {"max_headers": 5}, many_headers),
    ("max_head_bytes", {"max_head_bytes": 100}, long_head),
    ("max_subscriptions", {"max_subscriptions": 2}, subscriptions),
    ("max_transactions", {"max_transactions": 2}, transactions),
    ("max_transaction_frames", {"max_transaction_frames": 2}, frames_of_transactions),
    ("max_transaction_bytes", {"max_transaction_bytes": 1_200}, bytes_of_transactions),
    ("max_unacked", {"max_unacked": 2}, unacked_of_a_topic),
    ("max_destinations", {"max_destinations": 2}, destinations),
    ("max_queues", {"max_queues": 2}, queues),
    ("max_queues", {"max_queues": 2}, queues_by_sending),
    ("max_queues", {"max_queues": 2}, queues_in_a_transaction),
    ("max_unread_queues", {"max_unread_queues": 2}, queues_by_sending),
    ("max_unread_queues", {"max_unread_queues": 2}, queues_in_a_transaction),
    ("max_queue_messages", {"max_queue_messages": 2}, messages_of_a_queue),
    ("max_queue_bytes", {"max_queue_bytes": 2_000}, bytes_of_a_queue),
    ("max_all_queues_bytes", {"max_all_queues_bytes": 7_000}, bytes_of_all_queues),
    ("max_all_queues_bytes", {"max_all_queues_bytes": 7_000}, bytes_of_all_queues_in_a_transaction),
]
# Those that end nobody with an ERROR, and where they are tried.
ELSEWHERE = {
    "heart_beat": "test_heart_beats_go_both_ways_and_silence_ends_the_connection",
    "connect_timeout": "test_who_does_not_say_connect_in_time_is_closed",
    "max_outgoing_bytes": "test_who_takes_nothing_is_closed_at_his_bound_and_holds_up_nobody",
    "unread_queue_timeout": "test_a_queue_that_clients_have_made_ends_when_nobody_reads_it",
    "max_deliveries": "test_nack_gives_it_out_again_until_that_was_too_often",
    "max_pending_frames": "test_heart_beats_do_not_wait_behind_a_function_of_the_application",
    "max_pending_bytes": "test_who_sends_more_than_functions_take_is_read_no_further",
}


@pytest.mark.parametrize("in_session", [False, True], ids=["bare", "session"])
@pytest.mark.parametrize(("setting", "limits", "scenario"), ROWS, ids=[row[2].__name__ for row in ROWS])
async def test_what_goes_beyond_a_limit_is_told_which(
    setting: str, limits: dict[str, Any], scenario: Scenario, in_session: bool
) -> None:
    async with open_stomp(**limits) as site:
        peer = await site.connected(in_session=in_session)
        await scenario(site, peer)
        assert setting in await peer.error()
        assert peer.closed is not None
        assert site.stomp.clients == {}


@pytest.mark.parametrize(("setting", "limits", "scenario"), ROWS, ids=[row[2].__name__ for row in ROWS])
async def test_with_the_ordinary_limits_all_of_it_passes(
    setting: str, limits: dict[str, Any], scenario: Scenario
) -> None:
    async with open_stomp() as site:
        peer = await site.connected()
        await scenario(site, peer)
        assert "ERROR" not in [frame.command for frame in await peer.take()]


async def test_who_sends_more_than_functions_take_is_read_no_further() -> None:
    go = anyio.Event()
    async with open_stomp(max_pending_bytes=10_000) as site:

        @site.stomp.handle("/app/slow")
        async def slow(message: StompMessage) -> None:
            await go.wait()

        peer = await site.connected()
        for _ in range(50):
            send(peer, "x" * 1_000, "/app/slow")
        await settled()
        assert peer.socket.untaken() > 30
        go.set()
        await settled()
        assert peer.socket.untaken() == 0


async def test_queues_that_are_full_take_no_topic_from_anybody() -> None:
    async with open_stomp(max_queues=2, max_destinations=2) as site:
        flood = await site.connected()
        await queues_by_sending(site, flood)
        assert "max_queues" in await flood.error()
        peer = await site.connected()
        peer.send("SUBSCRIBE", id=1, destination="/topic/a", receipt=1)
        peer.send("SUBSCRIBE", id=2, destination="/user/queue/a", receipt=2)
        assert [frame.command for frame in await peer.take()] == ["RECEIPT", "RECEIPT"]


async def test_a_client_may_begin_more_queues_when_somebody_reads_those_before() -> None:
    async with open_stomp(max_unread_queues=2) as site:
        peer, reader = await site.connected(), await site.connected()
        for number in range(2):
            send(peer, destination=f"/queue/{number}")
        await settled()
        reader.send("SUBSCRIBE", id=1, destination="/queue/1", ack="client")
        await settled()
        send(peer, destination="/queue/2")
        send(peer, destination="/queue/2", receipt="r")
        assert (await peer.one()).command == "RECEIPT"
        # What comes back to a queue that nobody reads any more is the client's again.
        reader.send("UNSUBSCRIBE", id=1)
        await settled()
        send(peer, destination="/queue/3")
        assert "max_unread_queues" in await peer.error()


async def test_a_queue_that_clients_have_made_ends_when_nobody_reads_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_stomp(unread_queue_timeout=50.0, heart_beat=0.0) as site:
        peer, reader = await site.connected(), await site.connected()
        for name in ("a", "a", "read", "own"):
            send(peer, destination=f"/queue/{name}")
        await settled()
        await site.stomp.send("/queue/own", "x")
        await site.clock.advance(40)
        reader.send("SUBSCRIBE", id=1, destination="/queue/read", ack="client")
        await site.clock.advance(15)
        assert set(site.stomp.queues.by_name) == {"/queue/read", "/queue/own"}
        assert "'/queue/a'" in caplog.text
        assert "unread_queue_timeout" in caplog.text
        # Its time begins anew when its last reader leaves.
        reader.socket.close()
        await site.clock.advance(49)
        assert set(site.stomp.queues.by_name) == {"/queue/read", "/queue/own"}
        await site.clock.advance(2)
        assert set(site.stomp.queues.by_name) == {"/queue/own"}
        await site.clock.advance(10_000)
        last = await site.connected()
        last.send("SUBSCRIBE", id=1, destination="/queue/own")
        assert len(await last.take()) == 2
        await settled()
        last.send("UNSUBSCRIBE", id=1)
        await settled()
        assert (site.stomp.queues.by_name, site.stomp.queues._unread) == ({}, {})


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ({}, b""),
        ({}, b"x" * 10_000),
        ({}, b"\xff" * 10_000),
        ({}, b"x" * 10_000 + "\U0001f600".encode()),
        ({}, "\u4e00".encode() * 5_000),
        ({f"h{number}": f"value {number}" for number in range(5)}, b""),
        ({f"h{number}": "\u4e00" * 50 for number in range(40)}, b"x"),
    ],
    ids=["empty", "text", "bytes", "emoji", "wide", "headers", "long headers"],
)
def test_what_counts_is_what_a_queue_keeps(head: dict[str, str], body: bytes) -> None:
    kept = Kept(StompSettings())
    queue = Queue("/queue/a", StompSettings(), kept)
    before = kept.size_bytes
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            own = {str(bytes(name, "utf-8"), "utf-8"): value + "." for name, value in head.items()}
            queue.put(Published(own, bytes(bytearray(body))))
        traced = tracemalloc.get_traced_memory()[0] - start
    finally:
        if not was_tracing:
            tracemalloc.stop()
    counted = kept.size_bytes - before
    assert 0.8 * traced < counted < 1.5 * traced
    assert queue.drop() == 300
    assert kept.size_bytes == before


async def test_what_is_gone_makes_room_in_all_queues() -> None:
    async with open_stomp() as site:
        peer, reader = await site.connected(), await site.connected()
        reader.send("SUBSCRIBE", id=1, destination="/queue/0", ack="client-individual")
        await settled()
        await bytes_of_all_queues(site, peer)
        [frame] = await reader.take()
        assert site.stomp.queues._kept.size_bytes > 3 * 2_250
        reader.send("ACK", id=frame.headers["ack"])
        for number in (1, 2):
            reader.send("SUBSCRIBE", id=number + 1, destination=f"/queue/{number}")
        await settled()
        assert site.stomp.queues._kept.size_bytes == 0


def test_no_limit_is_left_out() -> None:
    assert {row[0] for row in ROWS} | set(ELSEWHERE) == {setting.name for setting in fields(StompSettings)}
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in ELSEWHERE.values() if f"def {name}(" not in tests] == []


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("heart_beat", -1, ValueError),
        ("heart_beat", True, TypeError),
        ("heart_beat", "1", TypeError),
        ("heart_beat", float("nan"), ValueError),
        ("max_unacked", 0, ValueError),
        ("max_frame_bytes", 1.5, TypeError),
        ("connect_timeout", 10_000, ValueError),
        ("nothing", 1, TypeError),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(setting: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=setting):
        StompSettings(**{setting: value})


def test_a_limit_in_the_wrong_place_is_answered_with_the_right_one() -> None:
    names = {setting.name for setting in fields(StompSettings)}
    assert names & {setting.name for setting in fields(Settings)} == {"connect_timeout"}
    for name in names - {"connect_timeout"}:
        with pytest.raises(TypeError, match=re.escape(f"limits=StompSettings({name}=…)")):
            Stomp(**{name: 5})
    for limits in ({"max_subscriptions": 5}, {}, Settings()):
        with pytest.raises(TypeError, match="limits must be StompSettings, not"):
            Stomp(limits=limits)  # type: ignore[arg-type]
