"""A user's program, for pyright: what the decorators make of typed handlers. It is read, not run."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import assert_type

from holdfast import Ack, Allowed, Engine, Handshake, Namespace, Server, Session, Socket


async def whose(handshake: Handshake) -> Allowed | bool:
    return "cookie" in handshake.headers and Allowed(principal=7, expires_at=1.5)


async def bare(session: Session) -> None: ...


io = Server(allow_request=whose)
engine = Engine(bare, allow_request=lambda handshake: Allowed(principal=handshake.headers["cookie"]))
Next = Callable[[], Awaitable[object]]


@io.on("plain")
async def plain(socket: Socket, text: str, number: int = 0) -> str:
    return text * number


@io.on("beside", concurrent=True)
async def beside(socket: Socket) -> None: ...


@io.on("thread")
def thread(socket: Socket, ack: Ack) -> None: ...


@io.event
async def named(socket: Socket, *args: object) -> tuple[int, str]:
    return 1, ""


@io.use
async def connection(socket: Socket, auth: dict[str, object]) -> bool:
    return bool(auth)


@io.use_event
async def checks(socket: Socket, event: str, args: list[object]) -> None: ...


@io.use_event
async def around(socket: Socket, event: str, args: list[object], go_on: Next) -> object:
    return await go_on()


@io.on_any
async def hears(socket: Socket, event: str, *args: object) -> None: ...


@io.on_any_outgoing
def hears_outgoing(socket: Socket, event: str, *args: object) -> None: ...


@io.on_server_side("ask")
async def answers(question: str) -> int:
    return len(question)


tenants = io.of(re.compile(r"/tenant-\d+"))


@tenants.on("plain", concurrent=True)
async def of_tenant(socket: Socket, value: float) -> float:
    return value


async def exists(name: str, auth: dict[str, object]) -> bool:
    return name in auth


io.of(exists).on("x", plain)
io.of(lambda name, auth: name in auth).use(connection)


class Chat(Namespace):
    async def on_message(self, socket: Socket, text: str) -> str:
        await self.to("room").except_(socket.id).volatile.emit("message", text)
        return text


chat = io.register_namespace(Chat("/chat"))


@io.on("connect")
async def connect(socket: Socket) -> None:
    @socket.on("own", concurrent=True)
    async def own(socket: Socket, value: int) -> int:
        return value

    socket.once("once", plain)
    socket.use(around)
    assert_type(await own(socket, 1), int)
    assert_type(await socket.timeout(5).emit_with_ack("x"), object)
    assert_type(await socket.volatile.broadcast.timeout(5).emit_with_ack("x"), list[object])


async def types() -> None:
    (socket,) = io.sockets.values()
    assert_type(await plain(socket, "x", number=1), str)
    assert_type(await beside(socket), None)
    assert_type(await named(socket), tuple[int, str])
    assert_type(await connection(socket, {}), bool)
    assert_type(await of_tenant(socket, 1.0), float)
    assert_type(await answers(""), int)
    assert_type(tenants.children, frozenset[str])
