"""The whiteboard on Starlette. In the repository's folder: `uvicorn examples.whiteboard.starlette_app:app`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from ..shared.files import files
from .events import io, online

__all__ = ["app"]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    yield
    await io.shutdown()


async def get_online(request: Request) -> JSONResponse:
    """An ordinary route beside the events, which looks at the same state."""
    return JSONResponse(online())


app = Starlette(
    routes=[Route("/online", get_online), Mount("/socket.io", io), Mount("/", files("whiteboard"))],
    lifespan=lifespan,
)
