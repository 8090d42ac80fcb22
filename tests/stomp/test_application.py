"""What an application has to say: who a client is, what it may do, functions behind destinations, users."""

from __future__ import annotations

import re
import time
from typing import Any

import anyio
import pytest
from asgi_driver import ManualClock, drive, settled
from stomp_peer import Site, StompPeer, open_stomp

from holdfast import (
    Allowed,
    ConnectionRefusedError,
    EventError,
    LocalProtocolError,
    Stomp,
    StompClient,
    StompLogin,
    StompMessage,
)


def with_users(stomp: Stomp) -> None:
    """The login is who it is; its passcode is the same."""

    @stomp.authenticate
    async def who(login: StompLogin) -> str | bool | None:
        if login.login is None:
            return None
        return login.login if login.login == login.passcode else False


async def test_a_principal_is_what_authenticate_says() -> None:
    async with open_stomp(with_users) as site:
        one = await site.peer()
        assert (await one.connect(login="ann", passcode="ann")).headers["user-name"] == "ann"
        other = await site.peer()
        assert "user-name" not in (await other.connect()).headers
        assert sorted(str(client.principal) for client in site.stomp.clients.values()) == ["None", "ann"]
        bad = await site.peer()
        bad.send("CONNECT", accept_version="1.2", login="ann", passcode="bob")
        bad.send("SEND", "x", destination="/queue/a")
        assert await bad.error() == "access refused"
        assert site.stomp.queues.by_name == {}


@pytest.mark.parametrize("plain", [False, True])
async def test_a_refusal_may_have_words_and_a_failure_says_nothing(
    plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stomp() as site:

        def decide(login: StompLogin) -> None:
            if login.login == "refused":
                raise ConnectionRefusedError("come back tomorrow")
            raise ValueError("secret")

        async def decide_later(login: StompLogin) -> None:
            decide(login)

        site.stomp.authenticate(decide if plain else decide_later)
        for login, message in (("refused", "come back tomorrow"), ("x", "access refused")):
            peer = await site.peer()
            peer.send("CONNECT", accept_version="1.2", login=login)
            if plain:
                await _until_closed(peer)
            assert message == (peer.frames or await peer.take())[-1].headers["message"]
        assert "secret" in caplog.text


async def _until_closed(peer: Any) -> None:
    await peer.socket.finished()
    await peer.take()


async def test_a_time_that_is_over_ends_the_connection() -> None:
    async with open_stomp() as site:

        @site.stomp.authenticate
        async def who(login: StompLogin) -> Allowed:
            return Allowed(principal="ann", expires_at=time.time() + (60 if login.login else -1))

        peer = await site.peer()
        await peer.connect(login="ann")
        await site.clock.advance(59)
        assert peer.closed is None
        await site.clock.advance(2)
        assert "expired" in await peer.error()
        late = await site.peer()
        late.send("CONNECT", accept_version="1.2")
        assert "expired" in await late.error()


async def test_the_principal_of_allow_request_is_that_of_the_client() -> None:
    clock = ManualClock()
    expires = [time.time() + 60]
    stomp = Stomp(
        clock=clock,
        allow_request=lambda request: Allowed(
            principal=request.headers.get("x-user"), expires_at=expires.pop() if expires else time.time() - 1
        ),
    )
    async with drive(stomp) as client:
        site = Site(stomp, clock, client)
        socket = client.websocket("/stomp/", headers={"x-user": "ann"})
        await socket.accept()
        peer = StompPeer(socket, in_session=False)
        assert (await peer.connect()).headers["user-name"] == "ann"
        await site.clock.advance(62)
        await socket.finished()
        assert "expired" in await peer.error()


async def test_authorize_decides_what_a_client_may_do(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[tuple[str, str]] = []
    async with open_stomp() as site:

        @site.stomp.authorize
        async def may(client: StompClient, action: str, destination: str) -> bool:
            asked.append((action, destination))
            if destination.endswith("broken"):
                raise ValueError("it fails")
            return destination.endswith("open")

        peer = await site.connected()
        peer.send("SUBSCRIBE", id="1", destination="/topic/open")
        peer.send("SEND", "x", destination="/topic/open")
        assert (await peer.one()).body == b"x"
        assert asked == [("subscribe", "/topic/open"), ("send", "/topic/open")]
        peer.send("BEGIN", transaction="t")
        peer.send("SEND", "x", destination="/topic/open", transaction="t")
        peer.send("SEND", "x", destination="/topic/closed", transaction="t")
        peer.send("COMMIT", transaction="t")
        assert await peer.error() == "this client may not send here"
        assert [frame.command for frame in peer.frames] == ["CONNECTED", "MESSAGE", "ERROR"]
        for destination in ("/topic/closed", "/topic/broken"):
            other = await site.connected()
            other.send("SUBSCRIBE", id="1", destination=destination)
            assert await other.error() == "this client may not subscribe here"
        assert "it fails" in caplog.text


async def test_a_subscription_that_ends_while_it_is_asked_about_is_none() -> None:
    go = anyio.Event()
    async with open_stomp() as site:

        @site.stomp.authorize
        async def may(client: StompClient, action: str, destination: str) -> bool:
            await go.wait()
            return True

        peer = await site.connected()
        peer.send("SUBSCRIBE", id="1", destination="/topic/a")
        peer.send("UNSUBSCRIBE", id="1")
        await settled()
        go.set()
        await settled()
        assert site.stomp._topics == {}


# --- functions


async def test_a_function_answers_to_a_destination_or_to_the_sender() -> None:
    async with open_stomp() as site:
        stomp = site.stomp

        @stomp.handle("/app/greetings")
        async def greet(message: StompMessage) -> str:
            return "hello " + message.text

        @stomp.handle("/app/rooms/{room}/say", send_to="/topic/said")
        def say(message: StompMessage) -> dict[str, object]:
            return {"room": message.params["room"], "said": message.json()}

        @stomp.handle("/app/ask", send_to="/user/queue/answers")
        async def ask(message: StompMessage) -> bytes:
            return message.body + b"!"

        @stomp.handle("/app/nothing")
        async def nothing(message: StompMessage) -> None:
            assert message.headers == {"x": "y"}
            assert repr(message.client).startswith("<StompClient")

        one, other = await site.connected(), await site.connected()
        for peer in (one, other):
            for id, destination in enumerate(("/topic/greetings", "/topic/said", "/user/queue/answers")):
                peer.send("SUBSCRIBE", id=id, destination=destination)
        await settled()
        one.send("SEND", "ann", destination="/app/greetings")
        one.send("SEND", "q", destination="/app/ask")
        one.send("SEND", destination="/app/nothing", x="y", receipt="r")
        frames = await one.take()
        assert [(frame.headers.get("destination"), frame.body) for frame in frames] == [
            ("/topic/greetings", b"hello ann"),
            ("/user/queue/answers", b"q!"),
            (None, b""),
        ]
        assert [frame.body for frame in await other.take()] == [b"hello ann"]
        one.send("SEND", "[1]", destination="/app/rooms/a%2Fb/say", receipt="said")
        while not (frames := await other.take()):
            # It runs in a thread.
            await anyio.lowlevel.checkpoint()
        assert frames[0].body == b'{"room":"a/b","said":[1]}'


async def test_a_failure_goes_to_the_sender_and_is_no_receipt(caplog: pytest.LogCaptureFixture) -> None:
    async with open_stomp() as site:

        @site.stomp.handle("/app/fail")
        async def fail(message: StompMessage) -> object:
            if message.body == b"bad":
                message.json()
            if message.body == b"\xff":
                return message.text
            if message.body == b"known":
                raise EventError("no", code="c", data=[1])
            if message.body == b"unsendable":
                return object()
            raise ValueError("secret")

        one, other = await site.connected(), await site.connected()
        for peer in (one, other):
            peer.send("SUBSCRIBE", id="1", destination="/user/queue/errors")
        await settled()
        for body in ("bad", "known", "unknown", "unsendable"):
            one.send("SEND", body, destination="/app/fail", receipt=body)
        one.send("SEND", b"\xff", destination="/app/fail")
        frames = await one.take()
        assert [frame.body.decode() for frame in frames] == [
            '{"message":"the body is not JSON, or nested too deeply","code":"bad_body"}',
            '{"message":"no","code":"c","data":[1]}',
            '{"message":"internal error"}',
            '{"message":"internal error"}',
            '{"message":"the body is not UTF-8","code":"bad_body"}',
        ]
        assert frames[1].headers["receipt-id"] == "known"
        assert frames[1].headers["failed-destination"] == "/app/fail"
        assert (await other.take(), one.closed) == ([], None)
        assert caplog.text.count("ValueError: secret") == 1


@pytest.mark.parametrize("failing", ["raise", "unsendable", "full", "large"])
async def test_a_transaction_whose_function_fails_is_not_done_at_all(failing: str) -> None:
    async with open_stomp(max_queue_messages=2, max_outgoing_bytes=100_000) as site:
        ran: list[str] = []

        @site.stomp.handle("/app/fail", send_to="/queue/full")
        async def fail(message: StompMessage) -> object:
            ran.append("fail")
            if failing == "raise":
                raise EventError("no")
            return {"unsendable": object(), "full": "x", "large": "x" * 60_000}[failing]

        @site.stomp.handle("/app/good", send_to="/topic/a")
        async def good(message: StompMessage) -> str:
            ran.append("good")
            return "answer"

        if failing == "full":
            for _ in range(2):
                await site.stomp.send("/queue/full", "x")
        await site.stomp.send("/queue/a", "first")
        listener, peer = await site.connected(), await site.connected()
        listener.send("SUBSCRIBE", id=1, destination="/topic/a")
        peer.send("SUBSCRIBE", id=1, destination="/user/queue/errors")
        peer.send("SUBSCRIBE", id=2, destination="/queue/a", ack="client-individual")
        ack = (await peer.one()).headers["ack"]
        for sends in (["/topic/a", "/app/good", "/app/fail", "/queue/b"], ["/topic/a", "/app/good"]):
            peer.send("BEGIN", transaction="t")
            peer.send("ACK", id=ack, transaction="t")
            for destination in sends:
                peer.send("SEND", "sent", destination=destination, transaction="t")
            peer.send("COMMIT", transaction="t", receipt="done")
            frames: list[Any] = []
            with anyio.fail_after(20):
                while not frames:
                    frames += await peer.take()
            heard = [frame.body for frame in await listener.take()]
            if "/app/fail" in sends:
                assert [frame.headers.get("failed-destination") for frame in frames] == ["/app/fail"]
                assert heard == []
                assert "/queue/b" not in site.stomp.queues.by_name
                assert not site.stomp.queues.by_name["/queue/a"].is_empty
            else:
                assert [frame.command for frame in frames] == ["RECEIPT"]
                assert heard == [b"sent", b"answer"]
                assert site.stomp.queues.by_name["/queue/a"].is_empty
        assert ran == ["good", "fail", "good"]


async def test_an_error_that_cannot_be_sent_is_an_internal_one(caplog: pytest.LogCaptureFixture) -> None:
    async with open_stomp() as site:

        @site.stomp.handle("/app/fail")
        async def fail(message: StompMessage) -> None:
            said = message.json()
            raise EventError(f"no {said}" if said else "no", data=None if said else object())

        peer = await site.connected()
        peer.send("SUBSCRIBE", id="1", destination="/user/queue/errors")
        for body in ('"\\ud800"', "0", '"a"'):
            peer.send("SEND", body, destination="/app/fail")
        failed = b'{"message":"internal error"}'
        assert [frame.body for frame in await peer.take()] == [failed, failed, b'{"message":"no a"}']
        assert caplog.text.count("the error of the function of '/app/fail' cannot be sent") == 2
        assert len(caplog.records) == 2


async def test_an_error_says_what_a_header_can(caplog: pytest.LogCaptureFixture) -> None:
    async with open_stomp() as site:

        @site.stomp.on_subscribe("/app/{name}")
        async def state(message: StompMessage) -> None:
            raise EventError(f"no {message.params['name']}\ud800\n:")

        for in_session in (False, True):
            peer = await site.connected(in_session=in_session)
            peer.send("SUBSCRIBE", id="1", destination="/app/x%00y")
            assert await peer.error() == "no x\ufffdy? :"
        peer = await site.connected()
        [client] = site.stomp.clients.values()
        client.disconnect("a\0b")
        assert await peer.error() == "a\ufffdb"
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_who_subscribes_to_a_function_gets_its_answer_once() -> None:
    async with open_stomp() as site:

        @site.stomp.on_subscribe("/app/state/{name}")
        async def state(message: StompMessage) -> object:
            if message.params["name"] == "none":
                raise EventError("there is no such thing")
            if message.params["name"] == "broken":
                raise ValueError("secret")
            return {"name": message.params["name"]}

        peer = await site.connected()
        peer.send("SUBSCRIBE", id="s", destination="/app/state/a")
        frame = await peer.one()
        assert (frame.body, frame.headers["subscription"]) == (b'{"name":"a"}', "s")
        peer.send("UNSUBSCRIBE", id="s", receipt="r")
        await peer.one()
        peer.send("SUBSCRIBE", id="s", destination="/app/state/none")
        assert await peer.error() == "there is no such thing"
        peer = await site.connected()
        peer.send("SUBSCRIBE", id="s", destination="/app/state/broken")
        assert await peer.error() == "internal error"


def test_functions_that_could_never_be_called_are_refused() -> None:
    stomp = Stomp()
    stomp.handle("/app/a")(print)
    stomp.handle("/app/{a}/b")(print)
    for destination, words in (
        ("/app/a", "already"),
        ("/app/%61", "already"),
        ("/app/{b}/b", "already"),
        ("/hello", "'/app/hello'"),
        ("hello/{name}", "'/app/hello/{name}'"),
        ("app/hello", "'/app/hello'"),
        ("/topic/x", "'/app/x'"),
        ("/app/**", "{name}"),
        ("/app/{a}/{a}", "names"),
        ("/app/{1}", "names"),
    ):
        with pytest.raises(LocalProtocolError, match=re.escape(words)):
            stomp.handle(destination)(print)
    with pytest.raises(LocalProtocolError, match="'/app/state'"):
        stomp.on_subscribe("/state")(print)
    with pytest.raises(LocalProtocolError, match="callable"):
        stomp.handle("/app/c")(None)  # type: ignore[type-var]


def test_answers_that_could_never_be_sent_are_refused() -> None:
    stomp, relayed = Stomp(), Stomp(relay="stomp://localhost")
    for one, send_to in (
        (stomp, "topic/x"),
        (stomp, "/exchange/x"),
        (stomp, "/app/x"),
        (stomp, "/user/x"),
        (relayed, "topic/x"),
        (relayed, "/app/x"),
        (relayed, "/user/x"),
    ):
        with pytest.raises(LocalProtocolError, match=f"send_to='{send_to}'"):
            one.handle("/app/x", send_to=send_to)
    for number, send_to in enumerate(("/topic/x", "/queue/x", "/user/queue/x", "/user/ann/queue/x")):
        stomp.handle(f"/app/{number}", send_to=send_to)(print)
    relayed.handle("/app/x", send_to="/exchange/x")(print)


# --- users


async def test_a_users_destination_is_all_his_clients_and_nobody_elses() -> None:
    async with open_stomp(with_users) as site:
        ann = [await site.connected(login="a/nn", passcode="a/nn") for _ in range(2)]
        bob, nobody = await site.connected(login="bob", passcode="bob"), await site.connected()
        everybody = [*ann, bob, nobody]
        for peer in everybody:
            peer.send("SUBSCRIBE", id="1", destination="/user/queue/a")
        await settled()
        await site.stomp.send_to_user("a/nn", "/queue/a", "for ann")
        assert [[frame.body for frame in await peer.take()] for peer in everybody] == [
            [b"for ann"],
            [b"for ann"],
            [],
            [],
        ]
        assert ann[0].frames[-1].headers["destination"] == "/user/queue/a"
        [id] = [id for id, client in site.stomp.clients.items() if client.principal is None]
        await site.stomp.send_to_user(id, "/queue/a", "for nobody")
        assert (await nobody.one()).body == b"for nobody"
        ann[0].send("SEND", "to myself", destination="/user/queue/a")
        assert [(await peer.one()).body for peer in ann] == [b"to myself"] * 2
        with pytest.raises(LocalProtocolError):
            await site.stomp.send_to_user("bob", "/other", "x")


async def test_clients_send_to_other_users_only_where_the_application_lets_them() -> None:
    async with open_stomp(with_users) as site:
        bob = await site.connected(login="bob", passcode="bob")
        bob.send("SUBSCRIBE", id="1", destination="/user/queue/a")
        ann = await site.connected(login="ann", passcode="ann")
        ann.send("SEND", "x", destination="/user/bob/queue/a")
        assert "other users" in await ann.error()
        site.stomp.authorize(_yes)
        for destination in ("/user/bob/queue/a", "/user/%62ob/queue/a"):
            ann = await site.connected(login="ann", passcode="ann")
            ann.send("SEND", "x", destination=destination)
            assert "other users" in await ann.error()
        assert await bob.take() == []
        site.stomp.authorize(other_users=True)(_yes)
        ann = await site.connected(login="ann", passcode="ann")
        ann.send("SEND", "x", destination="/user/bob/queue/a")
        await ann.take()
        assert (await bob.one()).body == b"x"
        # To hear what is another's, nobody may ask.
        ann.send("SUBSCRIBE", id="1", destination="/user/bob/queue/a")
        assert await ann.error() == "there is no such destination"


async def test_however_a_client_quotes_a_name_authorize_sees_one_spelling() -> None:
    asked: list[str] = []
    async with open_stomp(with_users) as site:

        @site.stomp.authorize(other_users=True)
        async def may(client: StompClient, action: str, destination: str) -> bool:
            asked.append(destination)
            return not destination.startswith(("/user/admin/", "/app/rooms/admin/"))

        @site.stomp.handle("/app/rooms/{room}/s%61y", send_to="/user/queue/a")
        async def say(message: StompMessage) -> str:
            return f"{message.destination} {message.params['room']}"

        admin = await site.connected(login="admin", passcode="admin")
        admin.send("SUBSCRIBE", id="1", destination="/user/%61dmin/queue/a")
        await settled()
        for destination in ("/user/%61dmin/queue/a", "/user/%61%64min/queue/a", "/app/rooms/%61dmin/say"):
            bob = await site.connected(login="bob", passcode="bob")
            bob.send("SEND", "spoof", destination=destination)
            assert await bob.error() == "this client may not send here"
        assert await admin.take() == []
        bob = await site.connected(login="b/b%", passcode="b/b%")
        for destination in ("/user/%62%2fb%25/queue/a", "/user/queue/a"):
            bob.send("SUBSCRIBE", id=destination, destination=destination)
        bob.send("SEND", destination="/app/rooms/%62%2fb%25/say")
        assert [frame.body for frame in await bob.take()] == [b"/app/rooms/b%2Fb%25/say b/b%"] * 2
        assert asked == [
            "/user/queue/a",
            *["/user/admin/queue/a"] * 2,
            "/app/rooms/admin/say",
            *["/user/queue/a"] * 2,
            "/app/rooms/b%2Fb%25/say",
        ]


@pytest.mark.parametrize("user", ["queue", "topic", "%71ueue", "a/queue", "é ?"])
async def test_a_user_of_any_name_is_reached(user: str) -> None:
    asked: list[str] = []
    async with open_stomp(with_users) as site:

        @site.stomp.authorize(other_users=True)
        async def may(client: StompClient, action: str, destination: str) -> bool:
            asked.append(destination)
            return True

        peer = await site.connected(login=user, passcode=user)
        peer.send("SUBSCRIBE", id="1", destination="/user/queue/a")
        await settled()
        await site.stomp.send_to_user(user, "/queue/a", "x")
        assert (await peer.one()).headers["destination"] == "/user/queue/a"
        ann = await site.connected(login="ann", passcode="ann")
        every = "".join([f"%{byte:02x}" for byte in user.encode()])
        ann.send("SEND", "y", destination=f"/user/{every}/queue/a")
        await ann.take()
        assert (await peer.one()).body == b"y"
        # What authorize is told is what a client may write, and no other's.
        ann.send("SEND", "z", destination=asked[-1])
        await ann.take()
        assert (await peer.one()).body == b"z"
        assert len(set(asked)) == 2


async def _yes(client: StompClient, action: str, destination: str) -> bool:
    return True


async def test_the_application_may_put_a_client_out() -> None:
    async with open_stomp() as site:
        peer = await site.connected()
        [client] = site.stomp.clients.values()
        client.data["seen"] = 1
        client.disconnect("enough")
        client.disconnect("again")
        assert await peer.error() == "enough"
        assert peer.closed == (1000, "enough")


async def test_a_server_that_ends_says_so_to_all() -> None:
    async with open_stomp() as site:
        bare, session = await site.connected(), await site.connected(in_session=True)
        async with site.stomp.lifespan():
            pass
        assert await bare.error() == "server shutting down"
        assert bare.closed is not None
        assert bare.closed[0] == 1012
        await session.take()
        assert session.closed == (1012, "")


async def test_an_answer_that_cannot_be_sent_is_a_failure_of_its_function(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_stomp(max_queue_messages=1) as site:
        answers: list[Any] = [object(), "one", "two"]
        site.stomp.handle("/app/a", send_to="/queue/a")(lambda message: answers[int(message.body)])
        peer = await site.connected()
        peer.send("SUBSCRIBE", id=1, destination="/user/queue/errors")
        for number in range(3):
            peer.send("SEND", str(number), destination="/app/a", receipt=number)
        frames: list[Any] = []
        with anyio.fail_after(20):
            while len(frames) < 3:
                frames += await peer.take()
        # It has no JSON; it is sent; its queue is full.
        assert [frame.command for frame in frames] == ["MESSAGE", "RECEIPT", "MESSAGE"]
        assert {frame.body for frame in frames if frame.body} == {b'{"message":"internal error"}'}
        assert caplog.text.count("cannot be sent:") == 2
        assert "full" in caplog.text
