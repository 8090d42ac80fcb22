"""Plain values as the packages of Socket.IO write them for each other: JSON, or msgpack of two habits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import msgpack

from ..errors import LocalProtocolError, RemoteProtocolError
from ..wire.jsonvalues import decode_json, encode_json

__all__ = ["json_of", "pack", "pack_as_notepack", "read_json", "unpack"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def json_of(value: object) -> bytes | None:
    """A value as JSON; None if it has bytes or times in it, which JSON would change, or is none at all."""
    try:
        return encode_json(value).encode()
    except Exception:
        # Whatever the application's own values raise while they are read.
        return None


def read_json(data: bytes) -> object:
    """Raises:
    RemoteProtocolError: it is not JSON.
    """
    try:
        return decode_json(data.decode(), 0)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("what another server says is not JSON") from error


def pack(value: object) -> bytes:
    """A value as the package ``@msgpack/msgpack`` writes it: times are of msgpack's own kind.

    Raises:
        LocalProtocolError: msgpack cannot carry it.
    """
    return _packed(value, datetime=True, default=_encode_large)


def pack_as_notepack(value: object) -> bytes:
    """A value as the package ``notepack.io`` writes it: a time is its extension 0.

    Raises:
        LocalProtocolError: msgpack cannot carry it.
    """
    return _packed(value, default=_encode_other)


def _packed(value: object, **options: Any) -> bytes:
    try:
        return msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass", **options)
    except Exception as error:
        # Whatever the application's own values raise while they are read.
        raise LocalProtocolError(f"this cannot be sent to other servers: {error}") from error


def unpack(data: bytes) -> object:
    """What either of the two wrote.

    Raises:
        RemoteProtocolError: it is not msgpack.
    """
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            timestamp=3,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            ext_hook=_decode_extension,
        )
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise RemoteProtocolError("what another server says is not msgpack") from error


def _encode_other(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is not None:
        milliseconds = (value - _EPOCH) // timedelta(milliseconds=1)
        return msgpack.ExtType(0, milliseconds.to_bytes(8, "big", signed=True))
    return _encode_large(value)


def _encode_large(value: object) -> object:
    if isinstance(value, int):
        # What msgpack has no room for is a number of the other kind in JavaScript anyway.
        try:
            return float(value)
        except OverflowError:
            return inf if value > 0 else -inf
    raise TypeError(f"{value.__class__.__name__} cannot be sent")


def _decode_extension(code: int, data: bytes) -> object:
    """Extension 0 of notepack.io: ``undefined``, a time, or the buffer of a typed array."""
    if code != 0:
        raise ValueError("an extension that Socket.IO does not use")
    if len(data) == 1:
        return None
    if len(data) == 8:
        return _EPOCH + timedelta(milliseconds=int.from_bytes(data, "big", signed=True))
    return data
