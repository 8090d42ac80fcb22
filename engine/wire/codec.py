"""Codecs: how the packets of one session become messages.

A codec has no state: the two here are shared by all sessions. JSON is Socket.IO's default format, where bytes follow as
messages of their own; msgpack is that of socket.io-msgpack-parser, one binary message per packet.
docs/protocol.md, sections 4 and 9.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, Protocol, cast

import msgpack

from ..errors import LocalProtocolError, RemoteProtocolError
from .jsonvalues import QUICK_FROM, decode_json, scan_json
from .message import Message
from .packet import HIGHEST_NUMBER
from .socketio import (
    MAX_ATTACHMENTS,
    NO_JSON,
    RESERVED_EVENTS,
    BinaryHeader,
    EventFields,
    SocketPacket,
    SocketPacketType,
    check_data,
    decode_socket_packet,
    encode_socket_packet,
    is_namespace,
)
from .structure import MAX_CONTAINERS, MAX_DEPTH, check_structure, too_deep, too_many

__all__ = ["CODEC_NAMES", "Codec", "Encoder", "JsonCodec", "MsgpackCodec"]

CODEC_NAMES = ("json", "msgpack")


class Encoder(Protocol):
    """Packets to messages: one object for all who get them in the same format."""

    def encode(self, packet: SocketPacket) -> list[Message]:
        """The messages of one packet, to be sent one after the other with nothing between; at least one.

        Text among them has no U+001E, which a standard client on long-polling cannot be sent.

        Raises:
            LocalProtocolError: the codec cannot carry a value of the packet.
        """
        ...


class Codec(Encoder, Protocol):
    """Packets to messages and back. Stateless: one object serves every session.

    Attributes:
        name: As it is negotiated: "json", "msgpack".
    """

    @property
    def name(self) -> str: ...

    def recognises(self, data: str | bytes) -> bool:
        """Whether the first message of a peer, of which nothing is known yet, is in this format."""
        ...

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        """The packet that a message is, or the header of one that the next binary messages complete.

        Raises:
            RemoteProtocolError: not a valid packet. Nothing else, whatever the input is.
        """
        ...


class JsonCodec:
    """Socket.IO's default format: text, then one binary message per attachment.

    Args:
        max_attachments: Binary attachments of one packet, both ways.
        max_depth: How deep lists and maps may be nested in what a peer sends, that of the event itself included.
        max_containers: How many they may be.
    """

    __slots__ = ("_flat", "_max_attachments", "_max_containers", "_max_depth")
    name = "json"

    def __init__(
        self,
        *,
        max_attachments: int = MAX_ATTACHMENTS,
        max_depth: int = MAX_DEPTH,
        max_containers: int = MAX_CONTAINERS,
    ) -> None:
        self._max_attachments = max_attachments
        self._max_depth = max_depth
        self._max_containers = max_containers
        # In so many characters nothing is nested too deeply, and nothing is quicker than the standard library.
        self._flat = min(2 * max_depth, QUICK_FROM) if max_containers >= max_depth else 0

    def recognises(self, data: str | bytes) -> bool:
        return isinstance(data, str)

    def encode(self, packet: SocketPacket) -> list[Message]:
        text, attachments = encode_socket_packet(packet, max_attachments=self._max_attachments)
        if not attachments:
            return [Message(text)]
        return [Message(text), *map(Message, attachments)]

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        if isinstance(data, str):
            return decode_socket_packet(
                data,
                max_attachments=self._max_attachments,
                max_depth=self._max_depth,
                max_containers=self._max_containers,
            )
        raise RemoteProtocolError("bytes came where no attachment was announced")

    def decode_event(self, text: str) -> EventFields | None:
        """`decode` of what most texts are, an event of the namespace ``/`` without bytes; None where it may be
        something else.

        Raises:
            RemoteProtocolError: as `decode`.
        """
        if text[:1] != "2":
            return None
        at = text.find("[", 1, 18)
        id: int | None = None
        if at != 1:
            digits = text[1:at]
            if at < 0 or not (digits.isdigit() and digits.isascii()) or (id := int(digits)) > HIGHEST_NUMBER:
                return None
        # Any: by its first character it is a list.
        data: Any = None
        size = len(text)
        if size <= self._flat:
            try:
                data, end = scan_json(text, at)
                if end != size:
                    data = None
            except (ValueError, StopIteration, RecursionError):
                pass
        if data is None:
            data = self._decode_data(text, at)
        if not data or (name := data[0]).__class__ is not str or name in RESERVED_EVENTS:
            return None
        del data[0]
        return "/", name, data, id

    def _decode_data(self, text: str, at: int) -> object:
        depth, containers = self._max_depth, self._max_containers
        if len(text) > 2 * depth or containers < depth:
            check_structure(text, depth, containers)
        try:
            return decode_json(text, at)
        except (ValueError, RecursionError) as error:
            raise RemoteProtocolError(NO_JSON) from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_unpack_int64 = cast("Callable[[bytes], tuple[int]]", struct.Struct(">q").unpack)
_MAX_LENGTH = 65_536
# What the arrays of a message may announce together, as far as a look at its bytes can tell, before it is walked once
# without building anything: their places are made before what fills them is there.
_MAX_ANNOUNCED = 400_000
# Every byte that cannot begin an array, a map or an extension. What is left over bounds their number and their depth.
_NOT_CONTAINERS = bytes(
    byte
    for byte in range(256)
    if not (0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF or 0xC7 <= byte <= 0xC9 or 0xD4 <= byte <= 0xD8)
)
_ENTRIES = 10
_TYPES = {type.value: type for type in SocketPacketType if type <= SocketPacketType.CONNECT_ERROR}
_BINARY = (b"\xc4", b"\xc5", b"\xc6")
# Typed arrays of these sizes, as the official client writes them in Node.
_BUFFERS = (b"\xc7\x01\x00", b"\xc7\x08\x00")
_REPLACE = "holdfast.replace"


def _replace(error: UnicodeError) -> tuple[bytes, int]:
    # U+FFFD as bytes: a text given here would have to be ASCII.
    assert isinstance(error, UnicodeEncodeError)
    return b"\xef\xbf\xbd" * (error.end - error.start), error.end


codecs.register_error(_REPLACE, _replace)


class MsgpackCodec:
    """The format of socket.io-msgpack-parser: a map ``{type, data, nsp, id?}`` in one binary message.

    JavaScript's ``undefined`` arrives as None and its ``Date`` as an aware `datetime`, which also travels back as one.
    What JSON brings and msgpack has not becomes what it is in JavaScript: an integer over 64 bits a float, a lone
    surrogate U+FFFD. An array or a map holds at most 65,536 entries.

    Args:
        max_depth: How deep lists and maps may be nested in what a peer sends, that of the event itself included.
        max_containers: How many they may be, a date counted as two; ten times as many entries may be in them together.
    """

    __slots__ = ("_max_containers", "_max_depth")
    name = "msgpack"

    def __init__(self, *, max_depth: int = MAX_DEPTH, max_containers: int = MAX_CONTAINERS) -> None:
        self._max_depth = max_depth
        self._max_containers = max_containers

    def recognises(self, data: str | bytes) -> bool:
        return isinstance(data, bytes)

    def encode(self, packet: SocketPacket) -> list[Message]:
        value: dict[str, object] = {"type": packet.type.value}
        if packet.data is not None:
            value["data"] = packet.data
        value["nsp"] = packet.namespace
        if packet.id is not None:
            value["id"] = packet.id
        try:
            try:
                data = msgpack.packb(value, use_bin_type=True, default=_encode_other)
            except UnicodeEncodeError:
                data = msgpack.packb(value, use_bin_type=True, default=_encode_other, unicode_errors=_REPLACE)
        except Exception as error:
            # Whatever the application's own values raise while they are read.
            raise LocalProtocolError(f"msgpack cannot carry this: {error}") from error
        return [Message(data)]

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        if isinstance(data, str):
            raise RemoteProtocolError("text came where the codec is msgpack")
        value = _decode_value(data, self._max_depth, self._max_containers)
        if not isinstance(value, dict):
            raise RemoteProtocolError("a packet is not a map")
        # Unknown keys are tolerated: JavaScript's encoder sends its own `options` along.
        packet = cast("dict[object, object]", value)
        number, namespace = packet.get("type"), packet.get("nsp")
        if number.__class__ is not int or number not in _TYPES:
            raise RemoteProtocolError("unknown packet type of Socket.IO")
        if not is_namespace(namespace):
            raise RemoteProtocolError("a packet does not name its namespace")
        type = _TYPES[cast("int", number)]
        id = _check_id(packet.get("id"))
        check_data(type, packet.get("data"), id)
        return SocketPacket(type, cast("str", namespace), packet.get("data"), id)


def _check_id(id: object) -> int | None:
    if id is None:
        return None
    if id.__class__ is not int or not 0 <= cast("int", id) <= HIGHEST_NUMBER:
        raise RemoteProtocolError("the id of an acknowledgement is out of range")
    return cast("int", id)


class _Count:
    """Called for each list, map and extension, so that one too many ends the work."""

    def __init__(self, most: int) -> None:
        self._most = most
        # The packet is a map itself.
        self._left = most + 1
        self._entries = most * _ENTRIES

    def list(self, value: list[object]) -> list[object]:
        self.take(len(value))
        return value

    def map(self, value: dict[object, object]) -> dict[object, object]:
        self.take(len(value))
        return _check_keys(value)

    def extension(self, code: int, data: bytes) -> object:
        # A date takes twice the time of a list.
        self.take(0, 2)
        return _decode_extension(code, data)

    def take(self, entries: int, weight: int = 1) -> None:
        """So many entries of one."""
        self._left -= weight
        self._entries -= entries
        if self._left < 0 or self._entries < 0:
            raise too_many(self._most)


class _TypedArrays:
    """Tells the buffers of one and of eight bytes from ``undefined`` and a ``Date``, which are extensions of the same
    type and length, written in another form, which the decoder does not tell.

    It decodes twice: first with all that looks like such a buffer made another type, which moves nothing, to learn
    which of the extensions, in their order, are buffers.
    """

    def __init__(self, data: bytes, most: int, max_containers: int, limits: dict[str, int]) -> None:
        self._count = count = _Count(max_containers)
        self._buffers: list[bool] = []
        hooks: dict[str, Any] = {}
        if most > 2 * max_containers:
            # What a first look builds is thrown away, but is there until then.
            hooks = {"list_hook": count.list, "object_pairs_hook": count.list}
        for buffer in _BUFFERS:
            data = data.replace(buffer, buffer[:2] + b"\x01")
        msgpack.unpackb(data, raw=True, strict_map_key=False, ext_hook=self._note, **limits, **hooks)
        self._count = _Count(max_containers)
        self._buffers.reverse()

    def _note(self, code: int, data: bytes) -> None:
        self._count.take(0, 2)
        self._buffers.append(code == 1)

    def told_apart(self, code: int, data: bytes) -> object:
        """The hook of the second time."""
        self._count.take(0, 2)
        return data if self._buffers.pop() and code == 0 else _decode_extension(code, data)


def _check_keys(value: dict[object, object]) -> dict[object, object]:
    for key in value:
        if key.__class__ is not str:
            raise ValueError("a key that is no text")
    return value


def _decode_value(data: bytes, max_depth: int, max_containers: int) -> object:
    limit = min(len(data), _MAX_LENGTH)
    most = len(data.translate(None, _NOT_CONTAINERS))
    limits = {"max_array_len": limit, "max_map_len": limit}
    hooks: dict[str, Any] = {"ext_hook": _decode_extension}
    if most * 2 > max_containers or len(data) > max_containers * _ENTRIES:
        # Or so many bytes of an attachment that look like them.
        count = _Count(max_containers)
        hooks = {"ext_hook": count.extension, "list_hook": count.list, "object_hook": count.map}
    elif any(byte in data for byte in _BINARY):
        hooks["object_hook"] = _check_keys
    try:
        if most * limit > _MAX_ANNOUNCED:
            walk = msgpack.Unpacker(max_buffer_size=len(data))
            walk.feed(data)
            walk.skip()
        if b"\xc7" in data and any(buffer in data for buffer in _BUFFERS):
            hooks["ext_hook"] = _TypedArrays(data, most, max_containers, limits).told_apart
        value = msgpack.unpackb(data, raw=False, timestamp=3, strict_map_key=True, **limits, **hooks)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise RemoteProtocolError("a packet is not msgpack") from error
    if most > max_depth:
        _check_depth(value, max_depth)
    return value


def _check_depth(value: object, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth + 1):
        deeper: list[object] = []
        for item in level:
            if item.__class__ is list:
                deeper += cast("list[object]", item)
            elif item.__class__ is dict:
                deeper += cast("dict[object, object]", item).values()
        if not deeper:
            return
        level = deeper
    raise too_deep(max_depth)


def _encode_other(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is not None:
        milliseconds = (value - _EPOCH) // _MILLISECOND
        return msgpack.ExtType(0, milliseconds.to_bytes(8, "big", signed=True))
    if isinstance(value, int):
        return _float(value)
    raise TypeError(f"{value.__class__.__name__} cannot be sent")


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


def _decode_extension(code: int, data: bytes) -> object:
    """Extension 0 of notepack.io: ``undefined``, a ``Date``, or the buffer of a typed array."""
    if code != 0:
        raise ValueError("an extension that Socket.IO does not use")
    if len(data) == 1:
        return None
    if len(data) == 8:
        # Whole numbers: `timedelta(milliseconds=…)` takes more than twice as long.
        (milliseconds,) = _unpack_int64(data)
        return _EPOCH + timedelta(0, milliseconds // 1000, milliseconds % 1000 * 1000)
    return data
