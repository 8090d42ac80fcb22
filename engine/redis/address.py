"""Where a Redis is, and who we are there."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["RedisAddress"]

_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_OPTIONS = ("db", "username", "password", "client_name", *_TLS_OPTIONS)
_PLAIN, _TLS, _UNIX = ("redis", "valkey"), ("rediss", "valkeys"), ("unix", "redis+unix", "valkey+unix")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """What a URL says. Its text forms leave out who we are and what proves it.

    Attributes:
        host: None where ``path`` is meant.
        path: Of a Unix socket.
        db: The number of the database.
        username: None for the default user.
        client_name: How the broker's `CLIENT LIST` shows us.
        ssl_context: None for a connection that is not encrypted.
    """

    host: str | None = None
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    client_name: str = "holdfast"
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, *, ssl_context: ssl.SSLContext | None = None) -> RedisAddress:
        """Read ``redis://[user[:password]@]host[:port][/db][?option=value&…]``.

        ``rediss://`` is over TLS, with the certificate and the name checked unless ``ssl_cert_reqs=none`` or
        ``ssl_check_hostname=false`` says otherwise; ``unix:///path?db=…`` is a socket. ``valkey://`` and ``valkeys://``
        are the same.

        Args:
            ssl_context: Goes over what the URL says about certificates.

        Raises:
            ValueError: it is no such URL. The text never repeats it: it may hold a password.
        """
        parts = urlsplit(url)
        if parts.scheme not in (*_PLAIN, *_TLS, *_UNIX):
            raise ValueError("the address of a Redis begins with redis://, rediss:// or unix://")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        for name in options:
            if name not in _OPTIONS:
                raise ValueError(
                    f"the address of a Redis has no option of that name; it has {', '.join(_OPTIONS)}"
                )
        try:
            port = parts.port or 6379
        except ValueError as error:
            raise ValueError("the port in the address of a Redis is not a number up to 65535") from error
        is_unix = parts.scheme in _UNIX
        if not is_unix and not parts.hostname:
            raise ValueError("the address of a Redis names no host")
        if ssl_context is None and parts.scheme in _TLS:
            ssl_context = _tls_context(options)
        username, password = (
            parts.username or options.get("username"),
            parts.password or options.get("password"),
        )
        return cls(
            host=None if is_unix else parts.hostname,
            port=port,
            path=unquote(parts.path) if is_unix else "",
            db=_database(options.get("db") or ("" if is_unix else parts.path.strip("/"))),
            username=unquote(username) if username else None,
            password=unquote(password) if password else None,
            client_name=options.get("client_name") or "holdfast",
            ssl_context=ssl_context,
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def _database(text: str) -> int:
    if not text.isascii() or not (text or "0").isdigit():
        raise ValueError("the database in the address of a Redis is not a number")
    return int(text or 0)


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs") or None)
    if certificate := options.get("ssl_certfile"):
        context.load_cert_chain(certificate, options.get("ssl_keyfile") or None)
    required = options.get("ssl_cert_reqs", "required")
    if required not in ("required", "none"):
        raise ValueError('ssl_cert_reqs in the address of a Redis is "required" or "none"')
    if required == "none" or options.get("ssl_check_hostname", "true").lower() in ("false", "0", "no"):
        context.check_hostname = False
    if required == "none":
        context.verify_mode = ssl.CERT_NONE
    return context
