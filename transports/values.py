"""Values as servers hand them to each other: msgpack, with what that has no place for as extensions."""

from __future__ import annotations

from datetime import datetime

import msgpack

from ..engine.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["pack", "unpack"]

_TIME, _INTEGER = 1, 2


def pack(value: object) -> bytes:
    """Raises:
    LocalProtocolError: another server could not be handed this.
    """
    try:
        return msgpack.packb(value, default=_encode_other, unicode_errors="surrogatepass")
    except Exception as error:
        # Whatever the application's own values raise while they are read.
        raise LocalProtocolError(f"another server cannot be sent this: {error}") from error


def unpack(data: bytes) -> object:
    """Raises:
    RemoteProtocolError: it is not what `pack` makes.
    """
    try:
        return msgpack.unpackb(
            data, ext_hook=_decode_other, unicode_errors="surrogatepass", strict_map_key=False
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise RemoteProtocolError("what another server has sent cannot be read") from error


def _encode_other(value: object) -> object:
    if isinstance(value, datetime):
        return msgpack.ExtType(_TIME, value.isoformat().encode())
    if isinstance(value, int):
        return msgpack.ExtType(_INTEGER, hex(value).encode())
    raise TypeError(f"{value.__class__.__name__} cannot be sent")


def _decode_other(code: int, data: bytes) -> object:
    if code == _TIME:
        return datetime.fromisoformat(data.decode())
    if code == _INTEGER:
        return int(data, 16)
    raise ValueError("an extension that servers do not use")
