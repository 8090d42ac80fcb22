"""An ASGI scope to a value: what is asked for, by whom, and whether its origin may ask at all.

Engine.IO 4, "Handshake"; docs/protocol.md, sections 4, 5 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import parse_qsl, urlsplit

from starlette.types import Scope

from ..engine.errors import ErrorCode, RemoteProtocolError, RequestRefused
from ..engine.live import Handshake, Identity, LiveSession, RequestHeaders
from ..engine.server import SessionTable
from ..engine.settings import Forwarded, Network, Settings, forwarded
from ..engine.wire.handshake import TRANSPORTS, Attach, decode_attach

__all__ = [
    "ATTACH_HEADER",
    "HEADER_OVERHEAD",
    "Head",
    "HeaderValues",
    "Request",
    "check_head",
    "check_origin",
    "cors_headers",
    "handshake_of",
    "host_of",
    "parse_request",
    "share_headers",
    "subprotocol_of",
]

ATTACH_HEADER = "holdfast-attach"

# RFC 9110, section 5.6.2. What is chosen goes into a header of ours.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")

_MOST_FIELDS = 100
_DEFAULT_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


class Head:
    """The headers of a request, by their names in lower case, for who asks for several of them.

    Args:
        scope: Its headers become a list, as ASGI's need not be.
    """

    __slots__ = ("_last", "_raw")

    def __init__(self, scope: Scope) -> None:
        if scope["headers"].__class__ is not list:
            scope["headers"] = list(scope["headers"])
        self._raw: list[tuple[bytes, bytes]] = scope["headers"]
        self._last = dict(self._raw)

    def get(self, name: str, default: str = "", /) -> str:
        """The last value."""
        value = self._last.get(name.encode())
        return default if value is None else value.decode("latin-1")

    def getlist(self, name: str, /) -> list[str]:
        """The values, in their order."""
        wanted = name.encode()
        if wanted not in self._last:
            return []
        return [value.decode("latin-1") for found, value in self._raw if found == wanted]


# What many clients say alike, and what is nobody's secret.
_SHARED = frozenset(
    b"accept accept-encoding accept-language cache-control connection dnt host origin pragma sec-ch-ua "
    b"sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-extensions "
    b"sec-websocket-version upgrade user-agent x-forwarded-proto".split()
)
_MOST_SHARED = 1_000
_known: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}


def share_headers(headers: list[tuple[bytes, bytes]]) -> None:
    """Replace those that were seen before by the very same: a session keeps the headers of its opening, a browser's are
    more than a kilobyte, and most of them are everybody's."""
    for index, pair in enumerate(headers):
        if pair[0] in _SHARED:
            if len(_known) >= _MOST_SHARED:
                _known.clear()
            headers[index] = _known.setdefault((pair[0], pair[1]), pair)


class HeaderValues(Protocol):
    """Such headers, or those of the web framework."""

    def get(self, name: str, default: str, /) -> str: ...

    def getlist(self, name: str, /) -> list[str]: ...


@dataclass(slots=True, kw_only=True)
class Request:
    """What a request asks for.

    Attributes:
        method: "GET", "POST", …, or "WEBSOCKET".
        transport: "websocket", "stream" or "polling".
        sid: The session, None to open one.
        counting: Whether the client asks for, or speaks, the extension.
        codecs: What a counting client can speak, best first.
        subprotocol: What a WebSocket is told that we speak: the first that it offers, if it has the form of one.
            Socket.IO has none, but its clients may be told to name some.
        head: Its headers.
        scope, query: What it came with.
        settings: The server's.
        identity: Whose the session is that it opens, if the application has said so.
    """

    method: str
    transport: str
    sid: str | None = field(repr=False)
    counting: bool
    codecs: tuple[str, ...]
    subprotocol: str | None
    head: Head = field(repr=False)
    scope: Scope = field(repr=False)
    query: dict[str, str] = field(repr=False)
    settings: Settings = field(repr=False)
    identity: Identity | None = None
    _handshake: Handshake | None = field(default=None, repr=False)

    @property
    def handshake(self) -> Handshake:
        """What the application is told of the request. Most are of no interest to it."""
        if self._handshake is None:
            self._handshake = _handshake(self.scope, self.query, self.settings)
        return self._handshake

    def allow(self, handshake: Handshake, identity: Identity) -> None:
        """The application has said whose it is."""
        self._handshake, self.identity = handshake, identity

    async def session(
        self, table: SessionTable, *, key: str | None = None, transport: str | None = None
    ) -> LiveSession:
        """The session that it goes on with: `SessionTable.recognise`."""
        assert self.sid is not None
        session = table.find(self.sid, key=key)
        if session.identity is None:
            return session
        return await table.recognise(self.sid, self.handshake, key=key, transport=transport)

    def open(self, table: SessionTable) -> LiveSession:
        """The session that it asks for.

        Raises:
            RequestRefused: as `SessionTable.open`.
        """
        share_headers(self.scope["headers"])
        return table.open(
            self.transport,
            self.handshake,
            counting=self.counting,
            codecs=self.codecs,
            identity=self.identity,
        )

    def attach(self) -> Attach:
        """The client's attach in the header of a GET.

        Raises:
            RemoteProtocolError: it is missing or broken.
        """
        text = self.head.get(ATTACH_HEADER)
        if not text:
            raise RemoteProtocolError("the header Holdfast-Attach is missing")
        return decode_attach(text)


# What HTTP/2 counts for each header besides its name and its value (RFC 9113, section 6.5.2).
HEADER_OVERHEAD = 32


def check_head(scope: Scope, settings: Settings) -> None:
    """Let in a request whose head is of an ordinary size: a session keeps that of its opening.

    Raises:
        RequestRefused: status 431.
    """
    headers = scope["headers"]
    size = sum([len(name) + len(value) for name, value in headers]) + HEADER_OVERHEAD * len(headers)
    size += len(scope.get("query_string", b"")) + len(scope["path"])
    if size > settings.max_header_bytes:
        message = f"Bad request: the head has more than {settings.max_header_bytes} bytes (setting max_header_bytes)"
        raise RequestRefused(ErrorCode.BAD_REQUEST, message, status=431)


def _parse_query(text: str) -> dict[str, str]:
    if "%" in text or "+" in text or text.count("&") >= _MOST_FIELDS:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    # The same, where there is nothing to be decoded.
    query: dict[str, str] = {}
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            query[name] = value
    return query


def _query_of(scope: Scope) -> dict[str, str]:
    try:
        return _parse_query(_query_text(scope))
    except ValueError as error:
        raise RequestRefused(ErrorCode.BAD_REQUEST, "Bad request: the query has too many fields") from error


def _query_text(scope: Scope) -> str:
    text: bytes = scope.get("query_string", b"")
    return text.decode("latin-1")


def parse_request(scope: Scope, settings: Settings, head: Head | None = None) -> Request:
    """Read what is asked for.

    Args:
        head: Of the scope, where somebody has it.

    Raises:
        RequestRefused: with Engine.IO's code and a message that names the remedy.
    """
    query = _query_of(scope)
    method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
    counting = query.get("holdfast") == "1"
    transport = query.get("transport", "")
    sid = query.get("sid")
    # A POST of a counting peer brings, whatever carries the session: it is no choice of a transport.
    brings = counting and sid is not None and method == "POST" and transport == "polling"
    if not brings:
        _check_transport(query, settings, counting=counting)
    _check_version(query)
    if (method == "WEBSOCKET") != (transport == "websocket"):
        raise RequestRefused(
            ErrorCode.BAD_REQUEST, "Bad request: the transport websocket needs a WebSocket, and only it"
        )
    allowed = ("GET", "WEBSOCKET") if sid is None or transport == "stream" else ("GET", "POST", "WEBSOCKET")
    if method not in allowed:
        message = "Bad handshake method: a session is opened by GET" if sid is None else "Bad method"
        raise RequestRefused(ErrorCode.BAD_METHOD, message)
    return Request(
        method=method,
        transport=transport,
        sid=sid,
        counting=counting,
        codecs=tuple(query.get("codec", "json").split(",")) if sid is None else (),
        subprotocol=subprotocol_of(scope.get("subprotocols") or ()),
        head=head or Head(scope),
        scope=scope,
        query=query,
        settings=settings,
    )


def subprotocol_of(offered: Iterable[str]) -> str | None:
    """The first that a WebSocket offers, if it has the form of one."""
    first = next(iter(offered), "")
    return first if _TOKEN.fullmatch(first) else None


def _check_transport(query: dict[str, str], settings: Settings, *, counting: bool) -> None:
    transport = query.get("transport", "")
    if not query:
        # Most often somebody who looks with a browser or curl whether the server is there.
        message = (
            "Transport unknown: this is the address of a Socket.IO server, and it is running; it is meant for clients, "
            "which ask with a query such as ?EIO=4&transport=polling"
        )
    elif transport not in TRANSPORTS:
        message = f"Transport unknown: this server takes {', '.join(settings.transports)}"
    elif transport == "stream" and not counting:
        message = "Transport unknown: stream needs holdfast=1 in the query"
    elif transport not in settings.transports:
        message = (
            f"Transport unknown: this server takes {', '.join(settings.transports)} only (setting transports)"
        )
    else:
        return
    raise RequestRefused(ErrorCode.TRANSPORT_UNKNOWN, message)


def _check_version(query: dict[str, str]) -> None:
    version = query.get("EIO")
    if version == "4":
        return
    ours = "this server speaks Engine.IO 4, as socket.io-client 3.x and 4.x do"
    if version is None:
        message = f"the query has no EIO=4; {ours}"
    elif version in ("1", "2", "3"):
        message = f"{ours}; this client is of Socket.IO 1.x or 2.x and must be updated"
    else:
        message = f"{ours}; the query must say EIO=4"
    raise RequestRefused(ErrorCode.VERSION_UNSUPPORTED, f"Unsupported protocol version: {message}")


def _forwarded(scope: Scope, headers: HeaderValues, settings: Settings) -> Forwarded | None:
    client = scope.get("client")
    if not settings.trusted_proxies or not client:
        return None
    return forwarded(
        client[0],
        cast("tuple[Network, ...]", settings.trusted_proxies),
        chain=headers.getlist("x-forwarded-for"),
        protos=headers.getlist("x-forwarded-proto"),
        hosts=headers.getlist("x-forwarded-host"),
    )


def host_of(scope: Scope, headers: HeaderValues, settings: Settings) -> str:
    """The host that the client has asked for, as far as that is known from those who are trusted."""
    found = _forwarded(scope, headers, settings)
    return (found and found.host) or headers.get("host", "")


def handshake_of(scope: Scope, settings: Settings) -> Handshake:
    """What the application is told of a request.

    Raises:
        RequestRefused: its query has too many fields.
    """
    return _handshake(scope, _query_of(scope), settings)


def _handshake(scope: Scope, query: dict[str, str], settings: Settings) -> Handshake:
    query_text = _query_text(scope)
    client, headers = scope.get("client"), Head(scope)
    address = (client[0], client[1]) if client else None
    proto = scope.get("scheme")
    found = _forwarded(scope, headers, settings)
    if found is not None:
        # Of the port nobody tells.
        address = (found.address, 0) if found.address is not None else address
        proto = found.proto or proto
    return Handshake(
        headers=RequestHeaders(scope["headers"]),
        query=query,
        address=address,
        secure=proto in ("https", "wss"),
        url=f"{scope['path']}?{query_text}" if query_text else scope["path"],
        scope=scope,
    )


def check_origin(headers: HeaderValues, settings: Settings, *, host: str) -> None:
    """Let in requests without an origin, of the same host, and from the origins that are listed.

    Raises:
        RequestRefused: status 403, with the two remedies; 400 if it is not sure which origin or host is meant.
    """
    origin = _only(headers, "origin")
    _only(headers, "host")
    if origin is None:
        _check_fetch(headers, settings)
    elif not settings.lists(origin) and not _same_host(origin, host):
        raise RequestRefused(ErrorCode.FORBIDDEN, _origin_refusal(origin[:200], host[:200]), status=403)


def _only(headers: HeaderValues, name: str) -> str | None:
    values = headers.getlist(name)
    # Whoever stands in front may have looked at another one of them. HTTP/2 may bring the host twice, the same.
    if len(values) > 1 and (name == "origin" or len(set(values)) > 1):
        raise RequestRefused(ErrorCode.BAD_REQUEST, f"Bad request: more than one {name.capitalize()} header")
    return values[0] if values else None


def _check_fetch(headers: HeaderValues, settings: Settings) -> None:
    """A page's script has an origin; its images, frames and links have none, but browsers say whose they are."""
    if settings.origins != "*" and headers.get("sec-fetch-site", "") in ("cross-site", "same-site"):
        message = (
            "Forbidden: a page of another origin asks without saying which (Sec-Fetch-Site), as images, frames and "
            "links do"
        )
        raise RequestRefused(ErrorCode.FORBIDDEN, message, status=403)


def _origin_refusal(origin: str, host: str) -> str:
    if origin == "null":
        return (
            "Forbidden: the page has no origin of its own (it is a file, or in a sandboxed frame), and such a page may "
            'be anybody\'s; to allow them all the same, add "null" to the setting origins'
        )
    return (
        f"Forbidden: the origin {origin} is not allowed, and the Host header says {host or 'nothing'}. If a proxy "
        'stands in front of this server, let it pass the host on (nginx: "proxy_set_header Host $http_host;"); if the '
        f'page really comes from another origin, allow it with the setting origins=["{origin}"].'
    )


def _same_host(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(parts.scheme)
    if port is None or not parts.netloc:
        return False
    return parts.netloc.lower().removesuffix(port) == host.lower().removesuffix(port)


def cors_headers(headers: HeaderValues, settings: Settings) -> dict[str, str]:
    """What a cross-origin page needs to read our answers; nothing for an origin that is not listed, and nothing at all
    where the application's middleware writes these headers."""
    origin = headers.get("origin", "")
    if not origin or settings.cors == "app" or not settings.lists(origin):
        return {}
    answer = {"access-control-allow-origin": origin, "vary": "Origin"}
    if settings.credentials:
        answer["access-control-allow-credentials"] = "true"
    return answer
