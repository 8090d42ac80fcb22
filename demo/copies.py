"""A request that the proxy sends to the server by itself: a second time, or late."""

from __future__ import annotations

import anyio

from .http1 import End, Head, MessageParser, NotHttpError, body_length
from .tcp import Wire

__all__ = ["Target", "send_copy"]

Target = tuple[str, int]

COPY_SECONDS = 10.0


async def send_copy(target: Target, request: bytes, method: str, *, delay: float = 0.0) -> None:
    """Send a request a second time, on a connection of its own, and drop the answer."""
    await anyio.sleep(delay)
    with anyio.move_on_after(COPY_SECONDS):
        wire = None
        try:
            wire = await Wire.connect(*target)
            await wire.send(request)
            await read_response(wire, method)
        except (OSError, NotHttpError):
            pass  # A copy that gets lost is one fault fewer.
        finally:
            if wire is not None:
                wire.close(reset=False)


async def read_response(wire: Wire, method: str) -> None:
    parser = MessageParser()
    while True:
        chunk = await wire.receive()
        parser.feed(chunk)
        while (event := parser.next_event()) is not None:
            if isinstance(event, End):
                return
            if isinstance(event, Head) and event.status >= 200:
                parser.expect_body(body_length(event, answers=method))
        if not chunk:
            return
