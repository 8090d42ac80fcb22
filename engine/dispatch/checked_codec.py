"""A codec of the application, held to what `Codec` promises.

What it gets wrong is the failure of one message: it neither ends the coroutine that reads the peer nor stops a
broadcast half-way.
"""

from __future__ import annotations

import logging

from ..errors import LocalProtocolError, RemoteProtocolError
from ..wire.codec import Codec, JsonCodec, MsgpackCodec
from ..wire.message import Message
from ..wire.socketio import BinaryHeader, SocketPacket, SocketPacketType, check_data, is_namespace

__all__ = ["CheckedCodec", "checked"]

logger = logging.getLogger("holdfast.dispatch")


def checked(codec: Codec) -> Codec:
    """The codec itself if it is one of ours."""
    return codec if type(codec) in (JsonCodec, MsgpackCodec) else CheckedCodec(codec)


class CheckedCodec:
    """See the module."""

    __slots__ = ("_codec", "name")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.name = codec.name

    def recognises(self, data: str | bytes) -> bool:
        try:
            return self._codec.recognises(data)
        except Exception:
            logger.exception("the codec %r failed to recognise a message", self.name)
            return False

    def encode(self, packet: SocketPacket) -> list[Message]:
        try:
            messages = list(self._codec.encode(packet))
            fits = bool(messages) and all(_can_travel(message) for message in messages)
        except LocalProtocolError:
            raise
        except Exception as error:
            raise LocalProtocolError(f"the codec {self.name!r} failed to encode a packet") from error
        if not fits:
            raise LocalProtocolError(
                f"the codec {self.name!r} encodes to what is no message, or to text with U+001E, which polling "
                "cannot carry"
            )
        return messages

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        try:
            packet = self._codec.decode(data)
            if not isinstance(packet, BinaryHeader):
                _check(packet)
            return packet
        except RemoteProtocolError:
            raise
        except Exception as error:
            logger.exception("the codec %r failed to decode a message", self.name)
            raise RemoteProtocolError("the codec cannot read a message") from error


def _can_travel(message: object) -> bool:
    return isinstance(message, Message) and not (isinstance(message.data, str) and "\x1e" in message.data)


def _check(packet: SocketPacket) -> None:
    """A codec may take over from the peer whatever has the form of a packet."""
    type, id = packet.type, packet.id
    if type.__class__ is not SocketPacketType or type > SocketPacketType.CONNECT_ERROR:
        raise RemoteProtocolError("unknown packet type of Socket.IO")
    if not is_namespace(packet.namespace):
        raise RemoteProtocolError("a packet does not name its namespace")
    if id is not None and (id.__class__ is not int or id < 0):
        raise RemoteProtocolError("the id of an acknowledgement is out of range")
    check_data(type, packet.data, id)
