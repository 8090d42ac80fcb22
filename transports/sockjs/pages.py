"""What an endpoint answers beside its sessions: a greeting, what it can do, and the page for an iframe.

SockJS protocol 0.3.4, "Greeting url", "Info test" and "IFrame page".
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import cast

from starlette.types import Send

from ...engine.settings import SockJSSettings
from ..request import HeaderValues
from .answers import NOT_CACHED, answer, cached

__all__ = ["serve_greeting", "serve_iframe", "serve_info"]

_IFRAME = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="%s"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"""


async def serve_greeting(send: Send) -> None:
    """Say that it is here."""
    await answer(send, 200, "Welcome to SockJS!\n", headers={"x-content-type-options": "nosniff"})


async def serve_info(send: Send, settings: SockJSSettings, headers: Mapping[str, str]) -> None:
    """Say what it can do. The client also takes the time of it, and some chance from it."""
    info = {
        "websocket": "websocket" in settings.transports,
        # What clients of the past looked at. Who may connect, the setting `origins` says.
        "origins": ["*:*"],
        "cookie_needed": settings.jsessionid,
        "entropy": secrets.randbits(32),
    }
    kind = "application/json; charset=UTF-8"
    await answer(send, 200, json.dumps(info), headers={**NOT_CACHED, **headers}, content_type=kind)


def _embedders(settings: SockJSSettings) -> dict[str, str]:
    """Whoever may have this page in a frame may do all that the page may, as its user."""
    if settings.origins == "*":
        return {}
    # A pattern cannot be said here, and whoever only it lists stays outside.
    # Kept as a tuple.
    entries = cast("tuple[object, ...]", settings.origins or ())
    named = [entry for entry in entries if isinstance(entry, str) and "://" in entry]
    return {"content-security-policy": " ".join(["frame-ancestors 'self'", *named])}


async def serve_iframe(send: Send, asked: HeaderValues, settings: SockJSSettings) -> None:
    """The page that talks to this server for a page of another origin, where browsers know no better way."""
    page = _IFRAME % escape(settings.sockjs_url or "")
    mark = f'"{sha256(page.encode()).hexdigest()[:32]}"'
    headers = {
        **cached(),
        "etag": mark,
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        **_embedders(settings),
    }
    known = [each.strip().removeprefix("W/") for each in asked.get("if-none-match", "").split(",")]
    if mark in known or "*" in known:
        await answer(send, 304, headers=headers, content_type=None)
    else:
        await answer(send, 200, page, headers=headers, content_type="text/html; charset=UTF-8")
