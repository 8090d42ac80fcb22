"""A session with its waiting: who writes, who waits for room, and who goes on when a write is cut."""

from __future__ import annotations

import anyio
import pytest
from asgi_driver import settled
from counting_peer import Site, open_site

from holdfast import CloseReason, SessionClosed
from holdfast.engine.live import LiveSession, short_hash
from holdfast.engine.wire.message import Message


def live_of(site: Site, sid: str) -> LiveSession:
    return site.engine.table.sessions[sid]


async def test_answer_is_written_without_being_asked_for() -> None:
    async with open_site() as site:
        peer, carrier = await site.opened()
        await live_of(site, peer.sid).answer(Message("at once"))
        assert await carrier.take(1) == ["at once"]


async def test_messages_sent_without_waiting_go_out_together() -> None:
    async with open_site() as site:
        peer, carrier = await site.opened()
        live_of(site, peer.sid).send_nowait(Message("a"), Message("b"))
        live_of(site, peer.sid).send_nowait(Message("c"))
        assert carrier.is_quiet()
        await settled()
        assert await carrier.socket.receive() == "4a\x1e4b\x1e4c"  # type: ignore[attr-defined]


async def test_two_who_send_at_once_keep_the_order_of_their_messages() -> None:
    async with open_site() as site:
        _, carrier = await site.opened()

        async def talk(name: str) -> None:
            for number in range(50):
                await site.session.send(f"{name}{number}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk, "a")
            tasks.start_soon(talk, "b")
        heard = await carrier.take(100)
        for name in "ab":
            own = [message for message in heard if str(message).startswith(name)]
            assert own == [f"{name}{number}" for number in range(50)]


async def test_send_waits_while_half_of_the_bound_is_kept_and_goes_on_after_an_acknowledgement() -> None:
    async with open_site("stream", buffer_limit=11_500) as site:
        peer, carrier = await site.opened()
        sent: list[int] = []

        async def talk() -> None:
            for number in range(20):
                await site.session.send("x" * 1000)
                sent.append(number)

        site.client.tasks.start_soon(talk)
        await settled()
        assert len(sent) == 6
        await carrier.take(6)
        await peer.post("3")
        await settled()
        assert len(sent) == 12
        await carrier.take(6)
        await peer.post("3")
        await settled()
        await carrier.take(6)
        await peer.post("3")
        await settled()
        assert len(sent) == 20
        assert site.session.is_open


async def test_who_waits_for_room_is_told_that_the_session_has_ended() -> None:
    async with open_site("stream", buffer_limit=11_500, grace_period=60.0) as site:
        _, carrier = await site.opened()
        outcome: list[str] = []

        async def talk() -> None:
            try:
                while True:
                    await site.session.send("x" * 1000)
            except SessionClosed:
                outcome.append("told")

        site.client.tasks.start_soon(talk)
        await settled()
        carrier.cut()
        await site.clock.advance(61)
        assert outcome == ["told"]


async def test_who_answers_a_dead_peer_does_not_wait_for_it() -> None:
    async with open_site() as site:
        peer, carrier = await site.opened()
        carrier.socket.hang()  # type: ignore[attr-defined]
        with anyio.fail_after(10):
            await live_of(site, peer.sid).answer(Message("held"))
        await site.clock.advance(14)
        assert live_of(site, peer.sid).attached
        await site.clock.advance(2)
        assert not live_of(site, peer.sid).attached
        resumed = await peer.attach("websocket")
        assert await resumed.take(1) == ["held"]


async def test_nobody_writes_on_a_carrier_that_was_cut_between_two_frames() -> None:
    """The peer would take what it gets next for what is missing."""
    async with open_site() as site:
        peer, carrier = await site.opened()
        live, turns = live_of(site, peer.sid), carrier.socket.slow()  # type: ignore[attr-defined]
        (attachment,) = live._attachments.values()
        turns.release()
        await live.answer(Message("a"), Message(b"b"), Message("c"))
        await settled()
        attachment.cut()
        for _ in range(9):
            turns.release()
        # Before whoever reads has heard of the end.
        await live.answer(Message("d"))
        await carrier.ended()
        assert "d" not in carrier.messages
        kept = ["a", b"b", "c", "d"][len(carrier.messages) :]
        resumed = await peer.attach("websocket")
        assert await resumed.take(len(kept)) == kept


async def test_write_that_waits_while_its_carrier_ends_takes_nothing_more_for_it() -> None:
    async with open_site() as site:
        peer, carrier = await site.opened()
        live, turns = live_of(site, peer.sid), carrier.socket.slow()  # type: ignore[attr-defined]
        (attachment,) = live._attachments.values()
        await live.answer(Message("a"))
        await settled()
        live.send_nowait(Message("b"))
        await attachment.end()
        turns.release()
        await settled()
        carrier.cut()
        await settled()
        resumed = await peer.attach("websocket")
        assert await resumed.take(2) == ["a", "b"]


async def test_send_that_is_given_up_costs_the_session_nothing() -> None:
    """A time limit round a send to a slow peer is the application's right."""
    async with open_site(buffer_limit=10_000) as site:
        peer, carrier = await site.opened()
        carrier.socket.hang()  # type: ignore[attr-defined]
        sent: list[int] = []
        with anyio.CancelScope() as scope:
            site.client.tasks.start_soon(_cancel, scope)
            for number in range(20):
                await site.session.send("x" * 1000)
                sent.append(number)
        assert scope.cancelled_caught
        assert 0 < len(sent) < 20
        await settled()
        assert live_of(site, peer.sid).attached
        assert not live_of(site, peer.sid).writable
        carrier.cut()
        resumed = await peer.attach("websocket")
        assert await resumed.take(len(sent)) == ["x" * 1000] * len(sent)


async def _cancel(scope: anyio.CancelScope) -> None:
    await settled_tasks()
    scope.cancel()


async def settled_tasks() -> None:
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("times", [1, 2])
async def test_end_is_announced_once(times: int) -> None:
    async with open_site() as site:
        peer, carrier = await site.opened()
        live = live_of(site, peer.sid)
        for _ in range(times):
            live.fail(CloseReason.FORCED_CLOSE, message="enough")
        live.close()
        await settled()
        assert site.application.ended == [CloseReason.FORCED_CLOSE]
        assert (await carrier.closing()).value == {"message": "enough", "received": 0}
        with pytest.raises(SessionClosed):
            live.send_nowait(Message("too late"))


async def test_name_in_logs_does_not_give_the_secret_away() -> None:
    assert len(short_hash("secret")) == 8
    assert short_hash("secret") == short_hash("secret") != short_hash("other")
