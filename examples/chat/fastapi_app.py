"""The chat on FastAPI. In the repository's folder: `uvicorn examples.chat.fastapi_app:app`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ..shared.files import files
from .events import io, online

__all__ = ["app"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    yield
    await io.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/online")
async def get_online() -> dict[str, object]:
    """An ordinary route beside the events, which looks at the same state."""
    return online()


app.mount("/socket.io", io)
app.mount("/", files("chat"))
