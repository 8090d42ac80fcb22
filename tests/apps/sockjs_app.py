"""What the tests of SockJS with real servers and the published client run: an echo, and a session that ends at once."""

from __future__ import annotations

from holdfast import SockJS, SockJSSession


async def echo(session: SockJSSession) -> None:
    async for message in session:
        if message == "close":
            session.close(3456, "as you wish")
            return
        await session.send(message)


async def close(session: SockJSSession) -> None:
    session.close()


closing = SockJS(close, path="/close")
app = SockJS(echo, path="/echo", response_limit=4096, app=closing)
