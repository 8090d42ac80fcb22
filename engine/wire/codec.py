"""Codecs: how the packets of one session become messages.

A codec has no state: the two here are shared by all sessions. JSON is Socket.IO's default format, where bytes follow as
messages of their own; msgpack is that of socket.io-msgpack-parser, one binary message per packet.
docs/protocol.md, sections 4 and 9.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, cast

import msgpack  # pyright: ignore[reportMissingTypeStubs] - it ships none

from ..errors import LocalProtocolError, RemoteProtocolError
from .message import Message
from .packet import HIGHEST_NUMBER
from .socketio import (
    MAX_ATTACHMENTS,
    BinaryHeader,
    SocketPacket,
    SocketPacketType,
    check_data,
    decode_socket_packet,
    encode_socket_packet,
    is_namespace,
)

__all__ = ["CODEC_NAMES", "Codec", "JsonCodec", "MsgpackCodec"]

CODEC_NAMES = ("json", "msgpack")


class Codec(Protocol):
    """Packets to messages and back. Stateless: one object serves every session.

    Attributes:
        name: As it is negotiated: "json", "msgpack".
    """

    @property
    def name(self) -> str: ...

    def recognises(self, data: str | bytes) -> bool:
        """Whether the first message of a peer, of which nothing is known yet, is in this format."""
        ...

    def encode(self, packet: SocketPacket) -> list[Message]:
        """The messages of one packet, to be sent one after the other with nothing between; at least one.

        Text among them has no U+001E, which a standard client on long-polling cannot be sent.

        Raises:
            LocalProtocolError: the codec cannot carry a value of the packet.
        """
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
    """

    __slots__ = ("_max_attachments",)
    name = "json"

    def __init__(self, *, max_attachments: int = MAX_ATTACHMENTS) -> None:
        self._max_attachments = max_attachments

    def recognises(self, data: str | bytes) -> bool:
        return isinstance(data, str)

    def encode(self, packet: SocketPacket) -> list[Message]:
        text, attachments = encode_socket_packet(packet, max_attachments=self._max_attachments)
        if not attachments:
            return [Message(text)]
        return [Message(text), *map(Message, attachments)]

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        if isinstance(data, str):
            return decode_socket_packet(data, max_attachments=self._max_attachments)
        raise RemoteProtocolError("bytes came where no attachment was announced")


# Untyped where they come from.
_pack = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore[reportUnknownMemberType]
_unpack = cast("Callable[..., object]", msgpack.unpackb)  # pyright: ignore[reportUnknownMemberType]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MAX_LENGTH = 65_536
_MAX_DEPTH = 64
# Every byte that cannot begin an array or a map. What is left over bounds the depth, without walking the value.
_NOT_CONTAINERS = bytes(byte for byte in range(256) if not (0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF))
_TYPES = {type.value: type for type in SocketPacketType if type <= SocketPacketType.CONNECT_ERROR}


class MsgpackCodec:
    """The format of socket.io-msgpack-parser: a map ``{type, data, nsp, id?}`` in one binary message.

    JavaScript's ``undefined`` arrives as None and its ``Date`` as an aware `datetime`, which also travels back as one.
    Arrays and maps hold at most 65,536 entries and nest at most 64 deep.
    """

    __slots__ = ()
    name = "msgpack"

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
            data = _pack(value, use_bin_type=True, default=_encode_extension)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise LocalProtocolError(f"msgpack cannot carry this: {error}") from error
        return [Message(data)]

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        if isinstance(data, str):
            raise RemoteProtocolError("text came where the codec is msgpack")
        value = _decode_value(data)
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


def _decode_value(data: bytes) -> object:
    limit = min(len(data), _MAX_LENGTH)
    try:
        value = _unpack(
            data,
            raw=False,
            timestamp=3,
            strict_map_key=True,
            ext_hook=_decode_extension,
            max_array_len=limit,
            max_map_len=limit,
        )
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise RemoteProtocolError("a packet is not msgpack") from error
    if len(data.translate(None, _NOT_CONTAINERS)) > _MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, list):
                deeper += cast("list[object]", item)
            elif isinstance(item, dict):
                deeper += cast("dict[object, object]", item).values()
        if not deeper:
            return
        level = deeper
    raise RemoteProtocolError("a packet is nested too deeply")


def _encode_extension(value: object) -> msgpack.ExtType:
    if isinstance(value, datetime) and value.tzinfo is not None:
        milliseconds = (value - _EPOCH) // _MILLISECOND
        return msgpack.ExtType(0, milliseconds.to_bytes(8, "big", signed=True))
    raise TypeError(f"{value.__class__.__name__} cannot be sent")


def _decode_extension(code: int, data: bytes) -> object:
    """Extension 0 of notepack.io: ``undefined``, a ``Date``, or the buffer of a typed array."""
    if code != 0:
        raise ValueError("an extension that Socket.IO does not use")
    if len(data) == 1:
        return None
    if len(data) == 8:
        return _EPOCH + timedelta(milliseconds=int.from_bytes(data, "big", signed=True))
    return data
