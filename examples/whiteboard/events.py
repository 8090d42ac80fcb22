"""What the whiteboard's server does: every event of the page has its function here.

A stroke travels twice: while it is drawn, as volatile pieces that may be lost, and whole when it is finished, with an
acknowledgement. Who was away draws it again with the same nonce; what comes twice is answered twice and drawn once.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable

from holdfast import ConnectionRefusedError, EventError, Server, Socket

from .board import Board, Item

__all__ = ["io", "online"]

MAX_PEOPLE = 50
MAX_PIECE = 4 + 4 * 200
MAX_REMEMBERED = 5000
ROOM = "board"
TOKEN = re.compile(r"[A-Za-z0-9-]{16,64}")

# A newcomer gets the whole board at once, which has to fit.
io = Server(buffer_limit=8_000_000)
board = Board()
drawn: OrderedDict[tuple[int, str], int] = OrderedDict()


def author_of(socket: Socket) -> int:
    author = socket.data["author"]
    assert isinstance(author, int)
    return author


def online() -> dict[str, object]:
    """How many are here and what is on the board, for an ordinary HTTP route."""
    return {"people": len(people()), "items": len(board), "bytes": board.size_bytes}


def people() -> list[int]:
    return sorted({author_of(socket) for socket in io.sockets.values()})


@io.on("connect")
async def connect(socket: Socket, auth: dict[str, object]) -> None:
    """Who comes with the same key is the same author: after a reload, and after a lost connection."""
    key = auth.get("key")
    if not isinstance(key, str) or not TOKEN.fullmatch(key):
        raise ConnectionRefusedError("A page comes with a key.", {"code": "INVALID_KEY"})
    if len(io.sockets) >= MAX_PEOPLE:
        raise ConnectionRefusedError(f"{MAX_PEOPLE} people are here already.", {"code": "FULL"})
    # Public, and yet nobody can guess the key from it.
    author = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little")
    socket.data["author"] = author
    # First the room, then the board: what is drawn in between is heard twice rather than never.
    socket.join(ROOM)
    await socket.emit("board", author, board.packed())
    await io.to(ROOM).emit("people", sorted({author, *people()}))


@io.on("disconnect")
async def disconnect(socket: Socket) -> None:
    await io.to(ROOM).emit("people", people())


@io.on("stroke")
async def stroke(socket: Socket, nonce: object, data: object) -> int:
    """A finished stroke. The answer is its id."""
    return await add(socket, nonce, data, board.add_stroke)


@io.on("picture")
async def picture(socket: Socket, nonce: object, data: object) -> int:
    """A picture, as a file. The answer is its id."""
    return await add(socket, nonce, data, board.add_picture)


async def add(socket: Socket, nonce: object, data: object, draw: Callable[[int, object], Item]) -> int:
    if not isinstance(nonce, str) or not TOKEN.fullmatch(nonce):
        raise EventError("This is not a random text of a page.", code="INVALID")
    author = author_of(socket)
    known = drawn.get((author, nonce))
    if known is not None:
        return known
    item = draw(author, data)
    drawn[author, nonce] = item.id
    if len(drawn) > MAX_REMEMBERED:
        drawn.popitem(last=False)
    # The author hears of it too, and before the answer: so it lies on every board at the same height.
    await io.to(ROOM).emit("item", item.packed)
    return item.id


@io.on("undo")
async def undo(socket: Socket) -> int:
    """Take away the last thing of one's own. The answer is its id."""
    id = board.undo(author_of(socket))
    await io.to(ROOM).emit("removed", id)
    return id


@io.on("clear")
async def clear(socket: Socket) -> None:
    board.clear()
    await io.to(ROOM).emit("cleared", author_of(socket))


@io.on("drawing")
async def drawing(socket: Socket, data: object) -> None:
    """A piece of a stroke that is being drawn; nobody keeps it."""
    if isinstance(data, bytes) and 8 <= len(data) <= MAX_PIECE and len(data) % 4 == 0:
        await socket.to(ROOM).volatile.emit("drawing", author_of(socket), data)


@io.on("cursor")
async def cursor(socket: Socket, data: object) -> None:
    """Where somebody points: two Int16, or nothing when they point elsewhere."""
    if isinstance(data, bytes) and len(data) in (0, 4):
        await socket.to(ROOM).volatile.emit("cursor", author_of(socket), data)
