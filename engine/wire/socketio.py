"""Socket.IO packets in the default (JSON) format: text and attachments to a value and back.

Socket.IO 5, "Packet encoding"; docs/protocol.md, section 9. Everything that decodes here raises `RemoteProtocolError`
for input that is wrong, whatever is wrong with it, and never quotes the input.

The two binary types exist on the wire alone: as a value, an event is an EVENT whether it holds bytes or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from math import isfinite
from typing import NamedTuple, cast

from ..errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from .jsonvalues import decode_json, encode_json, refuse_constant
from .packet import HIGHEST_NUMBER, new_tuple
from .structure import MAX_CONTAINERS, MAX_DEPTH, check_structure

__all__ = [
    "MAX_ATTACHMENTS",
    "NO_JSON",
    "RESERVED_EVENTS",
    "BinaryHeader",
    "EventFields",
    "EventReceived",
    "SocketPacket",
    "SocketPacketType",
    "check_data",
    "check_event_name",
    "decode_socket_packet",
    "encode_ack",
    "encode_socket_packet",
    "is_namespace",
]

MAX_ATTACHMENTS = 10
_MAX_NAMESPACE_LENGTH = 256
RESERVED_EVENTS = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)


class SocketPacketType(IntEnum):
    """What a packet is for. BINARY_EVENT and BINARY_ACK are how the JSON format writes EVENT and ACK with bytes."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


class SocketPacket(NamedTuple):
    """One packet of one namespace.

    Attributes:
        type: Never a binary type.
        data: EVENT: a list, first the event's name. ACK: a list. CONNECT: a dict or None. CONNECT_ERROR: a dict
            or text. DISCONNECT: None.
        id: Of the acknowledgement that an EVENT asks for or an ACK is.
    """

    type: SocketPacketType
    namespace: str
    data: object = None
    id: int | None = None


class EventReceived(NamedTuple):
    """An event; ``ack_id`` is there if the peer wants it acknowledged."""

    namespace: str
    name: str
    args: list[object]
    ack_id: int | None


EventFields = tuple[str, str, list[object], int | None]
"""What an `EventReceived` is made of, itself among them. A tuple takes a third of the time to make."""


class BinaryHeader(NamedTuple):
    """The text half of a packet whose attachments are still to come. Already checked."""

    type: SocketPacketType
    namespace: str
    id: int | None
    attachments: int
    text: str

    def complete(self, attachments: Sequence[bytes]) -> SocketPacket:
        """Put the attachments into their places.

        Raises:
            RemoteProtocolError: there is less room on the stack now than when the header came.
        """

        def fill(value: dict[str, object]) -> object:
            if value.get("_placeholder") is True:
                return attachments[cast("int", value["num"])]
            return value

        decoder = json.JSONDecoder(object_hook=fill)
        return SocketPacket(self.type, self.namespace, _decode_json(self.text, decoder), self.id)


_TYPES = {str(type.value): type for type in SocketPacketType}
_PREFIXES = {type: digit for digit, type in _TYPES.items()}
_BINARY = {
    SocketPacketType.BINARY_EVENT: SocketPacketType.EVENT,
    SocketPacketType.BINARY_ACK: SocketPacketType.ACK,
}
_BINARY_OF = {type: binary for binary, type in _BINARY.items()}
NO_JSON = "a packet is not JSON"
# An enum's members take long to look up.
_EVENT = SocketPacketType.EVENT
_NOT_DIGIT = re.compile(r"[^0-9]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_event_name(name: object) -> None:
    """Refuse what cannot be the name of an event that travels.

    Raises:
        LocalProtocolError: not a text, or a name that Socket.IO keeps for itself.
    """
    if not isinstance(name, str):
        raise LocalProtocolError("the name of an event is a text")
    if name in RESERVED_EVENTS:
        raise LocalProtocolError(f"{name!r} is a reserved name")


def is_namespace(name: object) -> bool:
    """Whether this can name a namespace: ``/`` and printable text, 256 characters together, no comma.

    A refusal repeats the name, so it must be text that can be sent, and harmless where it is shown.
    """
    return (
        isinstance(name, str)
        and name[:1] == "/"
        and len(name) <= _MAX_NAMESPACE_LENGTH
        and name.isprintable()
        and "," not in name
    )


def check_data(type: SocketPacketType, data: object, id: int | None) -> None:
    """Check what a packet of this type may hold, in either format.

    Raises:
        RemoteProtocolError: the data or the id does not belong to the type.
    """
    if type is SocketPacketType.EVENT:
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            raise RemoteProtocolError("an event is not an array that begins with its name")
        if data[0] in RESERVED_EVENTS:
            raise RemoteProtocolError("an event has a reserved name")
        return
    if type is SocketPacketType.ACK:
        if not isinstance(data, list) or id is None:
            raise RemoteProtocolError("an acknowledgement is not an array with an id")
        return
    if id is not None:
        raise RemoteProtocolError("only events and acknowledgements have an id")
    if type is SocketPacketType.CONNECT:
        valid = data is None or isinstance(data, dict)
    elif type is SocketPacketType.DISCONNECT:
        valid = data is None
    else:
        valid = isinstance(data, dict | str)
    if not valid:
        raise RemoteProtocolError("a packet holds what its type does not allow")


def decode_socket_packet(
    text: str,
    *,
    max_attachments: int = MAX_ATTACHMENTS,
    max_depth: int = MAX_DEPTH,
    max_containers: int = MAX_CONTAINERS,
) -> SocketPacket | BinaryHeader:
    """Decode a text message.

    Args:
        max_depth: How deep its lists and maps may be nested, that of the event itself included.
        max_containers: How many they may be.

    Returns:
        A packet, or the header of one that ``attachments`` binary messages will complete.

    Raises:
        RemoteProtocolError: anything that a conforming encoder does not write.
    """
    type = _TYPES.get(text[:1])
    if type is None:
        raise RemoteProtocolError("unknown packet type of Socket.IO")
    at = 1
    attachments = 0
    if type is not _EVENT and type in _BINARY:
        attachments, at = _decode_attachments(text, max_attachments)
    namespace = "/"
    mark = text[at : at + 1]
    if mark == "/":
        comma = text.find(",", at)
        end = len(text) if comma < 0 else comma
        namespace = text[at:end]
        if not is_namespace(namespace):
            raise RemoteProtocolError("a packet does not name its namespace")
        at = end + 1
        mark = text[at : at + 1]
    id: int | None = None
    if mark != "[" and "0" <= mark <= "9":
        end = text.find("[", at, at + 17)
        # As most are; the rest, and what is wrong, is looked at more closely.
        if end > 0 and (digits := text[at:end]).isdigit() and digits.isascii():
            id = int(digits)
        if id is None or id > HIGHEST_NUMBER:
            id, end = _decode_id(text, at)
        at = end
    # What is shorter is neither deep nor many, unless even less is allowed.
    if len(text) > 2 * max_depth or max_containers < max_depth:
        check_structure(text, max_depth, max_containers)
    if attachments:
        return _decode_header(_BINARY[type], namespace, id, attachments, text[at:])
    data: object = None
    if at < len(text):
        try:
            data = decode_json(text, at)
        except (ValueError, RecursionError) as error:
            raise RemoteProtocolError(NO_JSON) from error
        # `null` is not the same as nothing: no type allows it.
        if data is None:
            raise RemoteProtocolError("a packet holds what its type does not allow")
    if (
        type is not _EVENT
        or data.__class__ is not list
        or not (parts := cast("list[object]", data))
        or parts[0].__class__ is not str
        or parts[0] in RESERVED_EVENTS
    ):
        check_data(type, data, id)
    return new_tuple(SocketPacket, (type, namespace, data, id))


def _decode_attachments(text: str, limit: int) -> tuple[int, int]:
    dash = text.find("-", 1, 5)
    digits = text[1:dash]
    if dash < 0 or not digits.isascii() or not digits.isdigit() or digits[0] == "0":
        raise RemoteProtocolError("the number of attachments is not a plain number")
    number = int(digits)
    if number > limit:
        raise LimitExceeded(f"a packet has more than {limit} attachments (setting max_attachments)")
    return number, dash + 1


def _decode_id(text: str, at: int) -> tuple[int, int]:
    found = _NOT_DIGIT.search(text, at)
    end = found.start() if found else len(text)
    # 16 digits first: Python's int() takes quadratic time, and refuses more than 4,300 digits.
    if end - at > 16 or (id := int(text[at:end])) > HIGHEST_NUMBER:
        raise RemoteProtocolError("the id of an acknowledgement is out of range")
    return id, end


def _decode_json(text: str, decoder: json.JSONDecoder) -> object:
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(NO_JSON) from error


def _decode_header(
    type: SocketPacketType, namespace: str, id: int | None, attachments: int, text: str
) -> BinaryHeader:
    numbers: list[object] = []

    def note(value: dict[str, object]) -> object:
        if value.get("_placeholder") is True:
            numbers.append(value.get("num"))
            return None
        return value

    decoder = json.JSONDecoder(parse_constant=refuse_constant, object_hook=note)
    check_data(type, _decode_json(text, decoder), id)
    # A bool is an int in Python, and 1.0 == 1: only the exact type is a number here.
    if any(number.__class__ is not int for number in numbers) or sorted(cast("list[int]", numbers)) != list(
        range(attachments)
    ):
        raise RemoteProtocolError("placeholders and attachments do not match")
    return BinaryHeader(type, namespace, id, attachments, text)


def encode_socket_packet(
    packet: SocketPacket, *, max_attachments: int = MAX_ATTACHMENTS
) -> tuple[str, list[bytes]]:
    """Encode a packet as its text and the attachments that follow it, as socket.io-parser writes them.

    Bytes-like values become attachments; an aware `datetime` becomes the text that JavaScript makes of a ``Date``;
    lone surrogates are escaped; NaN and the infinities are ``null``, as in JavaScript. Floats are written as Python
    writes them, which every JSON parser reads as the same number.

    Raises:
        LocalProtocolError: a value that JSON cannot carry, too many attachments, or one in a packet that is neither an
            EVENT nor an ACK: the format has no binary type for others.
    """
    type, namespace, data, id = packet
    attachments: list[bytes] = []
    body = ""
    if data is not None:
        try:
            body = encode_json(data)
        except Exception:
            # Mostly bytes.
            body = _encode_json(data, attachments)
        if not body.isascii():
            body = _escape_surrogates(body)
    prefix = _PREFIXES[type]
    if attachments:
        binary = _BINARY_OF.get(type)
        if binary is None:
            raise LocalProtocolError(
                "JSON cannot carry this: bytes travel in events and acknowledgements only"
            )
        if len(attachments) > max_attachments:
            raise LocalProtocolError(f"an event carries at most {max_attachments} binary attachments")
        prefix = f"{binary.value}{len(attachments)}-"
    if namespace != "/":
        prefix += namespace + ","
    return f"{prefix}{body}" if id is None else f"{prefix}{id}{body}", attachments


def encode_ack(namespace: str, args: Sequence[object], id: int) -> str | None:
    """`encode_socket_packet` of what most answers are, an ACK without bytes; None where it may be something else."""
    try:
        body = encode_json(args)
    except Exception:
        return None
    if not body.isascii():
        body = _escape_surrogates(body)
    return f"3{id}{body}" if namespace == "/" else f"3{namespace},{id}{body}"


def _escape_surrogates(text: str) -> str:
    """JSON.stringify escapes a lone surrogate; UTF-8 could not carry it."""
    try:
        # Quicker than to look for one.
        text.encode()
    except UnicodeEncodeError:
        pass
    else:
        return text
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _encode_json(data: object, attachments: list[bytes]) -> str:
    """What is not as simple as that: it has bytes, times or infinite numbers in it, or cannot be sent."""

    def default(value: object) -> object:
        if isinstance(value, bytes | bytearray | memoryview):
            attachments.append(bytes(cast("bytes", value)))
            return {"_placeholder": True, "num": len(attachments) - 1}
        if isinstance(value, datetime):
            return _javascript_date(value)
        raise TypeError(f"{value.__class__.__name__} cannot be sent")

    try:
        try:
            text = json.dumps(
                data, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=default
            )
        except ValueError:
            # Once more from the beginning: only now is it worth looking at every number.
            attachments.clear()
            text = json.dumps(
                _finite(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=default
            )
    except Exception as error:
        # Whatever the application's own values raise while they are read.
        raise LocalProtocolError(f"JSON cannot carry this: {error}") from error
    return text


def _finite(value: object) -> object:
    """A copy in which NaN and the infinities are None: a peer may send them, and others are to hear of it."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast("Sequence[object]", value)]
    return value


def _javascript_date(value: datetime) -> str:
    if value.tzinfo is None:
        raise TypeError("a datetime without a time zone cannot be sent")
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
