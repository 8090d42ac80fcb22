from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from event_peer import Idle, Wire, until

from holdfast.engine.dispatch import Ack, Events, Socket
from holdfast.engine.dispatch.handlers import Function
from holdfast.engine.errors import (
    ConnectionRefusedError,
    Disconnected,
    LocalProtocolError,
    RemoteProtocolError,
)
from holdfast.engine.live import Handshake
from holdfast.engine.session.reason import CloseReason
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio


async def test_connect_is_answered_with_a_public_id_of_its_own() -> None:
    io = Events()
    peer = Wire(io).open()
    await peer.connect()
    assert re.fullmatch(r"[A-Za-z0-9_-]{22,}", peer.ids["/"])
    assert peer.ids["/"] != peer.session.sid
    assert io.sockets[peer.ids["/"]].id == peer.ids["/"]


async def test_unknown_namespace_is_refused_in_the_official_words() -> None:
    peer = Wire(Events()).open()
    peer.send("0/random")
    assert await peer.receive() == '4/random,{"message":"Invalid namespace"}'
    assert peer.session.is_open


async def test_events_of_the_connect_handler_follow_the_answer() -> None:
    io = Events()

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        assert not socket.connected
        await socket.emit("auth", socket.handshake.auth)
        await anyio.lowlevel.checkpoint()
        socket.join("lobby")
        await io.to("lobby").emit("joined", socket.id)

    peer = Wire(io).open()
    await peer.connect()
    assert await peer.receive() == '2["auth",{}]'
    assert await peer.receive() == f'2["joined","{peer.ids["/"]}"]'


async def test_connect_handler_sees_auth_and_the_request() -> None:
    io = Events()
    seen: list[object] = []

    @io.event
    async def connect(socket: Socket, auth: dict[str, object]) -> None:
        handshake = socket.handshake
        seen.extend(
            [auth, handshake.auth, handshake.headers["origin"], handshake.query["a"], handshake.issued > 0]
        )

    peer = Wire(io).open(request=Handshake(headers={"origin": "here"}, query={"a": "b"}))
    await peer.connect(auth='{"token":"t"}')
    assert seen == [{"token": "t"}, {"token": "t"}, "here", "b", True]


@pytest.mark.parametrize(
    "how", ["false", "raise", "raise with data", "disconnect", "fail", "unsendable", "bytes", "bytes alone"]
)
async def test_connect_handler_can_refuse(how: str) -> None:
    io = Events()
    left: list[str] = []

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        left.append(reason)

    @io.on("connect")
    async def connect(socket: Socket) -> object:
        socket.join("lobby")
        await socket.emit("lost")
        match how:
            case "false":
                return False
            case "raise":
                raise ConnectionRefusedError("no")
            case "raise with data":
                raise ConnectionRefusedError("no", {"why": 1})
            case "unsendable":
                raise ConnectionRefusedError("no", {1, 2})
            case "bytes alone":
                raise ConnectionRefusedError(b"raw")  # type: ignore[arg-type]
            case "bytes":
                raise ConnectionRefusedError("no", {"raw": b"raw"})
            case "disconnect":
                socket.disconnect()
            case _:
                raise ZeroDivisionError
        return None

    peer = Wire(io).open()
    peer.send("0")
    expected = {
        "false": '4{"message":"Connection refused"}',
        "raise": '4{"message":"no"}',
        "raise with data": '4{"message":"no","data":{"why":1}}',
        "unsendable": '4{"message":"no"}',
        "bytes": '4{"message":"no"}',
        "bytes alone": '4{"message":"Connection refused"}',
        "disconnect": '4{"message":"Connection refused"}',
        "fail": '4{"message":"internal error"}',
    }
    assert await peer.receive() == expected[how]
    assert not io.sockets
    assert peer.session.is_open
    await io.to("lobby").emit("nobody")
    assert peer.received() == []
    assert left == []
    peer.send("0")
    assert await peer.receive() == expected[how]


async def test_event_before_the_answer_to_connect_is_a_protocol_error() -> None:
    io = Events()
    go_on = anyio.Event()

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        await go_on.wait()

    peer = Wire(io).open()
    peer.send("0")
    with pytest.raises(RemoteProtocolError):
        peer.send('2["early"]')
    assert peer.session.ended_with() == CloseReason.PARSE_ERROR
    go_on.set()


async def test_namespaces_are_connected_and_left_one_by_one() -> None:
    io = Events()
    left: list[tuple[str, str]] = []
    admin = io.of("admin")
    assert admin is io.of("/admin")
    assert io.of("/") is io

    async def disconnect(socket: Socket, reason: str) -> None:
        left.append((socket.namespace, reason))

    io.on("disconnect", disconnect)
    admin.on("disconnect", disconnect)
    peer = await Wire(io).connect()
    await peer.connect("/admin")
    assert list(io.sockets) == [peer.ids["/"]]
    assert list(admin.sockets) == [peer.ids["/admin"]]
    peer.send("1/admin,")
    await until(lambda: len(left) == 1)
    assert left == [("/admin", "client namespace disconnect")]
    assert peer.session.is_open
    peer.send("1")
    await until(lambda: len(left) == 2)
    assert peer.session.is_open
    await peer.connect()


async def test_disconnect_handler_is_told_why_and_where_the_socket_was() -> None:
    io = Events()
    seen: list[object] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        socket.join("a", "b")
        socket.leave("b")
        socket.data["user"] = "u"

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        socket.join("too late")
        seen.extend([reason, sorted(socket.rooms - {socket.id}), socket.data, socket.connected])

    peer = await Wire(io).connect()
    peer.lose()
    await until(lambda: len(seen) == 4)
    assert seen == ["transport close", ["a"], {"user": "u"}, False]


async def test_server_puts_one_out_of_a_namespace_and_forgives_what_was_on_its_way() -> None:
    io = Events()
    io.of("/other")
    reasons: list[str] = []

    @io.on("disconnect")
    def disconnect(socket: Socket, reason: str) -> None:
        reasons.append(reason)

    peer = await Wire(io).connect()
    await peer.connect("/other")
    io.sockets[peer.ids["/"]].disconnect()
    assert await peer.receive() == "1"
    peer.send('2["late"]', "30[]", "1")
    await until(lambda: bool(reasons))
    assert reasons == ["server namespace disconnect"]
    await peer.connect()


async def test_server_closes_the_session_with_all_its_sockets() -> None:
    io = Events()
    io.of("/other")
    peer = await Wire(io).connect()
    await peer.connect("/other")
    await io.disconnect_sockets(close=True)
    assert peer.received() == ["1", "1/other,"]
    assert peer.session.ended_with() == CloseReason.FORCED_SERVER_CLOSE
    assert not io.sockets
    assert not io.of("/other").sockets


async def test_disconnect_handler_runs_for_one_who_left_while_connect_ran() -> None:
    io = Events()
    calls: list[str] = []
    started, go_on = anyio.Event(), anyio.Event()

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        started.set()
        await go_on.wait()
        calls.append("connect")

    @io.on("disconnect")
    async def disconnect(socket: Socket) -> None:
        calls.append("disconnect")

    peer = Wire(io).open()
    peer.send("0")
    await started.wait()
    peer.send("1")
    go_on.set()
    await until(lambda: len(calls) == 2)
    assert calls == ["connect", "disconnect"]
    assert peer.received() == []
    assert not io.sockets


async def test_session_that_connects_nowhere_is_closed() -> None:
    wire = Wire(Events(Settings(connect_timeout=1.0)))
    peer, other = wire.open(), await wire.connect()
    wire.clock.move(1.1)
    with pytest.raises(Idle):
        await peer.receive()
    assert peer.session.ended_with() == CloseReason.CONNECT_TIMEOUT
    assert other.session.is_open


async def test_slow_connect_handler_is_not_the_peers_fault() -> None:
    io = Events(Settings(connect_timeout=1.0))
    go_on = anyio.Event()

    @io.on("connect")
    async def connect(socket: Socket) -> bool:
        await go_on.wait()
        return False

    wire = Wire(io)
    peer = wire.open()
    peer.send("0")
    for _ in range(3):
        wire.clock.move(1.1)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
    assert peer.session.is_open
    go_on.set()
    assert await peer.receive() == '4{"message":"Connection refused"}'
    wire.clock.move(1.1)
    with pytest.raises(Idle):
        await peer.receive()


async def test_held_events_of_a_connect_handler_are_bounded() -> None:
    io = Events(Settings(max_pending_events=3))

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        while True:
            await socket.emit("flood")

    peer = Wire(io).open()
    peer.send("0")
    with pytest.raises(Idle):
        await peer.receive()
    assert peer.session.ended_with() == CloseReason.BUFFER_FULL


async def test_namespaces_of_one_session_are_bounded() -> None:
    peer = await Wire(Events(Settings(max_namespaces_per_session=2))).connect()
    peer.send("0/a,")
    with pytest.raises(RemoteProtocolError, match="too many namespaces"):
        peer.send("0/b,")


async def test_no_ack_can_be_awaited_in_a_connect_handler() -> None:
    io = Events()
    errors: list[str] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        try:
            await socket.emit_with_ack("hello")
        except LocalProtocolError as error:
            errors.append(str(error))

    await Wire(io).connect()
    assert len(errors) == 1


def test_names_that_no_namespace_can_have_are_refused() -> None:
    for name in ["a,b", "a\nb", "x" * 300]:
        with pytest.raises(LocalProtocolError):
            Events().of(name)


def test_handlers_that_would_never_run_are_refused() -> None:
    io = Events()

    async def handler(socket: Socket) -> None: ...

    async def takes_nothing() -> None: ...

    io.on("chat", handler)
    for event in ["chat", "connect_error", "newListener"]:
        with pytest.raises(LocalProtocolError):
            io.on(event, handler)
    with pytest.raises(LocalProtocolError):
        io.on("other", takes_nothing)
    with pytest.raises(LocalProtocolError):
        io.on("other", 7)  # type: ignore[type-var]


class Chat:
    async def __call__(self, socket: Socket) -> AsyncIterator[str]:
        yield "never seen"


async def parts(socket: Socket, *args: object) -> AsyncIterator[str]:
    yield "never seen"


def parts_in_a_thread(socket: Socket, *args: object) -> Iterator[str]:
    yield "never seen"


async def with_ack(socket: Socket, ack: Ack) -> None: ...


@pytest.mark.parametrize(
    ("event", "handler", "remedy"),
    [
        ("connect", lambda sid, environ, auth: None, r"\(socket\) or \(socket, auth\).*`socket.handshake`"),
        ("connect", lambda sid, environ: None, r"\(socket\) or \(socket, auth\).*`socket.handshake`"),
        ("connect", lambda socket, auth, more: None, r"takes \(socket\) or \(socket, auth\)$"),
        ("connect", with_ack, "no `Ack`"),
        ("disconnect", lambda socket, reason, more: None, r"takes \(socket\) or \(socket, reason\)$"),
        ("*", lambda socket: None, r"\(socket, event, \*args\)"),
        ("chat", lambda socket, *, text: None, "'text' by keyword.*default"),
        ("chat", parts, "instead of `yield`"),
        ("chat", parts_in_a_thread, "instead of `yield`"),
        ("chat", partial(parts), "instead of `yield`"),
        ("chat", Chat(), "instead of `yield`"),
    ],
)
def test_signature_that_can_never_work_is_refused_with_the_remedy(
    event: str, handler: Function, remedy: str
) -> None:
    io = Events()
    with pytest.raises(LocalProtocolError, match=remedy):
        io.on(event, handler)
    io.on(event, lambda *args: None)


@pytest.mark.parametrize(
    "handler",
    [
        lambda socket: None,
        lambda socket, told: None,
        lambda socket, told=None, more=None: None,
        lambda *args: None,
        lambda socket, told, *, default=1: None,
        print,
    ],
)
@pytest.mark.parametrize("event", ["connect", "disconnect"])
def test_signature_that_works_is_taken(event: str, handler: Function) -> None:
    Events().on(event, handler)


async def test_nobody_hears_of_one_who_left_before_connect_began() -> None:
    io = Events()
    calls: list[str] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        calls.append("connect")

    @io.on("disconnect")
    async def disconnect(socket: Socket) -> None:
        calls.append("disconnect")

    wire = Wire(io)
    peer = wire.open()
    peer.send("0", "1")
    await wire.connect()
    assert calls == ["connect"]


async def test_connect_handler_that_ends_the_session_is_not_answered() -> None:
    io = Events()

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        socket.disconnect(close=True)
        with pytest.raises(Disconnected):
            await socket.emit("late")

    peer = Wire(io).open()
    peer.send("0")
    assert await peer.receive() == '4{"message":"Connection refused"}'
    assert peer.session.ended_with() == CloseReason.FORCED_SERVER_CLOSE
