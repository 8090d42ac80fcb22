"""The messages of a cluster in the format of ``@socket.io/redis-adapter`` 8.3, and back.

There a broadcast is ``[uid, packet, options]`` on a channel of its namespace or of its one room; everything else is a
request on one channel and a response on another, in JSON or, where there are bytes, in msgpack. Responses do not say
who answers; ours do, in a field more. Kinds have other numbers than those of `MessageType`, and other names of fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import cast

from ..errors import RemoteProtocolError
from .messages import ClusterMessage, MessageType
from .packing import json_of, pack_as_notepack, read_json, unpack

__all__ = ["RequestType", "Response", "RequestFormat"]

EMITTER = "emitter"
"""The name of who sends and is no server."""


class RequestType(IntEnum):
    """Of that package."""

    SOCKETS = 0
    ALL_ROOMS = 1
    REMOTE_JOIN = 2
    REMOTE_LEAVE = 3
    REMOTE_DISCONNECT = 4
    REMOTE_FETCH = 5
    SERVER_SIDE_EMIT = 6
    BROADCAST = 7
    BROADCAST_CLIENT_COUNT = 8
    BROADCAST_ACK = 9
    NO_ANSWER = 64
    """Not of that package, and never sent to it."""


_REQUESTS = {
    MessageType.SOCKETS_JOIN: RequestType.REMOTE_JOIN,
    MessageType.SOCKETS_LEAVE: RequestType.REMOTE_LEAVE,
    MessageType.DISCONNECT_SOCKETS: RequestType.REMOTE_DISCONNECT,
    MessageType.FETCH_SOCKETS: RequestType.REMOTE_FETCH,
    MessageType.SERVER_SIDE_EMIT: RequestType.SERVER_SIDE_EMIT,
    MessageType.BROADCAST: RequestType.BROADCAST,
}
_MESSAGES = {request: message for message, request in _REQUESTS.items()}
_RESPONSES = {
    MessageType.FETCH_SOCKETS_RESPONSE: RequestType.REMOTE_FETCH,
    MessageType.SERVER_SIDE_EMIT_RESPONSE: RequestType.SERVER_SIDE_EMIT,
    MessageType.BROADCAST_CLIENT_COUNT: RequestType.BROADCAST_CLIENT_COUNT,
    MessageType.BROADCAST_ACK: RequestType.BROADCAST_ACK,
    MessageType.NO_ANSWER: RequestType.NO_ANSWER,
}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose sender may be unknown.

    Attributes:
        uid: Who answers; None if that is not said.
        request: The id of what is answered.
        type: What kind of answer; None if only the request can tell.
        data: Of the message that it becomes.
    """

    uid: str | None
    request: str
    type: MessageType | None
    data: dict[str, object]

    def message(self, uid: str, namespace: str, type: MessageType) -> ClusterMessage:
        """As a message of this node."""
        return {"uid": uid, "nsp": namespace, "type": type.value, "data": self.data}


class RequestFormat:
    """Of one namespace.

    Args:
        key: What all channels begin with.
    """

    def __init__(self, key: str, namespace: str) -> None:
        self.namespace = namespace
        self.broadcasts = f"{key}#{namespace}#"
        self.requests = f"{key}-request#{namespace}#"
        self.responses = f"{key}-response#{namespace}#"

    @staticmethod
    def own_mark(uid: str) -> bytes:
        """What a broadcast of the node of this name begins with; the name has less than 32 characters."""
        return b"\x93" + bytes((0xA0 | len(uid),)) + uid.encode()

    def encode(self, message: ClusterMessage) -> tuple[str, bytes]:
        """The channel of a message to all, and what is published there.

        Raises:
            LocalProtocolError: it cannot be carried.
        """
        type, data = MessageType(cast("int", message["type"])), cast("dict[str, object]", message["data"])
        if type is MessageType.BROADCAST and "requestId" not in data:
            options = cast("dict[str, object]", data["opts"])
            rooms = cast("list[str]", options["rooms"])
            channel = f"{self.broadcasts}{rooms[0]}#" if len(rooms) == 1 else self.broadcasts
            return channel, pack_as_notepack([message["uid"], data["packet"], options])
        request = {"uid": message["uid"], "type": _REQUESTS[type].value, **data}
        if type is MessageType.SERVER_SIDE_EMIT:
            request["data"] = request.pop("packet")
        elif type is MessageType.BROADCAST:
            return self.requests, pack_as_notepack(request)
        return self.requests, json_of(request) or pack_as_notepack(request)

    def encode_answer(self, node: str, message: ClusterMessage) -> tuple[str, bytes]:
        """The same for an answer to one node.

        Raises:
            LocalProtocolError: it cannot be carried.
        """
        type, data = MessageType(cast("int", message["type"])), cast("dict[str, object]", message["data"])
        response = {"uid": message["uid"], "type": _RESPONSES[type].value, **data}
        if type is MessageType.SERVER_SIDE_EMIT_RESPONSE:
            response["data"] = response.pop("packet")
        return f"{self.responses}{node}#", json_of(response) or pack_as_notepack(response)

    def survey(self, uid: str, request: dict[str, object], **found: object) -> tuple[str, bytes]:
        """The answer to a request for what a node has: names of rooms or of sockets."""
        node = request.get("uid")
        channel = f"{self.responses}{node}#" if isinstance(node, str) else self.responses
        return channel, pack_as_notepack({"uid": uid, "requestId": request.get("requestId"), **found})

    def decode_broadcast(self, data: bytes) -> ClusterMessage:
        """What was published on a channel of broadcasts.

        Raises:
            RemoteProtocolError: it is none.
        """
        value = unpack(data)
        if not isinstance(value, list) or len(items := cast("list[object]", value)) != 3:
            raise RemoteProtocolError("something else came where a broadcast belongs")
        uid, packet, options = items
        namespace: object = None
        if isinstance(packet, dict):
            namespace = cast("dict[str, object]", packet).get("nsp")
        return {
            "uid": uid,
            # Old emitters do not say which.
            "nsp": "/" if namespace is None else namespace,
            "type": MessageType.BROADCAST.value,
            "data": {"packet": packet, "opts": options},
        }

    def decode_request(self, data: bytes) -> tuple[dict[str, object], ClusterMessage | None]:
        """A request as it is, and the message that it becomes; None if it is a kind of its own.

        Raises:
            RemoteProtocolError: it is none.
        """
        request = _map_of(data)
        number = request.get("type")
        try:
            kind = RequestType(cast("int", number))
        except ValueError as error:
            raise RemoteProtocolError(
                "a request of another server is of a kind that does not exist"
            ) from error
        type = _MESSAGES.get(kind)
        if type is None:
            return request, None
        inside = {name: value for name, value in request.items() if name not in ("uid", "type")}
        if type is MessageType.SERVER_SIDE_EMIT:
            inside["packet"] = inside.pop("data", None)
        if inside.get("requestId") is None:
            inside.pop("requestId", None)
        uid = request.get("uid", EMITTER)
        return request, {"uid": uid, "nsp": self.namespace, "type": type.value, "data": inside}

    def decode_response(self, data: bytes) -> Response:
        """What was published on a channel of responses.

        Raises:
            RemoteProtocolError: it is none.
        """
        response = _map_of(data)
        uid, number = response.pop("uid", None), response.pop("type", None)
        if not isinstance(id := response.get("requestId"), str):
            raise RemoteProtocolError("a response of another server does not say to what")
        type = next((type for type, kind in _RESPONSES.items() if kind == number), None)
        if type is MessageType.SERVER_SIDE_EMIT_RESPONSE:
            response["packet"] = response.pop("data", None)
        elif type is None and "sockets" in response:
            type = MessageType.FETCH_SOCKETS_RESPONSE
        return Response(uid if isinstance(uid, str) else None, id, type, response)


def _map_of(data: bytes) -> dict[str, object]:
    value = read_json(data) if data[:1] == b"{" else unpack(data)
    if not isinstance(value, dict):
        raise RemoteProtocolError("something else came where a request or a response belongs")
    return cast("dict[str, object]", value)
