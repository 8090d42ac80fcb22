"""What a picture says of itself, so that a small file cannot unfold to a huge one in everybody's browser."""

from __future__ import annotations

import struct

__all__ = ["picture_size"]

# Frames that hold a size; the others of this range are tables.
JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG or a JPEG in pixels; None for anything else."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"):
            return struct.unpack_from(">II", data, 16)
        return _jpeg_size(data) if data.startswith(b"\xff\xd8\xff") else None
    except struct.error:
        return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        mark, kind, length = struct.unpack_from(">BBH", data, at)
        if mark != 0xFF:
            return None
        if kind in JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
