"""The cookie that names a session to load balancers, as Socket.IO sets it.

RFC 6265, section 4.1. Everything is checked when it is made, so that nothing of it can begin another attribute or
header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Cookie"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_DOMAIN = re.compile(r"\.?[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?")
_SAME_SITE = ("lax", "strict", "none", None)
# Browsers keep none for longer than 400 days (RFC 6265bis); the bound is only against slips.
_MAX_AGE = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie that the answer to a handshake sets, with Engine.IO's session id as its value.

    A load balancer can then send all requests of a session to the same worker. The id is half of a secret, so leave
    ``http_only`` as it is unless a page must read it.

    Attributes:
        name: Letters, digits and the signs that RFC 6265 allows.
        path: Which paths the browser sends it to.
        domain: Which hosts the browser sends it to; None for this one only.
        http_only: Whether scripts cannot read it.
        same_site: "lax", "strict", "none" (needs ``secure``), or None to leave it to the browser.
        secure: Whether it is sent by TLS only.
        partitioned: Whether an embedding page gets a jar of its own for it (needs ``secure``).
        max_age: Seconds that the browser keeps it; None until the browser ends.

    Raises:
        TypeError: a value of another type.
        ValueError: a value that cannot stand in the header, or that browsers refuse; the text says which.
    """

    name: str = "io"
    path: str = "/"
    domain: str | None = None
    http_only: bool = True
    same_site: Literal["lax", "strict", "none"] | None = "lax"
    secure: bool = False
    partitioned: bool = False
    max_age: int | None = None

    def __post_init__(self) -> None:
        self._check_text("name", _TOKEN, "letters, digits and !#$%&'*+-.^_`|~ (RFC 6265)")
        self._check_text("path", _PATH, "text that begins with / and has no semicolon")
        if self.domain is not None:
            self._check_text("domain", _DOMAIN, "the name of a host, or None")
        for name in ("http_only", "secure", "partitioned"):
            if type(getattr(self, name)) is not bool:
                raise TypeError(self._text(name, "True or False"))
        if self.same_site not in _SAME_SITE:
            raise ValueError(self._text("same_site", '"lax", "strict", "none" or None'))
        if self.max_age is not None:
            if type(self.max_age) is not int:
                raise TypeError(self._text("max_age", "a whole number of seconds, or None"))
            if not 0 <= self.max_age <= _MAX_AGE:
                raise ValueError(self._text("max_age", f"0 to {_MAX_AGE} seconds, or None"))
        self._check_together()

    def _check_text(self, name: str, pattern: re.Pattern[str], allowed: str) -> None:
        value: object = getattr(self, name)
        if not isinstance(value, str):
            raise TypeError(self._text(name, allowed))
        if not pattern.fullmatch(value):
            raise ValueError(self._text(name, allowed))

    def _check_together(self) -> None:
        """What browsers drop without a word."""
        if self.secure:
            if self.name.startswith("__Host-") and (self.path != "/" or self.domain is not None):
                raise ValueError(self._text("name", 'without the prefix __Host-, or path="/" and no domain'))
            return
        if self.same_site == "none":
            raise ValueError(
                self._text("same_site", 'used with secure=True: browsers refuse "none" without it')
            )
        if self.partitioned:
            raise ValueError(self._text("partitioned", "used with secure=True: browsers refuse it without"))
        if self.name.startswith(("__Host-", "__Secure-")):
            raise ValueError(self._text("name", "used with secure=True: browsers refuse this prefix without"))

    def _text(self, name: str, allowed: str) -> str:
        return f"Cookie({name}={getattr(self, name)!r}): must be {allowed}"

    def header(self, sid: str) -> str:
        """The value of a Set-Cookie header for the session ``sid``, which is URL-safe base64."""
        parts = [f"{self.name}={sid}"]
        if self.max_age is not None:
            parts.append(f"Max-Age={self.max_age}")
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        parts.append(f"Path={self.path}")
        parts += ["HttpOnly"] * self.http_only + ["Secure"] * self.secure + ["Partitioned"] * self.partitioned
        if self.same_site is not None:
            parts.append(f"SameSite={self.same_site.capitalize()}")
        return "; ".join(parts)
