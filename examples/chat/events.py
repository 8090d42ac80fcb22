"""What the chat's server does: every event of the page has its function here.

The page calls `join` after every connect, and so after a lost connection too. The answer holds what it has missed;
what it could not say meanwhile it says again, with the same nonce, and what comes twice is told once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import cast

import anyio

from holdfast import EventError, Server, Socket

from .people import LOBBY, MAX_ROOMS, Chat, Message, Person, folded, name_of, room_of, token_of

__all__ = ["io", "online"]

RETURN_SECONDS = 2.0
"""For so long nobody is told that somebody has lost the connection, or reloads the page."""

io = Server()
chat = Chat()


def person_of(socket: Socket) -> Person:
    person = socket.data.get("person")
    if not isinstance(person, Person):
        raise EventError("Join with a name first.", code="NOT_JOINED")
    return person


def sockets_of(person: Person) -> list[Socket]:
    return [io.sockets[id] for id in person.sockets if id in io.sockets]


def online() -> dict[str, object]:
    """Who is here, for an ordinary HTTP route."""
    return chat.presence()


@io.on("join")
async def join(socket: Socket, name: object, key: object, rooms: object = None) -> dict[str, object]:
    """Come in, or come back: with the same key the same name is yours."""
    known = socket.data.get("person")
    if isinstance(known, Person) and known.name != name:
        raise EventError(f"You have joined as {known.name}.", code="JOINED")
    wanted = cast("list[object]", rooms)[:MAX_ROOMS] if isinstance(rooms, list) else []
    wanted = [room_of(room) for room in wanted]
    person = chat.admit(name_of(name), token_of(key))
    person.sockets.add(socket.id)
    socket.data["person"] = person
    socket.join(f"@{folded(person.name)}")
    for room in sorted({LOBBY, *person.rooms, *wanted}):
        # A room that was left empty may be one too many by now.
        with suppress(EventError):
            await let_in(person, room)
    await tell_presence()
    return {"name": person.name, "rooms": sorted(person.rooms), "messages": chat.heard_by(person)}


@io.on("enter")
async def enter(socket: Socket, room: object) -> list[Message]:
    """Enter a room, or make it. The answer is what was said there."""
    person, room = person_of(socket), room_of(room)
    await let_in(person, room)
    await tell_presence()
    return list(chat.rooms.get(room, ()))


@io.on("leave")
async def leave(socket: Socket, room: object) -> None:
    person, room = person_of(socket), room_of(room)
    chat.leave(person, room)
    for mine in sockets_of(person):
        mine.leave(f"#{room}")
    await io.to(f"#{room}").emit("notice", {"to": f"#{room}", "who": person.name, "what": "left"})
    await tell_presence()


@io.on("say")
async def say(socket: Socket, to: object, text: object, nonce: object) -> Message:
    """To ``#room`` or ``@name``. The answer is the message; all others get it as an event."""
    message, targets = chat.say(person_of(socket), to, text, nonce)
    if targets:
        await socket.to(*targets).emit("message", message)
    return message


@io.on("typing")
async def typing(socket: Socket, to: object) -> None:
    """Volatile: whoever has no connection right now need not hear of it later."""
    person = person_of(socket)
    if isinstance(to, str) and to[1:] in person.rooms:
        await socket.to(f"#{to[1:]}").volatile.emit("typing", {"to": to, "who": person.name})
    elif isinstance(to, str) and to.startswith("@"):
        other = chat.find(to[1:])
        await socket.to(f"@{folded(other.name)}").volatile.emit(
            "typing", {"to": f"@{other.name}", "who": person.name}
        )


@io.on("disconnect")
async def disconnect(socket: Socket, reason: str) -> None:
    person = socket.data.get("person")
    if not isinstance(person, Person):
        return
    person.sockets.discard(socket.id)
    if reason != "client namespace disconnect":
        await anyio.sleep(RETURN_SECONDS)
    if chat.dismiss(person):
        for room in sorted(person.rooms):
            await io.to(f"#{room}").emit("notice", {"to": f"#{room}", "who": person.name, "what": "left"})
        await tell_presence()


async def let_in(person: Person, room: str) -> None:
    is_new = chat.enter(person, room)
    for mine in sockets_of(person):
        mine.join(f"#{room}")
    if is_new:
        notice = {"to": f"#{room}", "who": person.name, "what": "joined"}
        await io.to(f"#{room}").except_(f"@{folded(person.name)}").emit("notice", notice)


async def tell_presence() -> None:
    # Everybody who has joined is in the lobby.
    await io.to(f"#{LOBBY}").emit("presence", chat.presence())
