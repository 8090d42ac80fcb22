"""The JSON objects of opening, attaching and closing.

Engine.IO 4, "Handshake"; docs/protocol.md, sections 4, 5 and 8.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import cast

from ..errors import RemoteProtocolError
from .jsonvalues import encode_json
from .packet import HIGHEST_NUMBER, PacketType, encode_packet

__all__ = [
    "TRANSPORTS",
    "Attach",
    "Attached",
    "Closing",
    "OpenPacket",
    "decode_attach",
    "decode_attached",
    "encode_attach",
    "encode_attached",
    "decode_ending",
    "encode_closing",
    "encode_ending",
    "encode_open",
]

_ENDING = re.compile(r"closed ([1-4][0-9]{3}) (.*)", re.DOTALL | re.ASCII)
_LONGEST_ENDING = 1_000

TRANSPORTS = ("websocket", "stream", "polling")


def _compact(value: dict[str, object]) -> str:
    text = encode_json(value)
    # What is not printable ASCII stays out of what may stand in a header.
    return text if text.isascii() and text.isprintable() else json.dumps(value, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPacket:
    """What the server tells a new peer (section 4). Times in milliseconds; ``key`` is None for a plain peer."""

    sid: str = field(repr=False)
    upgrades: tuple[str, ...]
    ping_interval_ms: int
    ping_timeout_ms: int
    max_payload_bytes: int
    key: str | None = field(default=None, repr=False)
    codec: str = "json"
    grace_ms: int = 0
    transports: tuple[str, ...] = TRANSPORTS


def encode_open(packet: OpenPacket) -> str:
    """Encode an open packet: Engine.IO's five keys, and ``holdfast`` for a counting peer."""
    value: dict[str, object] = {
        "sid": packet.sid,
        "upgrades": list(packet.upgrades),
        "pingInterval": packet.ping_interval_ms,
        "pingTimeout": packet.ping_timeout_ms,
        "maxPayload": packet.max_payload_bytes,
    }
    if packet.key is not None:
        value["holdfast"] = {
            "version": 1,
            "key": packet.key,
            "codec": packet.codec,
            "transports": list(packet.transports),
            "grace": packet.grace_ms,
        }
    return encode_packet(PacketType.OPEN, _compact(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """A client's attach (section 5).

    Attributes:
        key: The resume key.
        received: How far the client has our stream.
        carrier: The number of this carrier; None for a POST that only brings.
        probe: The stream is not to be attached yet.
        wait_ms: How long a poll may be held; None for the default.
    """

    key: str = field(repr=False)
    received: int
    carrier: int | None = None
    probe: bool = False
    wait_ms: int | None = None


def encode_attach(attach: Attach) -> str:
    """The JSON object alone: what stands in the header, and after ``7`` in a packet."""
    value: dict[str, object] = {"key": attach.key, "received": attach.received}
    if attach.carrier is not None:
        value["carrier"] = attach.carrier
    if attach.probe:
        value["probe"] = True
    if attach.wait_ms is not None:
        value["wait"] = attach.wait_ms
    return _compact(value)


def decode_attach(text: str | bytes) -> Attach:
    """Decode a client's attach. Unknown keys are ignored.

    Raises:
        RemoteProtocolError: not an object of the shape in section 5.
    """
    value = _decode_object(text)
    key = value.get("key")
    probe = value.get("probe", False)
    if not isinstance(key, str) or not isinstance(probe, bool):
        raise RemoteProtocolError("an attach needs a key")
    carrier = _integer(value, "carrier", lowest=1) if "carrier" in value else None
    wait = _integer(value, "wait", lowest=0) if "wait" in value else None
    return Attach(
        key=key, received=_integer(value, "received", lowest=0), carrier=carrier, probe=probe, wait_ms=wait
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The server's answer to an attach: ``carrier`` on a writer, ``sent`` in the answer to a POST."""

    received: int
    carrier: int | None = None
    sent: int | None = None


def encode_attached(attached: Attached) -> str:
    """Encode the answer as a packet."""
    value: dict[str, object] = {}
    if attached.carrier is not None:
        value["carrier"] = attached.carrier
    value["received"] = attached.received
    if attached.sent is not None:
        value["sent"] = attached.sent
    return encode_packet(PacketType.ATTACH, _compact(value))


def decode_attached(text: str | bytes) -> Attached:
    """Decode the server's answer.

    Raises:
        RemoteProtocolError: not an object of the shape in section 5.
    """
    value = _decode_object(text)
    return Attached(
        received=_integer(value, "received", lowest=0),
        carrier=_integer(value, "carrier", lowest=1) if "carrier" in value else None,
        sent=_integer(value, "sent", lowest=0) if "sent" in value else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Why the server closes, how far it had got, and when to come back (section 8)."""

    code: int | None = None
    message: str | None = None
    received: int | None = None
    retry_ms: int | None = None


def encode_ending(code: int, reason: str) -> str:
    """The message of an end that an application has a code for: `Closing.message` (section 8)."""
    return f"closed {code} {reason}"


def decode_ending(text: str | bytes) -> tuple[int, str] | None:
    """The code and the reason that a peer has closed its session with, from the data of its ``1``; None if it has said
    none, or what nobody understands.
    """
    try:
        message = _decode_object(text).get("message") if 0 < len(text) <= _LONGEST_ENDING else None
    except RemoteProtocolError:
        return None
    found = _ENDING.fullmatch(message) if isinstance(message, str) else None
    return None if found is None else (int(found[1]), found[2])


def encode_closing(closing: Closing) -> str:
    """The JSON object alone: the body of a refusal, and what follows ``1`` in a packet."""
    pairs = {
        "code": closing.code,
        "message": closing.message,
        "received": closing.received,
        "retry": closing.retry_ms,
    }
    return _compact({key: value for key, value in pairs.items() if value is not None})


def _decode_object(text: str | bytes) -> dict[str, object]:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("an attach is not JSON") from error
    if not isinstance(value, dict):
        raise RemoteProtocolError("an attach is not a JSON object")
    return cast("dict[str, object]", value)


def _integer(value: dict[str, object], key: str, *, lowest: int) -> int:
    number = value.get(key)
    if type(number) is not int or not lowest <= number <= HIGHEST_NUMBER:
        raise RemoteProtocolError(f"{key!r} of an attach is not a number in range")
    return number
