"""How much a text of JSON or a message of msgpack holds, said before anything is built from it.

A megabyte of empty lists is twenty megabytes of Python's, and a parser goes as deep as it is told to. What is looked at
here is bytes, a whole message at a time: an ordinary one costs next to nothing.
"""

from __future__ import annotations

from ..errors import LimitExceeded

__all__ = ["MAX_CONTAINERS", "MAX_DEPTH", "check_structure", "too_deep", "too_many"]

MAX_DEPTH = 64
MAX_CONTAINERS = 50_000

_STRUCTURE = b'"[]{}'
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in _STRUCTURE)


def too_deep(limit: int) -> LimitExceeded:
    """The refusal of what is nested too deeply."""
    return LimitExceeded(f"a packet is nested more than {limit} deep (setting max_depth)", close_code=1009)


def too_many(limit: int) -> LimitExceeded:
    """The refusal of what has too many parts."""
    return LimitExceeded(
        f"a packet has more than {limit} lists and maps, or too much in them (setting max_containers)",
        close_code=1009,
    )


def check_structure(text: str, max_depth: int, max_containers: int) -> None:
    """Check the depth of JSON and how many lists and maps it has. What is no JSON may pass, or be refused here.

    Raises:
        LimitExceeded: too deep, or too many.
    """
    if text.count("[") + text.count("{") <= min(max_depth, max_containers):
        return
    if "\\" in text:
        # From the left, so that what is left of a row of them escapes what follows.
        text = text.replace("\\\\", "").replace('\\"', "")
    rest = text.encode(errors="surrogatepass").translate(None, _NOT_STRUCTURE)
    # Two quotation marks side by side end a text and begin the next, or the reverse: nothing lies between them.
    rest = rest.replace(b'""', b"")
    if b'"' in rest:
        # Each part has a bracket now; every second one is outside of texts.
        parts = rest.split(b'"', 2 * max_containers + 4)
        if len(parts) > 2 * max_containers + 4:
            raise too_many(max_containers)
        rest = b"".join(parts[::2])
    if rest.count(b"[") + rest.count(b"{") > max_containers:
        raise too_many(max_containers)
    for _ in range(max_depth):
        if not rest:
            return
        # The innermost of all go at once.
        rest = rest.replace(b"[]", b"").replace(b"{}", b"")
    if rest:
        raise too_deep(max_depth)
