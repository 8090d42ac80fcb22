"""Hostile inputs, the same for the same seed: values only, what is to be sent where. `hostile.py` sends them.

Each is one of the `KINDS`. What is mutated are real requests, packets and frames, so that many get past the first
check.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgpack

__all__ = ["KINDS", "FLOODS", "Input", "frame", "inputs"]

SEPARATOR = "\x1e"

PACKETS = [
    "40", "41", '40{"a":1}', '42["echo",1]', '421["echo",{"a":[1,2,"x"]}]', "43[]", '431["x"]', "40/chat,",
    "41/chat,", '42/chat,["echo",2]', '451-["echo",{"_placeholder":true,"num":0}]', "bAQID",
    '44{"message":"x"}', "2", "3", "1", '461-1[{"_placeholder":true,"num":0}]', "5", "6", "2probe",
    '7{"key":"k","received":0}', "80", "91", "4", "", "9007199254740993", 'j"x"', 'j"\\ud800"', "0{}",
    '42["connect"]', '42["__proto__",1e400]', "40/" + "é" * 10 + ",", "42" + "[" * 500, '42["join","\\ud800"]',
    '42["none",1,2,3]', '42{"toString":1}', '42[{"toString":1}]', '452-["echo",{"_placeholder":true,"num":-1}]',
    '451-["echo",{"_placeholder":true,"num":"__proto__"}]', '45999999-["echo"]',
    '4299999999999999999999["echo"]', '42["echo",' + "9" * 5000 + "]", '42["disconnect"]', '42["constructor"]',
    "b!!!!", "b", '42["join","__proto__"]', '42/chat,7["echo","\\u0000\\u001b[31m"]', "3probe", "\ufeff4",
]  # fmt: skip

MAPS: list[object] = [
    {"type": 0, "nsp": "/"},
    {"type": 0, "nsp": "/chat", "data": {"token": 1}},
    {"type": 1, "nsp": "/"},
    {"type": 2, "nsp": "/", "data": ["echo", b"x", float("inf")], "id": 1},
    {"type": 2, "nsp": "/", "data": ["echo", {b"k": 1}], "id": 1},
    {"type": 2, "nsp": "/", "data": ["echo", msgpack.Timestamp(2**33, 5)], "id": 2**40},
    {"type": 2, "nsp": "/", "data": ["echo", [[[[[[[[]]]]]]]], msgpack.ExtType(5, b"x")]},
    {"type": 3, "nsp": "/", "data": [], "id": 0},
    {"type": 99, "nsp": 7, "data": None},
    [],
    "text",
]

TARGETS = [
    "/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=websocket",
    "/socket.io/?EIO=3&transport=polling", "/socket.io/?EIO=4&transport=__proto__",
    "/socket.io/?EIO=4&transport=polling&sid=constructor", "/socket.io/",
    "/socket.io/?EIO=4&transport=stream&holdfast=1",
    "/socket.io/?EIO=4&transport=polling&holdfast=1&sid=nobody",
    "/socket.io/?EIO=4&EIO=3&transport=polling&transport=websocket", "/socket.io/?",
    "/socket.io/../../etc/passwd", "/socket.io/holdfast.esm.min.js", "/socket.io/%2e%2e/%00", "/socket.io",
    "//socket.io//", "/%ff%fe", "/socket.io/?" + "a=1&" * 200,
    "/socket.io/?EIO=4&transport=polling&sid=" + "x" * 3000, "*",
    "http://other/socket.io/?EIO=4&transport=polling", "/state",
    "/socket.io/?EIO=4&transport=polling&sid=%0d%0aX:1",
    "/socket.io/?EIO=4&transport=polling&codec=" + "msgpack," * 100,
]  # fmt: skip

METHODS = [
    "GET",
    "POST",
    "OPTIONS",
    "PUT",
    "DELETE",
    "HEAD",
    "PATCH",
    "TRACE",
    "CONNECT",
    "get",
    "G ET",
    "\x00",
    "PRI",
]

HEADERS = [
    ("Origin", "null"), ("Origin", "http://evil.example"), ("Host", "other"), ("Host",
    ""), ("Content-Length", "-1"), ("Content-Length", "99999999999999999999"), ("Content-Length", "5"),
    ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "gzip, chunked"), ("Content-Type",
    "application/octet-stream"), ("Expect", "100-continue"), ("Upgrade", "websocket"), ("Upgrade", "h2c"),
    ("Connection", "Upgrade"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings",
    "AAMAAABkAAQAoAAAAAIAAAAA"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "8"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="), ("Sec-WebSocket-Key", "short"), ("Sec-WebSocket-Key",
    "\x7f"), ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=99"),
    ("Sec-WebSocket-Protocol", ",,,"), ("Holdfast-Attach", "{"), ("Holdfast-Attach",
    '{"key":"k","received":-1,"carrier":2}'), ("Cookie", "io=" + "x" * 5000), ("Holdfast-Attach",
    '{"key":1e400,"received":9007199254740993,"carrier":"__proto__"}'), ("X" * 300, "y"), ("X-Forwarded-For",
    "\x1b[31m"), ("Sec-Fetch-Site", "cross-site"), ("Range", "bytes=0-0,1-1,2-2"), ("Accept", "\xff\xfe"),
]  # fmt: skip

_SIGNS = [
    "\x1e",
    "\x00",
    '"',
    "[",
    "{",
    "9",
    "-",
    "\u2028",
    "😀",
    "\x1b",
    "e",
    "1",
    "\r\n",
    "\\",
    "b",
    "/",
    ",",
]


@dataclass(frozen=True)
class Input:
    """One of them.

    Attributes:
        kind: How it is sent: one of the `KINDS`.
        data: Bytes for a new connection (``http``, ``half``), or the body of a POST.
        frames: Of a WebSocket, after its opening.
        counting: Whether the session that it needs is one of our own protocol.
        honest: Whether a POST begins with the right key and number.
    """

    kind: str
    data: bytes = b""
    frames: tuple[bytes, ...] = field(default=())
    counting: bool = False
    honest: bool = False


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A client's frame (RFC 6455, section 5.2), masked with zeros."""
    first, mask = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if masked else 0
    if len(data) < 126:
        length = bytes([mask | len(data)])
    elif len(data) < 1 << 16:
        length = bytes([mask | 126]) + len(data).to_bytes(2)
    else:
        length = bytes([mask | 127]) + len(data).to_bytes(8)
    return bytes([first]) + length + (bytes(4) if masked else b"") + data


def mutated(chance: random.Random, text: str) -> str:
    """A text with up to two changes."""
    for _ in range(chance.randrange(3)):
        at, change = chance.randrange(len(text) + 1), chance.randrange(4)
        if change == 0:
            text = text[:at] + text[at + 1 :]
        elif change == 1:
            text = text[:at] + chance.choice(_SIGNS) + text[at:]
        elif change == 2:
            text = text[:at] + chance.choice('0123456789bj[]{}",\x1e') + text[at + 1 :]
        else:
            text += text[:at]
    return text


def mutated_bytes(chance: random.Random, data: bytes) -> bytes:
    """Bytes with up to two others."""
    found = bytearray(data)
    for _ in range(chance.randrange(3)):
        if found:
            found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found[: chance.choice([len(found), len(found), chance.randrange(len(found) + 1)])])


def _packets(chance: random.Random) -> list[str]:
    return [mutated(chance, chance.choice(PACKETS)) for _ in range(chance.randrange(1, 6))]


def _http(chance: random.Random) -> Input:
    method = chance.choice(["GET", "POST", chance.choice(METHODS)])
    target = mutated(chance, chance.choice(TARGETS)).replace("\r", "%0d").replace("\n", "%0a")
    version = chance.choice(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/2.0", "HTTP/1.1 x", ""])
    headers = chance.sample(HEADERS, chance.randrange(5))
    if chance.random() < 0.8:
        headers.append(("Host", "127.0.0.1"))
    if chance.random() < 0.02:
        headers += [(f"X-{number}", "1") for number in range(2_000)]
    body = SEPARATOR.join(_packets(chance)).encode(errors="replace") if method == "POST" else b""
    if body and chance.random() < 0.8:
        headers.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return Input("http", "\r\n".join(lines).encode(errors="surrogatepass") + body)


def _half(chance: random.Random) -> Input:
    whole = _http(chance).data
    if chance.random() < 0.3:
        whole = (
            b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n42["
        )
    return Input("half", whole[: chance.randrange(1, max(2, len(whole)))])


def _garbage(chance: random.Random) -> Input:
    return Input("half", chance.randbytes(chance.randrange(1, 400)))


def _post(chance: random.Random) -> Input:
    counting, honest = chance.random() < 0.5, chance.random() < 0.8
    packets = _packets(chance)
    if chance.random() < 0.7:
        packets.insert(0, "40")
    body = SEPARATOR.join(packets).encode(errors="replace")
    if chance.random() < 0.1:
        body = mutated_bytes(chance, body)
    return Input("post", body, counting=counting, honest=honest)


def _websocket(chance: random.Random) -> Input:
    frames = [frame(1, b"40")] if chance.random() < 0.7 else []
    for _ in range(chance.randrange(1, 6)):
        if chance.random() < 0.3:
            # Any: whatever msgpack can pack.
            packed: bytes = msgpack.packb(chance.choice(MAPS))
            frames.append(frame(2, mutated_bytes(chance, packed)))
        else:
            text = (
                SEPARATOR.join(_packets(chance))
                if chance.random() < 0.2
                else mutated(chance, chance.choice(PACKETS))
            )
            frames.append(frame(1, text.encode(errors="replace")))
    return Input("websocket", frames=tuple(frames), counting=chance.random() < 0.4)


def _frames(chance: random.Random) -> Input:
    odd: list[Callable[[], bytes]] = [
        lambda: frame(chance.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), b"4x"),
        lambda: frame(1, b"4x", rsv=chance.randrange(1, 8)),
        lambda: frame(chance.choice([8, 9, 10]), b"x" * chance.choice([126, 1000, 70_000])),
        lambda: frame(chance.choice([8, 9, 10]), b"", fin=False),
        lambda: frame(1, b"4\xff\xfe\xed\xa0\x80"),
        lambda: frame(1, b"4\xc3", fin=False) + frame(0, b"\x28"),
        lambda: frame(
            8, chance.choice([b"\x03", b"\x03\xe7", b"\x03\xed", b"\xff\xff", b"\x03\xe8\xff\xfe", b"\0\0"])
        ),
        lambda: frame(0, b"no beginning"),
        lambda: frame(1, b"4a", fin=False) + frame(1, b"4b"),
        lambda: (
            frame(1, b"4", fin=False) + frame(0, b"x", fin=False) * chance.randrange(1, 500) + frame(0, b"!")
        ),
        lambda: frame(1, b"4x", masked=False),
        lambda: bytes([0x81, 0xFF]) + b"\xff" * 8 + bytes(4) + b"4x",
        lambda: bytes([0x82, 0xFE, 0, 5]) + bytes(4) + b"short",
        lambda: frame(1, b"42" + b"x" * chance.choice([65_535, 65_536, 1_100_000])),
        lambda: frame(9, b"ping") * 100 + frame(10, b"pong") * 100,
        lambda: chance.randbytes(chance.randrange(1, 200)),
    ]
    return Input("frames", frames=tuple(chance.choice(odd)() for _ in range(chance.randrange(1, 4))))


def _upgrade(chance: random.Random) -> Input:
    """The upgrade of a WebSocket in which one thing is not as it should be."""
    target = chance.choice([*TARGETS[:12], "/socket.io/?EIO=4&transport=websocket&holdfast=1&sid=nobody"])
    headers = [
        ("Host", "127.0.0.1"),
        ("Connection", chance.choice(["Upgrade", "upgrade, close", "keep-alive", "close"])),
        ("Upgrade", chance.choice(["websocket", "websocket", "WebSocket", "h2c", "websocket/13", ""])),
        ("Sec-WebSocket-Version", chance.choice(["13", "13", "8", "0", "13, 8", "x"])),
        (
            "Sec-WebSocket-Key",
            chance.choice(["AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA==", "short", "", "é"]),
        ),
        *chance.sample(HEADERS, chance.randrange(2)),
    ]
    chance.shuffle(headers)
    method = chance.choice(["GET", "GET", "GET", "POST", "OPTIONS"])
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return Input("http", "\r\n".join(lines).encode(errors="surrogatepass"))


_MAKERS = [
    (_http, 20),
    (_half, 8),
    (_garbage, 4),
    (_post, 28),
    (_websocket, 24),
    (_frames, 10),
    (_upgrade, 6),
]
KINDS = ("http", "half", "post", "websocket", "frames")


# A message in 900,000 pieces of one byte, and no end; as many pings.
FLOODS = (
    Input("frames", frames=(frame(1, b"4", fin=False), frame(0, b"x", fin=False) * 900_000)),
    Input("frames", frames=(frame(9, b"") * 900_000,)),
)


def inputs(seed: int, count: int) -> list[Input]:
    """So many, the same for the same seed."""
    chance = random.Random(seed)
    makers = chance.choices([maker for maker, _ in _MAKERS], [weight for _, weight in _MAKERS], k=count)
    return [make(chance) for make in makers]
