"""What other servers call a setting, and why some of theirs are not here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["PYTHON_SOCKETIO", "SOCKET_IO", "SOCKJS_NODE", "Absent", "Renamed", "unknown_setting"]


@dataclass(frozen=True, slots=True)
class Renamed:
    """It is here: under this name, with this difference if there is one."""

    here: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """It is not here: why, and what to do instead."""

    reason: str


_IN_SECONDS = "in seconds, not in milliseconds"
_COMPRESSION = Absent(
    "compression is left to the proxy (nginx: gzip) or to GZipMiddleware round the application; "
    "both leave event streams alone"
)
_CODECS = Absent(
    "not needed: JSON with attachments and msgpack are both taken, recognised for each client; "
    "other formats are the argument codecs of Server"
)
_ADAPTER = Absent(
    "it is the argument adapter of Server: RedisAdapter or RedisStreamsAdapter; the workers of one host need none"
)
_LOGGER = Absent('the standard library logs: configure logging.getLogger("holdfast")')
_PATH = Absent("it is the argument path of Server and Engine")
_APP = Absent("it is the argument app of Server and Engine")
_ALLOW_REQUEST = Absent("it is the argument allow_request of Server and Engine")
_LIFESPAN = Absent("use the lifespan of the application")

SOCKET_IO: Mapping[str, Renamed | Absent] = {
    "adapter": _ADAPTER,
    "addTrailingSlash": Absent("not needed: the path is answered with and without a slash at its end"),
    "allowEIO3": Absent(
        "clients 1.x and 2.x are refused with a message that says so; update them to 3.x or 4.x"
    ),
    "allowRequest": _ALLOW_REQUEST,
    "allowUpgrades": Renamed("allow_upgrades"),
    "cleanupEmptyChildNamespaces": Renamed("cleanup_empty_child_namespaces", "True by default"),
    "connectTimeout": Renamed("connect_timeout", _IN_SECONDS),
    "connectionStateRecovery": Renamed(
        "connection_state_recovery",
        "True or False; max_disconnection_duration and skip_middlewares are settings of their own",
    ),
    "cookie": Renamed("cookie", "a name or a Cookie"),
    "cors": Renamed("origins", "cors.origin is origins, cors.credentials is credentials"),
    "cors.credentials": Renamed("credentials"),
    "cors.origin": Renamed("origins"),
    "destroyUpgrade": Absent("not needed: a WebSocket to another path is not touched"),
    "destroyUpgradeTimeout": Absent("not needed: a WebSocket to another path is not touched"),
    "httpCompression": _COMPRESSION,
    "initialPacket": Absent("send from the connect handler"),
    "maxDisconnectionDuration": Renamed("max_disconnection_duration", _IN_SECONDS),
    "maxHttpBufferSize": Renamed("max_payload"),
    "parser": _CODECS,
    "path": _PATH,
    "perMessageDeflate": Absent(
        "the ASGI server compresses WebSocket messages or not (uvicorn: --ws-per-message-deflate)"
    ),
    "pingInterval": Renamed("ping_interval", _IN_SECONDS),
    "pingTimeout": Renamed("ping_timeout", _IN_SECONDS),
    "serveClient": Renamed("serve_client"),
    "skipMiddlewares": Renamed("skip_middlewares"),
    "transports": Renamed("transports", 'with "stream"; there is no "webtransport"'),
    "upgradeTimeout": Renamed("upgrade_timeout", _IN_SECONDS),
    "wsEngine": Absent("the ASGI server brings its WebSocket implementation (uvicorn: --ws)"),
}
"""Every option of `socket.io` 4.8's server and of the engine below it."""

PYTHON_SOCKETIO: Mapping[str, Renamed | Absent] = {
    "allow_upgrades": Renamed("allow_upgrades"),
    "always_connect": Absent(
        "not needed: what a connect handler emits is held until the client has been told that it is connected"
    ),
    "async_handlers": Absent(
        "handlers of one socket run in order; one that need not wait is registered with concurrent=True"
    ),
    "async_mode": Absent("not needed: a Server is an ASGI application and runs on asyncio and on trio"),
    "client_manager": _ADAPTER,
    "compression_threshold": _COMPRESSION,
    "cookie": Renamed("cookie", "a name or a Cookie"),
    "cors_allowed_origins": Renamed(
        "origins",
        'None is the same host only, as there; for what [] was there, origins="*" with cors="app"',
    ),
    "cors_credentials": Renamed("credentials", "False by default"),
    "engineio_logger": _LOGGER,
    "engineio_path": _PATH,
    "http_compression": _COMPRESSION,
    "json": Absent(
        "the standard library's json is used; for another, give a codec of your own in the argument codecs of Server"
    ),
    "logger": _LOGGER,
    "max_http_buffer_size": Renamed("max_payload"),
    "message_queue": _ADAPTER,
    "monitor_clients": Absent("not needed: every session has its heartbeat, and it costs no task"),
    "namespaces": Absent('a namespace exists once it has been asked for, by name or pattern: io.of("/chat")'),
    "on_shutdown": _LIFESPAN,
    "on_startup": _LIFESPAN,
    "other_asgi_app": _APP,
    "ping_interval": Renamed("ping_interval", "a number; the grace period of a pair is ping_timeout"),
    "ping_timeout": Renamed("ping_timeout"),
    "serializer": _CODECS,
    "socketio_path": _PATH,
    "static_files": Absent("serve them with StaticFiles in the application"),
    "transports": Renamed("transports", 'with "stream"'),
}
"""Every argument of `python-socketio` 5's servers, of the engine below them and of its ASGIApp."""

SOCKJS_NODE: Mapping[str, Renamed | Absent] = {
    "disable_cors": Renamed("cors", '"app" for True'),
    "disconnect_delay": Renamed("disconnect_delay", _IN_SECONDS),
    "faye_server_options": Absent("the ASGI server brings its WebSocket implementation (uvicorn: --ws)"),
    "heartbeat_delay": Renamed("ping_interval", _IN_SECONDS),
    "jsessionid": Renamed("jsessionid"),
    "log": _LOGGER,
    "prefix": Absent("it is where the endpoint is mounted, or the argument path of SockJS"),
    "response_limit": Renamed("response_limit"),
    "sockjs_url": Renamed("sockjs_url", "with old_transports"),
    "transports": Renamed("transports", '"websocket", "stream" and "polling"'),
    "websocket": Renamed("transports", 'a list; for False one without "websocket"'),
}
"""Every option of `sockjs` 0.3 and 0.4 for Node."""

_OURS: Mapping[str, Renamed | Absent] = {
    "allow_request": _ALLOW_REQUEST,
    "app": _APP,
    "codecs": Absent("it is the argument codecs of Server"),
    "clock": Absent("it is the argument clock of Server and Engine"),
}


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """What to say to somebody who asked for a setting of this name."""
    known = list(known)
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for table in (SOCKET_IO, PYTHON_SOCKETIO, SOCKJS_NODE, _OURS):
        found = table.get(name) or table.get(snake)
        if isinstance(found, Absent):
            return f"unknown setting {name!r}: {found.reason}"
        if found is not None and found.here != name:
            note = f" ({found.note})" if found.note else ""
            return f"unknown setting {name!r}: it is called {found.here!r} here{note}"
    if snake in known:
        return f"unknown setting {name!r}: it is called {snake!r} here"
    close = get_close_matches(snake, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return f"unknown setting {name!r}; {hint}"
