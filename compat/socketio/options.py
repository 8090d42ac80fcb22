"""The options of python-socketio's server, as what holdfast calls them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ... import Codec, ConnectionRefusedError, Cookie, Handshake, MsgpackCodec, Settings  # noqa: A004
from .codec import JsonModule, ModuleCodec
from .environ import current_scope, environ_of
from .handlers import Function, call

__all__ = ["Options", "follow_logger", "read_options"]

logger = logging.getLogger("holdfast.compat")

_RENAMED = {
    "allow_upgrades": "allow_upgrades",
    "max_http_buffer_size": "max_payload",
    "ping_timeout": "ping_timeout",
}
_NO_MATTER = {
    "compression_threshold": "compression is left to the proxy, or to GZipMiddleware round the application",
    "http_compression": "compression is left to the proxy, or to GZipMiddleware round the application",
    "monitor_clients": "every session has its heartbeat, and it costs no task",
}
_COOKIE = {
    "name": "name",
    "path": "path",
    "domain": "domain",
    "httponly": "http_only",
    "samesite": "same_site",
    "secure": "secure",
    "partitioned": "partitioned",
    "max-age": "max_age",
}


@dataclass(kw_only=True)
class Options:
    """What a `holdfast.Server` is made with.

    Attributes:
        settings: By name.
        others: Its other arguments.
    """

    settings: dict[str, object] = field(default_factory=dict[str, object])
    # Any: they are handed on as they are.
    others: dict[str, Any] = field(default_factory=dict[str, Any])


def read_options(options: Mapping[str, object]) -> Options:
    """Translate options; what has another name here is renamed, what is holdfast's own setting is left as it is.

    Raises:
        TypeError: an option that cannot be honoured, or does not exist; the text says what to do.
        ValueError: a value that is not allowed.
    """
    found = Options()
    given = dict(options)
    _read_modes(given)
    _read_times(found, given)
    _read_origins(found, given)
    _read_transports(found, given)
    _read_codecs(found, given)
    cookie = given.pop("cookie", None)
    if cookie is not None:
        found.settings["cookie"] = _cookie(cookie)
    if "adapter" in given:
        found.others["adapter"] = given.pop("adapter")
    for name, ours in _RENAMED.items():
        if name in given:
            value = given.pop(name)
            found.settings[ours] = int(value) if isinstance(value, float) and ours == "max_payload" else value
    # What is left is holdfast's own, or an error that says what it is called.
    found.settings |= given
    return found


def _read_modes(given: dict[str, object]) -> None:
    mode = given.pop("async_mode", None)
    if mode not in (None, "asgi"):
        raise TypeError(
            f"async_mode={mode!r}: holdfast is an ASGI application; run it with uvicorn, hypercorn, granian or daphne, "
            'and say async_mode="asgi" or nothing'
        )
    if given.pop("client_manager", None) is not None:
        raise TypeError(
            "client_manager: servers share rooms by adapter=holdfast.RedisAdapter(url), those of one process by "
            "adapter=holdfast.MemoryHub()"
        )
    # What a connect handler emits is held until the client is connected: this is all that it was good for.
    given.pop("always_connect", None)
    for name, reason in _NO_MATTER.items():
        if name in given and given.pop(name) != (name == "monitor_clients"):
            logger.warning("%s has no effect: %s", name, reason)


def _read_times(found: Options, given: dict[str, object]) -> None:
    interval = given.pop("ping_interval", None)
    if isinstance(interval, tuple | list):
        # There the grace is added to what the client is told; so is the timeout.
        interval, grace = cast("tuple[float, float]", interval)
        given["ping_timeout"] = cast("float", given.get("ping_timeout", Settings().ping_timeout)) + grace
    if interval is not None:
        found.settings["ping_interval"] = interval


def _read_origins(found: Options, given: dict[str, object]) -> None:
    origins = given.pop("cors_allowed_origins", None)
    credentials = given.pop("cors_credentials", None)
    settings = found.settings
    if origins is None:
        return
    if origins == []:
        settings |= {"origins": "*", "cors": "app"}
    elif callable(origins):
        settings["origins"] = "*"
        found.others["allow_request"] = _origin_check(origins)
    elif origins == "*" or (not isinstance(origins, str) and "*" in cast("Sequence[str]", origins)):
        settings["origins"] = "*"
    else:
        settings["origins"] = [origins] if isinstance(origins, str) else list(cast("Sequence[str]", origins))
        credentials = True if credentials is None else credentials
    if credentials is not None:
        # With "*" this is refused by the settings: any site could act for the user who has it open.
        settings["credentials"] = credentials


def _origin_check(function: Function) -> Callable[[Handshake], object]:
    async def check(handshake: Handshake) -> bool:
        origin = handshake.headers.get("origin")
        if origin is None:
            return True
        environ = environ_of(current_scope.get(), handshake)
        if not await call(function, (origin, environ), last_is_optional=True):
            raise ConnectionRefusedError(f"Forbidden: the origin {origin[:200]} is not accepted")
        return True

    return check


def _read_transports(found: Options, given: dict[str, object]) -> None:
    transports = given.pop("transports", None)
    if transports is None:
        return
    names = [transports] if isinstance(transports, str) else list(cast("Sequence[str]", transports))
    if "polling" in names and "stream" not in names:
        # Where HTTP is allowed, so is ours; standard clients do not ask for it.
        names.append("stream")
    found.settings["transports"] = names


def _read_codecs(found: Options, given: dict[str, object]) -> None:
    serializer, module = given.pop("serializer", "default"), given.pop("json", None)
    if serializer not in ("default", "msgpack"):
        raise TypeError(
            "serializer: a packet class cannot be used; JSON and msgpack are both taken, recognised for each client, "
            "and a format of your own is a holdfast.Codec"
        )
    if module is not None and module is not json:
        base = given.get("settings")
        plain = base if isinstance(base, Settings) else Settings()
        attachments, depth, containers = (
            cast("int", given.get(name, getattr(plain, name)))
            for name in ("max_attachments", "max_depth", "max_containers")
        )
        custom: Codec = ModuleCodec(
            cast("JsonModule", module),
            max_attachments=attachments,
            max_depth=depth,
            max_containers=containers,
        )
        found.others["codecs"] = (custom, MsgpackCodec(max_depth=depth, max_containers=containers))


def _cookie(value: object) -> object:
    if not isinstance(value, dict):
        return value
    attributes: dict[str, Any] = {"http_only": False, "same_site": None}
    for name, content in cast("dict[str, object]", value).items():
        ours = _COOKIE.get(name.lower())
        if ours is None:
            raise TypeError(f"cookie: the attribute {name!r} cannot be set; there are {', '.join(_COOKIE)}")
        content = content() if callable(content) else content
        if ours == "same_site" and isinstance(content, str):
            content = content.lower()
        elif ours == "max_age":
            content = int(cast("str", content))
        attributes[ours] = content
    return Cookie(**attributes)


class _Follow(logging.Handler):
    """Hands records on to a logger of the application's."""

    def __init__(self, target: logging.Logger) -> None:
        super().__init__()
        self.target = target

    def emit(self, record: logging.LogRecord) -> None:
        if self.target.isEnabledFor(record.levelno):
            self.target.handle(record)


def follow_logger(wanted: object) -> None:
    """Let holdfast's log be seen as the options ``logger`` and ``engineio_logger`` ask for it.

    True shows it on stderr from level INFO; a logger gets its records; False leaves it to the application.
    """
    ours = logging.getLogger("holdfast")
    if isinstance(wanted, logging.Logger):
        if not any(isinstance(handler, _Follow) and handler.target is wanted for handler in ours.handlers):
            ours.addHandler(_Follow(wanted))
            ours.setLevel(min(ours.getEffectiveLevel(), wanted.getEffectiveLevel()))
    elif wanted and ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)
        if not ours.handlers:
            ours.addHandler(logging.StreamHandler())
