"""Frames of STOMP 1.0, 1.1 and 1.2: bytes to values, as they come, and values to what is sent.

STOMP 1.2, "STOMP Frames" and "Augmented BNF"; 1.1 and 1.0 where they differ.

1. Before CONNECT is answered nobody knows the version: CONNECT and CONNECTED are never escaped, in any version.
2. 1.0 has no escapes and takes off the spaces around a value. 1.1 escapes LF, colon and backslash; 1.2 also CR, and
   only there may a line end in CR LF.
3. Of a header that comes twice the first counts.
4. What lies between two frames is line ends: heart-beats.
5. Frames do not care for the messages that bring them: one message may hold several, and one of them may come in
   several messages, of text and of bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from ..settings import StompSettings

__all__ = ["HEART_BEAT", "Frame", "FrameDecoder", "Version", "encode_frame", "encode_head"]

Version = Literal["1.0", "1.1", "1.2"]

HEART_BEAT = "\n"

_END = re.compile(rb"\x00|\n\r?\n")
_PLAIN = frozenset({"CONNECT", "STOMP", "CONNECTED"})
_LINE_ENDS = b"\r\n"
_DIGITS = re.compile(r"[0-9]{1,15}")

_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_MEANS: dict[Version, dict[str, str]] = {
    "1.0": {},
    "1.1": {"n": "\n", "c": ":", "\\": "\\"},
    "1.2": {"n": "\n", "c": ":", "\\": "\\", "r": "\r"},
}
_UNSAFE = re.compile(r"[\\\r\n:]")
_ESCAPED: dict[Version, dict[str, str]] = {
    "1.0": {},
    "1.1": {"\n": "\\n", ":": "\\c", "\\": "\\\\", "\r": "\r"},
    "1.2": {"\n": "\\n", ":": "\\c", "\\": "\\\\", "\r": "\\r"},
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. Headers are as they are meant, without escapes."""

    command: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    @property
    def size_bytes(self) -> int:
        """About what it takes where it is kept."""
        return len(self.body) + sum([len(name) + len(value) for name, value in self.headers.items()]) + 150


class FrameDecoder:
    """Takes what arrives and gives the frames of it.

    Attributes:
        version: Whose escapes count; None before it is known. It may be set between two frames of one message.
    """

    def __init__(self, limits: StompSettings) -> None:
        self.version: Version | None = None
        self._limits = limits
        self._buffer = bytearray()
        # Of the buffer, what has been looked at for the end that is waited for.
        self._seen = 0
        self._head: tuple[str, dict[str, str]] | None = None
        # Of the body; None where its end is the first NUL.
        self._length: int | None = None

    @property
    def is_between(self) -> bool:
        """Whether nothing of a frame waits for the rest of it."""
        return self._head is None and not self._buffer

    def feed(self, data: str | bytes) -> Iterator[Frame]:
        """The frames that are complete with this, one after the other; each is decoded when it is asked for.

        Raises:
            RemoteProtocolError: what came is no frame. Nothing more can be decoded.
            LimitExceeded: it is larger than it may be.
        """
        try:
            self._buffer += data.encode() if isinstance(data, str) else data
        except UnicodeEncodeError as error:
            raise RemoteProtocolError("text with a lone surrogate") from error
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if self._head is None and not self._take_head():
            return None
        return self._take_body()

    def _take_head(self) -> bool:
        buffer, limits = self._buffer, self._limits
        if buffer and buffer[0] in _LINE_ENDS:
            # Rule 4. In a head that is begun there is none at its start.
            del buffer[: len(buffer) - len(buffer.lstrip(_LINE_ENDS))]
        end = _END.search(buffer, max(0, self._seen - 2))
        if (len(buffer) if end is None else end.start()) > limits.max_head_bytes:
            raise LimitExceeded(
                f"a frame's headers have more than {limits.max_head_bytes} bytes (setting max_head_bytes)"
            )
        if end is None:
            self._seen = len(buffer)
            return False
        if end.group() == b"\0":
            raise RemoteProtocolError("a frame ends before its headers do")
        head = bytes(buffer[: end.start()])
        del buffer[: end.end()]
        self._seen = 0
        self._head = self._decode_head(head)
        self._length = self._body_length(self._head[1])
        return True

    def _decode_head(self, head: bytes) -> tuple[str, dict[str, str]]:
        try:
            lines = head.decode().split("\n")
        except UnicodeDecodeError as error:
            raise RemoteProtocolError("a frame's headers are not UTF-8") from error
        if self.version in (None, "1.2"):
            lines = [line.removesuffix("\r") for line in lines]
        command, *rest = lines
        if len(rest) > self._limits.max_headers:
            most = self._limits.max_headers
            raise LimitExceeded(f"a frame has more than {most} headers (setting max_headers)")
        plain = command in _PLAIN
        headers: dict[str, str] = {}
        for line in rest:
            name, colon, value = line.partition(":")
            if not colon:
                raise RemoteProtocolError("a header has no colon")
            if not plain:
                name, value = self._meant(name), self._meant(value)
            if not name:
                raise RemoteProtocolError("a header has no name")
            headers.setdefault(name, value)
        if self.version == "1.0" or (plain and "accept-version" not in headers):
            headers = {name: value.strip(" ") for name, value in headers.items()}
        return command, headers

    def _meant(self, text: str) -> str:
        if "\\" not in text or self.version == "1.0":
            return text
        means = _MEANS[self.version or "1.2"]
        try:
            return _ESCAPE.sub(lambda found: means[found[1]], text)
        except KeyError as error:
            raise RemoteProtocolError("a header has an escape that does not exist") from error

    def _body_length(self, headers: Mapping[str, str]) -> int | None:
        stated = headers.get("content-length")
        if stated is None:
            return None
        if not _DIGITS.fullmatch(stated):
            raise RemoteProtocolError("content-length is not a number")
        length = int(stated)
        self._check_length(length)
        return length

    def _check_length(self, length: int) -> None:
        most = self._limits.max_frame_bytes
        if length > most:
            raise LimitExceeded(
                f"a frame's body has more than {most} bytes (setting max_frame_bytes)", close_code=1009
            )

    def _take_body(self) -> Frame | None:
        buffer, length = self._buffer, self._length
        if length is None:
            length = buffer.find(b"\0", self._seen)
            self._check_length(len(buffer) if length < 0 else length)
            if length < 0:
                self._seen = len(buffer)
                return None
        elif len(buffer) <= length:
            return None
        elif buffer[length]:
            raise RemoteProtocolError("a frame does not end where its content-length says")
        body = bytes(memoryview(buffer)[:length])
        del buffer[: length + 1]
        assert self._head is not None
        command, headers = self._head
        self._head, self._seen = None, 0
        return Frame(command, headers, body)


def encode_head(command: str, headers: Mapping[str, str], version: Version) -> str:
    """A frame's command and headers, without the empty line behind them.

    Raises:
        LocalProtocolError: a header cannot be said in this version, or is no text that UTF-8 can carry.
    """
    plain = command in _PLAIN or version == "1.0"
    lines = [command]
    for name, value in headers.items():
        if _UNSAFE.search(name) or _UNSAFE.search(value):
            if not plain:
                name, value = _escaped(name, version), _escaped(value, version)
            elif "\n" in name or "\n" in value or ":" in name:
                raise LocalProtocolError(f"STOMP {version} cannot carry this value of the header {name!r}")
        if not name or "\0" in name or "\0" in value:
            raise LocalProtocolError("a header has a name, and no NUL")
        lines.append(f"{name}:{value}")
    return "\n".join(lines)


def _escaped(text: str, version: Version) -> str:
    table = _ESCAPED[version]
    return _UNSAFE.sub(lambda found: table[found[0]], text)


def encode_frame(frame: Frame, version: Version) -> str | bytes:
    """What is sent: text, if the body is some in UTF-8. A body gets a content-length.

    Raises:
        LocalProtocolError: as `encode_head`.
    """
    headers = frame.headers
    if frame.body:
        headers = {**headers, "content-length": str(len(frame.body))}
    head = encode_head(frame.command, headers, version)
    try:
        return f"{head}\n\n{frame.body.decode()}\0"
    except UnicodeDecodeError:
        return b"%b\n\n%b\0" % (head.encode(), frame.body)
