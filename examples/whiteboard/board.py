"""The board: packed strokes and pictures, bounded in every direction. No network here.

All numbers are little-endian, as JavaScript's typed arrays have them.

- A page sends a stroke as `width u8, red u8, green u8, blue u8`, then its points as pairs of Int16.
- A page sends a picture as `x, y, width, height` of Int16, then the bytes of a PNG or JPEG file.
- An item on the board is a head of 16 bytes, `id u32, author u32, size of the rest u32, width u8, red, green, blue`,
  and then the points; or, with a width of 0, the picture as it was sent.
- The whole board is its items, one after the other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import count

from holdfast import EventError

from .pictures import picture_size

__all__ = ["Board", "Item"]

MAX_ITEMS = 2000
MAX_BYTES = 2_000_000
MAX_POINTS = 2000
MAX_WIDTH = 64
MAX_PICTURE_BYTES = 300_000
MAX_PICTURE_SIDE = 2000

HEAD = struct.Struct("<III4s")
PLACE = struct.Struct("<4h")
PICTURE = bytes(4)


@dataclass(frozen=True, slots=True)
class Item:
    """A stroke or a picture.

    Attributes:
        packed: As everybody gets it.
    """

    id: int
    author: int
    packed: bytes


class Board:
    """Items in the order in which they lie on each other."""

    def __init__(self) -> None:
        self._items: dict[int, Item] = {}
        self._ids = count(1)
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def packed(self) -> bytes:
        """The whole board."""
        return b"".join(item.packed for item in self._items.values())

    def add_stroke(self, author: int, data: object) -> Item:
        """Draw a stroke.

        Raises:
            EventError: it is none, it is too long, or the board is full.
        """
        if not isinstance(data, bytes) or len(data) < 8 or len(data) % 4 or not 0 < data[0] <= MAX_WIDTH:
            raise EventError("This is not a stroke.", code="INVALID")
        if len(data) > 4 + 4 * MAX_POINTS:
            raise EventError(f"A stroke has at most {MAX_POINTS} points.", code="TOO_LARGE")
        return self._add(author, data[:4], data[4:])

    def add_picture(self, author: int, data: object) -> Item:
        """Put a picture on the board.

        Raises:
            EventError: it is none, it is too large, or the board is full.
        """
        if not isinstance(data, bytes) or len(data) <= PLACE.size:
            raise EventError("This is not a picture.", code="INVALID")
        if len(data) > PLACE.size + MAX_PICTURE_BYTES:
            raise EventError(f"A picture has at most {MAX_PICTURE_BYTES // 1000} kB.", code="TOO_LARGE")
        size = picture_size(data[PLACE.size :])
        if size is None:
            raise EventError("A picture is a PNG or a JPEG.", code="NOT_A_PICTURE")
        if not all(0 < side <= MAX_PICTURE_SIDE for side in size):
            raise EventError(f"A picture has at most {MAX_PICTURE_SIDE} pixels a side.", code="TOO_LARGE")
        return self._add(author, PICTURE, data)

    def _add(self, author: int, style: bytes, body: bytes) -> Item:
        size = HEAD.size + len(body)
        if len(self) >= MAX_ITEMS or self.size_bytes + size > MAX_BYTES:
            raise EventError("The board is full. Undo something, or clear it.", code="BOARD_FULL")
        id = next(self._ids)
        item = self._items[id] = Item(id, author, HEAD.pack(id, author, len(body), style) + body)
        self.size_bytes += size
        return item

    def undo(self, author: int) -> int:
        """Take away the last thing that somebody has drawn; the answer is its id.

        Raises:
            EventError: nothing of theirs is on the board.
        """
        for item in reversed(self._items.values()):
            if item.author == author:
                del self._items[item.id]
                self.size_bytes -= len(item.packed)
                return item.id
        raise EventError("Nothing of yours is on the board.", code="NOTHING_TO_UNDO")

    def clear(self) -> None:
        """Take everything away."""
        self._items.clear()
        self.size_bytes = 0
