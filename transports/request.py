"""An ASGI scope to a value: what is asked for, by whom, and whether its origin may ask at all.

Engine.IO 4, "Handshake"; docs/protocol.md, sections 4, 5 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from ..engine.errors import ErrorCode, RemoteProtocolError, RequestRefused
from ..engine.live import Handshake
from ..engine.settings import Settings
from ..engine.wire.handshake import TRANSPORTS, Attach, decode_attach

__all__ = [
    "ATTACH_HEADER",
    "Request",
    "check_origin",
    "cors_headers",
    "origin_refusal_headers",
    "parse_request",
]

ATTACH_HEADER = "holdfast-attach"

_DEFAULT_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a request asks for.

    Attributes:
        method: "GET", "POST", …, or "WEBSOCKET".
        transport: "websocket", "stream" or "polling".
        sid: The session, None to open one.
        counting: Whether the client asks for, or speaks, the extension.
        codecs: What a counting client can speak, best first.
        handshake: What the application is told of the request.
    """

    method: str
    transport: str
    sid: str | None
    counting: bool
    codecs: tuple[str, ...]
    handshake: Handshake

    def attach(self) -> Attach:
        """The client's attach in the header of a GET.

        Raises:
            RemoteProtocolError: it is missing or broken.
        """
        text = self.handshake.headers.get(ATTACH_HEADER)
        if text is None:
            raise RemoteProtocolError("the header Holdfast-Attach is missing")
        return decode_attach(text)


def parse_request(scope: Scope) -> Request:
    """Read what is asked for.

    Raises:
        RequestRefused: with Engine.IO's code and a message that names the remedy.
    """
    query_text: str = scope.get("query_string", b"").decode("latin-1")
    try:
        query = dict(parse_qsl(query_text, keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise RequestRefused(ErrorCode.BAD_REQUEST, "Bad request: the query has too many fields") from error
    method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
    counting = query.get("holdfast") == "1"
    transport = query.get("transport", "")
    if transport not in TRANSPORTS or (transport == "stream" and not counting):
        raise RequestRefused(ErrorCode.TRANSPORT_UNKNOWN, "Transport unknown")
    if query.get("EIO") != "4":
        message = "Unsupported protocol version: this server speaks Engine.IO 4 (socket.io-client 3 and 4)"
        raise RequestRefused(ErrorCode.VERSION_UNSUPPORTED, message)
    if (method == "WEBSOCKET") != (transport == "websocket"):
        raise RequestRefused(
            ErrorCode.BAD_REQUEST, "Bad request: the transport websocket needs a WebSocket, and only it"
        )
    sid = query.get("sid")
    allowed = ("GET", "WEBSOCKET") if sid is None or transport == "stream" else ("GET", "POST", "WEBSOCKET")
    if method not in allowed:
        raise RequestRefused(ErrorCode.BAD_METHOD, "Bad handshake method" if sid is None else "Bad method")
    return Request(
        method=method,
        transport=transport,
        sid=sid,
        counting=counting,
        codecs=tuple(query.get("codec", "json").split(",")),
        handshake=_handshake(scope, query, query_text),
    )


def _handshake(scope: Scope, query: dict[str, str], query_text: str) -> Handshake:
    client = scope.get("client")
    return Handshake(
        headers=dict(Headers(scope=scope).items()),
        query=query,
        address=(client[0], client[1]) if client else None,
        secure=scope.get("scheme") in ("https", "wss"),
        url=f"{scope['path']}?{query_text}" if query_text else scope["path"],
    )


def check_origin(headers: Headers, settings: Settings) -> None:
    """Let in requests without an origin, of the same host, and from the origins that are listed.

    Raises:
        RequestRefused: status 403, with the two remedies.
    """
    origin = headers.get("origin")
    if origin is None or _listed(origin, settings):
        return
    host = headers.get("host", "")
    if _same_host(origin, host):
        return
    shown = origin[:200]
    raise RequestRefused(
        ErrorCode.FORBIDDEN,
        f"Origin {shown} is not allowed: the Host header says {host[:200] or 'nothing'}. If a proxy stands in front "
        'of this server, let it pass the host on (nginx: "proxy_set_header Host $http_host;"); if the page really '
        f'comes from another origin, allow it with the setting origins=["{shown}"].',
        status=403,
    )


def _listed(origin: str, settings: Settings) -> bool:
    origins = settings.origins
    if origins is None:
        return False
    return origin in ((origins,) if isinstance(origins, str) else origins) or origins == "*"


def _same_host(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(parts.scheme)
    if port is None or not parts.netloc:
        return False
    return parts.netloc.lower().removesuffix(port) == host.lower().removesuffix(port)


def cors_headers(headers: Headers, settings: Settings) -> dict[str, str]:
    """What a cross-origin page needs to read our answers; nothing for an origin that is not listed."""
    origin = headers.get("origin")
    if origin is None or not _listed(origin, settings):
        return {}
    answer = _readable_by(origin)
    if settings.cookies and settings.origins != "*":
        answer["access-control-allow-credentials"] = "true"
    return answer


def origin_refusal_headers(headers: Headers) -> dict[str, str]:
    """For the refusal of a foreign origin alone: the page may read that it is final, and need not try again."""
    return _readable_by(headers.get("origin", ""))


def _readable_by(origin: str) -> dict[str, str]:
    return {"access-control-allow-origin": origin, "vary": "Origin"}
