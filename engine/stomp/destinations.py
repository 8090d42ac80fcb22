"""Names of destinations: what is quoted in them, and whose they are.

Of ``/app/…`` each part, and of ``/user/NAME/…`` the name, may be quoted as in a URL. What is asked about and looked
up is the one spelling with nothing quoted that need not be; the rest is taken as it is written.
"""

from __future__ import annotations

from urllib.parse import unquote

__all__ = ["plain", "plain_parts", "quoted_user", "user_destination"]

_KINDS = ("queue", "topic")


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F")


def plain_parts(path: str) -> str:
    """The same with nothing quoted but slashes and percent signs within a part."""
    if "%" not in path:
        return path
    return "/".join([_quoted(unquote(part)) for part in path.split("/")])


def quoted_user(user: str) -> str:
    """How a user's name is written in a destination: ``/user/queue/…`` would be the sender's own."""
    name = _quoted(user)
    return f"%{ord(name[0]):02X}{name[1:]}" if name in _KINDS else name


def plain(destination: str, sender: str) -> str:
    """The one spelling of a destination. The sender's own is ``/user/queue/…``, however he has called himself."""
    if destination.startswith("/app/"):
        return plain_parts(destination)
    user, rest = user_destination(destination, sender)
    if user is None:
        return destination
    return f"/user{rest}" if user == sender else f"/user/{quoted_user(user)}{rest}"


def user_destination(destination: str, sender: str | None) -> tuple[str | None, str]:
    """The user that a destination is of, and which one of his it is; None if it is none."""
    _, root, first, *rest = [*destination.split("/", 3), "", ""][:4]
    if root != "user" or not first or not rest[0]:
        return None, ""
    if first in _KINDS:
        return sender, f"/{first}/{rest[0]}"
    return (unquote(first), f"/{rest[0]}") if rest[0].startswith(("queue/", "topic/")) else (None, "")
