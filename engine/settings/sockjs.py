"""What a SockJS endpoint may be told besides what every server may."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .rules import seconds, size, switch, url_or_none
from .settings import Settings, explains_unknown_names

__all__ = ["SockJSSettings"]


@explains_unknown_names
@dataclass(frozen=True, slots=True, kw_only=True)
class SockJSSettings(Settings):
    """`Settings`, and what only SockJS has. ``ping_interval`` is the time between two heartbeats.

    Attributes:
        response_limit: Bytes after which a stream is ended, so that the client opens the next one; browsers keep all of
            a response in memory.
        disconnect_delay: How long a session is kept while no receiver is there; after its end it is said for as long
            what became of it.
        jsessionid: Whether the cookie ``JSESSIONID`` is set, for load balancers with sticky sessions that want it.
        old_transports: Whether there are the transports for browsers of the past: ``htmlfile``, ``jsonp``, and with
            ``sockjs_url`` the page for an iframe.
        sockjs_url: Where that page finds the script of sockjs-client: a path, or an address of https; None for no page.

    Raises:
        TypeError: a setting of that name does not exist (the text suggests the right one), or its value is of
            another type.
        ValueError: the value is not allowed, alone or beside another; the text names what is.
    """

    response_limit: int = size(131_072)
    disconnect_delay: float = seconds(5.0)
    jsessionid: bool = switch(False)
    old_transports: bool = switch(False)
    sockjs_url: str | None = url_or_none()

    @classmethod
    def over(cls, base: Settings | None) -> SockJSSettings | None:
        """Settings of any server as those of this one."""
        if not isinstance(base, Settings) or isinstance(base, SockJSSettings):
            # What is no settings at all is refused where they are made.
            return base
        return cls(**{field.name: getattr(base, field.name) for field in fields(base)})
