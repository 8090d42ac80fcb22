"""Several packets in one HTTP body, stream event or WebSocket message.

Engine.IO 4, "HTTP long-polling", "Payload"; docs/protocol.md, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import RemoteProtocolError
from .message import SEPARATOR, Message
from .packet import Packet, PacketType, decode_packet, encode_message

__all__ = ["PIECE_BYTES", "decode_payload", "decode_payload_bytes", "encode_frames", "encode_payload"]


# In the module, because an enum's members take long to look up.
_MESSAGE = PacketType.MESSAGE
PIECE_BYTES = 32_768
"""Of a WebSocket message, an event or an answer that is cut off nothing counts. What can be longer comes in pieces of
at most so much or of one packet, so that a slow network that breaks again and again gets further each time."""


def encode_payload(packets: Iterable[str | Message], *, counting: bool) -> str:
    """Join encoded packets and messages into one payload."""
    return SEPARATOR.join(
        [p if isinstance(p, str) else encode_message(p, counting=counting) for p in packets]
    )


def encode_frames(packets: Iterable[str | Message], *, counting: bool) -> list[str | bytes]:
    """The WebSocket messages that carry these packets, in order.

    Binary messages stand alone, as bytes. Text packets are joined for a counting peer, up to a piece; a plain peer
    gets each alone.
    """
    frames: list[str | bytes] = []
    waiting: list[str] = []
    for packet in packets:
        if isinstance(packet, str):
            text = packet
        elif isinstance(packet.data, bytes):
            if waiting:
                frames += _joined(waiting)
                waiting = []
            frames.append(packet.data)
            continue
        else:
            text = packet.counting_text() if counting else f"4{packet.data}"
        if counting:
            waiting.append(text)
        else:
            frames.append(text)
    if waiting:
        frames += _joined(waiting)
    return frames


def _joined(texts: list[str]) -> list[str]:
    """As few as possible, each of at most so many characters or one packet: who is behind is not sent all at once."""
    if len(texts) == 1:
        return texts
    if sum(map(len, texts)) + len(texts) <= PIECE_BYTES:
        return [SEPARATOR.join(texts)]
    frames: list[str] = []
    start = size = 0
    for end, text in enumerate(texts):
        size += len(text) + 1
        if size > PIECE_BYTES and end > start:
            frames.append(SEPARATOR.join(texts[start:end]))
            start, size = end, len(text) + 1
    frames.append(SEPARATOR.join(texts[start:]))
    return frames


def decode_payload(text: str, *, counting: bool) -> Iterator[Packet]:
    """Decode the packets of a payload one by one, so that the first wrong one ends the work.

    Raises:
        RemoteProtocolError: while iterating, at the first packet that is wrong; an empty packet is wrong.
    """
    start, length = 0, len(text)
    while start <= length:
        end = text.find(SEPARATOR, start)
        if end < 0:
            end = length
        if text.startswith("4", start):
            # What most are, without the call.
            yield _MESSAGE, text[start + 1 : end]
        else:
            yield decode_packet(text[start:end], counting=counting)
        start = end + 1


def decode_payload_bytes(body: bytes | bytearray, *, counting: bool) -> Iterator[Packet]:
    """`decode_payload` of a POST body.

    Raises:
        RemoteProtocolError: the body is not UTF-8, at once; else as `decode_payload`.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("the body is not UTF-8") from error
    return decode_payload(text, counting=counting)
