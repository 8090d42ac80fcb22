"""What is over is freed at once, as tests/transports/test_freed.py has it."""

from __future__ import annotations

import pytest
from asgi_driver import settled
from garbage import left_by_another, uncollected
from sockjs_site import open_site

__all__ = ["uncollected"]


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_session_is_freed(transport: str, uncollected: None) -> None:
    async with open_site() as site:

        async def visit() -> None:
            if transport == "websocket":
                socket = await site.websocket()
                socket.send('["x"]')
                assert await socket.receive() == 'a["x"]'
                socket.leave()
            elif transport == "stream":
                stream = await site.stream()
                assert await stream.chunk() == b"o\n"
                await site.bring('["x"]')
                assert await stream.chunk() == b'a["x"]\n'
                stream.disconnect()
            else:
                await site.open()
                await site.bring('["x"]')
                assert await site.poll() == 'a["x"]\n'
            await settled()
            await site.clock.advance(200)
            site.sessions.clear()

        assert await left_by_another(visit) == {}
