"""A server whose settings show on the wire: a cookie, a check of its own, fewer transports."""

from __future__ import annotations

from holdfast import ConnectionRefusedError, Cookie, Handshake, Server
from holdfast.fast import FastLane

REFUSAL = "back at noon"


def allow_request(handshake: Handshake) -> bool:
    if handshake.query.get("say") == "raise":
        raise LookupError("nothing for a stranger")
    if handshake.query.get("say") == "why":
        raise ConnectionRefusedError(REFUSAL)
    return handshake.query.get("say") != "no"


app = Server(
    allow_request=allow_request,
    cookie=Cookie(name="route", max_age=60),
    transports=["websocket", "polling"],
    serve_client=False,
)

lane = FastLane(app)
