"""What reaches rooms: in this process, and in others."""

from __future__ import annotations

from .base import (
    EVERYBODY,
    Adapter,
    AdapterFactory,
    Answers,
    Fetched,
    LocalSocket,
    Node,
    NoHandler,
    Recipient,
    RoomChange,
    SocketInfo,
    Target,
)
from .bus import Bus, BusFactory, Receiver
from .cluster import ClusterAdapter
from .memory import MemoryAdapter, MemoryHub, deliver
from .messages import ClusterMessage, MessageType
from .redis_base import RedisAdapterBase
from .redis_courier import RedisCourier
from .redis_emitter import EmitterOperator, RedisEmitter
from .redis_node import BrokerHealth
from .redis_pubsub import RedisAdapter
from .redis_streams import RedisStreamsAdapter

__all__ = [
    "EVERYBODY",
    "Adapter",
    "AdapterFactory",
    "Answers",
    "BrokerHealth",
    "Bus",
    "BusFactory",
    "ClusterAdapter",
    "ClusterMessage",
    "EmitterOperator",
    "Fetched",
    "LocalSocket",
    "MemoryAdapter",
    "MemoryHub",
    "MessageType",
    "NoHandler",
    "Node",
    "Receiver",
    "Recipient",
    "RedisAdapter",
    "RedisAdapterBase",
    "RedisCourier",
    "RedisEmitter",
    "RedisStreamsAdapter",
    "RoomChange",
    "SocketInfo",
    "Target",
    "deliver",
]
