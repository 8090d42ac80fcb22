"""The files of an example, for any ASGI framework to mount."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

__all__ = ["files"]

EXAMPLES = Path(__file__).resolve().parent.parent
OFFICIAL = EXAMPLES / "node_modules" / "socket.io-client" / "dist" / "socket.io.esm.min.js"
NOT_INSTALLED = "The official client is not installed. In the folder examples, run: npm ci"


def files(example: str, *, official: Path = OFFICIAL) -> Router:
    """An example's page, what the examples share, and the official client as npm has installed it.

    Args:
        example: The name of its folder.
        official: Where that client is.
    """

    def official_client(request: Request) -> Response:
        if not official.is_file():
            return PlainTextResponse(NOT_INSTALLED, 404)
        return FileResponse(official, media_type="text/javascript")

    return Router(
        routes=[
            Route("/official/socket.io.esm.min.js", official_client),
            Mount("/shared", StaticFiles(directory=EXAMPLES / "shared" / "static")),
            Mount("/", StaticFiles(directory=EXAMPLES / example / "static", html=True)),
        ]
    )
