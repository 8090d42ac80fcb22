"""A chat of sockjs-node, moved. In the repository's folder: `uvicorn examples.sockjs.app:app`."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from holdfast import SessionClosed, SockJS, SockJSSession

__all__ = ["app", "sockjs"]

HERE = Path(__file__).resolve().parent
CLIENT = HERE.parent / "node_modules" / "sockjs-client" / "dist"

there: set[SockJSSession] = set()


async def tell_all(text: str) -> None:
    for session in list(there):
        try:
            await session.send(text)
        except SessionClosed:
            pass  # It has just left.


async def talk(session: SockJSSession) -> None:
    """What sockjs-node has in `on("connection", …)`; what stands behind the loop is its `on("close", …)`."""
    there.add(session)
    try:
        await tell_all(f"{len(there)} are here")
        async for message in session:
            if message == "/quit":
                session.close(3001, "as you wish")
            else:
                await tell_all(str(message)[:500])
    finally:
        there.discard(session)
    await tell_all(f"{len(there)} are here")


sockjs = SockJS(talk)
app = Starlette(
    routes=[
        Mount("/chat", app=sockjs),
        Mount("/sockjs-client", StaticFiles(directory=CLIENT, check_dir=False)),
        Mount("/", StaticFiles(directory=HERE / "static", html=True)),
    ],
    lifespan=sockjs.lifespan,
)
