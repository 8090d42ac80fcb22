"""Origins as browsers write them (RFC 6454, section 6.2), from what people write."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["normal_origin"]

_HOST = re.compile(r"[^/?#@\s,;\\\x00-\x20\x7f]+")
_ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://{_HOST.pattern}")
_PORT = re.compile(r":\d*$")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# An application from a file has an origin without a host.
_OPAQUE = ("null", "file://")


def normal_origin(entry: str) -> str:
    """The origin that a browser will send: no slash at its end, lower case, no port where it is the scheme's own.

    Raises:
        ValueError: it cannot be an origin; the text names the right form.
    """
    text = entry.strip().lower()
    text = text if text.endswith("://") else text.removesuffix("/")
    if text in _OPAQUE:
        return text
    if "*" in text:
        raise ValueError(
            r"a pattern is compiled, and matches the whole: re.compile(r'https://[^.]+\.app\.example')"
        )
    if not _ORIGIN.fullmatch(text):
        raise ValueError(_remedy(text))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("its host or port is not valid") from error
    if not parts.hostname:
        raise ValueError(_remedy(text))
    if not text.isascii():
        raise ValueError(f'browsers send names in their ASCII form: "xn--…" instead of {parts.hostname!r}')
    if parts.scheme in ("ws", "wss"):
        page = text.replace("ws", "http", 1)
        raise ValueError(f"an origin is the page's, not the WebSocket's: {page!r}")
    origin = f"{parts.scheme}://{_PORT.sub('', parts.netloc)}"
    return origin if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{origin}:{port}"


def _remedy(text: str) -> str:
    if "," in text or ";" in text or " " in text:
        return "one origin per entry of a list, such as https://app.example"
    scheme, mark, rest = text.partition("://")
    found = _HOST.match(rest if mark else text)
    if found is None:
        return "an origin is scheme, host and port, such as https://app.example"
    right = f"{scheme}://{found[0]}" if mark else f"https://{found[0]}"
    return f"an origin is scheme, host and port, without path, query or user: {right!r}"
