"""Topics, queues, receipts, transactions and ends: over a bare WebSocket and over a session alike."""

from __future__ import annotations

import json

import anyio
import pytest
from asgi_driver import settled
from stomp_peer import Site, StompPeer, open_stomp

from holdfast import LocalProtocolError
from holdfast.engine.subprotocols.stomp_frames import Frame


def bodies(frames: list[Frame]) -> list[str]:
    assert {frame.command for frame in frames} <= {"MESSAGE"}
    return [frame.body.decode() for frame in frames]


async def subscribed(site: Site, destination: str, ack: str = "auto", **headers: object) -> StompPeer:
    peer = await site.connected()
    peer.send("SUBSCRIBE", id="1", destination=destination, ack=ack, **headers)
    await settled()
    return peer


@pytest.mark.parametrize("in_session", [False, True], ids=["bare", "session"])
async def test_all_subscribers_of_a_topic_get_what_is_sent_to_it(in_session: bool) -> None:
    async with open_stomp() as site:
        one = await site.connected(in_session=in_session)
        other = await site.connected(in_session=in_session)
        for peer in (one, other):
            peer.send("SUBSCRIBE", id="sub", destination="/topic/news", receipt="r")
            assert await peer.one() == Frame("RECEIPT", {"receipt-id": "r"})
        one.send("SEND", "hé", destination="/topic/news", x="y", content_type="text/plain")
        for peer in (one, other):
            frame = await peer.one()
            assert frame.body == "hé".encode()
            expected = {"destination": "/topic/news", "subscription": "sub", "x": "y", "message-id": "1"}
            assert {name: frame.headers[name] for name in expected} == expected
            assert "ack" not in frame.headers
        one.send("SEND", "nobody's", destination="/topic/other")
        assert await one.take() == []


async def test_binary_bodies_are_sent_as_binary_and_text_as_text() -> None:
    async with open_stomp() as site:
        peer = await subscribed(site, "/topic/a")
        peer.send("SEND", b"\xff\0\xfe", destination="/topic/a", content_length=3)
        peer.send("SEND", b"text", destination="/topic/a")
        assert [frame.body for frame in await peer.take()] == [b"\xff\0\xfe", b"text"]
        assert peer.kinds[-2:] == [bytes, str]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
async def test_what_one_version_says_every_other_is_told_as_it_can_be(version: str) -> None:
    async with open_stomp() as site:
        peer = await site.peer()
        await peer.connect(version)
        peer.send("SUBSCRIBE", id="1", destination="/topic/a")
        await settled()
        await site.stomp.send("/topic/a", "x", headers={"h": "a:b\nc\r\\d", "odd:name": "1"})
        frame = await peer.one()
        headers = {"h": "a:b c \\d"} if version == "1.0" else {"h": "a:b\nc\r\\d", "odd:name": "1"}
        assert {name: value for name, value in frame.headers.items() if name in ("h", "odd:name")} == headers


async def test_a_message_of_a_queue_goes_to_one_subscriber_in_turn_and_waits_for_one() -> None:
    async with open_stomp() as site:
        sender = await site.connected()
        for number in range(2):
            sender.send("SEND", str(number), destination="/queue/a")
        await settled()
        one, other = await subscribed(site, "/queue/a"), await subscribed(site, "/queue/a")
        assert bodies(await one.take()) == ["0", "1"]
        for number in range(2, 6):
            sender.send("SEND", str(number), destination="/queue/a")
        assert [bodies(await one.take()), bodies(await other.take())] in (
            [["2", "4"], ["3", "5"]],
            [["3", "5"], ["2", "4"]],
        )


async def test_what_is_not_acknowledged_is_given_to_another_when_its_subscriber_dies() -> None:
    async with open_stomp() as site:
        first = await subscribed(site, "/queue/a", "client-individual")
        for text in "abcd":
            await site.stomp.send("/queue/a", text)
        frames = await first.take()
        assert bodies(frames) == ["a", "b", "c", "d"]
        first.send("ACK", id=frames[1].headers["ack"])
        await settled()
        first.socket.close()
        await settled()
        second = await subscribed(site, "/queue/a", "client")
        frames = await second.take()
        assert bodies(frames) == ["a", "c", "d"]
        assert {frame.headers["redelivered"] for frame in frames} == {"true"}
        second.send("ACK", id=frames[1].headers["ack"])
        second.send("UNSUBSCRIBE", id="1", receipt="gone")
        assert (await second.one()).command == "RECEIPT"
        third = await subscribed(site, "/queue/a")
        assert bodies(await third.take()) == ["d"]


async def test_nack_gives_it_out_again_until_that_was_too_often(caplog: pytest.LogCaptureFixture) -> None:
    async with open_stomp(max_deliveries=3) as site:
        peer = await subscribed(site, "/queue/a", "client-individual")
        await site.stomp.send("/queue/a", "a")
        await site.stomp.send("/queue/a", "b")
        frames = await peer.take()
        last = frames[0]
        for _ in range(2):
            peer.send("NACK", id=last.headers["ack"])
            last = await peer.one()
            assert (last.body, last.headers["redelivered"]) == (b"a", "true")
        peer.send("NACK", id=last.headers["ack"])
        assert await peer.take() == []
        assert "max_deliveries" in caplog.text
        peer.send("NACK", id=frames[1].headers["ack"], requeue="false")
        assert await peer.take() == []
        peer.send("UNSUBSCRIBE", id="1")
        await settled()
        assert site.stomp.queues.by_name == {}


async def test_a_queue_gives_a_client_no_more_than_it_may_owe() -> None:
    async with open_stomp(max_unacked=2) as site:
        peer = await subscribed(site, "/queue/a", "client")
        few = await subscribed(site, "/queue/b", "client-individual", prefetch_count=1)
        for text in "abcde":
            await site.stomp.send("/queue/a", text)
            await site.stomp.send("/queue/b", text)
        frames = await peer.take()
        assert bodies(frames) == ["a", "b"]
        peer.send("ACK", id=frames[1].headers["ack"])
        assert bodies(await peer.take()) == ["c", "d"]
        frame = await few.one()
        few.send("ACK", id=frame.headers["ack"])
        assert bodies(await few.take()) == ["b"]


async def test_a_transaction_is_done_whole_or_not_at_all() -> None:
    async with open_stomp(max_queue_messages=2) as site:
        peer = await subscribed(site, "/queue/a", "client-individual")
        await site.stomp.send("/queue/a", "first")
        ack = (await peer.one()).headers["ack"]
        peer.send("BEGIN", transaction="t")
        peer.send("ACK", id=ack, transaction="t")
        peer.send("SEND", "x", destination="/topic/a", transaction="t")
        peer.send("ABORT", transaction="t", receipt="aborted")
        assert (await peer.one()).headers["receipt-id"] == "aborted"
        listener = await subscribed(site, "/topic/a")
        peer.send("BEGIN", transaction="t")
        peer.send("ACK", id=ack, transaction="t")
        peer.send("SEND", "x", destination="/topic/a", transaction="t")
        peer.send("SEND", "y", destination="/topic/a", transaction="t", receipt="said")
        assert (await peer.one()).headers["receipt-id"] == "said"
        assert await listener.take() == []
        peer.send("COMMIT", transaction="t", receipt="done")
        assert (await peer.one()).headers["receipt-id"] == "done"
        assert bodies(await listener.take()) == ["x", "y"]
        # The queue has room for two, so that three are none.
        peer.send("BEGIN", transaction="t")
        for text in "abc":
            peer.send("SEND", text, destination="/queue/b", transaction="t")
        peer.send("SEND", "x", destination="/topic/a", transaction="t")
        peer.send("COMMIT", transaction="t", receipt="r")
        assert "max_queue_messages" in await peer.error()
        assert peer.frames[-1].headers["receipt-id"] == "r"
        assert await listener.take() == []


async def test_disconnect_is_answered_and_closes() -> None:
    async with open_stomp() as site:
        peer = await site.connected()
        peer.send("DISCONNECT", receipt="bye")
        assert await peer.one() == Frame("RECEIPT", {"receipt-id": "bye"})
        assert peer.closed == (1000, "")
        assert site.stomp.clients == {}
        await peer.socket.finished()


@pytest.mark.parametrize(
    "destination", ["/other/a", "queue", "", "/user/a", "/user/queue/", "/app/none", "/user/a/b/c"]
)
@pytest.mark.parametrize("command", ["SEND", "SUBSCRIBE"])
async def test_what_is_no_destination_is_an_error(command: str, destination: str) -> None:
    async with open_stomp() as site:
        peer = await site.connected()
        peer.send(command, id="1", destination=destination, receipt="r")
        assert await peer.error()
        assert peer.frames[-1].headers["receipt-id"] == "r"
        if destination not in ("/app/none",):
            with pytest.raises(LocalProtocolError):
                await site.stomp.send(destination, "x")


async def test_what_cannot_be_sent_raises_where_it_is_sent() -> None:
    async with open_stomp() as site:
        for value, headers in ((object(), {}), ("\ud800", {}), (float("nan"), {}), ("x", {"a": "\0"})):
            with pytest.raises(LocalProtocolError):
                await site.stomp.send("/topic/a", value, headers=headers)
        with pytest.raises(LocalProtocolError, match="surrogate"):
            await site.stomp.send("/topic/a", "x", headers={"a": "\ud800"})


async def test_what_no_client_could_take_is_refused_where_it_is_sent() -> None:
    async with open_stomp(max_outgoing_bytes=20_000) as site:
        stomp = site.stomp
        stomp.on_subscribe("/app/large")(lambda message: "x" * 20_001)
        topic, queue = await subscribed(site, "/topic/a"), await subscribed(site, "/queue/a", "client")
        user = await subscribed(site, "/user/queue/a")
        [name] = [each.user for each in stomp.clients.values()][2:]
        for destination, most in (
            ("/topic/a", 20_000),
            ("/queue/a", 10_000),
            (f"/user/{name}/queue/a", 20_000),
        ):
            with pytest.raises(LocalProtocolError, match=r"nobody got it.*max_outgoing_bytes"):
                await stomp.send(destination, "x" * (most + 1))
            await stomp.send(destination, "x" * (most - 300))
        for peer in (topic, queue, user):
            assert [frame.command for frame in await peer.take()] == ["MESSAGE"]
        sender, asks = await site.connected(), await site.connected()
        sender.send("SEND", "x" * 20_001, destination="/topic/a")
        assert "max_outgoing_bytes" in await sender.error()
        asks.send("SUBSCRIBE", id=1, destination="/app/large")
        frames: list[Frame] = []
        with anyio.fail_after(20):
            while not frames:
                frames += await asks.take()
        assert [frame.headers.get("message") for frame in frames] == ["internal error"]
        assert [await peer.take() for peer in (topic, queue, user)] == [[], [], []]
        assert topic.closed is queue.closed is user.closed is None


async def test_the_application_sends_text_bytes_and_json() -> None:
    async with open_stomp() as site:
        peer = await subscribed(site, "/topic/a")
        for value in ("text", b"\1\2", {"a": [1, None]}):
            await site.stomp.send("/topic/a", value)
        await site.stomp.send("/topic/a", "<a/>", headers={"content-type": "text/xml", "destination": "mine"})
        frames = await peer.take()
        assert [frame.headers["content-type"] for frame in frames] == [
            "text/plain;charset=utf-8",
            "application/octet-stream",
            "application/json",
            "text/xml",
        ]
        assert json.loads(frames[2].body) == {"a": [1, None]}
        assert frames[3].headers["destination"] == "/topic/a"


# --- heart-beats, and who does not take what is sent


async def test_heart_beats_go_both_ways_and_silence_ends_the_connection() -> None:
    async with open_stomp(heart_beat=10) as site:
        peer = await site.peer()
        frame = await peer.connect(heart_beat="10000,10000")
        assert frame.headers["heart-beat"] == "10000,10000"
        for _ in range(3):
            await site.clock.advance(10)
            peer.raw("\n")
            await settled()
        assert await peer.take() == []
        assert peer.beats == 3
        await site.clock.advance(19)
        assert (await peer.take(), peer.closed) == ([], None)
        await site.clock.advance(1)
        assert "heart-beat" in await peer.error()
        assert peer.closed is not None
        assert peer.closed[0] == 1008


async def test_a_session_has_its_own_heartbeat_and_none_of_stomp() -> None:
    async with open_stomp(heart_beat=10) as site:
        peer = await site.peer(in_session=True)
        assert (await peer.connect(heart_beat="1000,1000")).headers["heart-beat"] == "0,0"


async def test_heart_beats_do_not_wait_behind_a_function_of_the_application() -> None:
    never = anyio.Event()
    async with open_stomp(heart_beat=10, max_pending_frames=5) as site:

        @site.stomp.handle("/app/slow")
        async def slow(message: object) -> None:
            await never.wait()

        peer = await site.peer()
        await peer.connect(heart_beat="10000,10000")
        for _ in range(50):
            peer.send("SEND", destination="/app/slow")
        await settled()
        assert peer.socket.untaken() > 30
        for _ in range(5):
            # Reading has stopped, so that nobody can say whether it beats.
            await site.clock.advance(10)
        assert await peer.take() == []
        assert (peer.beats, peer.closed) == (5, None)
        never.set()
        await settled()
        assert peer.socket.untaken() == 0


async def test_who_does_not_say_connect_in_time_is_closed() -> None:
    async with open_stomp(connect_timeout=10) as site:
        peer = await site.peer()
        await site.clock.advance(11)
        assert "connect_timeout" in await peer.error()
        assert peer.closed is not None


async def test_who_takes_nothing_is_closed_at_his_bound_and_holds_up_nobody() -> None:
    async with open_stomp(max_outgoing_bytes=10_000) as site:
        slow, quick = await subscribed(site, "/topic/a"), await subscribed(site, "/topic/a")
        slow.socket.hang()
        for _ in range(20):
            await site.stomp.send("/topic/a", "x" * 1_000)
            await quick.take()
        assert len(quick.frames) == 21
        await site.clock.advance(5)
        await slow.socket.finished()
        assert len(site.stomp.clients) == 1


async def test_a_queue_stops_for_who_takes_nothing_and_goes_on_with_him() -> None:
    async with open_stomp(max_outgoing_bytes=10_000) as site:
        slow = await subscribed(site, "/queue/a")
        gate = slow.socket.slow()
        for number in range(20):
            await site.stomp.send("/queue/a", str(number).ljust(1_000))
        await settled()
        assert len(site.stomp.queues.by_name["/queue/a"].ready) > 10
        heard: list[str] = []
        while len(heard) < 20:
            gate.release()
            heard += [body.strip() for body in bodies(await slow.take())]
        assert heard == [str(number) for number in range(20)]
        assert slow.closed is None


# --- what is left when all are gone


async def test_nothing_is_left_when_all_are_gone() -> None:
    async with open_stomp() as site:
        peers = [await site.connected(in_session=number % 2 == 0) for number in range(6)]
        for number, peer in enumerate(peers):
            for place, destination in enumerate(
                ("/topic/a", "/queue/a", "/user/queue/a", f"/topic/{number}")
            ):
                peer.send("SUBSCRIBE", id=place, destination=destination, ack="client")
            peer.send("SEND", "x", destination="/topic/a")
            peer.send("SEND", "x", destination="/queue/a")
        await settled()
        broker = site.stomp
        assert len(broker.clients) == 6
        for peer in peers:
            peer.socket.close()
        await settled()
        assert (broker.clients, broker._topics, broker._users) == ({}, {}, {})
        # What nobody has acknowledged is there for who comes.
        assert len(broker.queues.by_name["/queue/a"].ready) == 6
        last = await subscribed(site, "/queue/a")
        assert len(await last.take()) == 6
        last.socket.close()
        await settled()
        assert broker.queues.by_name == {}


async def test_what_was_sent_before_the_end_is_done_to_its_end() -> None:
    done: list[bytes] = []
    async with open_stomp() as site:

        @site.stomp.handle("/app/work")
        async def work(message: object) -> None:
            await anyio.lowlevel.checkpoint()
            done.append(message.body)  # type: ignore[attr-defined]

        peer = await site.connected()
        for number in range(5):
            peer.send("SEND", str(number), destination="/app/work")
        peer.socket.close()
        await peer.socket.finished()
        assert done == [b"0", b"1", b"2", b"3", b"4"]


async def test_an_error_is_said_before_the_end_however_slowly_it_leaves() -> None:
    async with open_stomp() as site:
        peer = await site.connected()
        gate = peer.socket.slow()
        peer.send("SEND", "x", destination="/nowhere")
        await settled()
        assert await peer.take() == []
        gate.release()
        gate.release()
        assert await peer.error() == "there is no such destination"
        assert peer.closed == (1002, "there is no such destination")
        await peer.socket.finished()


async def test_what_came_before_a_client_was_gone_is_done_although_it_hears_nothing() -> None:
    async with open_stomp() as site:
        peer = await site.connected()
        peer.socket.hang()
        for text in ("a", "b", "c"):
            peer.send("SEND", text, destination="/queue/a", receipt=text)
        peer.send("SEND", "d", destination="/nowhere")
        peer.socket.close()
        await site.clock.advance(5)
        await peer.socket.finished()
        last = await subscribed(site, "/queue/a")
        assert bodies(await last.take()) == ["a", "b", "c"]


async def test_others_have_their_turn_between_the_many_frames_of_one_message() -> None:
    async with open_stomp() as site:
        peer = await site.connected()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count)
            peer.raw("SEND\ndestination:/topic/a\n\n\0" * 5_000 + "DISCONNECT\n\n\0")
            await peer.socket.closed()
            tasks.cancel_scope.cancel()
        assert turns >= 50
