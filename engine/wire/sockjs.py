"""SockJS: frames of the server, payloads of the client, and how each transport wraps a frame.

SockJS protocol 0.3.4, "Protocol and framing" and "JSON Unicode Encoding". Values only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import cast
from urllib.parse import parse_qsl

from ..errors import LimitExceeded, RemoteProtocolError
from .message import Message
from .structure import check_structure

__all__ = [
    "HEARTBEAT",
    "HTMLFILE_HEAD",
    "OPEN",
    "XHR_PRELUDE",
    "JsonText",
    "decode_form",
    "decode_messages",
    "decode_numbers",
    "encode_close",
    "encode_frames",
    "is_callback",
    "wrap_event",
    "wrap_jsonp",
    "wrap_script",
    "wrap_xhr",
]

OPEN = "o"
HEARTBEAT = "h"
# Browsers of the past, and some proxies, show the first of a stream only behind so much.
XHR_PRELUDE = "h" * 2048 + "\n"

_quote = json.JSONEncoder(ensure_ascii=False).encode
# What some browsers change on the way, as the protocol lists it, and what UTF-8 cannot carry.
_MANGLED = re.compile("[\ud800-\udfff\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What ends a script or a line of one.
_IN_SCRIPT = re.compile("[<>&\u2028\u2029]")
_NUMBERS = re.compile(r"[0-9]{1,3}(,[0-9]{1,3})*", re.ASCII)
_CALLBACK = re.compile(r"[A-Za-z0-9_.-]{1,128}")

HTMLFILE_HEAD = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%s;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>
"""


class JsonText(Message):
    """A text that frames alone will carry: it may hold lone surrogates, which JSON escapes."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        super().__init__("")
        self.data = text
        self.size_bytes = len(_SURROGATE.sub(_escape, text).encode())

    def payload_bytes(self) -> int:
        """See `Message.payload_bytes`: in a frame there are two quotation marks and a comma."""
        return self.size_bytes + 3


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _text(data: str) -> str:
    quoted = _quote(data)
    return quoted if quoted.isascii() else _MANGLED.sub(_escape, quoted)


def encode_frames(packets: Iterable[str | Message]) -> list[str]:
    """The frames that carry these, in order: messages that follow one another are one frame; all else is one.

    The protocol has texts only. Bytes are the list of their numbers, as `decode_numbers` reads them.
    """
    frames: list[str] = []
    texts: list[str] = []
    for packet in packets:
        if isinstance(packet, Message):
            data = packet.data
            texts.append(_text(data) if isinstance(data, str) else f"[{','.join(map(str, data))}]")
            continue
        if texts:
            frames.append(f"a[{','.join(texts)}]")
            texts = []
        frames.append(packet)
    if texts:
        frames.append(f"a[{','.join(texts)}]")
    return frames


def encode_close(code: int, reason: str) -> str:
    """The frame of a session that is over."""
    return f"c[{code},{_text(reason)}]"


def decode_messages(text: str) -> list[str]:
    """What a client has sent: an array of texts, or one text.

    Raises:
        RemoteProtocolError: anything else.
    """
    try:
        check_structure(text, 1, 1)
        value: object = json.loads(text)
    except (ValueError, RecursionError, LimitExceeded) as error:
        raise RemoteProtocolError("Broken JSON encoding.") from error
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        texts = cast("list[object]", value)
        if all(isinstance(each, str) for each in texts):
            return cast("list[str]", texts)
    raise RemoteProtocolError("Payload expected.")


def decode_numbers(text: str) -> bytes:
    """The bytes that a list of numbers is: ``"83,69"``, as ``Uint8Array.join`` writes them.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        if _NUMBERS.fullmatch(text):
            return bytes(map(int, text.split(",")))
    except ValueError:
        pass  # One is larger than a byte.
    raise RemoteProtocolError("this is not a list of bytes")


def decode_form(text: str) -> str:
    """The payload in a form: its field ``d``; empty if it has none.

    Raises:
        RemoteProtocolError: it is not a form, or too large a one.
    """
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=10, errors="strict")
    except ValueError as error:
        raise RemoteProtocolError("Broken form encoding.") from error
    return dict(fields).get("d", "")


def is_callback(name: str) -> bool:
    """Whether this may stand in a script: letters, digits, dots, hyphens and underscores."""
    return _CALLBACK.fullmatch(name) is not None


def wrap_xhr(frame: str) -> str:
    """A frame in what XMLHttpRequest reads."""
    return frame + "\n"


def wrap_event(frame: str) -> str:
    """A frame as an event of EventSource. No frame has a line break: JSON escapes it."""
    return f"data: {frame}\r\n\r\n"


def wrap_script(frame: str) -> str:
    """A frame as a script in the page that htmlfile reads."""
    return f"<script>\np({_in_script(frame)});\n</script>\r\n"


def wrap_jsonp(callback: str) -> Callable[[str], str]:
    """How a frame is handed to a function of the page that has loaded the answer as a script."""
    # The comment keeps the answer from being taken for something else that begins with the page's own words.
    return lambda frame: f"/**/{callback}({_in_script(frame)});\r\n"


def _in_script(frame: str) -> str:
    return _IN_SCRIPT.sub(_escape, _quote(frame))
