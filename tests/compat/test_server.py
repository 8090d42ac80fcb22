"""What a program written for python-socketio gets from holdfast, beyond what `test_same_program` compares."""

from __future__ import annotations

import logging

import anyio
import pytest
from asgi_driver import drive, settled
from memory_client import join

import holdfast
from holdfast.compat import socketio
from holdfast.compat.socketio import exceptions


def make(**options: object) -> tuple[socketio.AsyncServer, socketio.ASGIApp]:
    sio = socketio.AsyncServer(async_mode="asgi", **options)
    return sio, socketio.ASGIApp(sio)


# --- order and failures


async def test_events_of_a_client_are_handled_in_their_order() -> None:
    sio, app = make()
    order: list[object] = []
    gate = anyio.Event()

    @sio.event
    async def work(sid: str, number: int) -> int:
        if number == 1:
            await gate.wait()
        order.append(number)
        return number

    async with drive(app) as client:
        peer = await join(client)
        peer.send("21", "work", 1)
        peer.send("22", "work", 2)
        await settled()
        assert order == []
        gate.set()
        assert [await peer.packet(), await peer.packet()] == [("31", [1]), ("32", [2])]
    assert order == [1, 2]


async def test_async_handlers_lets_them_overtake() -> None:
    sio, app = make(async_handlers=True)
    gate = anyio.Event()

    @sio.event
    async def work(sid: str, number: int) -> int:
        if number == 1:
            await gate.wait()
        return number

    async with drive(app) as client:
        peer = await join(client)
        peer.send("21", "work", 1)
        peer.send("22", "work", 2)
        assert await peer.packet() == ("32", [2])
        gate.set()
        assert await peer.packet() == ("31", [1])


async def test_a_handler_that_fails_is_answered_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    sio, app = make()

    @sio.event
    async def fail(sid: str) -> None:
        raise ValueError("a secret")

    @sio.event
    async def explain(sid: str) -> None:
        raise holdfast.EventError("too late", code="E_LATE")

    async with drive(app) as client:
        peer = await join(client)
        assert await peer.ask("fail") == [{"error": {"message": "internal error"}}]
        assert await peer.ask("explain") == [{"error": {"message": "too late", "code": "E_LATE"}}]
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_an_event_without_a_handler_is_not_acknowledged() -> None:
    sio, app = make()

    @sio.event
    def known(sid: str) -> str:
        return "yes"

    async with drive(app) as client:
        peer = await join(client)
        peer.send("21", "unknown")
        peer.send("22", "known")
        assert await peer.packet() == ("32", ["yes"])


async def test_a_later_handler_takes_the_place_of_an_earlier_one() -> None:
    sio, app = make()
    sio.on("which", lambda sid: "first")
    async with drive(app) as client:
        peer = await join(client)
        assert await peer.ask("which") == ["first"]
        sio.on("which", lambda sid: "second")
        assert await peer.ask("which") == ["second"]


# --- connecting


async def test_what_connect_sends_follows_the_answer() -> None:
    sio, app = make()
    heard: list[object] = []

    @sio.event
    async def connect(sid: str, environ: dict[str, object]) -> None:
        await sio.emit("question", to=sid, callback=lambda *args: heard.append(args))
        await sio.emit("to you", to=sid)
        await sio.emit("to all")
        await sio.enter_room(sid, "room")
        await sio.emit("to the room", room="room")

    async with drive(app) as client:
        peer = await join(client)
        assert [await peer.event() for _ in range(3)] == [["to you"], ["to all"], ["to the room"]]
        head, data = await peer.packet()
        assert data == ["question"]
        peer.send(f"3{head[1:]}", 1, 2)
        await settled()
    assert heard == [(1, 2)]


async def test_who_is_refused_hears_nothing_else_and_is_forgotten() -> None:
    sio, app = make()

    @sio.event
    async def connect(sid: str, environ: dict[str, object], auth: object) -> bool:
        await sio.emit("to you", to=sid)
        await sio.emit("to all")
        return False

    async with drive(app) as client:
        peer = await join(client)
        assert peer.answer == ("4", {"message": "Connection rejected by server"})
        await settled()
        assert peer.quiet()
        assert sio.manager.get_namespaces() == []


async def test_disconnect_in_connect_is_a_refusal() -> None:
    sio, app = make()
    left: list[str] = []

    @sio.event
    async def connect(sid: str, environ: dict[str, object]) -> None:
        await sio.disconnect(sid)

    @sio.event
    def disconnect(sid: str) -> None:
        left.append(sid)

    async with drive(app) as client:
        peer = await join(client)
        assert peer.answer[0] == "4"
        await settled()
        assert sio.manager.get_namespaces() == []
    assert left == []


async def test_a_connect_handler_that_fails_refuses(caplog: pytest.LogCaptureFixture) -> None:
    sio, app = make()

    @sio.event
    def connect(sid: str, environ: dict[str, object]) -> None:
        raise ValueError("a secret")

    async with drive(app) as client:
        peer = await join(client)
        assert peer.answer == ("4", {"message": "internal error"})
        assert sio.manager.get_namespaces() == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("auth", [None, {"token": "t"}])
async def test_connect_need_not_take_auth(auth: dict[str, object] | None) -> None:
    sio, app = make()
    seen: list[object] = []
    sio.on("connect", lambda sid, environ: seen.append(environ["REMOTE_ADDR"]))
    async with drive(app) as client:
        assert (await join(client, auth=auth)).sid
    assert seen == ["127.0.0.1"]


async def test_connect_cannot_call_its_own_client() -> None:
    sio, app = make()
    errors: list[Exception] = []

    @sio.event
    async def connect(sid: str, environ: dict[str, object]) -> None:
        try:
            await sio.call("question", to=sid)
        except holdfast.LocalProtocolError as error:
            errors.append(error)

    async with drive(app) as client:
        await join(client)
    assert len(errors) == 1


# --- asking clients


@pytest.mark.parametrize(
    ("answer", "called", "returned"),
    [
        ([], (), None),
        ([None], (None,), None),
        ([1], (1,), 1),
        ([1, 2], (1, 2), (1, 2)),
        ([{"error": {"message": "no"}}], ({"error": {"message": "no"}},), {"error": {"message": "no"}}),
    ],
    ids=repr,
)
async def test_answers_are_handed_on_as_they_are(
    answer: list[object], called: tuple[object, ...], returned: object
) -> None:
    sio, app = make()
    heard: list[object] = []

    @sio.event
    async def call(sid: str) -> None:
        heard.append(await sio.call("question", sid=sid))

    async with drive(app) as client:
        peer = await join(client)
        await sio.emit("question", to=peer.sid, callback=lambda *args: heard.append(args))
        head, _ = await peer.packet()
        peer.send(f"3{head[1:]}", *answer)
        peer.send("2", "call")
        head, _ = await peer.packet()
        peer.send(f"3{head[1:]}", *answer)
        await settled()
    assert heard == [called, returned]


async def test_a_callback_is_called_for_each_client_of_a_room() -> None:
    sio, app = make()
    heard: list[object] = []

    async def answered(number: int) -> None:
        heard.append(number)

    async with drive(app) as client:
        peers = [await join(client), await join(client)]
        await sio.emit("question", callback=answered)
        await sio.emit("after")
        for number, peer in enumerate(peers):
            head, _ = await peer.packet()
            assert await peer.event() == ["after"]
            peer.send(f"3{head[1:]}", number)
        await settled()
    assert heard == [0, 1]


async def test_call_ends_at_once_when_its_client_leaves_or_is_not_there() -> None:
    sio, app = make()
    async with drive(app) as client:
        with pytest.raises(exceptions.TimeoutError):
            await sio.call("question", to="nobody", timeout=None)
        peer = await join(client)

        async def leave() -> None:
            await peer.packet()
            peer.leave()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave)
            with pytest.raises(exceptions.TimeoutError):
                await sio.call("question", to=peer.sid, timeout=None)


async def test_a_reserved_name_is_refused_where_it_is_sent() -> None:
    sio, app = make()
    async with drive(app) as client:
        peer = await join(client)
        for options in ({}, {"to": peer.sid}, {"callback": print}):
            with pytest.raises(holdfast.LocalProtocolError):
                await sio.emit("disconnect", **options)


# --- whom it reaches


async def test_an_empty_list_is_nobody() -> None:
    sio, app = make()
    async with drive(app) as client:
        peer = await join(client)
        await sio.emit("lost", to=[])
        await sio.emit("lost", room=())
        await sio.emit("found", room="")
        assert await peer.event() == ["found"]


async def test_several_may_be_skipped_and_several_rooms_meant() -> None:
    sio, app = make()
    async with drive(app) as client:
        one, two, three = [await join(client) for _ in range(3)]
        await sio.emit("event", skip_sid=[one.sid, two.sid])
        await sio.emit("event", 2, to=[one.sid, two.sid])
        await sio.emit("event", 3, to=one.sid, skip_sid=one.sid)
        assert await three.event() == ["event"]
        assert await one.event() == ["event", 2]
        assert await two.event() == ["event", 2]
        await settled()
        assert one.quiet()


async def test_who_has_left_misses_it_without_an_error() -> None:
    sio, app = make()
    sids: list[str] = []

    @sio.event
    async def disconnect(sid: str, reason: str) -> None:
        await sio.emit("too late", to=sid)
        await sio.send("too late", to=sid, callback=print)
        sids.append(reason)

    async with drive(app) as client:
        peer = await join(client)
        peer.exchange.close()
        await settled()
        await sio.emit("too late", to=peer.sid)
        assert sio.get_environ(peer.sid) is None
        with pytest.raises(KeyError):
            await sio.get_session(peer.sid)
        assert sio.environ == {} or peer.sid not in sio.environ
    assert sids == ["transport close"]


async def test_a_room_cannot_have_the_name_of_another_client() -> None:
    sio, app = make()
    async with drive(app) as client:
        one, two = await join(client), await join(client)
        with pytest.raises(ValueError, match="another client"):
            await sio.enter_room(one.sid, two.sid)
        await sio.enter_room(one.sid, one.sid)


# --- namespaces


async def test_all_namespaces_are_let_in_where_the_option_says_so() -> None:
    sio, app = make(namespaces="*")
    heard: list[object] = []

    @sio.on("*", namespace="*")
    async def anything(event: str, namespace: str, sid: str, *args: object) -> object:
        await sio.emit("back", namespace, to=sid, namespace=namespace)
        await sio.emit("to all", namespace=namespace)
        return [event, namespace, *args]

    @sio.on("connect", namespace="*")
    def connect(namespace: str, sid: str, environ: dict[str, object]) -> None:
        heard.append(namespace)

    async with drive(app) as client:
        peer = await join(client, "/anything")
        peer.send("21", "event", 5)
        assert [await peer.packet() for _ in range(3)] == [
            ("2", ["back", "/anything"]),
            ("2", ["to all"]),
            ("31", [["event", "/anything", 5]]),
        ]
        peer.leave()
        await settled()
        assert "/anything" not in sio.manager.rooms
        await sio.emit("to nobody", namespace="/anything")
    assert heard == ["/anything"]


async def test_a_class_may_be_for_all_namespaces() -> None:
    class Any(socketio.AsyncNamespace):
        def on_connect(self, namespace: str, sid: str, environ: object) -> None: ...

        def on_event(self, namespace: str, sid: str, value: object) -> object:
            return [namespace, value]

    sio, app = make(namespaces=["one", "/two"])
    sio.register_namespace(Any("*"))
    async with drive(app) as client:
        for namespace in ("/one", "/two"):
            peer = await join(client, namespace)
            assert await peer.ask("event", 1) == [[namespace, 1]]
        assert (await join(client, "/three")).answer[0] == "4"
        assert (await join(client)).answer == ("4", {"message": "Unable to connect"})


async def test_one_namespace_may_be_given_as_a_text() -> None:
    _, app = make(namespaces="/only")
    async with drive(app) as client:
        assert (await join(client, "/only")).sid
        assert (await join(client)).answer[0] == "4"


def test_only_objects_of_its_classes_can_be_registered() -> None:
    sio, _ = make()
    with pytest.raises(ValueError, match="AsyncNamespace"):
        sio.register_namespace(object())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="register_namespace"):
        socketio.AsyncNamespace("/x").rooms("sid")


async def test_holdfast_itself_is_beside_it() -> None:
    sio, app = make()

    @sio.native.of("/moved").on("hello")
    async def hello(socket: holdfast.Socket, name: str) -> str:
        return f"hello {name}"

    async with drive(app) as client:
        assert await (await join(client, "/moved")).ask("hello", "Ann") == ["hello Ann"]


# --- what programs look into


async def test_the_manager_shows_who_is_where() -> None:
    sio, app = make()
    async with drive(app) as client:
        one, two = await join(client), await join(client)
        await sio.enter_room(one.sid, "room")
        manager = sio.manager
        assert manager.get_namespaces() == ["/"]
        assert [sid for sid, _ in manager.get_participants("/", "room")] == [one.sid]
        assert [sid for sid, _ in manager.get_participants("/", ["room", two.sid])] == [one.sid, two.sid]
        assert manager.is_connected(one.sid, "/")
        assert not manager.is_connected("nobody", "/")
        eio = manager.eio_sid_from_sid(one.sid, "/")
        assert eio is not None
        assert manager.sid_from_eio_sid(eio, "/") == one.sid
        assert eio in sio.environ
        assert set(manager.rooms["/"]) == {None, "room", one.sid, two.sid}
        assert manager.rooms["/"]["room"] == {one.sid: eio}


async def test_environ_has_the_headers_and_the_scheme_that_the_asgi_server_knows() -> None:
    sio, app = make()
    seen: list[dict[str, object]] = []
    sio.on("connect", lambda sid, environ, auth: seen.append(environ))
    async with drive(app) as client:
        await join(client, headers={"x-forwarded-proto": "https", "content-type": "text/plain"})
    [environ] = seen
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert environ["QUERY_STRING"] == "EIO=4&transport=websocket"
    assert environ["RAW_URI"] == "/socket.io/?EIO=4&transport=websocket"
    assert environ["REMOTE_PORT"] == "50000"


def test_what_is_not_there_says_why() -> None:
    sio, _ = make()
    for name, reason in (
        ("AsyncClient", "as they are"),
        ("Server", "ASGI"),
        ("AsyncRedisManager", "MemoryHub"),
    ):
        with pytest.raises(AttributeError, match=reason):
            getattr(socketio, name)
    with pytest.raises(NotImplementedError, match="ASGIApp"):
        sio.attach(object())
    with pytest.raises(NotImplementedError, match="admin"):
        sio.instrument()


def test_a_logger_gets_what_holdfast_logs() -> None:
    ours, mine = logging.getLogger("holdfast"), logging.getLogger("of the application")
    before, level = ours.handlers[:], ours.level
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    mine.addHandler(handler)
    mine.setLevel(logging.DEBUG)
    try:
        make(logger=mine, engineio_logger=mine)
        logging.getLogger("holdfast.server").debug("a record")
        assert [record.getMessage() for record in records] == ["a record"]
    finally:
        ours.handlers[:] = before
        ours.setLevel(level)
        mine.removeHandler(handler)


def test_logger_true_shows_what_holdfast_logs() -> None:
    ours = logging.getLogger("holdfast")
    before, level = ours.handlers[:], ours.level
    try:
        ours.setLevel(logging.NOTSET)
        make(logger=True)
        assert ours.level == logging.INFO
        assert len(ours.handlers) > 0
    finally:
        ours.handlers[:] = before
        ours.setLevel(level)


async def test_a_client_that_is_recovered_has_its_session_and_rooms() -> None:
    sio, app = make(connection_state_recovery=True)
    seen: list[object] = []

    @sio.event
    async def connect(sid: str, environ: dict[str, object]) -> None:
        async with sio.session(sid) as session:
            session["times"] = session.get("times", 0) + 1
            seen.append((session["times"], "room" in sio.rooms(sid)))
        await sio.enter_room(sid, "room")

    @sio.event
    def disconnect(sid: str, reason: str) -> None:
        seen.append(reason)

    async with drive(app) as client:
        peer = await join(client)
        await sio.emit("first", room="room")
        [_, offset] = await peer.event()
        peer.exchange.close()
        await settled()
        await sio.emit("missed", room="room")
        again = await join(client, auth={"pid": peer.answer[1]["pid"], "offset": offset})
        assert again.sid == peer.sid
        assert (await again.event())[0] == "missed"
        assert sio.manager.is_connected(peer.sid, "/")
        assert seen == [(1, False), "transport close", (2, True)]
