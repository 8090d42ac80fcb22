"""The ``json`` argument: a module of the application's that knows more types than JSON does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol, cast

from ... import JsonCodec
from ...engine.errors import LocalProtocolError
from ...engine.wire.message import Message
from ...engine.wire.socketio import SocketPacket

__all__ = ["JsonModule", "ModuleCodec"]

_PLAIN = (str, int, float, bool, bytes, bytearray, memoryview)


class JsonModule(Protocol):
    """What has the functions of the standard library's `json`."""

    def dumps(self, obj: object, /) -> str | bytes: ...


class ModuleCodec(JsonCodec):
    """JSON, in which values of other types are what a module's ``dumps`` makes of them.

    All else is encoded as always, bytes as attachments among it; what comes is read by the standard library.
    """

    __slots__ = ("_module",)

    def __init__(
        self, module: JsonModule, *, max_attachments: int, max_depth: int, max_containers: int
    ) -> None:
        super().__init__(max_attachments=max_attachments, max_depth=max_depth, max_containers=max_containers)
        self._module = module

    def encode(self, packet: SocketPacket) -> list[Message]:
        try:
            return super().encode(packet)
        except LocalProtocolError:
            # Only what JSON cannot carry takes the long way; if it still cannot, this raises again.
            return super().encode(packet._replace(data=self._plain(packet.data)))

    def _plain(self, value: object) -> object:
        if value is None or isinstance(value, _PLAIN):
            return cast("object", value)
        if isinstance(value, Mapping):
            return {key: self._plain(item) for key, item in cast("Mapping[object, object]", value).items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in cast("list[object]", value)]
        try:
            return json.loads(self._module.dumps(value))
        except (TypeError, ValueError) as error:
            raise LocalProtocolError(f"the module given as json cannot carry this: {error}") from error
