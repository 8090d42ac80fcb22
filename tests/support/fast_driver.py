"""Drives the fast lane in-process: what `asgi_driver` says to an application goes as bytes to uvicorn's protocol class,
and what that writes comes back as an application's messages."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, cast

import anyio
import anyio.abc
from asgi_driver import Client, _Side, settled  # pyright: ignore[reportPrivateUsage]
from uvicorn import Config
from uvicorn.server import ServerState

from holdfast.fast import FastLane
from holdfast.transports.endpoint import Endpoint

__all__ = ["FastClient", "encode_frame"]

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_MASK = b"\x01\x02\x03\x04"


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """A client's whole frame, masked."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    return head + _MASK + bytes([byte ^ _MASK[at % 4] for at, byte in enumerate(payload)])


class _Wire(asyncio.Transport):
    """A connection in memory, the server's end: what is written is read by the test."""

    def __init__(self, side: _FastSide) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("testserver", 80)})
        self._side = side
        self._protocol: Any = None
        self._is_closing = False
        self._is_reading = True
        self._given = b""
        self._is_ended = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        asyncio.get_running_loop().call_soon(self._bring)

    def bring(self, data: bytes) -> None:
        """What the client has written arrives."""
        self._given += data
        self._bring()

    def _bring(self) -> None:
        if self._given and self._is_reading and not self._is_closing:
            data, self._given = self._given, b""
            self._protocol.data_received(data)
        if self._is_ended and self._is_reading and not self._given:
            self.abort()

    def end(self) -> None:
        """The client has left: that is seen behind what it has written."""
        self._is_ended = True
        self._bring()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closing:
            self._side.written(bytes(data))

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._lose)

    def _lose(self) -> None:
        self._side.lost()
        self._protocol.connection_lost(None)


class _FastSide(_Side):
    """The client's end, which speaks in messages."""

    def __init__(self, lane: FastLane, scope: dict[str, Any]) -> None:
        super().__init__()
        self._scope = scope
        self._head: bytes | None = None
        self._is_websocket = scope["type"] == "websocket"
        self._is_open = False
        self._is_chunked = False
        self._left = 0
        self._raw = b""
        self._has_head = False
        self._status = 0
        self.wire = _Wire(self)
        config = Config(cast("Any", lane.endpoint), access_log=False, log_level="error")
        protocol = lane.http(config=config, server_state=ServerState(), app_state={})
        self.wire.set_protocol(protocol)
        protocol.connection_made(self.wire)

    # -- what the client does

    def give(self, message: MutableMapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "http.request":
            self._ask(message["body"], more=message["more_body"])
        elif kind == "websocket.connect":
            self.wire.bring(self._request([("connection", "Upgrade"), ("upgrade", "websocket")]))
        elif kind == "websocket.receive":
            text = message.get("text")
            self.wire.bring(
                encode_frame(1, text.encode()) if text is not None else encode_frame(2, message["bytes"])
            )
        else:
            # It leaves without a word.
            self.wire.end()

    def _request(self, more: list[tuple[str, str]]) -> bytes:
        scope = self._scope
        target = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        pairs = [*scope["headers"], *((name.encode(), value.encode()) for name, value in more)]
        if self._is_websocket:
            pairs += [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", _KEY.encode())]
            if scope["subprotocols"]:
                pairs.append((b"sec-websocket-protocol", ", ".join(scope["subprotocols"]).encode()))
        lines = b"".join([name + b": " + value + b"\r\n" for name, value in pairs])
        return f"{scope.get('method', 'GET')} {target} HTTP/1.1\r\n".encode() + lines + b"\r\n"

    def _ask(self, body: bytes, *, more: bool) -> None:
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        if self._head is None:
            self._head = b""
            names = {name for name, _ in self._scope["headers"]}
            announced = [] if b"content-length" in names else [("content-length", str(len(body)))]
            if more and not announced:
                self.wire.bring(self._request([]) + body)
            elif more:
                self._is_open = True
                self.wire.bring(self._request([("transfer-encoding", "chunked")]) + chunk)
            else:
                self.wire.bring(self._request(announced if body else []) + body)
        elif self._is_open:
            self.wire.bring(chunk + (b"" if more else b"0\r\n\r\n"))
        else:
            self.wire.bring(body)

    # -- what the server does

    def _tell(self, message: MutableMapping[str, Any]) -> None:
        self._sent.send_nowait(message)

    def written(self, data: bytes) -> None:
        """Take bytes of the server."""
        self._raw += data
        if not self._has_head and not self._take_head():
            return
        if self._is_websocket and self._status == 101:
            self._take_frames()
        elif self._is_chunked:
            self._take_chunks()
        elif self._raw or not self._left:
            body, self._raw = self._raw, b""
            self._left -= len(body)
            self._body(body, more=self._left > 0)

    def _take_head(self) -> bool:
        head, found, rest = self._raw.partition(b"\r\n\r\n")
        if not found:
            return False
        first, *lines = head.split(b"\r\n")
        pairs = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
        self._has_head, self._raw, self._status = True, rest, int(first.split(b" ")[1])
        headers = dict(pairs)
        own = [
            pair for pair in pairs if pair[0] not in (b"date", b"server", b"connection", b"transfer-encoding")
        ]
        if self._status == 101:
            subprotocol = headers.get(b"sec-websocket-protocol")
            told = {
                "type": "websocket.accept",
                "headers": own,
                "subprotocol": subprotocol and subprotocol.decode(),
            }
        else:
            prefix = "websocket." if self._is_websocket else ""
            told = {"type": f"{prefix}http.response.start", "status": self._status, "headers": own}
        if headers.get(b"connection", b"").lower() == b"close" and self._status != 101:
            own.append((b"connection", b"close"))
        self._is_chunked = headers.get(b"transfer-encoding") == b"chunked"
        self._left = int(headers.get(b"content-length", b"0"))
        self._tell(told)
        return True

    def _body(self, body: bytes, *, more: bool) -> None:
        prefix = "websocket." if self._is_websocket else ""
        self._tell({"type": f"{prefix}http.response.body", "body": body, "more_body": more})
        if not more:
            self.finished.set()

    def _take_chunks(self) -> None:
        while (end := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:end], 16)
            if len(self._raw) < end + size + 4:
                return
            body, self._raw = self._raw[end + 2 : end + 2 + size], self._raw[end + size + 4 :]
            self._body(body, more=size > 0)

    def _take_frames(self) -> None:
        while len(self._raw) >= 2:
            opcode, size, at = self._raw[0] & 15, self._raw[1], 2
            if size > 125:
                at = 4 if size == 126 else 10
                size = int.from_bytes(self._raw[2:at], "big")
            payload = self._raw[at : at + size]
            if len(payload) < size:
                return
            self._raw = self._raw[at + size :]
            if opcode == 8:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                self._tell({"type": "websocket.close", "code": code, "reason": payload[2:].decode()})
                # Answered, as every client does.
                self.wire.bring(encode_frame(8, payload))
            elif opcode == 1:
                self._tell({"type": "websocket.send", "text": payload.decode()})
            elif opcode == 2:
                self._tell({"type": "websocket.send", "bytes": payload})

    def lost(self) -> None:
        """The connection is over."""
        self.finished.set()

    async def over(self) -> None:
        await super().over()
        await settled()


class FastClient(Client):
    """`Client`, of the lane of an endpoint."""

    def __init__(self, lane: FastLane, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._lane = lane

    def _start(self, scope: dict[str, Any], first: MutableMapping[str, Any]) -> _Side:
        side = _FastSide(self._lane, scope)
        self._sides.append(side)
        side.give(first)
        return side

    async def leave(self) -> None:
        """Cut all connections, and let that be noticed."""
        with anyio.CancelScope(shield=True):
            for side in self._sides:
                cast("_FastSide", side).wire.abort()
            await settled()

    @classmethod
    def of(cls, endpoint: Endpoint, tasks: anyio.abc.TaskGroup) -> FastClient:
        """A client of an endpoint."""
        return cls(FastLane(endpoint, endpoint.path), endpoint, tasks)
