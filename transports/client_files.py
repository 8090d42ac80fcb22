"""Serves the JavaScript bundle next to the server's own path, as Socket.IO does.

The names are fixed and the files are read once, so nothing from a request ever reaches the file system. A browser asks
each time whether its copy is still good (`max-age=0` and an ETag): a page never runs an older client than its server's.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from .http import BASE_HEADERS

__all__ = ["CLIENT_FILES", "respond"]

CLIENT_FILES = {
    "holdfast.compat.esm.min.js": "text/javascript; charset=utf-8",
    "holdfast.compat.esm.min.js.map": "application/json",
    "holdfast.compat.min.js": "text/javascript; charset=utf-8",
    "holdfast.compat.min.js.map": "application/json",
    "holdfast.esm.min.js": "text/javascript; charset=utf-8",
    "holdfast.esm.min.js.map": "application/json",
    "holdfast.min.js": "text/javascript; charset=utf-8",
    "holdfast.min.js.map": "application/json",
    "holdfast.msgpack.esm.min.js": "text/javascript; charset=utf-8",
    "holdfast.msgpack.esm.min.js.map": "application/json",
    "holdfast.msgpack.min.js": "text/javascript; charset=utf-8",
    "holdfast.msgpack.min.js.map": "application/json",
    "holdfast.session.esm.min.js": "text/javascript; charset=utf-8",
    "holdfast.session.esm.min.js.map": "application/json",
    "holdfast.socket.esm.min.js": "text/javascript; charset=utf-8",
    "holdfast.socket.esm.min.js.map": "application/json",
    "holdfast.websocket.esm.min.js": "text/javascript; charset=utf-8",
    "holdfast.websocket.esm.min.js.map": "application/json",
}
"""What is served: name to content type."""

_NO_WEIGHT = re.compile(r"\s*q=0(\.0*)?\s*")

DIST = Path(__file__).resolve().parent.parent / "client_js" / "dist"


@dataclass(frozen=True, slots=True)
class _Body:
    content: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class _File:
    plain: _Body
    gzipped: _Body


async def respond(
    scope: Scope, receive: Receive, send: Send, name: str, *, folder: Path = DIST, cors: bool = True
) -> None:
    """Answer an HTTP request for a client file.

    Args:
        name: What the request's path says after the server's own path, without a slash; any text is safe.
        folder: Where the bundle was built.
        cors: Whether we say that other origins may import the file.
    """
    await _response(scope, name, folder, cors)(scope, receive, send)


def _response(scope: Scope, name: str, folder: Path, cors: bool) -> Response:
    if name not in CLIENT_FILES:
        return PlainTextResponse("there is no such file", 404, BASE_HEADERS)
    if scope["method"] not in ("GET", "HEAD"):
        return PlainTextResponse("GET and HEAD only", 405, {"Allow": "GET, HEAD", **BASE_HEADERS})
    try:
        file = _files(folder)[name]
    except FileNotFoundError:
        return PlainTextResponse(
            "the JavaScript client is not built; in the repository run: python tools/bundle.py",
            404,
            BASE_HEADERS,
        )
    return _found(scope, file, CLIENT_FILES[name], cors)


def _found(scope: Scope, file: _File, content_type: str, cors: bool) -> Response:
    request = Headers(scope=scope)
    zipped = _takes_gzip(request.get("accept-encoding", ""))
    body = file.gzipped if zipped else file.plain
    headers = {
        "Cache-Control": "public, max-age=0",
        "Content-Type": content_type,
        "ETag": body.etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        # The file is the same for everybody, and a module can be imported from another origin only with both of these.
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if cors:
        headers["Access-Control-Allow-Origin"] = "*"
    if _matches(request.get("if-none-match"), body.etag):
        return Response(None, 304, headers)
    headers["Content-Length"] = str(len(body.content))
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(None if scope["method"] == "HEAD" else body.content, 200, headers)


def _takes_gzip(accepted: str) -> bool:
    """RFC 9110, section 12.5.3: a weight of 0 means "not acceptable"."""
    for item in accepted.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() == "gzip":
            return _NO_WEIGHT.fullmatch(weight) is None
    return False


def _matches(condition: str | None, etag: str) -> bool:
    """RFC 9110, section 13.1.2: a list of tags, compared weakly, or a star."""
    tags = [tag.strip().removeprefix("W/") for tag in (condition or "").split(",")]
    return etag in tags or tags == ["*"]


@cache
def _files(folder: Path) -> dict[str, _File]:
    """The whole bundle. A failure is not remembered, so a bundle built later is found without a restart."""
    return {name: _read(folder / name) for name in CLIENT_FILES}


def _read(path: Path) -> _File:
    content = path.read_bytes()
    tag = sha256(content).hexdigest()[:32]
    return _File(_Body(content, f'"{tag}"'), _Body(gzip.compress(content, mtime=0), f'"{tag}-gzip"'))
