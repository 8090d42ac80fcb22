"""Namespaces as classes of handlers."""

from __future__ import annotations

import pytest
from event_peer import EventPeer, Wire, until

from holdfast.engine.dispatch import Events, Namespace, Socket
from holdfast.engine.errors import ConnectionRefusedError, LocalProtocolError

pytestmark = pytest.mark.anyio


class Chat(Namespace):
    """What a user writes."""

    def __init__(self, name: str = "/chat") -> None:
        super().__init__(name)
        self.log: list[object] = []

    async def on_connect(self, socket: Socket, auth: dict[str, object]) -> None:
        if auth.get("token") == "wrong":
            raise ConnectionRefusedError("no")
        self.log.append("connect")

    async def on_message(self, socket: Socket, text: str) -> str:
        await self.emit("message", text)
        return "seen"

    def on_in_thread(self, socket: Socket, number: int) -> int:
        return number + 1

    async def on_disconnect(self, socket: Socket, reason: str) -> None:
        self.log.append(reason)


async def answer(peer: EventPeer, message: str) -> str:
    peer.send(message)
    return str(await peer.receive())


async def test_methods_handle_the_events_of_their_names() -> None:
    io = Events()
    chat = Chat()
    assert io.register_namespace(chat) is chat
    peer = await Wire(io).connect("/chat")
    peer.send('2/chat,1["message","hello"]')
    assert [await peer.receive(), await peer.receive()] == ['2/chat,["message","hello"]', '3/chat,1["seen"]']
    assert await answer(peer, '2/chat,2["in_thread",1]') == "3/chat,2[2]"
    peer.lose()
    await until(lambda: len(chat.log) == 2)
    assert chat.log == ["connect", "transport close"]
    refused = Wire(io).open()
    assert await answer(refused, '0/chat,{"token":"wrong"}') == '4/chat,{"message":"no"}'


async def test_methods_are_inherited_and_overridden() -> None:
    class Mixin:
        async def on_mixed(self, socket: Socket) -> str:
            return "mixed"

    class Loud(Mixin, Chat):
        async def on_message(self, socket: Socket, text: str) -> str:
            return await super().on_message(socket, text.upper())

        @staticmethod
        async def on_static(socket: Socket) -> str:
            return "static"

        @classmethod
        async def on_class(cls, socket: Socket) -> str:
            return cls.__name__

        on_value = "not a method"

    io = Events()
    io.register_namespace(Loud("loud"))
    peer = await Wire(io).connect("/loud")
    assert await answer(peer, '2/loud,["message","hello"]') == '2/loud,["message","HELLO"]'
    assert await answer(peer, '2/loud,1["mixed"]') == '3/loud,1["mixed"]'
    assert await answer(peer, '2/loud,2["static"]') == '3/loud,2["static"]'
    assert await answer(peer, '2/loud,3["class"]') == '3/loud,3["Loud"]'


async def test_class_can_handle_the_main_namespace() -> None:
    io = Events()
    io.on("plain", lambda socket: "plain")
    chat = io.register_namespace(Chat("/"))
    assert io.of("/") is io
    peer = await Wire(io).connect()
    peer.send('21["message","x"]', '22["plain"]')
    assert [await peer.receive() for _ in range(3)] == ['2["message","x"]', '31["seen"]', '32["plain"]']
    assert list(chat.sockets) == list(io.sockets) == [peer.ids["/"]]


async def test_server_can_be_a_class_of_handlers_itself() -> None:
    class Mine(Events):
        async def on_who(self, socket: Socket) -> str:
            return "mine"

    peer = await Wire(Mine()).connect()
    assert await answer(peer, '21["who"]') == '31["mine"]'


async def test_handlers_of_class_and_decorators_live_together_and_exclude_each_other() -> None:
    io = Events()
    io.of("/chat").on("other", lambda socket: "other")
    io.of("/chat").on("message", lambda socket, text: "decorated")
    with pytest.raises(LocalProtocolError, match="'message' has a handler in '/chat' already"):
        io.register_namespace(Chat())
    peer = Wire(io).open()
    # Nothing of the class has come to count.
    await peer.connect("/chat", '{"token":"wrong"}')
    assert await answer(peer, '2/chat,1["message","x"]') == '3/chat,1["decorated"]'
    io.of("/chat").off("message")
    chat = Chat()
    assert io.register_namespace(chat) is io.of("/chat") is chat
    assert await answer(peer, '2/chat,1["other"]') == '3/chat,1["other"]'
    assert await answer(peer, '2/chat,["message","x"]') == '2/chat,["message","x"]'


def test_namespace_belongs_to_one_server_and_can_be_tried_again() -> None:
    one, other = Events(), Events()
    chat = Chat()
    one.register_namespace(chat)
    for io in (one, other):
        with pytest.raises(LocalProtocolError, match="already"):
            io.register_namespace(chat)
    with pytest.raises(LocalProtocolError, match="already"):
        one.register_namespace(Chat())
    other.register_namespace(Chat())
    other.of("/late").on("message", lambda socket, text: None)
    late = Chat("/late")
    with pytest.raises(LocalProtocolError):
        other.register_namespace(late)
    other.of("/late").off("message")
    other.register_namespace(late)


async def test_class_that_cannot_be_registered_makes_no_namespace() -> None:
    class Wrong(Namespace):
        async def on_fine(self, socket: Socket) -> None: ...

        async def on_nothing(self) -> None: ...

    class Collides(Namespace):
        async def on_any(self, socket: Socket) -> None: ...  # type: ignore[override]

    class Reserved(Namespace):
        async def on_newListener(self, socket: Socket) -> None: ...

    class Twice(Namespace):
        async def on_connect(self, socket: Socket) -> None: ...

        async def on_connection(self, socket: Socket) -> None: ...

    io = Events()
    for kind, match in (
        (Wrong, "does not take a socket"),
        (Collides, "'on_any' is a method of Namespace"),
        (Reserved, "reserved"),
        (Twice, "already"),
    ):
        with pytest.raises(LocalProtocolError, match=match):
            io.register_namespace(kind("/x"))
    with pytest.raises(LocalProtocolError, match="name of a namespace"):
        io.register_namespace(Chat("/a,b"))
    peer = Wire(io).open()
    assert await answer(peer, "0/x,") == '4/x,{"message":"Invalid namespace"}'


async def test_namespace_without_a_server_says_so() -> None:
    chat = Chat()
    assert chat.name == "/chat"
    for use in (
        lambda: chat.on("x", lambda socket: None),
        lambda: chat.use(lambda socket: None),
        lambda: chat.to("room"),
        lambda: chat.volatile,
        lambda: chat.sockets,
        lambda: chat.rooms,
    ):
        with pytest.raises(LocalProtocolError, match="register_namespace"):
            use()
    with pytest.raises(LocalProtocolError, match="register_namespace"):
        await chat.emit("x")
    with pytest.raises(LocalProtocolError, match="register_namespace"):
        await chat.server_side_emit("x")


def test_properties_of_a_class_are_not_called_at_its_registration() -> None:
    class Lazy(Namespace):
        @property
        def database(self) -> object:
            raise RuntimeError("not connected yet")

    Events().register_namespace(Lazy("/lazy"))


async def test_two_classes_can_share_a_namespace() -> None:
    class One(Namespace):
        async def on_one(self, socket: Socket) -> str:
            return "one"

    class Two(Namespace):
        async def on_two(self, socket: Socket) -> str:
            return "two"

    io = Events()
    one, two = io.register_namespace(One("/x")), io.register_namespace(Two("/x"))
    peer = await Wire(io).connect("/x")
    assert await answer(peer, '2/x,1["one"]') == '3/x,1["one"]'
    assert await answer(peer, '2/x,2["two"]') == '3/x,2["two"]'
    assert set(one.sockets) == set(two.sockets) == {peer.ids["/x"]}


def test_what_names_nothing_is_refused_with_the_remedy() -> None:
    io = Events()

    async def chat(socket: Socket, text: str) -> None: ...

    for wrong, remedy in (
        (lambda: io.on(chat), '@io.on("chat")'),
        (lambda: io.on(5, chat), "a text"),
        (lambda: io.on("", chat), "a text"),
        (lambda: io.of(5), "a text, a pattern or a function"),
        (lambda: io.register_namespace(Namespace), "takes an object"),
        (lambda: io.to(["a", "b"]), "to(*rooms)"),
        (lambda: io.except_(("a", "b")), "to(*rooms)"),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            wrong()
        assert remedy in str(caught.value)


def test_class_that_does_not_call_our_constructor_is_of_the_main_namespace() -> None:
    class Mine(Namespace):
        def __init__(self) -> None:
            self.mine = 1

    assert Mine().name == "/"
