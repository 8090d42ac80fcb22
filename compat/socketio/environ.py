"""The request that opened a session, as handlers of python-socketio get it: a dict in the manner of WSGI."""

from __future__ import annotations

import sys
from contextvars import ContextVar

from starlette.types import Scope

from ...engine.live import Handshake

__all__ = ["current_scope", "environ_of"]

current_scope: ContextVar[Scope] = ContextVar("current_scope")
"""Of the request that is being answered."""


def environ_of(scope: Scope, handshake: Handshake) -> dict[str, object]:
    """The ``environ`` of an ASGI scope.

    Names are those of PEP 3333. The headers are ``HTTP_…``, repeated ones joined by a comma; ``asgi.scope`` is the
    scope itself. Who asks, and whether by TLS, is the handshake's word: nobody else says which proxy may be believed.
    """
    path: str = scope["path"]
    query: str = scope.get("query_string", b"").decode("latin-1")
    address, port = handshake.address or ("", 0)
    server = scope.get("server") or ("", 0)
    environ: dict[str, object] = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}" if query else path,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "SERVER_SOFTWARE": "asgi",
        "REMOTE_ADDR": address,
        "REMOTE_PORT": str(port),
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.async": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    environ |= _headers(scope)
    environ["wsgi.url_scheme"] = "https" if handshake.secure else "http"
    return environ


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found
