"""Namespaces of a pattern or a function."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
from event_peer import EventPeer, Idle, Wire, until

from holdfast.engine.adapters import MemoryHub
from holdfast.engine.dispatch import Events, Namespace, Socket
from holdfast.engine.errors import ConnectionRefusedError
from holdfast.engine.session.reason import CloseReason
from holdfast.engine.settings import Settings

pytestmark = pytest.mark.anyio

TENANT = re.compile(r"/tenant-\d+")
REFUSED = '{"message":"Invalid namespace"}'


async def answer_of(peer: EventPeer, namespace: str, auth: str = "") -> str:
    """What a CONNECT is answered with, the public id left out."""
    peer.send(f"0{namespace},{auth}")
    answer = await peer.receive()
    assert isinstance(answer, str)
    return answer.removeprefix(f"0{namespace},") if answer[0] == "4" else "in"


class Gate:
    """An asynchronous function of a dynamic namespace that answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.answers: list[bool | Exception] = []
        self._bells: list[anyio.Event] = []

    async def __call__(self, name: str, auth: dict[str, object]) -> bool:
        number, bell = len(self.asked), anyio.Event()
        self.asked.append((name, auth))
        self._bells.append(bell)
        await bell.wait()
        answer = self.answers[number]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self, *answers: bool | Exception) -> None:
        self.answers += answers
        for bell in self._bells[: len(self.answers)]:
            bell.set()


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("/tenant-1", "in"),
        ("/tenant-12", "in"),
        ("/tenant-", f"4/tenant-,{REFUSED}"),
        ("/tenant-1x", f"4/tenant-1x,{REFUSED}"),
        ("/x/tenant-1", f"4/x/tenant-1,{REFUSED}"),
    ],
)
async def test_pattern_matches_the_whole_name(name: str, answer: str) -> None:
    io = Events()
    io.of(TENANT).on("who", lambda socket: socket.namespace)
    peer = Wire(io).open()
    assert await answer_of(peer, name) == answer
    if answer == "in":
        peer.send(f'2{name},1["who"]')
        assert await peer.receive() == f'3{name},1["{name}"]'


async def test_same_pattern_is_the_same_namespaces() -> None:
    io = Events()
    io.of(re.compile("/a.*")).on("one", lambda socket: 1)
    io.of(re.compile("/a.*")).on("two", lambda socket: 2)
    peer = await Wire(io).connect("/abc")
    peer.send('2/abc,1["one"]', '2/abc,2["two"]')
    assert [await peer.receive(), await peer.receive()] == ["3/abc,1[1]", "3/abc,2[2]"]


async def _later(name: str, auth: dict[str, object]) -> bool:
    await anyio.lowlevel.checkpoint()
    return auth.get("token") == name


def _at_once(name: str, auth: dict[str, object]) -> bool:
    return auth.get("token") == name


@pytest.mark.parametrize("function", [_later, _at_once])
async def test_function_is_asked_with_name_and_auth_each_time(
    function: Callable[[str, dict[str, object]], bool | Awaitable[bool]],
) -> None:
    io = Events()
    io.of(function)
    wire = Wire(io)
    first, second = wire.open(), wire.open()
    assert await answer_of(first, "/a", '{"token":"/a"}') == "in"
    assert await answer_of(second, "/a", '{"token":"/b"}') == f"4/a,{REFUSED}"
    assert await answer_of(second, "/b", '{"token":"/b"}') == "in"
    assert await answer_of(second, "/a", '{"token":"/a"}') == "in"
    assert io.of(function).children == {"/a", "/b"}


async def test_functions_and_patterns_are_asked_in_their_order_until_one_says_yes() -> None:
    io = Events()
    asked: list[str] = []

    def says(word: str, answer: bool, later: bool) -> None:
        async def slow(name: str, auth: dict[str, object]) -> bool:
            asked.append(word)
            await anyio.lowlevel.checkpoint()
            return answer

        def quick(name: str, auth: dict[str, object]) -> bool:
            asked.append(word)
            return answer

        io.of(slow if later else quick).on("who", lambda socket: word)

    says("1 no", False, False)
    says("2 no", False, True)
    says("3 no", False, False)
    says("4 yes", True, True)
    says("5 yes", True, False)
    peer = await Wire(io).connect("/x")
    peer.send('2/x,1["who"]')
    assert await peer.receive() == '3/x,1["4 yes"]'
    assert asked == ["1 no", "2 no", "3 no", "4 yes"]


async def test_function_of_another_lets_nobody_into_a_namespace_that_exists() -> None:
    io = Events()
    io.of(lambda name, auth: auth.get("role") == "admin").on("who", lambda socket: "admin")
    io.of(lambda name, auth: True).on("who", lambda socket: "guest")
    wire = Wire(io)
    admin, guest = wire.open(), wire.open()
    assert await answer_of(admin, "/x", '{"role":"admin"}') == "in"
    assert await answer_of(guest, "/x") == f"4/x,{REFUSED}"
    admin.lose()
    assert await answer_of(guest, "/x") == "in"
    guest.send('2/x,1["who"]')
    assert await guest.receive() == '3/x,1["guest"]'


async def test_two_functions_that_say_yes_at_once_make_one_namespace_and_one_decides() -> None:
    io = Events()
    first, second = Gate(), Gate()

    async def one(name: str, auth: dict[str, object]) -> bool:
        return auth.get("by") == 1 and await first(name, auth)

    async def two(name: str, auth: dict[str, object]) -> bool:
        return auth.get("by") == 2 and await second(name, auth)

    io.of(one).on("who", lambda socket: 1)
    io.of(two).on("who", lambda socket: 2)
    wire = Wire(io)
    a, b = wire.open(), wire.open()
    a.send('0/x,{"by":1}')
    b.send('0/x,{"by":2}')
    await until(lambda: bool(first.asked and second.asked))
    second.answer(True)
    assert str(await b.receive()).startswith('0/x,{"sid"')
    first.answer(True)
    assert await a.receive() == f"4/x,{REFUSED}"
    b.send('2/x,1["who"]')
    assert await b.receive() == "3/x,1[2]"


@pytest.mark.parametrize("later", [False, True])
async def test_function_that_fails_is_an_internal_error_and_logged_once(
    later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    io = Events()

    async def slow(name: str, auth: dict[str, object]) -> bool:
        raise ZeroDivisionError("why")

    def quick(name: str, auth: dict[str, object]) -> bool:
        raise ZeroDivisionError("why")

    io.of(slow if later else quick)
    io.of("/static")
    peer = Wire(io).open()
    assert await answer_of(peer, "/secret") == '4/secret,{"message":"internal error"}'
    assert len(caplog.records) == 1
    assert "ZeroDivisionError: why" in caplog.text
    assert "secret" not in caplog.text
    assert await answer_of(peer, "/static") == "in"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_function_that_waits_for_something_cancelled_is_an_internal_error(anyio_backend: str) -> None:
    io = Events()

    async def function(name: str, auth: dict[str, object]) -> bool:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        return await task

    io.of(function)
    assert await answer_of(Wire(io).open(), "/x") == '4/x,{"message":"internal error"}'


@pytest.mark.parametrize("how", ["leaves", "is lost", "is closed"])
async def test_peer_that_goes_while_the_function_runs_leaves_nothing(how: str) -> None:
    io = Events()
    gate, connected = Gate(), list[Socket]()
    parent = io.of(gate)

    @parent.on("connect")
    async def connect(socket: Socket) -> None:
        connected.append(socket)

    peer = Wire(io).open()
    peer.send("0/x,")
    await until(lambda: len(gate.asked) == 1)
    if how == "leaves":
        peer.send("1/x,")
    elif how == "is lost":
        peer.lose()
    else:
        peer.session.close()
    gate.answer(True)
    await anyio.wait_all_tasks_blocked()
    assert parent.children == frozenset()
    assert connected == []
    assert peer.received() == []


async def test_peer_that_leaves_and_comes_back_while_the_function_runs_gets_its_own_answer() -> None:
    io = Events()
    gate = Gate()
    parent = io.of(gate)
    peer = Wire(io).open()
    peer.send('0/x,{"try":1}')
    await until(lambda: len(gate.asked) == 1)
    peer.send("1/x,", '0/x,{"try":2}')
    await until(lambda: len(gate.asked) == 2)
    gate.answer(True)
    await anyio.wait_all_tasks_blocked()
    assert peer.received() == []
    gate.answer(False)
    assert await peer.receive() == f"4/x,{REFUSED}"
    assert parent.children == frozenset()


async def test_who_asks_and_leaves_again_and_again_cannot_start_any_number_of_functions() -> None:
    io = Events(Settings(max_namespaces_per_session=5))
    gate = Gate()
    io.of(gate)
    peer = Wire(io).open()
    peer.send(*["0/x,", "1/x,"] * 1_000)
    await until(lambda: len(gate.asked) > 0)
    await anyio.wait_all_tasks_blocked()
    assert len(gate.asked) <= 6
    with pytest.raises(Idle):
        await peer.receive()
    assert peer.session.ended_with() == CloseReason.BUFFER_FULL


async def test_two_that_ask_at_once_meet_in_one_namespace() -> None:
    io = Events()
    gate = Gate()
    parent = io.of(gate)
    wire = Wire(io)
    a, b = wire.open(), wire.open()
    for peer in (a, b):
        peer.send("0/x,")
    await until(lambda: len(gate.asked) == 2)
    gate.answer(True, True)
    for peer in (a, b):
        assert str(await peer.receive()).startswith('0/x,{"sid"')
    assert parent.children == {"/x"}
    await parent.emit("hello")
    assert [peer.received() for peer in (a, b)] == [['2/x,["hello"]']] * 2


async def test_session_is_not_closed_for_the_time_that_a_function_takes() -> None:
    io = Events()
    gate = Gate()
    io.of(gate)
    wire = Wire(io)
    peer = wire.open()
    peer.send("0/x,")
    await until(lambda: len(gate.asked) == 1)
    for _ in range(3):
        # The heartbeat of a plain peer is not what is looked at.
        wire.clock.move(16)
        await anyio.wait_all_tasks_blocked()
    gate.answer(True)
    assert str(await peer.receive()).startswith('0/x,{"sid"')


@pytest.mark.parametrize("cleanup", [True, False])
async def test_namespace_of_a_pattern_ends_with_its_last_socket(cleanup: bool) -> None:
    hub = MemoryHub()
    io = Events(Settings(cleanup_empty_child_namespaces=cleanup), adapter=hub)
    parent = io.of(TENANT)
    wire = Wire(io)
    a, b = await wire.connect("/tenant-1"), await wire.connect("/tenant-1")
    await a.connect("/tenant-2")
    assert parent.children == {"/tenant-1", "/tenant-2"}
    a.send("1/tenant-1,")
    assert parent.children == {"/tenant-1", "/tenant-2"}
    a.lose()
    b.lose()
    assert parent.children == (frozenset() if cleanup else {"/tenant-1", "/tenant-2"})
    assert set(hub._adapters) == ({"/"} if cleanup else {"/", "/tenant-1", "/tenant-2"})


@pytest.mark.parametrize("how", ["middleware", "connect", "put out"])
async def test_namespace_that_its_only_peer_was_refused_by_ends(how: str) -> None:
    io = Events()
    parent = io.of(TENANT)
    if how == "middleware":
        parent.use(lambda socket: False)
    elif how == "connect":
        parent.on("connect", lambda socket: False)
    peer = Wire(io).open()
    peer.send("0/tenant-1,")
    await peer.receive()
    if how == "put out":
        await parent.disconnect_sockets()
        await peer.receive()
    await until(lambda: parent.children == frozenset())


async def test_nothing_is_kept_of_a_namespace_that_has_ended() -> None:
    io = Events()
    sockets: list[weakref.ref[Socket]] = []

    @io.of(TENANT).on("connect")
    async def connect(socket: Socket) -> None:
        sockets.append(weakref.ref(socket))
        socket.on("x", lambda socket: None)
        socket.join("room")

    peer = await Wire(io).connect("/tenant-1")
    peer.lose()
    del peer
    await anyio.wait_all_tasks_blocked()
    gc.collect()
    assert [socket() for socket in sockets] == [None]


async def test_application_that_names_a_child_keeps_it_and_its_handlers_go_before_the_patterns() -> None:
    io = Events()
    parent = io.of(TENANT)
    parent.on("who", lambda socket: "parent")
    parent.on("only", lambda socket: "parent")
    wire = Wire(io)
    peer = await wire.connect("/tenant-1")
    child = io.of("/tenant-1")
    child.on("who", lambda socket: "child")
    for _ in range(2):
        peer.send('2/tenant-1,1["who"]', '2/tenant-1,2["only"]')
        assert [await peer.receive(), await peer.receive()] == [
            '3/tenant-1,1["child"]',
            '3/tenant-1,2["parent"]',
        ]
        peer.lose()
        assert parent.children == {"/tenant-1"}
        peer = await wire.connect("/tenant-1")
    other = await wire.connect("/tenant-2")
    other.send('2/tenant-2,1["who"]')
    assert await other.receive() == '3/tenant-2,1["parent"]'


async def test_what_the_application_named_before_the_pattern_is_no_child() -> None:
    io = Events()
    io.of("/tenant-1").on("who", lambda socket: "static")
    parent = io.of(TENANT)
    parent.use(lambda socket: False)
    peer = await Wire(io).connect("/tenant-1")
    peer.send('2/tenant-1,1["who"]')
    assert await peer.receive() == '3/tenant-1,1["static"]'
    assert parent.children == frozenset()


@pytest.mark.parametrize(
    "when", ["before anybody", "after the last", "in disconnect", "in an event", "beside"]
)
async def test_naming_a_namespace_of_a_pattern_opens_no_way_round_its_middleware(when: str) -> None:
    io = Events()
    parent = io.of(TENANT)
    gate = anyio.Event()

    @parent.use
    async def guard(socket: Socket, auth: dict[str, object]) -> bool:
        return "token" in auth

    async def name(socket: Socket, *args: object) -> None:
        await gate.wait()
        await io.of(socket.namespace).emit("left", socket.id)

    wire = Wire(io)
    if when == "before anybody":
        await io.of("/tenant-1").emit("nobody")
    else:
        if when == "in disconnect":
            parent.on("disconnect", name)
        elif when != "after the last":
            parent.on("x", name, concurrent=when == "beside")
        peer = wire.open()
        await peer.connect("/tenant-1", '{"token":1}')
        peer.send('2/tenant-1,["x"]')
        await anyio.wait_all_tasks_blocked()
        peer.lose()
        if when == "after the last":
            await io.of("/tenant-1").emit("nobody")
    gate.set()
    await anyio.wait_all_tasks_blocked()
    other = wire.open()
    assert await answer_of(other, "/tenant-1") == '4/tenant-1,{"message":"Connection refused"}'
    assert await answer_of(other, "/tenant-1", '{"token":1}') == "in"
    other.lose()
    await until(lambda: parent.children == frozenset())


@pytest.mark.parametrize("where", ["disconnect", "x"])
async def test_namespace_of_a_function_does_not_end_under_the_handlers_of_the_last_that_left(
    where: str,
) -> None:
    io = Events()

    def function(name: str, auth: dict[str, object]) -> bool:
        return "token" in auth

    parent = io.of(function)
    gate = anyio.Event()

    async def name(socket: Socket, *args: object) -> None:
        await gate.wait()
        await io.of(socket.namespace).emit("left", socket.id)

    parent.on(where, name)
    wire = Wire(io)
    peer = wire.open()
    await peer.connect("/x", '{"token":1}')
    peer.send('2/x,["x"]')
    await anyio.wait_all_tasks_blocked()
    peer.lose()
    assert parent.children == {"/x"}
    gate.set()
    await anyio.wait_all_tasks_blocked()
    assert parent.children == frozenset()
    assert await answer_of(wire.open(), "/x") == f"4/x,{REFUSED}"


async def test_handle_of_a_namespace_that_ended_is_one_of_what_bears_its_name_now() -> None:
    io = Events()
    parent = io.of(TENANT)
    wire = Wire(io)
    first = await wire.connect("/tenant-1")
    handle = io.of("/tenant-1")
    first.lose()
    await until(lambda: parent.children == frozenset())
    second = await wire.connect("/tenant-1")
    await handle.emit("x")
    assert second.received() == ['2/tenant-1,["x"]']
    assert list(handle.sockets) == [second.ids["/tenant-1"]]
    handle.on("who", lambda socket: "handle")
    second.send('2/tenant-1,1["who"]')
    assert await second.receive() == '3/tenant-1,1["handle"]'
    second.lose()
    # It has handlers of its own now.
    await anyio.wait_all_tasks_blocked()
    assert parent.children == {"/tenant-1"}


async def test_middleware_of_the_pattern_runs_before_that_of_a_named_child() -> None:
    io = Events()
    log: list[str] = []
    parent = io.of(TENANT)
    wire = Wire(io)
    await wire.connect("/tenant-1")
    child = io.of("/tenant-1")

    def notes(word: str) -> Callable[..., None]:
        return lambda *args: log.append(word)

    child.use(notes("child use"))
    parent.use(notes("parent use"))
    child.on("connect", notes("child connect"))
    parent.on("connect", notes("parent connect"))
    child.use_event(lambda socket, event, args: log.append("child event"))
    parent.use_event(lambda socket, event, args: log.append("parent event"))
    child.on_any(notes("child any"))
    parent.on_any(notes("parent any"))
    child.on("x", lambda socket: log.append("handler") or "done")
    child.on("disconnect", notes("child disconnect"))
    parent.on("disconnect", notes("parent disconnect"))
    peer = await wire.connect("/tenant-1")
    peer.send('2/tenant-1,1["x"]')
    await peer.receive()
    peer.lose()
    await until(lambda: "child disconnect" in log)
    # One handler of a name counts, and for whom `connect` was the child's, so is `disconnect`.
    assert log == [
        "parent use",
        "child use",
        "child connect",
        "parent any",
        "child any",
        "parent event",
        "child event",
        "handler",
        "child disconnect",
    ]


async def test_broadcast_of_the_pattern_reaches_all_its_namespaces_and_no_other() -> None:
    io = Events()
    parent = io.of(TENANT)
    io.of("/other")
    wire = Wire(io)
    names = ["/tenant-1", "/tenant-2", "/other", "/"]
    peers = [await wire.connect(name) for name in names]
    await parent.emit("all")
    io.of("/tenant-2").sockets[peers[1].ids["/tenant-2"]].join("room")
    await parent.to("room").emit("room")
    await parent.except_("room").send("not room")
    assert [peer.received() for peer in peers] == [
        ['2/tenant-1,["all"]', '2/tenant-1,["message","not room"]'],
        ['2/tenant-2,["all"]', '2/tenant-2,["room"]'],
        [],
        [],
    ]
    found = await parent.fetch_sockets()
    assert [(socket.namespace, socket.id) for socket in found] == [
        (name, peer.ids[name]) for name, peer in zip(names[:2], peers, strict=False)
    ]
    await parent.sockets_join("both")
    await found[0].emit("to one")
    assert [peer.received() for peer in peers[:2]] == [['2/tenant-1,["to one"]'], []]
    assert {socket.namespace for socket in await parent.to("both").fetch_sockets()} == set(names[:2])


async def test_refusal_of_a_pattern_carries_data() -> None:
    io = Events()

    @io.of(TENANT).use
    async def never(socket: Socket, auth: dict[str, object]) -> None:
        raise ConnectionRefusedError("no", {"code": 7})

    assert await answer_of(Wire(io).open(), "/tenant-1") == '4/tenant-1,{"message":"no","data":{"code":7}}'


async def test_class_can_handle_a_child_beside_its_pattern() -> None:
    class One(Namespace):
        async def on_who(self, socket: Socket) -> str:
            return "class"

    io = Events()
    io.of(TENANT).on("only", lambda socket: "pattern")
    peer = await Wire(io).connect("/tenant-1")
    io.register_namespace(One("/tenant-1"))
    peer.send('2/tenant-1,1["who"]', '2/tenant-1,2["only"]')
    assert [await peer.receive(), await peer.receive()] == [
        '3/tenant-1,1["class"]',
        '3/tenant-1,2["pattern"]',
    ]
