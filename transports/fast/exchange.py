"""One request of the fast lane that is answered as by an ASGI server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from starlette.types import Message, Scope

from .response import encode_head

if TYPE_CHECKING:
    from ..endpoint import Endpoint
    from .http import FastHttp

__all__ = ["Exchange"]

logger = logging.getLogger("holdfast.fast")


class Exchange:
    """One request and its answer: what an ASGI server's `receive` and `send` do for it."""

    __slots__ = (
        "_body",
        "_chunked",
        "_head",
        "_is_gone",
        "_is_over",
        "_protocol",
        "_waiters",
        "keeps",
        "scope",
        "started",
    )

    def __init__(self, protocol: FastHttp, body: bytes, *, keeps: bool) -> None:
        self._protocol = protocol
        self._body: bytes | None = body
        self._head: bytes | None = None
        self._chunked = False
        self._is_gone = False
        self._is_over = False
        # One may wait for the client to leave, another to write.
        self._waiters: list[asyncio.Future[None]] = []
        self.keeps = keeps
        self.started = False
        self.scope: Scope | None = None

    async def run(self, endpoint: Endpoint, scope: Scope) -> None:
        """Let the endpoint answer."""
        self.scope = scope
        await self.answer(endpoint.answer(scope, self._receive, self.send))

    async def answer(self, answering: Awaitable[object]) -> None:
        """See to it that there is an answer, whatever becomes of what writes it."""
        protocol = self._protocol
        try:
            await answering
        except BaseException as error:
            if not self.started and not self._is_gone:
                self.keeps = False
                headers = [(b"content-length", b"0"), (b"connection", b"close")]
                protocol.transport.write(encode_head(500, headers))
            if not isinstance(error, Exception):
                raise
            logger.exception("a request failed")
        finally:
            if not self._is_over:
                # It is not whole: that is to be seen.
                self._is_over, self.keeps = True, False
                protocol.exchanged(keeps=False)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        while not self._is_gone and not self._is_over:
            await self._wait()
        return {"type": "http.disconnect"}

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = self._protocol.loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    def wake(self) -> None:
        """Look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def gone(self) -> None:
        """The connection is lost."""
        self._is_gone = True
        self.wake()

    async def send(self, message: Message) -> None:
        """As an ASGI server's."""
        if self._is_gone:
            raise OSError("the client has left")
        protocol = self._protocol
        if message["type"] == "http.response.start":
            self._start(message["status"], message["headers"])
            return
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        if self._head is not None:
            body, self._head, self.started = self._head + body, None, True
        if body:
            protocol.transport.write(body)
        if not more:
            self._is_over = True
            protocol.exchanged(keeps=self.keeps)
        while protocol.is_paused and not self._is_gone and more:
            await self._wait()
        if self._is_gone and more:
            raise OSError("the client has left")

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        protocol = self._protocol
        if self.scope is not None:
            protocol.log_access(self.scope, status)
        names = dict(headers)
        all_headers = [*protocol.server_state.default_headers, *headers]
        if names.get(b"connection", b"").lower() == b"close":
            self.keeps = False
        elif not self.keeps:
            all_headers.append((b"connection", b"close"))
        if b"content-length" not in names and status not in (204, 304):
            self._chunked = True
            all_headers.append((b"transfer-encoding", b"chunked"))
        self._head = encode_head(status, all_headers)
