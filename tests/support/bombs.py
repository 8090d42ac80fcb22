"""What a hostile client sends so that taking it apart costs the server more than sending it costs the client.

Each is as large as is let in. A message is one that the event layer gets; a payload is several packets.
"""

from __future__ import annotations

from base64 import b64encode

__all__ = ["MESSAGES", "PAYLOADS", "SEPARATOR", "packet_of"]

SEPARATOR = "\x1e"
# In base64 and behind an attach, a message of that size is under a megabyte still.
_SIZE = 740_000


def _event(data: bytes) -> bytes:
    """Of msgpack, with these bytes for its arguments."""
    return b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data" + data


def _many(row: bytes) -> bytes:
    """Lists of 65,535 of these."""
    rows = _SIZE // (len(row) * 65_535)
    return bytes((0x91 + rows,)) + b"\xa1e" + (b"\xdc\xff\xff" + row * 65_535) * rows


def _text(item: str, *, before: str = "2") -> str:
    return f'{before}["e"{item * (_SIZE // len(item))}]'


MESSAGES: dict[str, str | bytes] = {
    "json lists": _text(",[]"),
    "json maps": _text(",{}"),
    "json small maps": _text(',{"a":0}'),
    "json alternating": '2["e",' + '["["{' * (_SIZE // 5),
    "json depth": '2["e",' + "[" * (_SIZE // 2) + "]" * (_SIZE // 2) + "]",
    "json depth 970": '2["e",' + "[" * 970 + "]" * 970 + "]",
    "json header": _text(",{}", before="51-").replace("{}", '{"_placeholder":true,"num":0}', 1),
    "json digits": "2" + "9" * _SIZE,
    "json id": "2" + "4" * _SIZE + '["e"]',
    "json attachments": "5" + "9" * _SIZE + '-["e"]',
    "json header depth": '51-["e",{"_placeholder":true,"num":0},' + "[" * 970 + "]" * 970 + "]",
    "msgpack nested arrays": b"\xdd\x00\x00\xff\xff" * (_SIZE // 5),
    "msgpack nested small arrays": b"\xdc\xff\xff" * (_SIZE // 3),
    "msgpack nested maps": b"\xdf\x00\x00\xff\xff\xa1a" * (_SIZE // 7),
    "msgpack deep": _event(b"\x92\xa1e" + b"\x91" * (_SIZE // 2) + b"\xc0"),
    "msgpack empty arrays": _event(_many(b"\x90")),
    "msgpack empty maps": _event(_many(b"\x80")),
    "msgpack nothing": _event(_many(b"\xc0")),
    "msgpack dates": _event(_many(b"\xd7\x00" + b"\x00" * 8)),
    "msgpack typed arrays": _event(_many(b"\xc7\x08\x00" + b"\x00" * 8)),
    "msgpack announced": b"\xdd\x7f\xff\xff\xff" + b"\xc0" * (_SIZE - 5),
}

PAYLOADS = {
    "noops": "6",
    "pongs": "3",
    "acknowledgements": "431[]",
    "empty": "",
    "comes and goes": f"41{SEPARATOR}40",
    "unknown": "x",
}


def packet_of(message: str | bytes) -> str:
    """A message as a packet of a payload."""
    return "4" + message if isinstance(message, str) else "b" + b64encode(message).decode()
