"""Holdfast: Socket.IO events over whatever network lies between a browser and a Python server."""

from .engine.adapters import (
    Adapter,
    BrokerHealth,
    EmitterOperator,
    MemoryHub,
    RedisAdapter,
    RedisEmitter,
    RedisStreamsAdapter,
)
from .engine.dispatch import (
    Ack,
    BroadcastOperator,
    FetchedSockets,
    Namespace,
    Next,
    ParentNamespace,
    RemoteSocket,
    Socket,
)
from .engine.dispatch.bare import Session
from .engine.dispatch.sockjs import SockJSSession
from .engine.drain import Drained
from .engine.errors import (
    AckTimeout,
    AuthenticationFailed,
    BrokerRefused,
    BrokerUnavailable,
    ConnectionRefusedError,
    Disconnected,
    EventError,
    HoldfastError,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
    SessionClosed,
)
from .engine.live import Allowed, Handshake, SocketHandshake, Stats
from .engine.session import CloseReason
from .engine.settings import Cookie, Settings, SockJSSettings, StompSettings
from .engine.stomp import StompClient, StompLogin, StompMessage
from .engine.wire.codec import Codec, JsonCodec, MsgpackCodec
from .engine.wire.message import Message
from .engine.wire.socketio import BinaryHeader, SocketPacket, SocketPacketType
from .transports.app import Engine, Server
from .transports.signals import SignalDrain
from .transports.sockjs import SockJS
from .transports.stomp import Stomp

__all__ = [
    "Ack",
    "AckTimeout",
    "Adapter",
    "Allowed",
    "AuthenticationFailed",
    "BinaryHeader",
    "BroadcastOperator",
    "BrokerHealth",
    "BrokerRefused",
    "BrokerUnavailable",
    "CloseReason",
    "Codec",
    "ConnectionRefusedError",
    "Cookie",
    "Disconnected",
    "Drained",
    "EmitterOperator",
    "Engine",
    "EventError",
    "FetchedSockets",
    "Handshake",
    "HoldfastError",
    "JsonCodec",
    "LocalProtocolError",
    "MemoryHub",
    "Message",
    "MessageTooLarge",
    "MsgpackCodec",
    "Namespace",
    "Next",
    "ParentNamespace",
    "RedisAdapter",
    "RedisEmitter",
    "RedisStreamsAdapter",
    "RemoteProtocolError",
    "RemoteSocket",
    "Server",
    "Session",
    "SessionClosed",
    "Settings",
    "SignalDrain",
    "Socket",
    "SocketHandshake",
    "SocketPacket",
    "SocketPacketType",
    "SockJS",
    "SockJSSession",
    "SockJSSettings",
    "Stats",
    "Stomp",
    "StompClient",
    "StompLogin",
    "StompMessage",
    "StompSettings",
]
