"""Engine.IO packets: one unit, text or bytes, to a value and back.

Engine.IO 4, "Protocol", and docs/protocol.md, section 3. Everything here raises `RemoteProtocolError` for input that is
wrong, whatever is wrong with it, and never quotes the input.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from enum import StrEnum
from typing import Protocol, TypeVar, cast

from ..errors import RemoteProtocolError
from .message import Message

__all__ = [
    "HIGHEST_NUMBER",
    "MAX_PING_LENGTH",
    "Packet",
    "PacketType",
    "decode_packet",
    "decode_ping",
    "decode_position",
    "encode_message",
    "encode_packet",
    "new_tuple",
]

T = TypeVar("T")

HIGHEST_NUMBER = 2**53 - 1
MAX_PING_LENGTH = 125


class PacketType(StrEnum):
    """The first character of a packet. `ATTACH`, `ACK` and `NEXT` exist between counting peers only."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"
    ATTACH = "7"
    ACK = "8"
    NEXT = "9"


Packet = tuple[PacketType, str | bytes]
"""One packet: its type and its data. Only a MESSAGE has bytes; ACK and NEXT have their number as text (see
`decode_position`). One is made for every message, and this is the quickest that there is."""


_PLAIN_TYPES = {type.value: type for type in PacketType if type < PacketType.ATTACH}
_COUNTING_TYPES = {type.value: type for type in PacketType}
# An enum's members take long to look up, where that is done for every message.
_MESSAGE = PacketType.MESSAGE


class _NewTuple(Protocol):
    def __call__(self, kind: type[T], fields: tuple[object, ...], /) -> T: ...


# What a named tuple's own function calls, which takes twice as long.
new_tuple = cast("_NewTuple", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]


def decode_packet(text: str, *, counting: bool) -> Packet:
    """Decode one packet that stands alone or in a payload.

    Raises:
        RemoteProtocolError: empty, an unknown type, broken base64 or a broken JSON string.
    """
    kind = text[:1]
    if kind == "4":
        return _MESSAGE, text[1:]
    if kind == "b":
        return _MESSAGE, _decode_base64(text)
    if counting and kind == "j":
        return _MESSAGE, _decode_json_text(text)
    known = (_COUNTING_TYPES if counting else _PLAIN_TYPES).get(kind)
    if known is None:
        raise RemoteProtocolError(f"unknown packet type {kind!r}" if kind else "an empty packet")
    return known, text[1:]


def _decode_base64(text: str) -> bytes:
    try:
        return b64decode(text[1:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError("a binary packet is not base64") from error


def _decode_json_text(text: str) -> str:
    try:
        value = json.loads(text[1:])
        if isinstance(value, str):
            value.encode()
            return value
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("a quoted message is not a JSON string") from error
    raise RemoteProtocolError("a quoted message is not a JSON string")


def decode_position(text: str | bytes, *, lowest: int = 0) -> int:
    """Decode the number of an ACK (``lowest=0``) or a NEXT (``lowest=1``).

    Raises:
        RemoteProtocolError: not a plain decimal integer from ``lowest`` to 2^53 - 1.
    """
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 16:
        number = int(text)
        if lowest <= number <= HIGHEST_NUMBER and (text[0] != "0" or text == "0"):
            return number
    raise RemoteProtocolError("a position is not a plain decimal number in range")


def decode_ping(text: str | bytes) -> str:
    """The data of a ping, which has to be answered.

    Raises:
        RemoteProtocolError: more than 125 characters, or a line break, which no packet of counting peers has.
    """
    if isinstance(text, bytes) or len(text) > MAX_PING_LENGTH or "\n" in text or "\r" in text:
        raise RemoteProtocolError("the data of a ping is too long or has a line break")
    return text


def encode_packet(type: PacketType, data: str = "") -> str:
    """Encode a packet that is not a message."""
    return type.value + data


def encode_message(message: Message, *, counting: bool) -> str:
    """Encode a message as a packet of a payload; binary becomes base64."""
    if not message.is_text:
        return message.base64()
    return message.counting_text() if counting else f"4{message.data}"
