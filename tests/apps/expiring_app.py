"""Users whose cookie says since when it is good; it is for a second."""

from __future__ import annotations

from http.cookies import SimpleCookie

from holdfast import Allowed, Handshake, Server, Socket

__all__ = ["app"]


def allow_request(handshake: Handshake) -> Allowed | bool:
    cookie = SimpleCookie(handshake.headers.get("cookie", ""))
    if "user" not in cookie or "since" not in cookie:
        return False
    return Allowed(principal=cookie["user"].value, expires_at=float(cookie["since"].value) + 1.0)


app = Server(allow_request=allow_request)
heard: dict[str, int] = {}


@app.on("number")
async def number(socket: Socket, value: int) -> int:
    """The numbers come in order, each once; the answer is how many there were."""
    user = str(socket.handshake.principal)
    assert value == heard.get(user, 0) + 1
    heard[user] = value
    await socket.emit("echo", value)
    return value
