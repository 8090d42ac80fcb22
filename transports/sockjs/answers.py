"""What stands in the heads of SockJS's answers: caching, CORS, the cookie of load balancers.

SockJS protocol 0.3.4, "Static URLs" and "JSESSIONID cookie".
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import formatdate

from starlette.requests import cookie_parser
from starlette.types import Send

from ...engine.settings import SockJSSettings
from ..http import encode_headers
from ..request import HeaderValues

__all__ = ["NOT_CACHED", "SCRIPT", "TEXT", "answer", "answer_options", "cached", "cookie_of"]

TEXT = "text/plain; charset=UTF-8"
SCRIPT = "application/javascript; charset=UTF-8"

NOT_CACHED = {
    "cache-control": "no-store, no-cache, no-transform, must-revalidate, max-age=0",
    # nginx, and those that do as it does, would hold a stream back.
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}
_YEAR = 31_536_000
# RFC 6265, section 4.1.1. What came is given back in a header of ours.
_COOKIE = re.compile(r"[!#-+\--:<-\[\]-~]{1,256}")
# RFC 9110, section 5.6.2: names of headers.
_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")


def cached() -> dict[str, str]:
    """For what may be kept for a year."""
    return {
        "cache-control": f"public, max-age={_YEAR}",
        "expires": formatdate(time.time() + _YEAR, usegmt=True),
    }


def cookie_of(headers: HeaderValues, settings: SockJSSettings, *, secure: bool) -> dict[str, str]:
    """The cookie that sends a client to the same worker: what the load balancer has put there, or a word."""
    if not settings.jsessionid:
        return {}
    value = cookie_parser(headers.get("cookie", "")).get("JSESSIONID", "")
    value = value if _COOKIE.fullmatch(value) else "dummy"
    # In a page of another site browsers keep only such a one.
    return {"set-cookie": f"JSESSIONID={value}; Path=/{'; Secure; SameSite=None' if secure else ''}"}


async def answer(
    send: Send,
    status: int,
    body: str = "",
    *,
    headers: Mapping[str, str],
    content_type: str | None = TEXT,
) -> None:
    """Answer with a whole body; an answer that has none by its status says nothing of its length."""
    data = body.encode()
    heads = dict(headers)
    if content_type is not None:
        heads["content-type"] = content_type
    if status not in (204, 304):
        heads["content-length"] = str(len(data))
    await send({"type": "http.response.start", "status": status, "headers": encode_headers(heads)})
    await send({"type": "http.response.body", "body": data})


async def answer_options(send: Send, asked: HeaderValues, method: str, headers: Mapping[str, str]) -> None:
    """Answer a browser that asks whether it may."""
    found = {
        **cached(),
        "access-control-max-age": str(_YEAR),
        "access-control-allow-methods": f"OPTIONS, {method}",
        **headers,
    }
    names = asked.get("access-control-request-headers", "")
    if headers and _NAMES.fullmatch(names):
        found["access-control-allow-headers"] = names
    await answer(send, 204, headers=found)
