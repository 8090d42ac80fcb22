"""S5: a session is its principal's. Who has stolen the key, or has a standard client's id, is refused all the same."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from asgi_driver import Client, settled
from counting_peer import CountingPeer, Site, check_unharmed, open_site
from logged_in import TRANSPORTS, Browser, Users, open_users, peer_of

from holdfast import Allowed, CloseReason, Handshake, Server, Settings
from holdfast.engine.live import Identity, Permission
from holdfast.engine.live.identity import fingerprint

PLAIN = "/engine.io/?EIO=4&transport="
OTHERS = ["user=mallory", "", "user=alice-not"]


def thief_of(site: Site, victim: CountingPeer, cookie: str) -> CountingPeer:
    """Somebody who knows all that the victim does, but for the cookie."""
    thief = peer_of(site, cookie) if cookie else site.peer()
    thief.sid, thief.key = victim.sid, victim.key
    thief._number = 100
    return thief


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("carried", TRANSPORTS)
async def test_s5_hijack_by_attaching_is_refused(carried: str, transport: str, other: str) -> None:
    """By poll, by upgrade and by resume, whatever carries the session."""
    async with open_users() as (site, _):
        victim = peer_of(site, "user=alice")
        await victim.open(carried)
        thief = thief_of(site, victim, other)
        refusal = await (await thief.attach(transport)).refusal()
        assert (refusal.status, refusal.code, refusal.received) == (403, 4, None)
        await check_unharmed(site, victim)


@pytest.mark.parametrize("other", OTHERS)
async def test_s5_hijack_after_the_victim_was_cut_off_is_refused(other: str) -> None:
    async with open_users() as (site, _):
        victim = peer_of(site, "user=alice")
        carrier = await victim.open("websocket")
        carrier.cut()
        await settled()
        for transport in TRANSPORTS:
            refusal = await (await thief_of(site, victim, other).attach(transport)).refusal()
            assert refusal.status == 403
        await check_unharmed(site, victim)


@pytest.mark.parametrize("other", OTHERS)
async def test_s5_hijack_by_a_post_is_refused(other: str) -> None:
    async with open_users() as (site, _):
        victim = peer_of(site, "user=alice")
        await victim.open("stream")
        thief = thief_of(site, victim, other)
        for packets in (["91", "4stolen"], ["1"]):
            assert (await thief.post(*packets)).status == 403
        # Nor does he attach a stream of the victim's that waits.
        await victim.attach("stream", number=7, probe=True)
        assert (await thief.post("27", carrier=7)).status == 403
        await check_unharmed(site, victim)


@pytest.mark.parametrize("other", OTHERS)
async def test_s5_hijack_of_a_standard_client_is_refused(other: str) -> None:
    """Its id is all that it has, and is in URLs. Without a principal a second poll would end the session."""
    async with open_users() as (site, _):
        victim = Browser(site.client, cookie="user=alice")
        thief = Browser(site.client, cookie=other) if other else site.client
        sid = json.loads((await victim.get(f"{PLAIN}polling").text())[1:])["sid"]
        url = f"{PLAIN}polling&sid={sid}"
        poll = victim.get(url)
        await settled()
        assert await thief.get(url).start() == 403
        assert await thief.post(url, "4stolen").start() == 403
        assert await thief.post(url, "1").start() == 403
        start = await thief.websocket(f"{PLAIN}websocket&sid={sid}").next()
        assert start["status"] == 403
        await site.session.send("for the victim")
        assert await poll.text() == "4for the victim"
        assert await victim.post(url, "4from the victim").start() == 200
        await settled()
        assert site.received == ["from the victim"]


async def test_s5_standard_client_goes_on_and_upgrades_as_whom_it_is() -> None:
    async with open_users() as (site, users):
        victim = Browser(site.client, cookie="user=alice")
        sid = json.loads((await victim.get(f"{PLAIN}polling").text())[1:])["sid"]
        poll = victim.get(f"{PLAIN}polling&sid={sid}")
        await settled()
        socket = victim.websocket(f"{PLAIN}websocket&sid={sid}")
        await socket.accept()
        socket.send("2probe")
        assert await socket.receive() == "3probe"
        assert await poll.text() == "6"
        socket.send("5")
        socket.send("4hello")
        await settled()
        assert site.received == ["hello"]
        assert users.asked == ["user=alice"] * 2


async def test_s5_fixation_session_that_somebody_has_opened_for_a_victim_takes_nothing_of_him() -> None:
    """He would have the victim's browser go on with a session whose key he knows."""
    async with open_users() as (site, _):
        thief = peer_of(site, "user=mallory")
        await thief.open("polling")
        victim = peer_of(site, "user=alice")
        victim.sid, victim.key = thief.sid, thief.key
        assert (await victim.post("91", "4my secret")).status == 403
        assert (await (await victim.attach("websocket", number=9)).refusal()).status == 403
        await settled()
        assert site.received == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_s5_recovery_of_a_socket_by_another_principal_begins_a_new_one(anyio_backend: str) -> None:
    """A standard client's `pid` alone would let anybody in."""
    from event_peer import Wire

    from holdfast.engine.dispatch import Events

    wire = Wire(Events(Settings(connection_state_recovery=True)))

    async def answer(principal: str, auth: str = "") -> dict[str, Any]:
        peer = wire.open(request=Handshake(principal=principal))
        peer.send(f"0{auth}")
        packet = await peer.receive()
        assert isinstance(packet, str)
        return json.loads(packet[1:])

    first = await answer("alice")
    auth = json.dumps({"pid": first["pid"]})
    other = await answer("mallory", auth)
    assert other["sid"] != first["sid"]
    assert other["pid"] != first["pid"]
    again = await answer("alice", auth)
    assert (again["sid"], again["pid"]) == (first["sid"], first["pid"])


async def test_polls_and_posts_of_one_client_ask_nobody() -> None:
    async with open_users() as (site, users):
        peer = peer_of(site, "user=alice")
        carrier = await peer.open("polling")
        await carrier.send("one")
        asked = len(users.asked)
        for text in ("two", "three", "four"):
            await site.session.send(text)
            assert await carrier.take(1) == [text]
            await carrier.send(text)
        assert len(users.asked) == asked <= 3
        # A proxy that numbers requests does not make them other ones; another address does.
        peer.client = Browser(peer.client, cookie="user=alice", x_request_id="7", sec_fetch_mode="cors")
        assert (await peer.post("3")).status == 200
        assert len(users.asked) == asked
        peer.client = Browser(peer.client, cookie="user=alice; theme=dark")
        assert (await peer.post("3")).status == 200
        assert len(users.asked) == asked + 1


async def test_polling_that_goes_on_after_a_gap_is_asked_again_and_refused_to_who_was_logged_out() -> None:
    async with open_users() as (site, users):
        peer = peer_of(site, "user=alice")
        carrier = await peer.open("polling")
        await carrier.send("one")
        users.out.add("user=alice")
        await site.session.send("two")
        assert await carrier.take(1) == ["two"]
        await site.clock.advance(4)
        carrier = await peer.attach("polling")
        await site.session.send("three")
        assert await carrier.take(1) == ["three"]
        await site.clock.advance(6)
        refusal = await (await peer.attach("polling")).refusal()
        assert (refusal.status, refusal.value["message"]) == (403, "log in first")
        assert (await peer.post("91", "4after")).status == 403
        assert site.engine.session_count == 1
        assert site.received == ["one"]


@pytest.mark.parametrize("answer", [True, None])
async def test_without_a_word_on_whose_it_is_only_the_opening_is_judged(answer: Any) -> None:
    asked: list[Handshake] = []

    def allow_request(handshake: Handshake) -> Any:
        asked.append(handshake)
        return answer

    async with open_site(allow_request=allow_request) as site:
        peer, carrier = await site.opened("polling")
        carrier = await peer.attach("websocket")
        await carrier.attached()
        assert len(asked) == 1
        assert site.session.request.principal is None


async def test_principal_is_in_the_handshake_and_in_no_repr() -> None:
    async with open_users() as (site, _):
        await peer_of(site, "user=alice").open("websocket")
        assert site.session.request.principal == "user=alice"
        assert "alice" not in repr(site.session.request)
        assert "alice" not in repr(Allowed(principal="user=alice"))


async def test_log_hears_of_a_hijack_once(caplog: pytest.LogCaptureFixture) -> None:
    async with open_users() as (site, _):
        victim = peer_of(site, "user=alice")
        await victim.open("polling")
        with caplog.at_level(logging.WARNING, "holdfast"):
            for _ in range(10):
                assert (await thief_of(site, victim, "user=mallory").post("3")).status == 403
    [record] = caplog.records
    assert "another principal" in record.getMessage()
    assert victim.sid not in record.getMessage()


async def test_session_that_ends_while_the_application_is_asked_is_unknown_then() -> None:
    async with open_site() as site:
        users = Users()

        async def allow_request(handshake: Handshake) -> Allowed:
            for session in list(site.engine.table.sessions.values()):
                session.fail(CloseReason.FORCED_CLOSE)
            return await users.allow_request(handshake)

        site.engine._permission = Permission(allow_request)
        peer = peer_of(site, "user=alice")
        await peer.open("polling")
        refusal = await (await peer.attach("websocket")).refusal()
        assert refusal.code == 1


def request_of(**scope: Any) -> Handshake:
    return Handshake(scope={"headers": [(b"cookie", b"a=b")], **scope}, query={"EIO": "4", "t": "1"})


@pytest.mark.parametrize(
    "other",
    [
        request_of(headers=[(b"cookie", b"a=c")]),
        request_of(headers=[(b"cookie", b"a=b"), (b"cookie", b"a=c")]),
        request_of(headers=[(b"cookie", b"a=b"), (b"x-api-key", b"k")]),
        request_of(headers=[(b"cookiea", b"=b")]),
        request_of(headers=[]),
        request_of(extensions={"tls": {"client_cert_name": "CN=mallory"}}),
        Handshake(scope=request_of().scope, query={"token": "k"}),
        Handshake(scope=request_of().scope, address=("10.0.0.1", 1)),
        Handshake(scope=request_of().scope, secure=True),
    ],
)
def test_whatever_may_say_who_asks_makes_another_request(other: Handshake) -> None:
    assert fingerprint(other) != fingerprint(request_of())


@pytest.mark.parametrize(
    "same",
    [
        request_of(headers=[(b"traceparent", b"1"), (b"cookie", b"a=b"), (b"accept", b"*/*")]),
        Handshake(scope=request_of().scope, query={"transport": "polling", "sid": "s", "t": "2"}),
        Handshake(scope={**request_of().scope, "path": "/other", "user": object()}),
    ],
)
def test_what_changes_with_every_request_does_not(same: Handshake) -> None:
    assert fingerprint(same) == fingerprint(request_of())


async def test_no_more_than_eight_kinds_of_request_are_remembered() -> None:
    users = Users()
    first = Handshake(headers={"cookie": "user=alice"}, scope={"headers": []})
    identity = Identity(Permission(users.allow_request), await users.allow_request(first), first)
    for number in range(100):
        headers = [(b"x-number", b"%d" % number)]
        request = Handshake(headers=first.headers, scope={"headers": headers})
        assert await identity.check(request, again=False)
        assert not await identity.check(request, again=False)
    assert await identity.check(first, again=False)
    assert len(identity._known) == 8


async def test_middleware_of_starlette_says_who_it_is() -> None:
    """As docs/settings.md has it: the user that authentication in front has found."""
    from counting_peer import client_of
    from starlette.applications import Starlette
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.requests import HTTPConnection
    from starlette.routing import Mount

    class ByCookie(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
            name = conn.cookies.get("user")
            return (AuthCredentials(), SimpleUser(name)) if name else None

    def allow_request(handshake: Handshake) -> Allowed | bool:
        user = handshake.scope["user"]
        return user.is_authenticated and Allowed(principal=user.display_name)

    io = Server(allow_request=allow_request)
    app = Starlette(
        routes=[Mount("/socket.io", app=io)],
        middleware=[Middleware(AuthenticationMiddleware, backend=ByCookie())],
    )
    async with client_of(app) as client:
        await _check_starlette(client)


async def _check_starlette(client: Client) -> None:
    alice, mallory = Browser(client, cookie="user=alice"), Browser(client, cookie="user=mallory")
    url = "/socket.io/?EIO=4&transport=polling"
    assert await client.get(url).start() == 403
    sid = json.loads((await alice.get(url).text())[1:])["sid"]
    assert await mallory.post(f"{url}&sid={sid}", "40").start() == 403
    assert await alice.post(f"{url}&sid={sid}", "40").start() == 200


class Odd:
    """Of an application whose users ask a database who they are."""

    def __eq__(self, other: object) -> bool:
        raise LookupError("no database here")

    __hash__ = None  # type: ignore[assignment]


async def test_principal_that_cannot_be_compared_lets_nobody_in_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_site(allow_request=lambda handshake: Allowed(principal=Odd())) as site:
        peer, _ = await site.opened("polling")
        refusal = await (await peer.attach("websocket")).refusal()
        assert (refusal.status, site.session.is_open) == (403, True)
    assert "no database here" in caplog.text
